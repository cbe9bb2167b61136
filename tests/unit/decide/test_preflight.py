"""Faults and notes about sources are read in identify/test_context.py; here is the rest."""

from __future__ import annotations

import pytest

from lamina.decide.preflight import emulated, foreign_stand_ins, misspelt_bases, passes_agent, unused_agents
from lamina.declare.machine import Machine
from lamina.errors import ConfigError

from ..conftest import DIGEST, RUNTIME, Repo

STAGES, BASE = "dockerfiles/stages/Dockerfile", "dockerfiles/base/Dockerfile"


def test_a_good_repository_has_neither_faults_nor_notes(receipts: Repo) -> None:
    assert receipts.faults() == []
    assert receipts.notes() == []


def test_a_named_context_is_named(repo: Repo) -> None:
    repo.write("third/lib.py", "x")
    repo.config('[tool.lamina.images.app.contexts]\nvendor = "third"\n')
    repo.image("app", "FROM scratch", "COPY --from=vendor libs.py /")

    (told,) = repo.faults()

    assert told == (
        "dockerfiles/app/Dockerfile:2: COPY libs.py: there is no such file in the context vendor\n"
        f"  allowed: paths relative to {repo.root}/third\n"
        "  next: did you mean lib.py?"
    )


def test_a_url_without_a_checksum_is_noted(repo: Repo) -> None:
    repo.image("app", "FROM scratch", "ADD https://x.test/a /")

    assert repo.notes() == [
        (
            "dockerfiles/app/Dockerfile:2: "
            "ADD https://x.test/a: the content behind the URL is not in the fingerprint\n"
            "  next: pin it with ADD --checksum=sha256:<digest>"
        )
    ]


def test_shared_arguments_need_not_be_declared_everywhere(repo: Repo) -> None:
    repo.image("app", "FROM scratch", "ARG USED")
    repo.config(
        '[tool.lamina]\nargs = { USED = "1", UNUSED = "2" }\n[tool.lamina.images.app.args]\nUSED = "3"\n'
    )

    assert repo.notes() == []


def test_paths_that_are_no_text_can_be_printed(repo: Repo) -> None:
    (repo.root / "bad\udcff").symlink_to("nowhere")
    repo.image("app", "FROM scratch", "COPY bad* /")

    (told,) = repo.faults()

    assert told.startswith("dockerfiles/app/Dockerfile:2: COPY bad\\xff: there is no such file")
    assert told.encode("utf-8")


@pytest.mark.parametrize(
    ("emulates", "how"),
    [
        (frozenset({"linux/arm64"}), "which is slow"),
        (frozenset(), "and QEMU is not set up"),
    ],
)
def test_a_step_on_another_platform_is_reported(repo: Repo, emulates: frozenset[str], how: str) -> None:
    repo.flags = {"platform": "linux/arm64"}
    repo.image("running", "FROM scratch", 'RUN ["/compile"]')
    repo.image(
        "linked",
        "FROM --platform=$BUILDPLATFORM a@sha256:" + "1" * 64 + " AS deps",
        "RUN x",
        "FROM scratch",
        "COPY --link --from=deps / /",
    )
    images = repo.images()

    (note,) = emulated(images, Machine(platform="linux/amd64", emulates=emulates))

    assert (
        note.what == f"running is for linux/arm64, whose programs this machine runs only by emulation, {how}"
    )
    assert note.where == "dockerfiles/running/Dockerfile:2"
    assert "FROM --platform=$BUILDPLATFORM" in str(note)
    assert "pip needs --platform manylinux2014_aarch64 --only-binary=:all:" in str(note)
    assert ("binfmt" in str(note)) is not bool(emulates)
    assert not list(emulated(images, Machine(platform="linux/arm64")))


def test_images_for_another_platform_are_named_in_one_note(repo: Repo) -> None:
    repo.flags = {"platform": "linux/arm64"}
    repo.image("base-a", f"FROM {RUNTIME}", "RUN x")
    repo.image("fn", "FROM base-a:stable", "RUN x")

    (note,) = emulated(repo.images(), Machine(platform="linux/amd64"))

    assert note.what.startswith("base-a, fn are for linux/arm64, ")


def test_an_image_on_a_stand_in_runs_here(repo: Repo) -> None:
    repo.flags = {"platform": "linux/arm64"}
    repo.image("base-a", f"FROM {RUNTIME}", "RUN x")
    repo.image("fn", "FROM base-a:stable", "RUN x")

    images, machine = repo.images(), Machine(platform="linux/amd64")

    assert not list(emulated(images, machine, {RUNTIME}))
    (note,) = foreign_stand_ins(images, machine, {RUNTIME})
    assert note.what == (
        "base-a, fn are for linux/arm64, but the stand-in runtime is for linux/amd64, "
        "and so is what RUN installs"
    )
    assert "build-all and smoke with --platform linux/amd64" in str(note)
    assert not list(foreign_stand_ins(images, machine, set()))
    assert not list(foreign_stand_ins(images, Machine(platform="linux/arm64"), {RUNTIME}))


@pytest.mark.parametrize(
    ("base", "near"),
    [
        ("base-cor:stable", "base-core"),
        ("base-cor", "base-core"),
        ("bsae-core:latest", "base-core"),
        ("ghcr.io/base-cor:stable", None),
        ("team/base-cor:stable", None),
        (f"base-cor@{DIGEST}", None),
        ("python:3.13", None),
        ("debian", None),
        ("something", None),
        ("base-core:stable", None),
    ],
)
def test_a_base_that_is_probably_misspelt_is_asked_for(repo: Repo, base: str, near: str | None) -> None:
    for name in ("base-core", "pythons"):
        repo.image(name, f"FROM {RUNTIME}")
    repo.image("app", "ARG X", f"FROM {base}")

    told = list(misspelt_bases(repo.images(), repo.graph().nodes))
    assert [(each.where, each.hint) for each in told] == (
        [("dockerfiles/app/Dockerfile:2", f"did you mean {near}?")] if near else []
    )


def test_a_missing_source_of_an_onbuild_names_its_line(repo: Repo) -> None:
    repo.image("base", f"FROM {RUNTIME}", "", "ONBUILD COPY nowhere /")
    repo.image("app", "FROM base")
    repo.image("stages", "FROM scratch AS a", "ONBUILD COPY there /", "FROM a")

    stages, app = (each.splitlines()[0] for each in repo.faults())
    missing = "there is no such file in the context"
    assert stages == f"{STAGES}:3: ONBUILD COPY there at {STAGES}:2: {missing}"
    assert app == f"dockerfiles/app/Dockerfile:1: ONBUILD COPY nowhere at {BASE}:3: {missing}"


def test_an_agent_is_passed_on_if_it_is_configured_needed_and_there(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "RUN --mount=type=ssh git fetch")
    repo.image("other", f"FROM {RUNTIME}")
    images, off = repo.images(), repo.project().settings
    repo.config("[tool.lamina]\nssh = true\n")
    on = repo.project().settings

    assert [each.what for each in unused_agents(images, off)] == [
        "app mounts an SSH agent, which is not configured"
    ]
    assert [*unused_agents(images, on)] == []
    assert not passes_agent(off, images.values(), {})
    assert not passes_agent(on, [images["other"]], {})
    assert passes_agent(on, images.values(), {"SSH_AUTH_SOCK": "/agent"})
    with pytest.raises(ConfigError, match="SSH_AUTH_SOCK is not set"):
        passes_agent(on, images.values(), {})
