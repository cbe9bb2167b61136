"""The soak: the steps of a round, and when it passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import burn
from bench.locks import LOCK, pins
from bench.meter import Sample, Steps
from bench.soak import CACHED, HEADINGS, Round, Soak, faults, make_tree, read_options
from lamina.errors import ConfigError
from lamina.process import Completed

from ..conftest import ScriptedRunner
from .test_suite import BROKEN, GIT, ROOT, Yard, built

COLD = Sample(seconds=20.0, traffic=None, steps=Steps(cached=0, total=15, built=4, images=4))
EDITED = Sample(seconds=2.0, traffic=None, steps=CACHED)
LOST = Sample(seconds=50.0, traffic=None, steps=Steps(cached=5, total=15, built=4, images=4))


def soak(
    folder: Path, *script: tuple[tuple[str, ...], Completed], rounds: int = 1
) -> tuple[Yard, list[Round]]:
    yard, runner = Yard(), ScriptedRunner([*GIT, *script])
    tree = make_tree(runner, ROOT, folder / "sample", yard.runtime)
    found = list(Soak(runner=runner, ground=yard, tree=tree, say=lambda _: None).run(rounds))
    assert runner.script == []
    return yard, found


def test_every_round_is_two_builds_on_empty_engines_in_repositories_of_its_own(tmp_path: Path) -> None:
    yard, rounds = soak(tmp_path, *[built("built")] * 4, rounds=2)

    build = "lamina build-all --push"
    assert yard.done == ["empty", build, "empty", build] * 2
    assert [each.number for each in rounds] == [1, 2]
    installed = pins((tmp_path / "sample" / LOCK).read_text(), "embedding-step-functions")
    assert [each for each in installed if each.startswith(("chromadb", "numpy"))] == ["numpy==2.5.5"]


def test_a_build_that_failed_is_tried_in_a_round_of_its_own(tmp_path: Path) -> None:
    failed = (("lamina", "build-all"), BROKEN)

    _, (passed,) = soak(tmp_path / "one", failed, built("built"), built("built"))
    _, (lost,) = soak(tmp_path / "two", built("built"), failed, failed)

    assert passed.failure is None
    assert lost.failure
    assert lost.fault == lost.failure


def test_a_round_is_passed_when_all_but_the_copies_is_cached() -> None:
    good = Round(number=1, cold=COLD, edited=EDITED)
    lost = Round(number=2, cold=COLD, edited=LOST)
    warm = Round(number=3, cold=EDITED, edited=EDITED)

    assert (good.fault, Round(number=4, cold=COLD).fault) == (None, "it was not finished")
    assert list(faults([good], 1)) == []
    assert [each.what for each in faults([good, lost, warm], 4)] == [
        "round 2: 13 of 15 steps should be cached",
        "round 3: its first build was not cold: 13 steps cached",
        "3 of 4 rounds were run",
    ]
    assert len(good.row) == len(HEADINGS) == len(Round(number=5).row)


def test_options_of_the_soak() -> None:
    assert (read_options([]).rounds, read_options(["--rounds", "3", "--load", "0"]).load) == (20, 0)
    for wrong in (["--rounds", "0"], ["--load", "-1"]):
        with pytest.raises(ConfigError):
            read_options(wrong)


def test_the_load_ends_with_its_folder(tmp_path: Path) -> None:
    burn(tmp_path / "gone" / "0.bin")

    assert list(tmp_path.iterdir()) == []
