"""``python -m bench.soak``: check on a busy machine that a remote cache is found every time.

Each round exports the caches of the sample from an engine that has never built. Then it edits the lowest
base's package and builds on another empty engine: every step but the copies must come from the cache.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.ground import Ground
from bench.locks import LOCK
from bench.meter import Sample, Steps, TimeBudget, check, measure
from bench.private import PrivateGround
from bench.tree import BASE_CODE, Tree, copy_sample
from bench.variants import Job, LaminaVariant
from lamina.errors import BuildError, ConfigError, Interrupted, LaminaError, Problem
from lamina.process import Command, Runner, SubprocessRunner
from lamina.report import figures
from lamina.report.console import Screen

ROUNDS, LOAD = 20, 2
CACHED = Steps(cached=13, total=15, built=4, images=4)
"""The second build of a round: all steps are cached but the two copies of the edited package."""
HEADINGS = ("round", "cold", "cached", "base code edited", "cached", "load", "")
_ONCE = TimeBudget(times=1, seconds=0.0)
_LARGE, _SMALL = '    { name = "chromadb" },\n', re.compile(r'(?:    \{ name = "numpy", .*\n)+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round. cold, edited: its two builds, None if it did not get so far. failure: why not."""

    number: int
    cold: Sample | None = None
    edited: Sample | None = None
    load: float = 0.0
    failure: str | None = None

    @property
    def fault(self) -> str | None:
        """Why the round fails, None if it does not."""
        if self.failure or self.cold is None or self.edited is None:
            return self.failure or "it was not finished"
        if self.cold.steps.cached:
            return f"its first build was not cold: {self.cold.steps.cached} steps cached"
        if self.edited.steps != CACHED:
            return f"{CACHED.cached} of {CACHED.total} steps should be cached"
        return None

    @property
    def row(self) -> tuple[str, ...]:
        """The cells for `HEADINGS`."""
        cells = [cell for sample in (self.cold, self.edited) for cell in _cells(sample)]
        return (str(self.number), *cells, f"{self.load:.1f}", self.fault or "")


def _cells(sample: Sample | None) -> tuple[str, str]:
    if sample is None:
        return ("-", "-")
    return (figures.seconds(sample.seconds), f"{sample.steps.cached} of {sample.steps.total}")


def faults(rounds: Iterable[Round], wanted: int) -> Iterator[Problem]:
    """Yield the failures of a soak. wanted: the requested number of rounds."""
    finished = 0
    for each in rounds:
        finished += 1
        if each.fault:
            yield Problem(what=f"round {each.number}: {each.fault}")
    if finished < wanted:
        yield Problem(what=f"{finished} of {wanted} rounds were run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line. load: busy processes beside the builds."""

    rounds: int
    load: int


def read_options(argv: Sequence[str] | None = None) -> Options:
    """Parse the command line. Raises ConfigError for invalid values."""
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how many rounds to run ({ROUNDS})")
    parser.add_argument("--load", type=int, default=LOAD, help=f"busy processes beside the builds ({LOAD})")
    found = parser.parse_args(argv)
    if found.rounds < 1:
        raise ConfigError.of(
            f"a soak cannot have {found.rounds} rounds", where="--rounds", allowed="1 or more"
        )
    if found.load < 0:
        raise ConfigError.of(f"{found.load} processes cannot be started", where="--load", allowed="0 or more")
    return Options(rounds=found.rounds, load=found.load)


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """A soak. ground: already opened. say: receives progress messages."""

    runner: Runner
    ground: Ground
    tree: Tree
    say: Callable[[str], None]

    def prepare(self) -> None:
        """Pin the runtime. Raises BuildError."""
        command = LaminaVariant().prepare(self.ground, self.tree)
        check(command, self.runner.run(command))

    def run(self, rounds: int) -> Iterator[Round]:
        """Yield every round as soon as it is known. A failed build gets a second try: networks fail."""
        for number in range(1, rounds + 1):
            found = self._round(number, f"soak-{number}")
            yield self._round(number, f"soak-{number}-again") if found.failure else found

    def _round(self, number: int, prefix: str) -> Round:
        """Run a round. prefix: of its own repositories, so that it finds no cache of an earlier round."""
        samples: list[Sample] = []
        failure = None
        for edit in ("", f"# round {number}"):
            self.say(f"round {number}: {'base code edited' if edit else 'cold'}")
            self.tree.reset()
            self.ground.empty()
            self.tree.forget()
            if edit:
                self.tree.append(BASE_CODE, edit)
            try:
                samples += self._build(prefix)
            except LaminaError as error:
                failure = str(error)
                break
        cold, edited, *_ = (*samples, None, None)
        return Round(number=number, cold=cold, edited=edited, load=os.getloadavg()[0], failure=failure)

    def _build(self, prefix: str) -> list[Sample]:
        variant, job = LaminaVariant(prefix, append="never"), Job(tree=self.tree, push=True, cache=True)
        return measure(
            self.runner,
            lambda: variant.build(self.ground, job),
            lambda done: variant.read(job, done),
            traffic=self.ground.traffic,
            budget=_ONCE,
        )


def make_tree(runner: Runner, source: Path, root: Path, runtime: str) -> Tree:
    """Write the sample with its largest dependency replaced: the same images and steps, but fast installs."""
    root.mkdir(parents=True)
    tree = copy_sample(runner, source, root, variant="lamina", runtime=runtime)
    lock = (root / LOCK).read_text("utf-8")
    small = _SMALL.search(lock)  # in place of chromadb: the same steps, a tenth of the bytes
    if small is None or _LARGE not in lock:
        raise ConfigError.of("there is no chromadb, which requires numpy", where=LOCK)
    (root / LOCK).write_text(lock.replace(_LARGE, small[0]), "utf-8")
    return tree


@contextmanager
def load(runner: Runner, folder: Path, processes: int) -> Iterator[None]:
    """Run busy processes (`bench.load`) until the end. folder: created, and removed at the end."""
    folder.mkdir()
    try:
        for number in range(processes):
            argv = (sys.executable, "-m", "bench.load", str(folder / f"{number}.bin"))
            runner.spawn(Command(argv=argv), log=folder.with_suffix(".log"))
        yield
    finally:
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()


def main() -> int:
    """Run the soak, show and judge it. Return the exit code."""
    screen = Screen()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: engines are stopped
    try:
        options = read_options()
        rounds = _soak(options, screen)
        BuildError.check(faults(rounds, options.rounds))
    except LaminaError as error:
        screen.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return Interrupted.exit_code
    return 0


def _soak(options: Options, screen: Screen) -> list[Round]:
    """Run the rounds and show them, also those so far if it is stopped."""
    runner = SubprocessRunner()
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="lamina-soak-") as name, screen.working() as say:
        folder = Path(name)
        ground = PrivateGround(runner, folder, say)
        try:
            ground.open()
            tree = make_tree(runner, Path.cwd(), folder / "sample", ground.runtime)
            soak = Soak(runner=runner, ground=ground, tree=tree, say=say)
            soak.prepare()
            with load(runner, folder / "load", options.load):
                for each in soak.run(options.rounds):
                    rounds.append(each)
                    screen.say("  ".join(each.row))
        finally:
            ground.close()
            screen.rows(HEADINGS, (each.row for each in rounds))
    return rounds


if __name__ == "__main__":
    sys.exit(main())
