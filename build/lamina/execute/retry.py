"""Retry failed builds: after known temporary errors, and after a new login if credentials were rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from lamina.errors import LaminaError, Problem
from lamina.execute.bake import BuildRequest
from lamina.execute.failure import broken_images, first_error, is_refused, reconnects, tries_again
from lamina.execute.progress import Trace

_RECONNECT_SECONDS = 4.0


class RetryPolicy:
    """The retries of one run.

    Args:
        renew: gets new credentials for the registry; None if that is impossible.
        sleep: waits for some seconds.
    """

    def __init__(self, renew: Callable[[], None] | None, sleep: Callable[[float], None]) -> None:
        self._renew = renew
        self._sleep = sleep
        self._stale_calls = 0
        """The calls up to this one began with credentials that have been renewed since."""
        self._tries: Counter[str] = Counter()
        self.problems: list[Problem] = []
        """Why new credentials could not be obtained."""
        self.notes: list[Problem] = []
        """What was retried, and why."""

    def broken(
        self, request: BuildRequest, trace: Trace, confirmed: Collection[str], *, call: int, calls: int
    ) -> Mapping[str, str] | None:
        """Return the images that failed for good -> the failed step. None if all of them can be retried.

        Empty if bake failed without a failed image. call: its number, of ``calls`` that have begun.
        """
        failed = broken_images(request, trace)
        lost = {name: what for name, what in failed.items() if name not in confirmed}
        passing = [name for name, what in lost.items() if self._tries[name] < tries_again(name, what, trace)]
        self._tries.update(passing)
        fine = {*confirmed, *passing}
        refused = [name for name, what in lost.items() if is_refused(name, what, trace)]
        if refused and (call <= self._stale_calls or self._renewed(calls)):
            fine.update(refused)
        broken = {name: step for name, step in failed.items() if name not in fine}
        if broken or not failed:
            return broken
        self.notes += [
            Problem(what=f"{name} is tried again: {first_error(name, lost[name], trace)}") for name in passing
        ]
        if any(reconnects(name, lost[name], trace) for name in passing):
            self._sleep(_RECONNECT_SECONDS)
        return None

    def take_problems(self) -> tuple[Problem, ...]:
        """Return the problems since the last call."""
        found, self.problems = tuple(self.problems), []
        return found

    def _renewed(self, calls: int) -> bool:
        """Log in again, once per run: a rejection after that has another reason. Return whether it worked."""
        renew, self._renew = self._renew, None
        if renew is None:
            return False
        try:
            renew()
        except LaminaError as error:
            self.problems += error.problems
            return False
        self._stale_calls = calls
        return True
