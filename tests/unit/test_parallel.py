"""Calls at the same time: order, the number of threads, and what happens to the others after an error."""

from __future__ import annotations

import signal
import threading
from typing import NoReturn

import pytest

from lamina.parallel import both, gather, insist, within

MANY = 20


def test_results_are_in_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(30)
        second_is_done.set()
        return item * item

    assert gather(work, range(MANY), threads=4) == [item * item for item in range(MANY)]


def test_as_many_calls_run_at_once_as_there_are_threads() -> None:
    meeting = threading.Barrier(4, timeout=30)

    assert gather(lambda item: meeting.wait() in range(4) and item, range(8), threads=4) == list(range(8))


@pytest.mark.parametrize(("items", "threads"), [([], 4), ([1], 4), ([1, 2, 3], 1)])
def test_there_are_no_threads_where_nothing_is_gained(items: list[int], threads: int) -> None:
    here = threading.get_ident()

    assert gather(lambda _: threading.get_ident(), items, threads=threads) == [here] * len(items)


def test_after_an_error_calls_that_have_not_begun_are_left_out() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            failed.set()
            raise LookupError(item)
        assert failed.wait(30)
        threading.Event().wait(0.01)  # else a thread could make all calls before the error is seen

    with pytest.raises(LookupError):
        gather(work, range(1000), threads=2)

    assert {0, 1} <= set(begun)
    assert len(begun) < 1000


def test_of_several_errors_that_of_the_earliest_item_is_raised() -> None:
    meeting = threading.Barrier(3, timeout=30)

    def work(item: int) -> None:
        meeting.wait()
        raise LookupError(item)

    with pytest.raises(LookupError) as raised:
        gather(work, range(3), threads=3)

    assert raised.value.args == (0,)


def test_calls_that_run_are_awaited_after_an_error() -> None:
    ended: list[str] = []
    failing = threading.Event()

    def work(item: str) -> None:
        if item == "fails":
            failing.set()
            raise LookupError(item)
        assert failing.wait(30)
        ended.append(item)

    with pytest.raises(LookupError):
        gather(work, ("runs", "fails"), threads=2)

    assert ended == ["runs"]


def press() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.usefixtures("at_ctrl_c")
def test_ctrl_c_leaves_out_what_has_not_begun() -> None:
    begun: list[int] = []
    never = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            press()
        never.wait(0.05)

    with pytest.raises(KeyboardInterrupt):
        gather(work, range(1000), threads=2)

    assert {0, 1} <= set(begun)
    assert len(begun) < 1000


@pytest.mark.usefixtures("at_ctrl_c")
def test_ctrl_c_does_not_wait_for_calls_that_hang() -> None:
    release = threading.Event()
    ended: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            press()
        release.wait()
        ended.append(item)

    try:
        with pytest.raises(KeyboardInterrupt):
            gather(work, range(2), threads=2)
        assert ended == []
    finally:
        release.set()


@pytest.mark.usefixtures("at_ctrl_c")
def test_work_that_is_insisted_on_ends_after_the_first_ctrl_c() -> None:
    warned = threading.Event()

    def work() -> None:
        press()
        warned.wait()

    assert insist(work, at_ctrl_c=warned.set)
    assert not insist(lambda: None, at_ctrl_c=warned.clear)
    assert warned.is_set()


@pytest.mark.usefixtures("at_ctrl_c")
def test_the_second_ctrl_c_leaves_work_that_is_insisted_on() -> None:
    release = threading.Event()
    ended: list[bool] = []

    def work() -> None:
        press()
        ended.append(release.wait())

    assert insist(work, at_ctrl_c=press)
    assert ended == []
    release.set()


@pytest.mark.usefixtures("at_ctrl_c")
def test_the_first_ctrl_c_may_have_come_before() -> None:
    release, warned = threading.Event(), threading.Event()

    def work() -> None:
        warned.wait()
        press()
        release.wait()

    assert insist(work, at_ctrl_c=warned.set, pressed=True)
    release.set()


def test_work_that_is_insisted_on_raises_its_error() -> None:
    def work() -> NoReturn:
        raise LookupError

    with pytest.raises(LookupError):
        insist(work, at_ctrl_c=press)


def test_ctrl_c_before_a_thread_has_started_is_raised_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(_: threading.Thread) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", press)

    with pytest.raises(KeyboardInterrupt):
        gather(str, [1, 2], threads=2)


def test_ctrl_c_in_a_call_is_raised_as_such() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise KeyboardInterrupt
        return item

    with pytest.raises(KeyboardInterrupt):
        gather(work, range(MANY), threads=2)


def test_two_calls_meet() -> None:
    meeting = threading.Barrier(2, timeout=30)

    assert both(lambda: str(meeting.wait() >= 0), lambda: meeting.wait() >= 0) == ("True", True)


def test_work_that_does_not_end_is_left_behind() -> None:
    release = threading.Event()

    assert within(30, lambda: None)
    assert not within(0.01, lambda: release.wait(30) and None)
    release.set()
