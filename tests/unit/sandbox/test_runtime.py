"""The stand-in's identity, its record, and how it gets into an engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.refs import Reference
from lamina.sandbox.running import PrivateEngine
from lamina.sandbox.runtime import StandIn, ensure, identify, recorded

from .conftest import ScriptedRunner

PACKAGES = ("awslambdaric=4.2.2", "python3=3.13.5-1")
DIGEST = f"sha256:{'d' * 64}"
ENGINE = PrivateEngine(name="default", host="unix:///run/x.sock", docker=Path("/d"), buildx=Path("/b"), pid=1)


@pytest.fixture
def made(cache: Path) -> StandIn:
    folder = cache / "stand-ins/python3.13-amd64-3"
    folder.mkdir(parents=True)
    (folder / "image.tar").touch()
    (folder / "stand-in.json").write_text(json.dumps({"digest": DIGEST, "packages": PACKAGES}))
    return StandIn.of("3.13", "amd64", PACKAGES)


def test_the_identity_is_pinned() -> None:
    # Another value here means another identity for everybody: give the recipe a new number.
    assert identify("3.13", "amd64", PACKAGES) == (
        "sha256:90fb19db25f2a8921cc865be2e7a3ebde468c66eae33288b6d7e37e09421831d"
    )


def test_the_identity_is_of_what_is_inside_not_of_its_order() -> None:
    identity = identify("3.13", "amd64", PACKAGES)
    assert identify("3.13", "amd64", reversed(PACKAGES)) == identity
    others = [
        identify("3.11", "amd64", PACKAGES),
        identify("3.13", "arm64", PACKAGES),
        identify("3.13", "amd64", ("awslambdaric=4.2.3", "python3=3.13.5-1")),
    ]
    assert len({identity, *others}) == 4


def test_the_name_can_never_resolve_to_a_registry() -> None:
    stand_in = StandIn.of("3.13", "amd64", reversed(PACKAGES))
    ref = Reference.parse(stand_in.ref)
    assert ref.pull_host == "stand-in.lamina.invalid"
    assert ref.tag == f"3.13-{stand_in.identity.removeprefix('sha256:')[:12]}"
    assert stand_in.packages == PACKAGES
    assert "not AWS's image" in stand_in.notice


def test_nothing_is_recorded_in_an_empty_cache(cache: Path) -> None:
    assert recorded("3.13", "amd64") is None


def test_a_record_without_its_archive_does_not_count(made: StandIn, cache: Path) -> None:
    assert recorded("3.13", "amd64") == made
    (cache / "stand-ins/python3.13-amd64-3/image.tar").unlink()
    assert recorded("3.13", "amd64") is None


def test_an_engine_that_has_it_is_asked_once(made: StandIn, runner: ScriptedRunner) -> None:
    runner.expect("image", "inspect", made.ref, stdout=f'"{DIGEST}"\n')
    said: list[str] = []
    assert ensure(runner, ENGINE, "3.13", "amd64", said.append) == made
    assert said == []
    assert runner.seen[0].env == {"DOCKER_HOST": "unix:///run/x.sock"}


@pytest.mark.parametrize("answer", [{"code": 1}, {"stdout": '"sha256:another"'}])
def test_an_engine_without_it_loads_the_archive(
    made: StandIn, runner: ScriptedRunner, cache: Path, answer: dict[str, object]
) -> None:
    runner.expect("image", "inspect", **answer)  # type: ignore[arg-type]
    runner.expect("image", "load", str(cache / "stand-ins/python3.13-amd64-3/image.tar"))
    said: list[str] = []
    ensure(runner, ENGINE, "3.13", "amd64", said.append)
    assert said == [f"loading {made.ref} into the engine"]


def test_an_engine_that_cannot_load_it_is_an_error(made: StandIn, runner: ScriptedRunner) -> None:
    runner.expect("image", "inspect", code=1)
    runner.expect("image", "load", code=1, stderr="no space left on device\n")
    with pytest.raises(EngineError, match="no space left"):
        ensure(runner, ENGINE, "3.13", "amd64", lambda _: None)


def test_a_python_no_release_has_is_refused_with_those_there_are(cache: Path, runner: ScriptedRunner) -> None:
    with pytest.raises(EngineError, match=r"(?s)python:3.12.*allowed: 3.11, 3.13, 3.14"):
        ensure(runner, ENGINE, "3.12", "amd64", lambda _: None)
