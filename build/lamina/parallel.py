"""Make calls at the same time, in threads: for calls that mostly wait for a network or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_Other = TypeVar("_Other")


def gather(work: Callable[[_Item], _Value], items: Iterable[_Item], *, threads: int) -> list[_Value]:
    """Call ``work`` for each item, up to ``threads`` at once, and return the results in order.

    At the first error, or Ctrl-C, calls that have not begun are cancelled, those that run are awaited, and
    the error is raised: of several, that of the earliest item. A single item is worked on in this thread.
    """
    wanted = list(items)
    if len(wanted) < 2 or threads < 2:
        return [work(item) for item in wanted]
    calls = _Calls(work, wanted)
    calls.run(min(threads, len(wanted)))
    for error in calls.errors:
        if error is not None:
            raise error
    return [value for each in calls.values for value in each]


class _Calls(Generic[_Item, _Value]):
    """Calls that threads take from one list. The pools of the standard library take longer to import.

    values: of each call a list with its result. errors: of each call its error, if it had one.
    """

    def __init__(self, work: Callable[[_Item], _Value], items: list[_Item]) -> None:
        self._work = work
        self._items = items
        self._waiting = iter(range(len(items)))  # taking the next number is atomic
        self._stopped = False
        self.values: list[list[_Value]] = [[] for _ in items]
        self.errors: list[BaseException | None] = [None for _ in items]

    def run(self, threads: int) -> None:
        """Make the calls and wait for them. After Ctrl-C, wait for those that run, and raise it."""
        from threading import Thread

        started: list[Thread] = []
        try:
            for number in range(threads):
                started.append(Thread(target=self._take, name=f"gather_{number}"))
                started[-1].start()
            for each in started:
                each.join()
        finally:
            self._stopped = True
            for each in started:
                with suppress(RuntimeError):  # Ctrl-C came before it was started: it begins no call
                    each.join()

    def _take(self) -> None:
        for number in self._waiting:
            if self._stopped:
                return
            try:
                self.values[number].append(self._work(self._items[number]))
            except BaseException as error:
                self.errors[number] = error
                self._stopped = True


def both(first: Callable[[], _Value], second: Callable[[], _Other]) -> tuple[_Value, _Other]:
    """Make two calls at once and return both results. Errors as in `gather`."""
    one: list[_Value] = []
    other: list[_Other] = []
    calls: tuple[Callable[[], None], ...] = (lambda: one.append(first()), lambda: other.append(second()))
    gather(lambda call: call(), calls, threads=2)
    return one[0], other[0]


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do the work in a thread and wait at most so long. Return whether it ended; if not, it is left behind.

    The work handles its own errors.
    """
    from threading import Thread

    thread = Thread(target=work, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
