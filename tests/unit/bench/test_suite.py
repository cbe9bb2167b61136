"""The run through cases: the preparation of each, and failures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.cases import select
from bench.ground import read_versions
from bench.meter import TimeBudget
from bench.monorepo import make_monorepo
from bench.rows import BenchRow
from bench.suite import Suite
from bench.tree import SAMPLE, Tree
from bench.variants import BakeVariant, Job, LaminaVariant
from lamina.declare.config import load_project
from lamina.declare.graph import read_graph
from lamina.errors import EngineError
from lamina.identify.image import identify
from lamina.identify.runnable import check_runnable
from lamina.process import Command, Completed
from lamina.sandbox.namespace import Traffic

from ..conftest import ScriptedRunner

ROOT = Path(__file__).parents[3]
GIT = [(("git",), Completed(code=0))] * 3
BROKEN = Completed(code=1, stderr="no network")
PLAN = ((), Completed(code=0, stdout=json.dumps({"images": [{}] * 20}), stderr="0.5 60000000"))
"""A plan, and what `bench.meter.usage` says that it used."""
NOTHING = (("lamina", "lock"), Completed(code=0))


@dataclass
class Yard:
    """Ground that runs no command, and records its calls."""

    refusal: str | None = None
    no_arm64: str | None = None
    uncounted: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    stored = "type=image"
    buildx = ("buildx",)
    docker = "docker"
    registry = "127.0.0.1:1"
    runtime = "127.0.0.1:1/runtime"

    def open(self) -> None:
        self.done.append("open")
        if self.refusal:
            raise EngineError.of(self.refusal)

    def close(self) -> None:
        self.done.append("close")

    def empty(self) -> None:
        self.done.append("empty")

    @contextmanager
    def nodes(self, count: int) -> Iterator[str]:
        self.done.append(f"{count} nodes")
        if self.refusal:
            raise EngineError.of(self.refusal)
        yield "farm"
        self.done.append("no nodes")

    def traffic(self) -> Traffic | None:
        return Traffic(internet=len(self.done), loopback=0)

    def command(self, *argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> Command:
        words = argv[2:] if argv[1:3] == ("-m", "lamina") else argv
        self.done.append(" ".join(words[:2]) + (" --push" if "--push" in argv else ""))
        return Command(argv=words, cwd=cwd)


def built(*actions: str) -> tuple[tuple[str, ...], Completed]:
    images = [{"action": action, "cached": 0, "total": 1} for action in actions]
    return (("lamina", "build-all"), Completed(code=0, stdout=json.dumps({"images": images})))


def run(
    folder: Path,
    yard: Yard,
    script: list[tuple[tuple[str, ...], Completed]],
    cases: list[str],
    *variants: str,
) -> list[BenchRow]:
    runner = ScriptedRunner(script)
    suite = Suite(
        runner=runner,
        ground=yard,
        source=ROOT,
        folder=folder,
        budget=TimeBudget(times=1, seconds=1.0),
        say=lambda _: None,
        files=0.01,
    )
    rows = list(suite.run(select(cases, variants)))
    assert runner.script == [], "all that was planned was run"
    return rows


def test_warm_cases_share_the_first_build_which_is_cold(tmp_path: Path) -> None:
    yard = Yard()
    first, same, edited = built("built", "built"), built("skipped", "skipped"), built("skipped", "built")

    rows = run(
        tmp_path,
        yard,
        [*GIT, NOTHING, first, same, same, same, edited],
        ["cold", "unchanged", "handler"],
        "lamina",
    )

    assert [(row.case, row.images_built, row.not_run) for row in rows] == [
        ("cold", 2, None),
        ("unchanged", 0, None),
        ("handler", 1, None),
    ]
    assert yard.done.count("empty") == 2, "once for the repository, once for cold itself"


def test_an_image_that_was_not_selected_is_built_but_not_reported(tmp_path: Path) -> None:
    rows = run(
        tmp_path,
        Yard(),
        [*GIT, NOTHING, built("built"), built("skipped"), built("built")],
        ["handler"],
        "lamina",
    )

    assert [row.case for row in rows] == ["handler"]


def test_a_runner_is_emptied_before_each_run_and_pushes(tmp_path: Path) -> None:
    yard = Yard()

    run(tmp_path, yard, [*GIT, NOTHING, built("built"), built("built")], ["handler-empty"], "lamina")

    build = "lamina build-all --push"
    assert yard.done == ["open", "lamina lock", "empty", build, "empty", build]


@pytest.mark.parametrize("variant", ["bake", "lamina"])
def test_images_that_wait_are_built_on_a_builder_of_several_nodes(tmp_path: Path, variant: str) -> None:
    yard = Yard()
    tree = Tree(root=tmp_path, images={}, edited="e", handler="h")
    made = LaminaVariant() if variant == "lamina" else BakeVariant(variant, tmp_path)
    words = made.build(yard, Job(tree=tree, push=True, builder="farm")).argv
    assert "--builder=farm" in words or words[words.index("--builder") + 1] == "farm"
    assert not any(word.startswith("--builder") for word in made.build(yard, Job(tree=tree)).argv)


def test_each_case_with_nodes_has_its_own(tmp_path: Path) -> None:
    yard = Yard()
    each = [*GIT, NOTHING, built("built"), built("built")]

    rows = run(tmp_path, yard, [*each, *each], ["one-builder", "two-builders"], "lamina")

    assert [(row.case, row.images_built) for row in rows] == [("one-builder", 1), ("two-builders", 1)]
    build = "lamina build-all --push"
    course = ["lamina lock", build, build, "no nodes"]
    assert yard.done == ["open", "1 nodes", *course, "2 nodes", *course]


def test_a_branch_is_built_before_the_way_back_is_timed(tmp_path: Path) -> None:
    script = [*GIT, NOTHING, built("built"), built("skipped"), built("built"), built("skipped")]

    rows = run(tmp_path, Yard(), script, ["branch"], "lamina")

    assert [(row.case, row.images_built) for row in rows] == [("branch", 0)]


def test_starts_are_measured_by_their_cpu_in_the_image_that_was_built(tmp_path: Path) -> None:
    images = [
        {"action": "skipped", "cached": 0, "total": 0, "name": "lambda-embedding", "ref": "fn:sha-1@sha256:2"}
    ]
    again = (("lamina", "build-all"), Completed(code=0, stdout=json.dumps({"images": images})))
    options = ("--rm", "--read-only", "--entrypoint", "python3")
    start = (("docker", "run", *options, "fn:sha-1"), Completed(code=0, stdout="a line\n0.77\n"))
    bake = (("buildx", "bake"), BROKEN)

    [row] = run(tmp_path, Yard(), [*GIT, NOTHING, built("built"), again, start], ["init"], "lamina")
    [lost] = run(tmp_path, Yard(), [*GIT, bake, bake], ["init"], "bake")

    assert row.seconds is not None
    assert (row.seconds.median, row.bytes_moved) == (0.77, None)
    assert lost.failed
    assert BakeVariant("bake", tmp_path).stored(Yard(), "fn", BROKEN) == "127.0.0.1:1/bake/fn:latest"


def test_a_variant_that_fails_does_not_lose_the_others(tmp_path: Path) -> None:
    bake = (("buildx", "bake"), BROKEN)
    script = [*GIT, bake, bake, *GIT, NOTHING, built("built"), built("skipped"), built("skipped")]

    rows = run(tmp_path, Yard(), script, ["cold", "unchanged"], "bake", "lamina")

    assert [(row.case, row.variant, row.failed) for row in rows] == [
        ("cold", "bake", True),
        ("unchanged", "bake", True),
        ("cold", "lamina", False),
        ("unchanged", "lamina", False),
    ]
    assert "no network" in (rows[1].not_run or "")


def test_a_case_that_fails_does_not_lose_the_next(tmp_path: Path) -> None:
    broken = (("lamina", "build-all"), BROKEN)
    script = [*GIT, NOTHING, built("built"), built("skipped"), broken, built("skipped"), built("skipped")]

    rows = run(tmp_path, Yard(), script, ["handler", "test-file"], "lamina")

    assert [(row.case, row.failed) for row in rows] == [("handler", True), ("test-file", False)]


def test_a_network_that_failed_once_is_tried_again_where_nothing_is_left_of_it(tmp_path: Path) -> None:
    script = [*GIT, NOTHING, (("lamina", "build-all"), BROKEN), built("built")]

    (row,) = run(tmp_path, Yard(), script, ["cold"], "lamina")

    assert (row.failed, row.images_built) == (False, 1)


def test_without_an_engine_every_row_says_why_and_plans_are_measured(tmp_path: Path) -> None:
    rows = run(tmp_path, Yard(refusal="no engine here"), [PLAN, PLAN], ["cold", "plan-20"], "lamina")

    assert [(row.case, row.not_run, row.images_total) for row in rows] == [
        ("cold", "no engine here", None),
        ("plan-20", None, 20),
    ]


def test_without_a_runtime_for_arm64_nothing_is_built_for_it(tmp_path: Path) -> None:
    rows = run(tmp_path, Yard(no_arm64="there is none"), [], ["arm64-cold", "arm64-handler"], "bake")

    assert [row.not_run for row in rows] == ["there is none", "there is none"]


def test_plans_need_no_ground(tmp_path: Path) -> None:
    yard = Yard()

    rows = run(tmp_path, yard, [PLAN, PLAN], ["plan-20"], "bake", "lamina")

    assert yard.done == []
    assert [(row.variant, row.not_run) for row in rows] == [
        ("bake", "only lamina plans without building"),
        ("lamina", None),
    ]


@pytest.mark.parametrize(("variant", "told"), [("bake", True), ("seed", False), ("before", False)])
def test_only_an_expert_names_the_one_image_that_was_edited(tmp_path: Path, variant: str, told: bool) -> None:
    yard = Yard()
    command = BakeVariant(variant, tmp_path).build(
        yard, Job(tree=Tree(root=tmp_path, images=SAMPLE, edited="e", handler="h"), only="lambda-embedding")
    )

    assert ("lambda-embedding" in command.argv) is told


def test_versions_are_those_of_the_builder_in_use() -> None:
    builders = "\n".join(
        json.dumps({"Name": name, "Nodes": [{"Version": version}]})
        for name, version in (("default", "v0.0.0+unknown"), ("mine", "v0.25.1"))
    )
    words = {"docker": '"28.5"\n', "buildx": "github.com/docker/buildx 0.29.1 abc\n", "builders": builders}

    assert read_versions(**words, builder="mine") == {
        "docker": "28.5",
        "buildx": "0.29.1",
        "buildkit": "v0.25.1",
    }
    assert "buildkit" not in read_versions(**words, builder="default")


def test_a_monorepo_is_adopted_before_it_is_planned(tmp_path: Path) -> None:
    init = ((sys.executable, "-m", "lamina", "init"), Completed(code=0))
    measured = ((sys.executable, "-S"), Completed(code=0, stderr="0.5 60000000"))
    write = ((sys.executable, "-m", "lamina", "init", "--write"), Completed(code=0))
    plan = ((sys.executable, "-m", "lamina", "plan"), PLAN[1])
    again = [plan, plan, ((), PLAN[1])]

    rows = run(
        tmp_path,
        Yard(),
        [init, measured, write, plan, ((), PLAN[1]), *again],
        ["real-init", "real-plan", "real-plan-again"],
        "lamina",
    )

    assert [(row.case, row.images_total, row.memory, row.not_run) for row in rows] == [
        ("real-init", 20, 60_000_000, None),
        ("real-plan", 20, 60_000_000, None),
        ("real-plan-again", 20, 60_000_000, None),
    ]


def test_a_monorepo_is_built_with_memory_measured_by_one_more_run(tmp_path: Path) -> None:
    first, same, edited = built("built"), built("skipped"), built("built")
    measured = (("lamina",), Completed(code=0, stderr="0.5 70000000"))
    script = [*GIT, NOTHING, first, same, ((sys.executable, "-S"), measured[1]), edited]
    script += [((sys.executable, "-S"), measured[1])]

    rows = run(tmp_path, Yard(), script, ["real-unchanged", "real-handler"], "lamina")

    assert [(row.case, row.images_built, row.memory) for row in rows] == [
        ("real-unchanged", 0, 70_000_000),
        ("real-handler", 1, 70_000_000),
    ]


def test_two_monorepos_are_equal_and_every_import_of_a_linked_one_is_found(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_monorepo(tmp_path / name, images=3, files=0.02)
    files = [each.relative_to(tmp_path / "one") for each in (tmp_path / "one").rglob("*") if each.is_file()]

    assert all(
        (tmp_path / "one" / each).read_bytes() == (tmp_path / "two" / each).read_bytes() for each in files
    )

    tree = make_monorepo(tmp_path / "linked", images=3, files=0.02, runtime="public.ecr.aws/lambda/python")
    project = load_project(tree.root)
    images, _ = identify(project, read_graph(project), tree.images, prefix="", bases={})
    found = check_runnable(images, images)
    assert not any(each.imports or each.lacking for each in found.values())
    assert (tree.root / tree.handler).is_file()
    assert (tree.root / tree.base_code).is_file()
