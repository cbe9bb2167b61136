"""Make calls at the same time, in threads: for calls that mostly wait for a network or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

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
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(min(threads, len(wanted)), thread_name_prefix="gather") as pool:
        try:
            calls = [pool.submit(work, item) for item in wanted]
            wait(calls, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    failed = (call.exception() for call in calls if not call.cancelled())
    for error in failed:
        if error is not None:
            raise error
    return [call.result() for call in calls]


def both(first: Callable[[], _Value], second: Callable[[], _Other]) -> tuple[_Value, _Other]:
    """Make two calls at once and return both results. Errors as in `gather`."""
    one: list[_Value] = []
    other: list[_Other] = []
    calls: tuple[Callable[[], None], ...] = (lambda: one.append(first()), lambda: other.append(second()))
    gather(lambda call: call(), calls, threads=2)
    return one[0], other[0]
