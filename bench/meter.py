"""Time whole commands and count their bytes: all that a person waits for, Python's start included."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.errors import BuildError
from lamina.execute.progress import Trace
from lamina.process import Command, Completed, Runner
from lamina.sandbox.namespace import Traffic

_LAST_LINES = 12
_LAUNCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, file=sys.stderr)
sys.exit(code)
"""
"""A small program that runs a command: a process begins with the memory of the one that starts it."""
_WIDTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps of a build. cached, total: instructions of Dockerfiles. built: new images."""

    cached: int = 0
    total: int = 0
    built: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of a command. traffic: the bytes it moved, None if they are not counted."""

    seconds: float
    traffic: Traffic | None
    steps: Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds of repeated runs."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Spread:
        """Return the spread of at least one number."""
        values = sorted(seconds)
        return cls(min=values[0], median=statistics.median(values), max=values[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBudget:
    """How often to repeat a command: at most ``times``, and only while the total stays within ``seconds``."""

    times: int
    seconds: float

    def again(self, samples: list[Sample]) -> bool:
        """Whether to run the command once more after these samples."""
        if not samples:
            return True
        spent = sum(sample.seconds for sample in samples)
        return len(samples) < self.times and spent + samples[-1].seconds <= self.seconds


def measure(
    runner: Runner,
    command: Callable[[], Command],
    read: Callable[[Completed], Steps],
    *,
    traffic: Callable[[], Traffic | None],
    budget: TimeBudget,
    before: Callable[[int], None] = lambda _: None,
) -> list[Sample]:
    """Run a command as often as the time budget allows.

    Args:
        command: returns the command; called again before each run, because the engine may have changed.
        read: reads the steps of a run from its output.
        traffic: returns the bytes so far, None if they are not counted.
        budget: the time budget.
        before: prepares each run; neither timed nor counted.

    Raises:
        BuildError: the command fails.
    """
    samples: list[Sample] = []
    while budget.again(samples):
        before(len(samples))
        asked = command()
        passed = traffic()
        started = time.monotonic()
        done = runner.run(asked)
        seconds = time.monotonic() - started
        now = traffic()
        check(asked, done)
        moved = None if now is None or passed is None else now - passed
        samples.append(Sample(seconds=seconds, traffic=moved, steps=read(done)))
    return samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a command and its processes used. cpu: seconds. memory: the peak of the largest, in bytes."""

    cpu: float
    memory: int


def usage(runner: Runner, command: Command) -> Usage:
    """Run a command once more and return what it used. Raises BuildError."""
    done = runner.run(replace(command, argv=(sys.executable, "-S", "-c", _LAUNCH, *command.argv)))
    check(command, done)
    cpu, memory = done.stderr.split()[-2:]
    return Usage(cpu=float(cpu), memory=int(memory))


def check(command: Command, done: Completed) -> None:
    """Raise BuildError if a command failed: the first line says why, the end of its output follows."""
    if not done.ok:
        said = _said(done) or ["it printed nothing"]
        why = next((line for line in said if line.lower().startswith("error:")), said[-1])
        words = "\n".join(f"  | {line[:_WIDTH]}" for line in said[-_LAST_LINES:])
        raise BuildError.of(f"`{_program(command)}` ended with {done.code}: {why[:_WIDTH]}\n{words}")


def _program(command: Command) -> str:
    """Return the program and its first words, without the prefix of `nsenter`."""
    argv = command.argv[command.argv.index("--") + 1 :] if command.argv[0] == "nsenter" else command.argv
    return " ".join([Path(argv[0]).name, *argv[1:4]])


def _said(done: Completed) -> list[str]:
    """Return the lines of a command's output; of BuildKit's events only the log of the failed step."""
    trace = Trace({"all": "all"})
    for line in (done.stderr if done.stderr.strip() else done.stdout).splitlines():
        trace.feed(line)
    logs = [line for step in trace.steps if step.error for line in step.log]
    return [line for line in (*logs, *trace.messages) if line.strip()]
