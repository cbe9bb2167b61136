"""The BuildKits behind builders: which answer, which are wrong, which cannot push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lamina.errors import EngineError, RegistryError
from lamina.execute.engine import Engine
from lamina.execute.nodes import (
    ANSWER_SECONDS,
    BuilderNode,
    answers,
    find_nodes,
    find_pushers,
    split_builders,
)
from lamina.process import Command, Completed

from ..conftest import ScriptedRunner

AMD64 = "linux/amd64"
REPOSITORY = "registry.example/fn-dev"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine whose buildx keeps its builders in a folder of the test."""
    (tmp_path / "instances").mkdir()
    return Engine(
        host="unix:///none",
        docker=Path("docker"),
        buildx=("buildx",),
        environment={"BUILDX_CONFIG": str(tmp_path)},
        version="28",
        architecture="amd64",
        containerd=True,
        private=False,
    )


def inspected(name: str, *, status: str = "running", platforms: str = AMD64, uuid: str = "") -> Any:
    """What buildx 0.29 prints of a builder."""
    lines = [f"Name:          {name}", "Driver:        remote", "", "Nodes:", f"Name:             {name}0"]
    lines += [f"Endpoint:         tcp://{name}:1", f"Status:           {status}"]
    lines += [f"Platforms:        {platforms}", "Labels:"] if status == "running" else []
    lines += [f" org.mobyproject.buildkit.worker.containerd.uuid:      {uuid}"] if uuid else []
    return ("buildx", "inspect", name), Completed(code=0, stdout="\n".join(lines) + "\n")


class Answers(ScriptedRunner):
    """Answers programs in any order: they are asked in threads."""

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        for expected, answer in self.script:
            if command.argv[: len(expected)] == expected:
                return answer
        raise AssertionError(f"not planned: {command}")


HUNG = Completed(code=124, stderr="buildx: no answer")
UNKNOWN = Completed(code=1, stderr='ERROR: no builder "c" found\n')


def test_builders_that_answer_take_part_and_the_others_are_named(engine: Engine) -> None:
    runner = Answers([
        inspected("a", platforms="linux/amd64*, linux/amd64/v2*"),
        inspected("b", status="inactive"),
        (("buildx", "inspect", "c"), HUNG),
    ])  # fmt: skip
    nodes, silent = find_nodes(runner, engine, ("a", "b", "c"), AMD64)
    assert nodes == (
        BuilderNode(
            builder="a",
            endpoint="tcp://a:1",
            platforms=("linux/amd64", "linux/amd64/v2"),
            identity="tcp://a:1",
        ),
    )
    assert [each.what for each in silent] == [
        "the builder b (tcp://b:1) does not answer: inactive",
        f"the builder c does not answer: no answer within {ANSWER_SECONDS} s",
    ]


def test_none_that_answers_is_an_error_with_all_of_them(engine: Engine) -> None:
    runner = Answers([inspected("a", status="inactive"), inspected("b", status="inactive")])
    with pytest.raises(EngineError) as caught:
        find_nodes(runner, engine, ("a", "b"), AMD64)
    assert "tcp://a:1" in str(caught.value)
    assert "tcp://b:1" in str(caught.value)


def test_a_builder_that_does_not_exist(engine: Engine) -> None:
    runner = Answers([inspected("a"), (("buildx", "inspect", "c"), UNKNOWN)])
    with pytest.raises(EngineError, match="there is no builder 'c'"):
        find_nodes(runner, engine, ("a", "c"), AMD64)


def test_one_buildkit_under_two_names(engine: Engine) -> None:
    runner = Answers([inspected("a", uuid="1"), inspected("b", uuid="1")])
    with pytest.raises(EngineError, match=r"the builders a .* and b .* are one BuildKit"):
        find_nodes(runner, engine, ("a", "b"), AMD64)


def test_a_builder_of_another_platform_among_those_of_the_run(engine: Engine) -> None:
    arm = "linux/arm64"
    listed = [inspected("a"), inspected("b", platforms=arm)]
    with pytest.raises(EngineError, match=r"the builder b .* is of another platform"):
        find_nodes(Answers(listed), engine, ("a", "b"), AMD64)

    both = [inspected("a", platforms=arm), inspected("b", platforms=arm)]
    assert len(find_nodes(Answers(both), engine, ("a", "b"), AMD64)[0]) == 2


NODES = [{"Name": "x0", "Endpoint": "tcp://x0:1"}, {"Name": "x1", "Endpoint": "tcp://x1:1"}]


def write_builder(folder: Path, name: str, nodes: list[Any]) -> None:
    (folder / "instances" / name).write_text(json.dumps({"Driver": "remote", "Nodes": nodes}))


def test_each_node_of_a_builder_becomes_a_builder(engine: Engine, tmp_path: Path) -> None:
    write_builder(tmp_path, "x", NODES)
    write_builder(tmp_path, "x-x0", NODES[:1])
    made = ("buildx", "create", "--name", "x-x1", "--node", "x1", "--driver", "remote", "tcp://x1:1")
    runner = Answers([(made, Completed(code=0))])
    assert split_builders(runner, engine, ("x", "y")) == ("x-x0", "x-x1", "y")


def test_a_builder_of_a_node_that_has_moved_is_made_again(engine: Engine, tmp_path: Path) -> None:
    write_builder(tmp_path, "x", NODES)
    write_builder(tmp_path, "x-x0", [{"Name": "x0", "Endpoint": "tcp://old:1"}])
    write_builder(tmp_path, "x-x1", NODES[1:])
    removed = ("buildx", "rm", "--keep-daemon", "x-x0")
    made = ("buildx", "create", "--name", "x-x0", "--node", "x0", "--driver", "remote", "tcp://x0:1")
    runner = ScriptedRunner([(removed, Completed(code=0)), (made, Completed(code=0))])
    assert split_builders(runner, engine, ("x",)) == ("x-x0", "x-x1")
    assert runner.script == []


def test_nodes_with_options_stay_one_builder(engine: Engine, tmp_path: Path) -> None:
    write_builder(tmp_path, "x", [{**NODES[0], "DriverOpts": {"cacert": "ca.pem"}}, NODES[1]])
    assert split_builders(Answers(), engine, ("x",)) == ("x",)


def test_whether_a_builder_answers(engine: Engine) -> None:
    node = BuilderNode(builder="a", endpoint="tcp://a:1")
    assert answers(Answers([inspected("a")]), engine, node) is None
    assert answers(Answers([inspected("a", status="inactive")]), engine, node) == "inactive"


def test_a_builder_that_cannot_push_and_one_that_has_gone(engine: Engine, tmp_path: Path) -> None:
    nodes = [BuilderNode(builder=name, endpoint=f"tcp://{name}:1") for name in ("a", "b", "c")]

    def runner(**codes: Completed) -> Answers:
        file = f"--file={tmp_path / 'lamina-probe.json'}"
        pushes = [
            (("buildx", "bake", file, f"--builder={name}"), codes.get(name, Completed(code=0)))
            for name in ("a", "b", "c")
        ]
        return Answers([*pushes, inspected("a"), inspected("b"), inspected("c", status="inactive")])

    refused = Completed(code=1, stderr="#1 x\nERROR: failed to solve: it speaks HTTP\n")
    with pytest.raises(RegistryError) as caught:
        find_pushers(runner(b=refused, c=HUNG), engine, nodes, REPOSITORY, tmp_path, {})
    assert [each.what for each in caught.value.problems] == [
        f"the builder b (tcp://b:1) cannot push to {REPOSITORY}: failed to solve: it speaks HTTP"
    ]
    output = json.loads((tmp_path / "lamina-probe.json").read_text())["target"]["default"]["output"]
    assert "push-by-digest=true" in output[0]

    (tmp_path / "lamina-probe").rmdir()
    left, gone = find_pushers(runner(c=HUNG), engine, nodes, REPOSITORY, tmp_path, {})
    assert [each.builder for each in left] == ["a", "b"]
    assert [each.what for each in gone] == ["the builder c (tcp://c:1) does not answer: inactive"]
