"""Make calls at the same time, in threads: for calls that mostly wait for a network or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from threading import Event

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_Other = TypeVar("_Other")
_GRACE = 1.0  # seconds that calls get to end after Ctrl-C
_TICK = 0.5
"""Seconds of a wait. A signal that comes right before a wait is handled only when that ends."""


def gather(work: Callable[[_Item], _Value], items: Iterable[_Item], *, threads: int) -> list[_Value]:
    """Call ``work`` for each item, up to ``threads`` at once, and return the results in order.

    At the first error calls that have not begun are cancelled, those that run are awaited, and the error is
    raised: of several, that of the earliest item. A single item is worked on in this thread.

    At Ctrl-C those that run are awaited for a second and then left behind: a registry that hangs does not
    keep the process. What a call that was left behind does, the caller does not learn.
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
        """Make the calls and wait for them. Ctrl-C ends the wait.

        Threads are not joined: after a Ctrl-C in it ``join`` takes a thread that runs for one that has ended
        (Python 3.11).
        """
        from threading import Event, Thread

        ends: list[Event] = []
        try:
            for number in range(threads):
                ended = Event()
                Thread(target=self._take, args=(ended,), name=f"gather_{number}", daemon=True).start()
                ends.append(ended)
            for each in ends:
                while not each.wait(_TICK):
                    pass
        except BaseException:  # Ctrl-C, or the system has no room for a further thread
            self._stopped = True
            until = monotonic() + _GRACE
            for each in ends:
                each.wait(max(0.0, until - monotonic()))
            raise

    def _take(self, ended: Event) -> None:
        try:
            for number in self._waiting:
                if self._stopped:
                    return
                try:
                    self.values[number].append(self._work(self._items[number]))
                except BaseException as error:
                    self.errors[number] = error
                    self._stopped = True
        finally:
            ended.set()


def both(first: Callable[[], _Value], second: Callable[[], _Other]) -> tuple[_Value, _Other]:
    """Make two calls at once and return both results. Errors as in `gather`."""
    one: list[_Value] = []
    other: list[_Other] = []
    calls: tuple[Callable[[], None], ...] = (lambda: one.append(first()), lambda: other.append(second()))
    gather(lambda call: call(), calls, threads=2)
    return one[0], other[0]


def insist(work: Callable[[], object], *, at_ctrl_c: Callable[[], None], pressed: bool = False) -> bool:
    """Do work that the first Ctrl-C does not end, in a thread; the second one leaves it behind.

    Return whether Ctrl-C came. Raises the work's error.

    Args:
        work: what is done.
        at_ctrl_c: called after the first one.
        pressed: whether the first one came before.
    """
    from threading import Event, Thread

    from lamina.process import signals_held

    faults: list[BaseException] = []
    ended = Event()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            faults.append(error)
        finally:
            ended.set()

    interrupted, begun = pressed, False
    while not ended.is_set():
        try:
            if not begun:
                with signals_held():
                    Thread(target=run, name="insist", daemon=True).start()
                    begun = True
            if interrupted:
                at_ctrl_c()
            while not ended.wait(_TICK):
                pass
        except KeyboardInterrupt:
            if interrupted:
                break
            interrupted = True
    for fault in faults:
        raise fault
    return interrupted


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do the work in a thread and wait at most so long. Return whether it ended; if not, it is left behind.

    The work handles its own errors.
    """
    from threading import Thread

    thread = Thread(target=work, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
