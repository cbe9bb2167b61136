"""The case of the watch: when files are saved, what counts as an answer, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.meter import TimeBudget
from bench.tree import SAMPLE, Tree, write
from bench.watching import IMAGE, WatchedSaves, watch_saves
from lamina.errors import BuildError, ConfigError
from lamina.process import Command, Completed

HANDLER = "receipts/word_label_step_functions/handler.py"
READY = "1 images are up to date; waiting for the next save"
BUILT = "1 built, 3 skipped in 0.4 s"
CONFIRMED = f"{IMAGE} handler.handler: sha-1 is built and answers the same"


def answer(number: int) -> str:
    return f'{IMAGE} handler.handler answered {{"table": "save-{number}-"}}'


@dataclass
class Watch:
    """A watch whose lines are played, beside the clock. A number among them lets so many seconds pass."""

    lines: list[str | float]
    now: float = 0.0
    started: list[Command] = field(default_factory=list)

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        self.started.append(command)
        assert tick is not None
        for each in self.lines:
            if isinstance(each, str):
                on_line(each)
            else:
                self.now += each
            tick()
        return Completed(code=0)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        raise AssertionError(f"not planned: {command}")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"not planned: {command}")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    write(tmp_path, HANDLER, 'ANSWER = {"table": table_name}\n')
    return Tree(root=tmp_path, images=SAMPLE, edited=IMAGE, handler=HANDLER)


def saves(tree: Tree, watch: Watch, times: int = 2) -> WatchedSaves:
    return WatchedSaves(tree, TimeBudget(times=times, seconds=20.0), lambda: watch.now, "save")


def test_saves_are_timed_until_their_answer_and_the_first_one_is_not(tree: Tree) -> None:
    watch = Watch([READY, 2.0, 1.5, BUILT, answer(1), 2.0, 0.25, answer(2), 0.5, BUILT, CONFIRMED, 2.0])
    found = saves(tree, watch)

    watch.stream(Command(argv=()), found.read, tick=found.tick)

    assert [each.seconds for each in found.samples] == [0.25]
    assert (tree.root / HANDLER).read_text() == 'ANSWER = {"table": "save-3-"}\n'
    tree.reset()
    assert (tree.root / HANDLER).read_text() == 'ANSWER = {"table": table_name}\n'


def test_an_answer_of_an_earlier_save_is_none_of_the_next(tree: Tree) -> None:
    watch = Watch([READY, 2.0, BUILT, answer(1), 2.0, 0.5, answer(1), 0.5, answer(2), answer(2)])
    found = saves(tree, watch)

    watch.stream(Command(argv=()), found.read, tick=found.tick)

    assert [each.seconds for each in found.samples] == [1.0]


def test_a_save_waits_until_the_image_has_confirmed_the_answer(tree: Tree) -> None:
    watch = Watch([READY, 2.0, BUILT, answer(1), 2.0, answer(2), 5.0, BUILT, 5.0])
    found = saves(tree, watch)

    watch.stream(Command(argv=()), found.read, tick=found.tick)

    assert "save-2-" in (tree.root / HANDLER).read_text()


def test_an_error_silence_and_an_end_are_reported(tree: Tree) -> None:
    budget = TimeBudget(times=1, seconds=1.0)
    with pytest.raises(BuildError, match="the watch failed: no engine answers"):
        watch_saves(Watch(["error: no engine answers"]), Command(argv=()), tree, budget)
    with pytest.raises(BuildError, match="the watch ended before all saves were answered"):
        watch_saves(Watch([READY]), Command(argv=()), tree, budget)
    late = Watch([61.0])
    found = saves(tree, late)
    with pytest.raises(BuildError, match="the start of the watch took more than 60 s"):
        late.stream(Command(argv=()), found.read, tick=found.tick)
    late.lines = [READY, 2.0, 61.0]
    found = saves(tree, late)
    with pytest.raises(BuildError, match="the answer to a save took more than 60 s"):
        late.stream(Command(argv=()), found.read, tick=found.tick)


def test_a_handler_that_cannot_be_edited_is_reported(tree: Tree) -> None:
    write(tree.root, HANDLER, "")

    with pytest.raises(ConfigError, match="to edit"):
        tree.replace(HANDLER, "table", "")
