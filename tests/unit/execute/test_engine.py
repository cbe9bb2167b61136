from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lamina.errors import EngineError
from lamina.execute.engine import Builder, Engine, check_buildx, choose_builder
from lamina.process import Completed

from ..conftest import ScriptedRunner

CONTAINERD = "org.mobyproject.buildkit.worker.containerd.uuid"
BUILDERS = (
    {"Name": "default", "Driver": "docker", "Nodes": [{"Labels": {CONTAINERD: "1"}}]},
    {"Name": "far", "Driver": "docker", "Nodes": [{"Labels": {CONTAINERD: "2"}}]},
    {"Name": "old", "Driver": "docker", "Nodes": [{"Labels": None}]},
    {"Name": "down", "Driver": "docker", "Nodes": [{"Error": "no route to host"}]},
    {"Name": "ci", "Driver": "kubernetes", "Nodes": None},
    {"Name": "farm", "Driver": "remote", "Nodes": [{"Endpoint": "tcp://farm:1", "Status": "running"}]},
    {"Name": "dead", "Driver": "remote", "Nodes": [{"Endpoint": "tcp://dead:1", "Status": "inactive"}]},
)


def engine(*, containerd: bool = True) -> Engine:
    return Engine(
        host="unix:///none",
        docker=Path("docker"),
        buildx=("docker", "buildx"),
        version="28",
        architecture="amd64",
        containerd=containerd,
        private=False,
    )


def listing(*, more: tuple[Any, ...] = ()) -> ScriptedRunner:
    told = "\n".join(json.dumps(each) for each in BUILDERS)
    return ScriptedRunner([(("docker", "buildx", "ls"), Completed(code=0, stdout=told)), *more])


def test_an_engine_with_the_containerd_store_builds_itself() -> None:
    assert choose_builder(ScriptedRunner(), engine(), "") == Builder(name="default", local_images=True)


def test_several_builders_are_not_asked_before_a_push_is_spread() -> None:
    builder = Builder(name="a", driver="remote", local_images=False)
    assert choose_builder(ScriptedRunner(), engine(), "a,b", push=True) == builder
    assert choose_builder(listing(), engine(), "ci,farm").name == "ci"


def test_for_another_engine_a_builder_is_made() -> None:
    made = (("docker", "buildx", "create", "--name", "lamina"), Completed(code=0))

    builder = choose_builder(listing(more=(made,)), engine(containerd=False), "")

    assert builder == Builder(name="lamina", driver="docker-container", local_images=False)


@pytest.mark.parametrize(
    ("name", "builder"),
    [
        ("default", Builder(name="default", local_images=True)),
        ("ci", Builder(name="ci", driver="kubernetes", local_images=False)),
        ("farm", Builder(name="farm", driver="remote", local_images=False)),
        ("far", Builder(name="far", local_images=False)),
        ("old", Builder(name="old", local_images=False, remote_cache=False)),
        ("down", Builder(name="down", local_images=False, remote_cache=False)),
    ],
)
def test_a_builder_can_what_its_kind_can(name: str, builder: Builder) -> None:
    assert choose_builder(listing(), engine(), name, push=True) == builder


def test_a_builder_on_another_engine_has_to_push() -> None:
    with pytest.raises(EngineError, match="another engine, which keeps the images") as caught:
        choose_builder(listing(), engine(), "far")

    assert "DOCKER_CONTEXT=far" in str(caught.value)


def test_a_builder_that_does_not_answer_is_named_with_its_endpoint() -> None:
    told = "#1 [internal] waiting for connection\nERROR: context deadline exceeded\n"
    asked = (("docker", "buildx", "inspect", "--bootstrap", "dead"), Completed(code=1, stderr=told))

    with pytest.raises(EngineError) as caught:
        choose_builder(listing(more=(asked,)), engine(), "dead", push=True)

    says = "--builder: the builder 'dead' does not answer at tcp://dead:1: context deadline exceeded"
    assert str(caught.value).startswith(says)


def test_a_builder_that_answers_late_is_good() -> None:
    asked = (("docker", "buildx", "inspect", "--bootstrap", "dead"), Completed(code=0))

    assert choose_builder(listing(more=(asked,)), engine(), "dead", push=True).name == "dead"


OWN = {"Name": "lamina", "Driver": "docker-container", "Nodes": [{"Endpoint": "unix:///none"}]}


def own(**node: str) -> tuple[tuple[str, ...], Completed]:
    """A listing with Lamina's builder."""
    told = json.dumps({**OWN, "Nodes": [{"Endpoint": "unix:///none", **node}]})
    return (("docker", "buildx", "ls"), Completed(code=0, stdout=told))


def test_a_builder_in_a_container_is_started_when_there_is_something_to_build() -> None:
    said: list[str] = []
    started = (("docker", "buildx", "inspect", "--bootstrap", "lamina"), Completed(code=0))

    assert choose_builder(ScriptedRunner([own()]), engine(containerd=False), "").name == "lamina"
    assert choose_builder(ScriptedRunner([own(), started]), engine(containerd=False), "", say=said.append)
    assert said == [
        "starting BuildKit in a container of the Docker engine 28 at unix:///none: builder lamina"
    ]
    running = ScriptedRunner([own(Status="running")])
    assert choose_builder(running, engine(containerd=False), "", say=said.append).name == "lamina"
    assert len(said) == 1


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("container create: container-init binary not found on the host: stat /x", "install catatonit"),
        ("pinging container registry registry-1.docker.io: no such host", "--driver-opt image=IMAGE"),
    ],
)
def test_a_builder_in_a_container_that_does_not_start_says_why(reason: str, hint: str) -> None:
    told = Completed(code=1, stderr=f"#1 [internal] booting buildkit\nERROR: {reason}\n")
    failed = (("docker", "buildx", "inspect", "--bootstrap", "lamina"), told)

    with pytest.raises(EngineError) as caught:
        choose_builder(ScriptedRunner([own(), failed]), engine(containerd=False), "", say=lambda _: None)

    (problem,) = caught.value.problems
    assert problem.what == f"the builder 'lamina' does not start: {reason}"
    assert hint in str(problem.hint)


def test_each_engine_has_a_builder_of_its_own() -> None:
    listed = own(Endpoint="unix:///run/podman/podman.sock")
    made = (("docker", "buildx", "create", "--name"), Completed(code=0))

    name = choose_builder(ScriptedRunner([listed, made]), engine(containerd=False), "").name

    assert re.fullmatch(r"lamina-[0-9a-f]{8}", name)
    for endpoint in ("unix:///none", "default", "colima"):  # the name of a context says nothing
        listed = own(Endpoint=endpoint)
        assert choose_builder(ScriptedRunner([listed]), engine(containerd=False), "").name == "lamina"


def test_the_default_builder_of_an_engine_without_buildkit_is_not_the_engine() -> None:
    assert Builder(name="default", local_images=True).on_engine
    assert not Builder(name="default", driver="docker-container", local_images=False).on_engine


def test_an_unknown_builder_is_reported_with_those_that_there_are() -> None:
    with pytest.raises(EngineError, match="there is no builder 'fra'") as caught:
        choose_builder(listing(), engine(), "fra")

    assert "ci, dead, default, down, far, farm, old" in str(caught.value)


def test_a_builder_says_what_it_can() -> None:
    assert str(Builder(name="ci", driver="kubernetes", local_images=False)) == (
        "builder ci (kubernetes driver): builds on images of registries, a remote cache"
    )


@pytest.mark.parametrize("value", ["0", "false", " False "])
def test_buildkit_must_not_be_switched_off(value: str) -> None:
    with pytest.raises(EngineError, match="DOCKER_BUILDKIT switches BuildKit off"):
        check_buildx(ScriptedRunner(), engine(), {"DOCKER_BUILDKIT": value})


@pytest.mark.parametrize(
    "told",
    [
        Completed(code=127, stderr="docker: No such file or directory"),
        Completed(code=125, stderr="Error: unrecognized command `podman buildx version`\nTry --help"),
        Completed(code=0, stdout="buildah 1.43.2\n"),
    ],
)
def test_a_docker_command_without_buildx_says_what_to_install(told: Completed) -> None:
    with pytest.raises(EngineError, match="docker buildx does not run: ") as caught:
        check_buildx(ScriptedRunner([(("docker", "buildx", "version"), told)]), engine(), {})

    assert "docker-buildx-plugin" in str(caught.value)


@pytest.mark.parametrize("env", [{}, {"DOCKER_BUILDKIT": "1"}])
def test_buildkit_that_is_switched_on_is_asked_for_its_version(env: dict[str, str]) -> None:
    told = Completed(code=0, stdout="github.com/docker/buildx v0.29.1 a\n")
    check_buildx(ScriptedRunner([(("docker", "buildx", "version"), told)]), engine(), env)
