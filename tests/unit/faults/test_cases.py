from __future__ import annotations

import pytest

from faults.cases import Fault, choose_cases
from faults.proxy import Spoil, kind_of
from faults.table import Result, fill, render


def fault(name: str, quick: int = 1, full: int = 3) -> Fault:
    return Fault(name=name, what="", strike=lambda scene: None, quick=quick, full=full)


FAULTS = (fault("kill.client", 2, 5), fault("kill.engine"), fault("disk.state", 0))


def names(*only: str, seed: int | None = None, quick: bool = False) -> list[tuple[str, int]]:
    cases = choose_cases(FAULTS, only=only, seed=seed, first=7, quick=quick)
    return [(case.fault.name, case.seed) for case in cases]


class TestChoice:
    def test_each_case_has_a_seed_of_its_own(self) -> None:
        assert names("kill.client") == [("kill.client", seed) for seed in range(7, 12)]

    def test_a_quick_session_tries_fewer(self) -> None:
        assert names(quick=True) == [("kill.client", 7), ("kill.client", 8), ("kill.engine", 7)]

    def test_a_seed_tries_each_once(self) -> None:
        assert names("kill", seed=4, quick=True) == [("kill.client", 4), ("kill.engine", 4)]

    def test_a_replay_is_the_same_case(self) -> None:
        (first, *_) = choose_cases(FAULTS, first=7, quick=False)
        (again,) = choose_cases(FAULTS, only=["kill.client"], seed=7, first=0, quick=True)
        assert first == again
        assert first.random.random() == again.random.random()
        assert first.replay == "nox -s faults -- --seed 7 --only kill.client"

    def test_numbers_differ_by_fault_and_by_seed(self) -> None:
        cases = choose_cases(FAULTS, first=7, quick=False)
        assert len({case.random.random() for case in cases}) == len(cases)

    def test_an_unknown_name(self) -> None:
        with pytest.raises(ValueError, match=r"'kil' is not a fault; allowed: disk, disk\.state, kill"):
            names("kil")


@pytest.mark.parametrize(
    ("request_line", "kind"),
    [
        ("GET /v2/", "GET ping"),
        ("HEAD /v2/base/manifests/sha-1", "HEAD manifest"),
        ("POST /v2/base/blobs/uploads/?mount=sha256:1", "POST upload"),
        ("PUT /v2/base/blobs/uploads/7?digest=sha256:1", "PUT upload"),
        ("HEAD /v2/a/b/blobs/sha256:1", "HEAD blob"),
        ("GET /v2/base/tags/list", "GET tags"),
    ],
)
def test_requests_have_kinds(request_line: str, kind: str) -> None:
    assert kind_of(*request_line.split()) == kind


def test_some_requests_are_spoiled_and_counted() -> None:
    spoil = Spoil(how="reset", where="HEAD blob", skip=1, times=2)
    kinds = ["GET ping", *["HEAD blob"] * 5]
    assert [spoil.takes(kind) for kind in kinds] == [False, False, True, True, False, False]
    assert spoil.struck == 2


class TestTable:
    RESULTS = (
        Result(fault="kill.client", struck=True, violations=()),
        Result(fault="kill.client", struck=True, violations=("a lock", "a process")),
        Result(fault="kill.client", struck=False, violations=()),
        Result(fault="disk.state", struck=False, violations=("a traceback",)),
    )

    def test_rows(self) -> None:
        table = render(self.RESULTS, {"disk.state": "full", "kill.client": "killed", "kill.engine": "-"})
        assert table.splitlines()[2:] == [
            "| `disk.state` | full | 1 | 0 | 1 |",
            "| `kill.client` | killed | 2 | 1 | 1 |",
            "| all |  | 3 | 1 | 2 |",
        ]

    def test_it_takes_the_place_of_the_last_one(self) -> None:
        page = "before\n<!-- faults:table -->\nold\n<!-- faults:end -->\nafter\n"
        assert fill(page, "new\n") == page.replace("old", "new")
        with pytest.raises(ValueError, match="has no"):
            fill("nothing", "new\n")
