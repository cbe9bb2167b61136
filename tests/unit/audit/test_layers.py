"""The evidence of an audit: two images, and the Dockerfile with the steps of their layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lamina.audit.layers import AuditVerdict, Makeup, align, judge
from lamina.decide.layers import steps

from ..conftest import RUNTIME, Repo

FINGERPRINT = "dev.lamina.fingerprint"
INSTALL = (f"FROM {RUNTIME} AS deps", "RUN pip install --target /out x")
COPIED = ("COPY handler.py /var/task/", 'CMD ["handler.handler"]')


def config(*layers: tuple[str, str], **settings: Any) -> dict[str, Any]:
    """Return an image configuration, from each layer's digest and recorded instruction."""
    return {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["handler.handler"], **settings},
        "rootfs": {"diff_ids": [digest for digest, _ in layers]},
        "history": [
            *({"created_by": f"{by} # buildkit"} for _, by in layers),
            {"created_by": "CMD [...]", "empty_layer": True},
        ],
    }


def verdict(
    repo: Repo,
    dockerfile: tuple[str, ...],
    built: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    exact_base: bool = True,
    **files: Mapping[str, str] | None,
) -> AuditVerdict:
    """Return the verdict. files: a layer's digest -> its files."""
    repo.write("handler.py", "def handler(event, context): ...\n")
    repo.image("app", *dockerfile)
    made_by = steps(repo.graph().nodes["app"], exact_base=exact_base)
    ours, theirs = Makeup.of(built), Makeup.of(found)
    opened: dict[Any, Any] = {}
    for pair in align(made_by, ours, theirs):
        left, right = files.get(pair.built or ""), files.get(pair.found or "")
        if pair.built and pair.found and not pair.same:
            opened[pair] = None if left is None or right is None else (left, right)
    return judge(made_by, ours, theirs, opened)


BASE = ("base", "COPY / /")
COPY = ("b1", "COPY handler.py /var/task/")
OTHER = ("f1", "COPY handler.py /var/task/")
APP = (f"FROM {RUNTIME}", *COPIED)


def test_equal_layers_and_settings_confirm(repo: Repo) -> None:
    image = config(BASE, COPY)
    found = verdict(repo, APP, image, {**image, "created": "at another time"})

    assert (found.conclusion, found.reasons) == ("confirmed", ("the same layers, all 2",))


def test_layers_that_differ_in_times_alone_confirm(repo: Repo) -> None:
    same = {"var/task/handler.py": "file 644 0:0 aaa"}
    found = verdict(repo, APP, config(BASE, COPY), config(BASE, OTHER), b1=same, f1=same)

    assert found.conclusion == "confirmed"
    assert found.reasons == ("the same files; timestamps differ in 1 of 2 layers",)


def test_a_copied_file_that_differs_is_proof_and_named(repo: Repo) -> None:
    found = verdict(
        repo,
        APP,
        config(BASE, COPY),
        config(BASE, OTHER),
        b1={"var/task/handler.py": "file 644 0:0 aaa", "var/task/new.py": "file 644 0:0 aaa"},
        f1={"var/task/handler.py": "file 644 0:0 bbb", "var/task/old.py": "file 644 0:0 aaa"},
    )

    assert found.conclusion == "false skip"
    (reason,) = found.reasons
    assert reason == (
        "layer 2, dockerfiles/app/Dockerfile:2 COPY handler.py /var/task/: built b1, found f1: "
        "var/task/handler.py differs, var/task/new.py is missing, var/task/old.py is extra"
    )


RUN = (f"FROM {RUNTIME}", "RUN pip install x", *COPIED)
LOG = {"var/log/pip": "file 644 0:0 aaa"}, {"var/log/pip": "file 644 0:0 bbb"}


def test_files_of_a_run_prove_nothing(repo: Repo) -> None:
    built = config(BASE, ("b2", "RUN /bin/sh -c pip install x"), COPY)
    there = config(BASE, ("f2", "RUN /bin/sh -c pip install x"), COPY)
    found = verdict(repo, RUN, built, there, b2=LOG[0], f2=LOG[1])

    assert found.conclusion == "not comparable"
    assert (
        "Dockerfile:2 RUN pip install x: built b2, found f2: var/log/pip differs; RUN need not give"
        in str(found.reasons)
    )
    assert [each.proves for each in found.differences] == [False]


def test_a_run_with_other_arguments_is_proof(repo: Repo) -> None:
    built = config(BASE, ("b2", "RUN |1 A=1 /bin/sh -c pip install x"), COPY)
    there = config(BASE, ("f2", "RUN |1 A=2 /bin/sh -c pip install x"), COPY)
    found = verdict(repo, RUN, built, there, b2=LOG[0], f2=LOG[1])

    assert found.conclusion == "false skip"
    assert "A=2" not in str(found)  # an argument's value may be a secret


@pytest.mark.parametrize(
    ("dockerfile", "conclusion"),
    [
        ((*INSTALL, f"FROM {RUNTIME}", "COPY --link --from=deps /out/ /var/task/"), "not comparable"),
        (
            (f"FROM {RUNTIME} AS a", *COPIED, f"FROM {RUNTIME}", "COPY --from=a /var/task/ /var/task/"),
            "false skip",
        ),
        ((f"FROM {RUNTIME}", "ADD https://x.example/handler.py /var/task/"), "not comparable"),
        ((f"FROM {RUNTIME}", "ADD handler.py /var/task/"), "false skip"),
        ((f"FROM {RUNTIME}", "WORKDIR /var/task", "WORKDIR /", "COPY handler.py /"), "false skip"),
    ],
)
def test_the_proof_of_a_copy_depends_on_its_source(
    repo: Repo, dockerfile: tuple[str, ...], conclusion: str
) -> None:
    last = "ADD handler.py" if "ADD" in dockerfile[-1] else "COPY handler.py"
    built, there = config(BASE, ("b1", last)), config(BASE, ("f1", last))
    if "WORKDIR" in str(dockerfile):
        built, there = (config(BASE, ("w", "WORKDIR /var/task"), (each, last)) for each in ("b1", "f1"))
    found = verdict(repo, dockerfile, built, there, b1={"a": "1"}, f1={"a": "2"})

    assert found.conclusion == conclusion


def test_settings_that_differ_are_proof_and_their_values_stay_secret(repo: Repo) -> None:
    built = config(BASE, COPY, Env=["PATH=/bin", "TOKEN=first"], Labels={FINGERPRINT: "sha256:1"})
    there = config(BASE, COPY, Env=["TOKEN=second", "PATH=/bin"], Labels={FINGERPRINT: "sha256:2"}, Cmd=["x"])
    found = verdict(repo, APP, built, there)

    assert found.conclusion == "false skip"
    assert found.reasons == ("Cmd differs", "ENV TOKEN differs", f"label {FINGERPRINT} differs")


def test_another_build_of_the_base_is_not_this_images_fault(repo: Repo) -> None:
    repo.image("base", f"FROM {RUNTIME}", "RUN true")
    built, there = config(("b0", "RUN true"), COPY), config(("f0", "RUN true"), COPY, Env=["INHERITED=1"])
    found = verdict(
        repo, ("FROM base", *COPIED), built, there, exact_base=False, b0={"a": "1"}, f0={"a": "2"}
    )

    assert found.conclusion == "not comparable"
    assert found.reasons == ("it is built FROM another build of base than the current one",)


def test_another_fingerprint_is_proof_on_any_base(repo: Repo) -> None:
    repo.image("base", f"FROM {RUNTIME}", "RUN true")
    built = config(("b0", "RUN true"), COPY, Labels={FINGERPRINT: "sha256:1"})
    there = config(("f0", "RUN true"), COPY, Labels={FINGERPRINT: "sha256:2"})
    found = verdict(
        repo, ("FROM base", *COPIED), built, there, exact_base=False, b0={"a": "1"}, f0={"a": "2"}
    )

    assert found.conclusion == "false skip"


@pytest.mark.parametrize("there", [config(COPY), config(("more", "RUN true"), BASE, COPY)])
def test_layers_too_few_or_too_many_are_proof_on_a_pinned_base(repo: Repo, there: dict[str, Any]) -> None:
    found = verdict(repo, APP, config(BASE, COPY), there)

    assert found.conclusion == "false skip"
    assert f"layer 1, of {RUNTIME}: built " in found.reasons[0]
    assert "nothing" in found.reasons[0]


def test_unreadable_layers_prove_nothing(repo: Repo) -> None:
    found = verdict(repo, APP, config(BASE, COPY), config(BASE, OTHER), b1=None, f1=None)

    assert found.conclusion == "not comparable"
    assert "cannot be read" in found.reasons[0]


def test_layers_that_do_not_fit_the_dockerfile_are_taken_for_the_bases(repo: Repo) -> None:
    """As when ONBUILD instructions of the base add some."""
    built, there = config(("b0", "RUN true")), config(("f0", "RUN true"))
    found = verdict(repo, APP, built, there, exact_base=False, b0={"a": "1"}, f0={"a": "2"})

    assert found.conclusion == "not comparable"


def test_many_files_are_counted(repo: Repo) -> None:
    built = {f"var/task/{number}.py": "1" for number in range(9)}
    found = verdict(repo, APP, config(BASE, COPY), config(BASE, OTHER), b1=built, f1={})

    assert found.reasons[0].endswith("var/task/4.py is missing and 4 more")
    assert len(found.differences[0].files or ()) == 9
