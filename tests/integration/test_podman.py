"""What a user does, with Podman's socket instead of Docker's: a real Podman and real builds."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from podman import Podman, running
from projects import Repo, write_tiny

from lamina.process import SubprocessRunner
from lamina.sandbox import registry as sandbox_registry

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

ALL = ["base-dynamo", "base-label", "lambda-tiny"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of an empty registry without a password."""
    runner, name = SubprocessRunner(), f"tests-podman-{os.getpid()}"
    yield sandbox_registry.up(runner, name=name, port=0, say=print).address
    sandbox_registry.down(runner, name, purge=True)


@pytest.fixture(scope="module")
def podman(address: str) -> Iterator[Podman]:
    with running(address) as made:
        made.create_builder("lamina")
        yield made


@pytest.fixture
def tiny(tmp_path: Path, podman: Podman) -> Repo:
    """The tiny project, whose commands use Podman."""
    (tmp_path / "repo").mkdir()
    repo = Repo(tmp_path / "repo", {**podman.environment, "LAMINA_STACK": f"t{secrets.token_hex(4)}"})
    write_tiny(repo)
    return repo


def test_builds_go_through_buildkit_in_a_container_and_land_in_podmans_store(
    tiny: Repo, podman: Podman, address: str
) -> None:
    status = tiny.ok("engine.status").stdout
    assert f"builds would use the Podman engine {podman_version(podman)} at {podman.host}: " in status
    assert "builder lamina (docker-container driver)" in status

    assert tiny.ok("build-all", "--json").built == ALL
    names = podman.call("image", "ls", "--format", "{{.Repository}}").split()
    assert {f"{each}-{tiny.env['LAMINA_STACK']}" for each in ALL} <= set(names)
    assert tiny.ok("build-all", "--json").built == []
    tiny.append("src/handler.py", "# better\n")
    assert tiny.ok("plan", "--json").images()["lambda-tiny"] == "build"
    assert tiny.ok("build-all", "--json").built == ["lambda-tiny"]

    tiny.env["LAMINA_REGISTRY"] = address
    tiny.ok("push")
    assert set(tiny.ok("plan", "--json").images().values()) == {"skip"}


def test_a_push_and_what_follows_it(tiny: Repo, podman: Podman, address: str) -> None:
    tiny.env["LAMINA_REGISTRY"] = address
    assert tiny.ok("build-all", "--push", "--json").built == ALL
    tiny.append("src/handler.py", "# better\n")
    pushed = tiny.ok("build-all", "--push", "--json")
    (appended,) = (each for each in pushed.json["images"] if each["action"] == "built")
    assert appended["appended"]

    tiny.ok("stable")
    assert "pulled sha256:" in tiny.ok("pull").stdout
    assert tiny.ok("audit", "--json").code == 0
    assert podman.call("image", "ls", "--quiet", f"{address}/base-label-{tiny.env['LAMINA_STACK']}")


def test_a_function_is_run_in_podman(tiny: Repo, podman: Podman, address: str) -> None:
    podman.call("tag", podman.runtime, f"{address}/python:3.13")
    podman.call("push", f"{address}/python:3.13")
    tiny.env["LAMINA_REGISTRY"] = address
    tiny.write("src/one.py", "def handler(event, context):\n    return {'got': event}\n")
    tiny.write(
        "dockerfiles/lambda-one/Dockerfile",
        f'FROM {address}/python:3.13\nCOPY --link src/one.py /var/task/\nCMD ["one.handler"]\n',
    )
    tiny.ok("build-all", "--image", "lambda-one")

    before = podman.call("ps", "--all", "--quiet").split()
    (smoked,) = tiny.ok("smoke", "--image", "lambda-one", "--json").json["images"]
    assert smoked["payload"] == {"got": {}}
    assert podman.call("ps", "--all", "--quiet").split() == before


def test_a_builder_that_does_not_start_says_why(tiny: Repo, podman: Podman) -> None:
    podman.create_builder("missing", "localhost/no-such-image:1")

    failed = tiny.fails(4, "build-all", "--builder", "missing")

    assert "the builder 'missing' does not start: " in failed.text
    assert "--driver-opt image=IMAGE" in failed.text


def test_a_stand_in_cannot_be_used_by_a_builder_in_a_container(tiny: Repo) -> None:
    lines = ("FROM public.ecr.aws/lambda/python:3.13", "COPY --link src/dynamo.py /var/task/", 'CMD ["a.b"]')
    tiny.write("dockerfiles/lambda-one/Dockerfile", "\n".join(lines))

    failed = tiny.fails(4, "build-all", "--image", "lambda-one")

    assert "the stand-in for public.ecr.aws/lambda/python:3.13 is in the engine's store only" in failed.text


def podman_version(podman: Podman) -> str:
    return podman.call("version", "--format", "{{.Server.Version}}").strip()
