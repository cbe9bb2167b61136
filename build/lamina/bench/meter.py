"""Timing whole commands: what a person waits for, Python's start included."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lamina.errors import BuildError
from lamina.process import Command, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Wall seconds of repeated runs."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        """The shortest: what disturbed the others was not the command."""
        return min(self.seconds)

    def __add__(self, other: Timing) -> Timing:
        return Timing(seconds=self.seconds + other.seconds)


def measure(
    runner: Runner, command: Command, *, times: int, before: Callable[[int], None] = lambda _: None
) -> Timing:
    """Run a command several times; ``before`` prepares each and is not timed. Raises BuildError."""
    seconds: list[float] = []
    for index in range(times):
        before(index)
        started = time.monotonic()
        done = runner.run(command)
        seconds.append(time.monotonic() - started)
        if not done.ok:
            raise BuildError.of(f"{command} ended with {done.code}:\n{done.stdout}\n{done.stderr}")
    return Timing(seconds=tuple(seconds))
