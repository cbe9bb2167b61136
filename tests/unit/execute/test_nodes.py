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
    address_of,
    answers,
    find_nodes,
    find_pushers,
    split_builders,
)
from lamina.process import Command, Completed, Runner

from ..conftest import ScriptedRunner

AMD64, ARM64 = "linux/amd64", "linux/arm64"
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


def inspected(
    name: str,
    *,
    status: str = "running",
    platforms: str = AMD64,
    uuid: str = "",
    driver: str = "remote",
) -> Any:
    """What buildx 0.29 prints of a builder."""
    lines = [f"Name:          {name}", f"Driver:        {driver}", "", "Nodes:", f"Name:             {name}0"]
    lines += [f"Endpoint:         tcp://{name}:1", f"Status:           {status}"]
    lines += [f"Platforms:        {platforms}", "Labels:"] if status == "running" else []
    lines += [f" org.mobyproject.buildkit.worker.containerd.uuid:      {uuid}"] if uuid else []
    return ("buildx", "inspect", name), Completed(code=0, stdout="\n".join(lines) + "\n")


class Answers(ScriptedRunner):
    """Answers programs in any order: they are asked in threads. A push always has the same content."""

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        assert "bake" not in command.argv or command.env["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
        for expected, answer in self.script:
            if command.argv[: len(expected)] == expected:
                return answer
        raise AssertionError(f"not planned: {command}")


HUNG = Completed(code=124, stderr="buildx: no answer")
UNKNOWN = Completed(code=1, stderr='ERROR: no builder "c" found\n')


class Aliases(dict[str, str]):
    """Endpoints -> the addresses behind them; of others the endpoint."""

    def __missing__(self, endpoint: str) -> str:
        return endpoint


ALIASES = Aliases({"tcp://alias:1": "tcp://a:1"})


def found(
    runner: Runner,
    engine: Engine,
    *names: str,
    platforms: tuple[str, ...] = (AMD64,),
    split: tuple[str, ...] = (),
) -> tuple[list[str], list[str]]:
    """The builders that take part, and what is wrong with the others. split: nodes that nobody named."""
    named = [name for name in names if name not in split]
    nodes, silent = find_nodes(runner, engine, names, platforms, named=named, resolve=ALIASES.__getitem__)
    return [each.builder for each in nodes], [each.what for each in silent]


def test_builders_that_answer_take_part_and_the_others_are_named(engine: Engine) -> None:
    runner = Answers([
        inspected("a", platforms="linux/amd64*, linux/amd64/v2*"),
        inspected("b", status="inactive"),
        (("buildx", "inspect", "c"), HUNG),
    ])  # fmt: skip
    nodes, silent = find_nodes(runner, engine, names := ("a", "b", "c"), [AMD64], named=names, resolve=str)
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


def test_a_builder_of_several_nodes_answers_if_one_does(engine: Engine) -> None:
    """One with options stays one builder: buildx chooses the node."""
    words, first = inspected("a", uuid="1")
    _, other = inspected("a", status="inactive")
    both = Completed(code=0, stdout=f"{first.stdout}\n{other.stdout.partition('Nodes:')[2]}")
    nodes, silent = find_nodes(Answers([(words, both)]), engine, ["a"], [AMD64], named=["a"], resolve=str)
    assert [(each.endpoint, each.platforms, each.identity) for each in nodes] == [
        ("tcp://a:1, tcp://a:1", (AMD64,), "1")
    ]
    assert silent == ()


def test_none_that_answers_is_an_error_with_all_of_them(engine: Engine) -> None:
    runner = Answers([inspected("a", status="inactive"), inspected("b", status="inactive")])
    with pytest.raises(EngineError) as caught:
        found(runner, engine, "a", "b")
    assert "tcp://a:1" in str(caught.value)
    assert "tcp://b:1" in str(caught.value)


def test_a_builder_that_does_not_exist(engine: Engine) -> None:
    runner = Answers([inspected("a"), (("buildx", "inspect", "c"), UNKNOWN)])
    with pytest.raises(EngineError, match="there is no builder 'c'"):
        found(runner, engine, "a", "c")


def test_one_buildkit_under_two_names(engine: Engine) -> None:
    for names, uuid in ((("a", "b"), "1"), (("a", "alias"), "")):
        runner = Answers([inspected(name, uuid=uuid) for name in names])
        with pytest.raises(EngineError, match=r"the builders a .* and (b|alias) .* are one BuildKit"):
            found(runner, engine, *names)
    with pytest.raises(EngineError, match="are one BuildKit"):  # a builder, and a node of it
        found(Answers([inspected("a", driver="docker-container")]), engine, "a", "a")


def test_a_builder_of_another_platform_among_those_of_the_run(engine: Engine) -> None:
    runner = Answers([inspected("a"), inspected("b", platforms=ARM64)])
    with pytest.raises(EngineError, match=r"builder b .* is of another platform: the run is for linux/amd64"):
        found(runner, engine, "a", "b")
    assert found(runner, engine, "a", "b", split=("b",)) == (["a"], [])
    assert found(runner, engine, "a", "b", platforms=(AMD64, ARM64)) == (["a", "b"], [])

    both = Answers([inspected("a", platforms=ARM64), inspected("b", platforms=ARM64)])
    assert found(both, engine, "a", "b") == (["a", "b"], [])


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


@pytest.mark.parametrize(
    "option",
    [
        {"DriverOpts": {"cacert": "ca.pem"}},
        {"Flags": ["--debug"]},
        {"Platforms": [{"architecture": "arm64", "os": "linux"}]},
    ],
)
def test_nodes_with_options_stay_one_builder(engine: Engine, tmp_path: Path, option: Any) -> None:
    write_builder(tmp_path, "x", [{**NODES[0], **option}, NODES[1]])
    assert split_builders(Answers(), engine, ("x",)) == ("x",)


def test_what_buildx_gives_each_node_is_not_an_option(engine: Engine, tmp_path: Path) -> None:
    flags = {"Flags": ["--allow-insecure-entitlement=network.host"], "DriverOpts": None, "Platforms": None}
    nodes = [{**node, **flags} for node in NODES]
    write_builder(tmp_path, "x", nodes)
    for node in nodes:
        write_builder(tmp_path, f"x-{node['Name']}", [node])
    assert split_builders(Answers(), engine, ("x",)) == ("x-x0", "x-x1")


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


def test_a_push_that_failed_beside_another_one_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    class Busy(Answers):
        """A registry that refuses the first push of a builder."""

        def run(self, command: Command, *, timeout: float | None = None) -> Completed:
            if "bake" in command.argv and command.argv not in pushed:
                pushed.append(command.argv)
                return Completed(code=1, stderr="ERROR: failed to push: errors:\n")
            return super().run(command, timeout=timeout)

    pushed: list[tuple[str, ...]] = []
    nodes = [BuilderNode(builder=name, endpoint=f"tcp://{name}:1", driver="remote") for name in "ab"]
    runner = Busy([*map(inspected, "ab"), (("buildx", "bake"), Completed(code=0))])

    assert find_pushers(runner, engine, nodes, REPOSITORY, tmp_path, {}) == (tuple(nodes), ())
    assert len(pushed) == 2


def test_an_engine_of_its_own_is_not_asked_to_push_by_digest(engine: Engine, tmp_path: Path) -> None:
    """buildx: push-by-digest is currently not implemented for docker driver."""
    own = BuilderNode(builder="default", endpoint="default", driver="docker")
    assert find_pushers(Answers(), engine, [own], REPOSITORY, tmp_path, {}) == ((own,), ())


def test_an_endpoint_without_a_name_and_a_port_is_its_own_address() -> None:
    for endpoint in ("unix:///run/buildkitd.sock", "kubernetes:///x", "tcp://[broken", ""):
        assert address_of(endpoint) == endpoint
