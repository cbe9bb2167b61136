"""What a failed build gets once more: a try if it was no fault of its own, a new login if it was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from lamina.errors import LaminaError, Problem
from lamina.execute.bake import BuildRequest
from lamina.execute.failure import broken_images, first_error, is_refused, tries_again
from lamina.execute.progress import Trace


class RetryPolicy:
    """Of one run. renew: gets new credentials for the registry; None where there are none to be had."""

    def __init__(self, renew: Callable[[], None] | None = None) -> None:
        self._renew = renew
        self._tries: Counter[str] = Counter()
        self.problems: list[Problem] = []
        """Why no new credentials were to be had."""
        self.notes: list[Problem] = []
        """What was tried again, and why."""

    def broken(
        self, order: BuildRequest, trace: Trace, confirmed: Collection[str]
    ) -> Mapping[str, str] | None:
        """The images that failed for good and why, which may be none's own fault; None when nothing did.

        All others that are not confirmed can be tried again.
        """
        failed = broken_images(order, trace)
        lost = {name: what for name, what in failed.items() if name not in confirmed}
        passing = [name for name, what in lost.items() if self._tries[name] < tries_again(name, what, trace)]
        self._tries.update(passing)
        fine = {*confirmed, *passing}
        refused = [name for name, what in lost.items() if is_refused(name, what, trace)]
        if refused and self._renewed():
            fine.update(refused)
        broken = {name: step for name, step in failed.items() if name not in fine}
        if broken or not failed:
            return broken
        self.notes += [
            Problem(what=f"{name} is tried again: {first_error(name, lost[name], trace)}") for name in passing
        ]
        return None

    def _renewed(self) -> bool:
        """Log in again, but once a run: what is refused then is refused for another reason."""
        renew, self._renew = self._renew, None
        if renew is None:
            return False
        try:
            renew()
        except LaminaError as error:
            self.problems += error.problems
            return False
        return True
