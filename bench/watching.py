"""The case of ``lamina watch --smoke``: a handler is saved, and the time until its answer is told counts."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bench.meter import Sample, Steps, TimeBudget, check
from bench.tree import Tree
from lamina.errors import BuildError
from lamina.process import Command, Runner

WATCH = "watch-handler"
"""The case in which the watch runs all the time: seconds are those from a save to its answer."""
IMAGE = "lambda-word-label"
"""The image whose function imports least: the rest of the time is Lamina's."""
_HANDLER = "receipts/word_label_step_functions/handler.py"
_TOLD = '"table": table_name'
_LAUNCH = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.dup2(2, 1)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""A small program that becomes a command which Ctrl-C stops, also in a background job, with one stream."""
_PAUSE, _LONGEST = 1.0, 60.0
"""Seconds: between an answer that is confirmed and the next save; how long to wait for anything."""
_READY, _ANSWERED, _BUILT = "waiting for the next save", " answered ", " built, "
_CONFIRMED = " is built and answers"
_FAILED = "error: "


class _Enough(Exception):  # noqa: N818 - not an error
    """All saves were answered."""


def watch_saves(runner: Runner, command: Command, tree: Tree, budget: TimeBudget) -> list[Sample]:
    """Run a watch and save a handler as often as the budget allows; stop the watch.

    The first save, whose image is built before it answers, does not count. Raises BuildError if the watch
    ends, fails or does not answer.
    """
    saves = WatchedSaves(tree, budget)
    launched = replace(command, argv=(sys.executable, "-S", "-c", _LAUNCH, *command.argv))
    try:
        check(command, runner.stream(launched, saves.read, tick=saves.tick))
    except _Enough:
        return saves.samples
    raise BuildError.of("the watch ended before all saves were answered")


class WatchedSaves:
    """Saves the handler whenever the watch is at rest, and times its answers.

    clock: in seconds. run: makes its saves others than those of any run before, which are built already.
    """

    def __init__(
        self,
        tree: Tree,
        budget: TimeBudget,
        clock: Callable[[], float] = time.monotonic,
        run: str | None = None,
    ) -> None:
        self._tree = tree
        self._budget = budget
        self._clock = clock
        self._run = run or secrets.token_hex(4)
        self._count = 0
        self._since = clock()
        self._at_rest = self._answered = self._built = False
        self.samples: Final[list[Sample]] = []

    def read(self, line: str) -> None:
        """Take a line of the watch. Raises BuildError for an error."""
        if line.startswith(_FAILED):
            raise BuildError.of(f"the watch failed: {line.removeprefix(_FAILED)}")
        if not self._count:
            self._at_rest |= _READY in line
        elif _ANSWERED in line and self._mark in line and not self._answered:
            self._answered = True
            if self._count > 1:
                seconds = self._clock() - self._since
                self.samples.append(Sample(seconds=seconds, traffic=None, steps=Steps()))
            self._at_rest = self._built
        elif _BUILT in line and not self._answered:
            self._built = True
        elif _CONFIRMED in line:
            self._at_rest = self._answered
        if self._at_rest:
            self._since = self._clock()

    def tick(self) -> None:
        """Save again if the watch is at rest; end after the last save. Raises BuildError if it is late."""
        waited = self._clock() - self._since
        if self._at_rest and waited > _PAUSE:
            if self._count > 1 and not self._budget.again(self.samples):
                raise _Enough
            self._count += 1
            self._at_rest = self._answered = self._built = False
            self._tree.replace(_HANDLER, _TOLD, f'"table": "{self._mark}"')
            self._since = self._clock()
        elif waited > _LONGEST:
            what = "the answer to a save" if self._count else "the start of the watch"
            raise BuildError.of(f"{what} took more than {_LONGEST:.0f} s")

    @property
    def _mark(self) -> str:
        return f"{self._run}-{self._count}-"
