"""Run the bench: groups of cases that share an engine and a repository, one row after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.cases import (
    ADOPT,
    ARM64,
    BY_NAME,
    EMPTY,
    INIT,
    PLAN,
    REAL,
    SCALE,
    SPREAD,
    WARM,
    WITH_MEMORY,
    Case,
    Selection,
)
from bench.ground import Ground
from bench.meter import Sample, Steps, TimeBudget, check, measure, usage
from bench.monorepo import make_monorepo
from bench.rows import FAILED, BenchRow
from bench.tree import Tree, commit, copy_sample, make_functions, make_packages, make_waiting
from bench.variants import (
    BakeVariant,
    Job,
    LaminaVariant,
    Variant,
    init_command,
    plan_command,
    read_plan,
    watch_command,
)
from bench.watching import WATCH, watch_saves
from lamina.errors import LaminaError
from lamina.process import Command, Completed, Runner

_STARTED = "lambda-embedding"
"""The image whose function imports most."""
_START = "import sys, time; sys.path[0] = '/var/task'; import handler; print(time.process_time())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A run of the bench.

    ground: not opened yet; `run` opens it if there is something to build. source: the repository with the
    sample. folder: for the trees. say: receives progress messages. files: times the files of the monorepo.
    """

    runner: Runner
    ground: Ground
    source: Path
    folder: Path
    budget: TimeBudget
    say: Callable[[str], None]
    files: float = 1.0

    def run(self, selection: Selection) -> Iterator[BenchRow]:
        """Yield every row of the selection as soon as it is known. A failed case is a row too."""
        yield from (BenchRow.missing(case, variant, reason) for case, variant, reason in selection.absent)
        building = [variant for variant in selection.variants if self._builds(selection, variant)]
        if building:
            try:
                self.ground.open()
            except LaminaError as error:
                for variant in building:
                    for case in self._building(selection, variant):
                        yield BenchRow.missing(case.name, variant, error.problems[0].what)
            else:
                for variant in building:
                    yield from self._variant(selection, variant)
        if "lamina" in selection.variants:
            for size in selection.sizes(PLAN):
                yield from self._plan(selection.of("lamina", PLAN, size))
            yield from self._adopt(selection.of("lamina", ADOPT))

    def _builds(self, selection: Selection, variant: str) -> bool:
        return bool(self._building(selection, variant))

    def _building(self, selection: Selection, variant: str) -> tuple[Case, ...]:
        groups = (WARM, EMPTY, SCALE, REAL, ARM64, SPREAD)
        return tuple(case for group in groups for case in selection.of(variant, group))

    def _variant(self, selection: Selection, name: str) -> Iterator[BenchRow]:
        variant: Variant = LaminaVariant() if name == "lamina" else BakeVariant(name, self.folder)
        warm, empty = selection.of(name, WARM), selection.of(name, EMPTY)
        if warm or empty:
            yield from self._sample(variant, warm, empty)
        for size in selection.sizes(SCALE):
            scale = selection.of(name, SCALE, size)
            yield from self._pushed(variant, scale, f"scale-{size}", partial(self._functions, size))
        yield from self._pushed(variant, selection.of(name, REAL), "real", self._monorepo)
        if cases := selection.of(name, ARM64):
            yield from self._arm64(variant, cases)
        for case in selection.of(name, SPREAD):
            yield from self._spread(variant, case)

    def _sample(
        self, variant: Variant, warm: tuple[Case, ...], empty: tuple[Case, ...]
    ) -> Iterator[BenchRow]:
        """Build the sample: first on one engine, then, once it is pushed, on an empty engine each time."""
        course = _Course(self, variant, "sample")
        try:
            course.start(
                lambda root: copy_sample(
                    self.runner, self.source, root, variant=variant.name, runtime=self.ground.runtime
                )
            )
            course.empty()
            if warm:
                yield from course.first(warm, "cold")
            for case in warm:
                if case.name == "branch":
                    yield course.row(case, before=course.switch)
                elif case.name == INIT:
                    yield course.init(case)
                elif case.name == WATCH:
                    yield course.watch(case)
                elif case.name != "cold":
                    yield course.row(case)
            if empty:
                course.job = replace(course.job, push=True, cache=True)
                course.settle()
                for case in empty:
                    yield course.on_empty(case)
        except LaminaError as error:
            yield from course.lost((*warm, *empty), error)
        finally:
            course.end()

    def _functions(self, size: int, root: Path) -> Tree:
        return make_functions(self.runner, root, size, runtime=self.ground.runtime)

    def _monorepo(self, root: Path) -> Tree:
        tree = make_monorepo(root, files=self.files, runtime=self.ground.runtime)
        commit(self.runner, root)
        return tree

    def _pushed(
        self, variant: Variant, cases: tuple[Case, ...], name: str, make: Callable[[Path], Tree]
    ) -> Iterator[BenchRow]:
        """Build and push a repository of many images, then measure its cases."""
        if not cases:
            return
        course = _Course(self, variant, name)
        try:
            course.start(make)
            course.empty()
            course.job = replace(course.job, push=True)
            course.settle()
            for case in cases:
                yield course.row(case, settled=True)
        except LaminaError as error:
            yield from course.lost(cases, error)
        finally:
            course.end()

    def _spread(self, variant: Variant, case: Case) -> Iterator[BenchRow]:
        """Build and push images that wait, on a builder of several nodes, then again with new steps."""
        course = _Course(self, variant, case.name)
        try:
            with self.ground.nodes(case.nodes) as builder:
                course.start(
                    lambda root: make_waiting(self.runner, root, case.name, runtime=self.ground.runtime)
                )
                course.job = replace(course.job, push=True, cache=True, builder=builder)
                course.settle()
                yield course.row(case, settled=True)
        except LaminaError as error:
            yield from course.lost((case,), error)
        finally:
            course.end()

    def _arm64(self, variant: Variant, cases: tuple[Case, ...]) -> Iterator[BenchRow]:
        """Build the sample for linux/arm64."""
        if self.ground.no_arm64:
            yield from (BenchRow.missing(case.name, variant.name, self.ground.no_arm64) for case in cases)
            return
        course = _Course(self, variant, "arm64")
        try:
            course.start(
                lambda root: copy_sample(
                    self.runner, self.source, root, variant=variant.name, runtime=self.ground.runtime
                )
            )
            course.job = replace(course.job, platform="linux/arm64")
            yield from course.first(cases, "arm64-cold")
            for case in cases:
                if case.name != "arm64-cold":
                    yield course.row(case, settled=True)
        except LaminaError as error:
            yield from course.lost(cases, error)
        finally:
            course.end()

    def _plan(self, cases: tuple[Case, ...]) -> Iterator[BenchRow]:
        """Plan generated repositories, without an engine."""
        root = self.folder / f"plan-{cases[0].size}"
        self.say(f"writing {cases[0].files:,} files")
        tree = make_packages(root, cases[0].size, cases[0].files)
        for case in cases:
            yield self._without_engine(case, tree, plan_command(tree), read_plan)
        shutil.rmtree(root)

    def _adopt(self, cases: tuple[Case, ...]) -> Iterator[BenchRow]:
        """Adopt a repository of real size, then plan it, without an engine."""
        if not cases:
            return
        self.say("writing a monorepo")
        tree = make_monorepo(self.folder / "adopt", files=self.files)
        images = Steps(images=len(tree.images))
        planned = [case for case in cases if case.name != "real-init"]
        if len(planned) < len(cases):
            yield self._without_engine(cases[0], tree, init_command(tree), lambda _: images)
        if planned:
            self.runner.run(init_command(tree, "--write"))
        for case in planned:
            yield self._without_engine(case, tree, plan_command(tree), read_plan)
        shutil.rmtree(tree.root)

    def _without_engine(
        self, case: Case, tree: Tree, command: Command, read: Callable[[Completed], Steps]
    ) -> BenchRow:
        """Measure a command that builds nothing."""
        try:
            if case.name.endswith("-again"):
                check(command, self.runner.run(command))
            samples = measure(
                self.runner,
                lambda: command,
                read,
                traffic=lambda: None,
                budget=self.budget,
                before=lambda index: case.edit(tree, index),
            )
            case.edit(tree, len(samples))
            return BenchRow.of(case.name, "lamina", samples, usage(self.runner, command).memory)
        except LaminaError as error:
            return BenchRow.missing(case.name, "lamina", f"{FAILED}{error}")


class _Course:
    """One repository through a number of cases, built by one variant."""

    def __init__(self, suite: Suite, variant: Variant, name: str) -> None:
        self._suite = suite
        self._variant = variant
        self._root = suite.folder / f"{variant.name}-{name}"
        self._told: set[str] = set()
        self.job: Job

    def start(self, make: Callable[[Path], Tree]) -> None:
        """Write the repository and pin its runtime."""
        self._suite.say(f"{self._variant.name}: {self._root.name}")
        self._root.mkdir(parents=True)
        self.job = Job(tree=make(self._root))
        if command := self._variant.prepare(self._suite.ground, self.job.tree):
            check(command, self._suite.runner.run(command))

    def first(self, cases: tuple[Case, ...], name: str) -> Iterator[BenchRow]:
        """Run the first build, which is a case too. Raises LaminaError if it fails."""
        row = self.on_empty(BY_NAME[name])
        if any(case.name == name for case in cases):
            yield row
        if row.failed:
            raise LaminaError.of(f"the first build failed: {(row.not_run or '').removeprefix(FAILED)}")

    def on_empty(self, case: Case) -> BenchRow:
        """Measure a case on an engine that has never built. Try it twice, because networks fail."""
        row = self.row(case, before=self.empty, settled=True)
        return self.row(case, before=self.empty, settled=True) if row.failed else row

    def row(
        self, case: Case, *, before: Callable[[], None] = lambda: None, settled: bool = False
    ) -> BenchRow:
        """Measure a case. settled: whether the last build was of the repository without the edit."""
        tree, budget = self.job.tree, self._suite.budget
        self._suite.say(f"{self._variant.name}: {case.name}")
        self._told.add(case.name)
        budget = TimeBudget(
            times=min(budget.times, case.most or budget.times),
            seconds=max(budget.seconds, case.seconds),
        )

        def prepare(index: int) -> None:
            tree.reset()
            before()
            case.edit(tree, index)

        job = replace(self.job, only=tree.edited if case.one else None, no_engine=case.no_engine)
        try:
            if not settled:
                self.settle()
            samples = self._measure(job, budget, prepare)
            memory = self._peak(job, len(samples), prepare) if case.group in WITH_MEMORY else None
        except LaminaError as error:
            return BenchRow.missing(case.name, self._variant.name, f"{FAILED}{error}")
        return BenchRow.of(case.name, self._variant.name, samples, memory)

    def _peak(self, job: Job, index: int, before: Callable[[int], None]) -> int:
        before(index)
        return usage(self._suite.runner, self._variant.build(self._suite.ground, job)).memory

    def init(self, case: Case) -> BenchRow:
        """Measure the CPU of starts of a function, in containers of its image as it was built."""
        suite, ground = self._suite, self._suite.ground
        suite.say(f"{self._variant.name}: {case.name}")
        self._told.add(case.name)
        try:
            self.job.tree.reset()
            image = self._variant.stored(ground, _STARTED, self._build())
            command = ground.command(
                *(ground.docker, "run", "--rm", "--read-only", "--entrypoint", "python3"),
                *(image, "-B", "-c", _START),
                cwd=self.job.tree.root,
            )
            samples: list[Sample] = []
            while suite.budget.again(samples):
                done = suite.runner.run(command)
                check(command, done)
                samples.append(Sample(seconds=float(done.stdout.split()[-1]), traffic=None, steps=Steps()))
        except LaminaError as error:
            return BenchRow.missing(case.name, self._variant.name, f"{FAILED}{error}")
        return BenchRow.of(case.name, self._variant.name, samples)

    def watch(self, case: Case) -> BenchRow:
        """Measure saves under a watch that tries one image."""
        suite = self._suite
        suite.say(f"{self._variant.name}: {case.name}")
        self._told.add(case.name)
        try:
            self.settle()
            command = watch_command(suite.ground, self.job.tree)
            samples = watch_saves(suite.runner, command, self.job.tree, suite.budget)
        except LaminaError as error:
            return BenchRow.missing(case.name, self._variant.name, f"{FAILED}{error}")
        return BenchRow.of(case.name, self._variant.name, samples)

    def settle(self) -> None:
        """Build the repository without edits; not measured. Raises LaminaError."""
        self.job.tree.reset()
        self._build()

    def switch(self) -> None:
        """Check out and build another branch, then check out this one again."""
        BY_NAME["base-code"].edit(self.job.tree, 0)
        self._build()
        self.job.tree.reset()

    def empty(self) -> None:
        """Give the next build an empty engine and a fresh clone."""
        self._suite.ground.empty()
        self.job.tree.forget()

    def lost(self, cases: tuple[Case, ...], error: LaminaError) -> Iterator[BenchRow]:
        """Yield failed rows for the cases that were not reached."""
        for case in cases:
            if case.name not in self._told:
                yield BenchRow.missing(case.name, self._variant.name, f"{FAILED}{error}")

    def end(self) -> None:
        """Remove the repository."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _build(self) -> Completed:
        command = self._variant.build(self._suite.ground, self.job)
        done = self._suite.runner.run(command)
        check(command, done)
        self._variant.read(self.job, done)
        return done

    def _measure(self, job: Job, budget: TimeBudget, before: Callable[[int], None]) -> list[Sample]:
        ground = self._suite.ground
        return measure(
            self._suite.runner,
            lambda: self._variant.build(ground, job),
            lambda done: self._variant.read(job, done),
            traffic=ground.traffic,
            budget=budget,
            before=before,
        )
