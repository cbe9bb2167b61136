"""Follow builds on CodeBuild: their phases, steps and logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from lamina.aws.answers import may_pass
from lamina.aws.codebuild import Build, CodeBuild, LogStream
from lamina.codebuild.buildspec import step_of
from lamina.codebuild.steps import RemoteStep
from lamina.errors import AwsError, LaminaError, Problem
from lamina.execute.masked_events import MaskedEvents
from lamina.execute.progress import Trace
from lamina.masks import Mask
from lamina.report.view import BuildView

SUCCEEDED = "SUCCEEDED"
_KEPT_LINES, _SHOWN_LINES = 200, 15
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.5, 5.0, 1.3  # seconds
_MOST_MISSES = 3
_LATE_POLLS = 3  # the last lines of a log arrive after the end of its build
_OWN_LINES = "[Container] "
_LAST_PHASE = "COMPLETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A started build, of all images of an architecture. steps: its calls of bake."""

    id: str
    project: str
    steps: tuple[RemoteStep, ...]


class Follower:
    """Follows builds by polling. follow: whether to print all lines of their logs."""

    def __init__(
        self,
        codebuild: CodeBuild,
        started: tuple[Started, ...],
        view: BuildView,
        say: Callable[[str], None],
        *,
        mask: Mask,
        follow: bool,
    ) -> None:
        self._codebuild = codebuild
        self._started = started
        self._view = view
        self._say = say
        self._follow = follow
        self._steps = {step.number: step for each in started for step in each.steps}
        self._mask = mask
        self._masked: dict[int, MaskedEvents] = {}
        self._traces: dict[int, Trace] = {}
        self._current: dict[str, int] = {}
        self._tokens: dict[str, str | None] = {}
        self._tails: dict[str, deque[str]] = {}
        self._reported: set[tuple[str, str]] = set()
        self._unreadable: set[LogStream] = set()
        self._builds: dict[str, Build] = {}

    def wait(self, *, pause: Callable[[float], None], clock: Callable[[], float], seconds: float) -> bool:
        """Poll until all builds have ended; return False after ``seconds``.

        Args:
            pause: sleeps for seconds.
            clock: returns seconds.
            seconds: the time limit.

        Raises:
            AwsError: AWS failed three times in a row; it names the builds.
        """
        start, between, misses = clock(), _FIRST_PAUSE, 0
        while True:
            try:
                if self.poll():
                    break
                misses = 0
            except AwsError as error:
                misses += 1
                if misses == _MOST_MISSES:
                    raise AwsError(*error.problems, self._unfollowed()) from error
            if clock() - start > seconds:
                return False
            pause(between)
            between = min(between * _GROWTH, _LONGEST_PAUSE)
        for _ in range(_LATE_POLLS if self._failed() else 0):
            pause(_FIRST_PAUSE)
            with suppress(AwsError):  # the result is known already
                self.poll()
        return True

    def poll(self) -> bool:
        """Poll all builds once; return whether all have ended."""
        projects = {each.id: each.project for each in self._started}
        self._builds |= self._codebuild.builds(projects)
        for build in self._builds.values():
            self._report_phases(projects[build.id], build)
            if build.log is not None and build.log not in self._unreadable:
                self._read(projects[build.id], build.id, build.log)
        return all(self.status(each) is not None for each in self._started)

    def status(self, started: Started) -> str | None:
        """Return AWS' status of an ended build; None while it runs."""
        found = self._builds.get(started.id)
        return found.status if found and found.ended else None

    def problem(self, started: Started, *, minutes: int) -> Problem:
        """Return why a build did not succeed, as far as AWS reports it. minutes: its time limit."""
        status = self.status(started)
        build = self._builds.get(started.id)
        phases = build.phases if build else ()
        reasons = (f"{phase.name}: {reason}" for phase in phases for reason in phase.reasons)
        reason = "; ".join(reasons) or "AWS gives no reason"
        if status == "TIMED_OUT":
            what, hint = f"took longer than {minutes} minutes", "allow more: --timeout MINUTES"
        elif status == "STOPPED":
            what, hint = "was stopped", "run it again"
        elif status == "FAULT":
            what, hint = f"failed because of a fault of CodeBuild's own: {reason}", "run it again"
        else:
            what, hint = f"ended with {status}: {reason}", None
        lines = list(self._tails.get(started.id, ()))[-_SHOWN_LINES:]
        return Problem(
            what="\n".join((f"the build {started.id} {what}", *(f"  | {line}" for line in lines))),
            where=f"CodeBuild project {started.project}",
            hint=hint or (f"its log: {build.link}" if build and build.link else "run it again"),
        )

    def _failed(self) -> bool:
        return any(self.status(each) != SUCCEEDED for each in self._started)

    def _unfollowed(self) -> Problem:
        ids = ", ".join(each.id for each in self._started)
        return Problem(
            what=f"the build goes on without being followed: {ids}",
            hint="run the same command later: it finds and records the images that were pushed",
        )

    def _report_phases(self, name: str, build: Build) -> None:
        for phase in build.phases:
            if phase.status and phase.name != _LAST_PHASE and (build.id, phase.name) not in self._reported:
                self._reported.add((build.id, phase.name))
                took = f" in {phase.seconds} s" if phase.seconds else ""
                self._say(f"{name}: {phase.name} {phase.status}{took}")

    def _read(self, name: str, build: str, stream: LogStream) -> None:
        """Read further lines of a log. If it cannot be read, phases are still reported."""
        try:
            lines, self._tokens[build] = self._codebuild.log(stream, self._tokens.get(build))
        except LaminaError as error:
            if not may_pass(error):
                self._unreadable.add(stream)
                self._say(f"{name}: phases are followed without the log: {error.problems[0].what}")
            return
        for line in lines:
            if number := step_of(line):
                self._current[build] = number
                continue
            number = self._current.get(build)
            if number in self._steps and not line.startswith(_OWN_LINES):
                self._feed(number, line)
            if not line.startswith("{"):
                masked = self._mask.hide(line)
                self._tails.setdefault(build, deque(maxlen=_KEPT_LINES)).append(masked)
                if self._follow:
                    self._say(masked)

    def _feed(self, number: int, line: str) -> None:
        masked = self._masked.setdefault(number, MaskedEvents(self._mask))
        trace = self._traces.setdefault(number, self._steps[number].trace())
        for event in masked.feed(line):
            if trace.feed(event):
                self._view.watch(trace)


def kept_settings(started: tuple[Started, ...]) -> Mapping[str, object]:
    """Return the document that a run keeps about its builds."""
    return {
        "builds": [
            {
                "id": each.id,
                "project": each.project,
                "steps": [s.number for s in each.steps],
            }
            for each in started
        ]
    }
