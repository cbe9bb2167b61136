"""Run the builds of a plan on CodeBuild: send the sources, start, follow and stop them, read the results."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lamina.aws.codebuild import CodeBuild, StartRequest
from lamina.aws.source_bucket import SourceBucket
from lamina.codebuild.buildspec import BUILDSPEC, EVENTS, RESULTS, results_prefix
from lamina.codebuild.follow import SUCCEEDED, Follower, Started, kept_settings
from lamina.codebuild.source_bundle import make_bundle, write_zip
from lamina.codebuild.steps import RemoteStep, cancel, collect_results, explain_failure, join_outcomes
from lamina.errors import AwsError, BuildError, Problem
from lamina.execute.masked_events import hide_events
from lamina.execute.outcome import Outcome, Result
from lamina.files import write_atomic, write_json
from lamina.flow.session import Session
from lamina.identify.stage import StagedContext

_QUEUE_SECONDS = 600.0  # the wait for a machine


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBuildOptions:
    """Options of a build.

    Attributes:
        wait: for its end.
        follow: print every line of its log.
        timeout: minutes.
        pause: sleeps for seconds.
        clock: returns seconds.
    """

    wait: bool = True
    follow: bool = False
    timeout: int | None = None
    pause: Callable[[float], None] = field(default=time.sleep)
    clock: Callable[[], float] = field(default=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteBuild:
    """One build to start, of all images of an architecture. texts: its files other than the contexts."""

    project: str
    steps: tuple[RemoteStep, ...]
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """The builds of one run.

    Attributes:
        folder: the run's folder in the state of the project.
        remotes: the builds to start.
        stages: image -> its staged context.
    """

    session: Session
    codebuild: CodeBuild
    bucket: SourceBucket
    folder: Path
    options: CodeBuildOptions
    remotes: tuple[RemoteBuild, ...]
    stages: Mapping[str, StagedContext]

    def run(self) -> Outcome:
        """Start the builds; unless the options say otherwise, follow them to their end.

        Raises:
            BuildError: staged files changed while they were packed.
            AwsError: AWS failed. If only some builds were started, they are stopped.
        """
        started: list[Started] = []
        try:
            for each in self.remotes:
                started.append(self._start(each))
                self.session.screen.say(f"{each.project}: started {started[-1].id}")
            write_json(self.folder / "codebuild.json", kept_settings(tuple(started)))
            if not self.options.wait:
                return _left_running(tuple(started))
            return self._follow(tuple(started))
        except KeyboardInterrupt:
            return self._interrupted(tuple(started))
        except AwsError:
            if len(started) < len(self.remotes):  # one of two architectures was not started
                with suppress(AwsError):
                    self._stop(tuple(started))
            raise

    @property
    def _minutes(self) -> int:
        return self.options.timeout or self.session.project.codebuild.timeout

    def _start(self, remote: RemoteBuild) -> Started:
        """Send a source and start its build. The bake files are kept locally, as for a local run."""
        for step in remote.steps:
            write_atomic(self.folder / step.step.bake_file, remote.texts[step.step.bake_file])
        start = StartRequest(
            project=remote.project,
            source=f"{self.bucket.name}/{self._send(remote)}",
            buildspec=BUILDSPEC,
            environment={RESULTS: f"s3://{self.bucket.name}/{results_prefix(self.folder.name)}"},
            token=f"{self.folder.name}-{remote.steps[0].number}",
            timeout=self._minutes,
        )
        return Started(id=self.codebuild.start(start), project=remote.project, steps=remote.steps)

    def _send(self, remote: RemoteBuild) -> str:
        """Upload the source of a build unless the bucket has it, and return its key."""
        stages = {name: self.stages[name] for step in remote.steps for name in step.images}
        bucket, say = self.bucket, self.session.screen.say
        with tempfile.TemporaryDirectory(prefix="source-", dir=self.session.project.state) as scratch:
            bundle = make_bundle(Path(scratch), remote.texts, stages)
            BuildError.check(
                Problem(what=f"the staged files of {name} changed while they were packed", hint="run again")
                for name, each in stages.items()
                if not each.intact
            )
            if bucket.has(bundle.key):
                say(f"{remote.project}: already in the bucket: s3://{bucket.name}/{bundle.key}")
                return bundle.key
            file = Path(scratch) / "source.zip"
            write_zip(bundle, file)
            size = file.stat().st_size
            bucket.upload(file, bundle.key)
            say(f"{remote.project}: sent {size} bytes to s3://{bucket.name}/{bundle.key}")
            return bundle.key

    def _follow(self, started: tuple[Started, ...]) -> Outcome:
        """Follow the builds to their end, and read their results."""
        session, options = self.session, self.options
        steps = _steps(started)
        with session.screen.progress(tuple(name for step in steps for name in step.images)) as view:
            follower = Follower(
                self.codebuild, started, view, session.screen.say, mask=session.mask, follow=options.follow
            )
            seconds = self._minutes * 60 + _QUEUE_SECONDS
            in_time = follower.wait(pause=options.pause, clock=options.clock, seconds=seconds)
        if not in_time:
            self._stop(started)
            minutes = f"{seconds / 60:.0f} minutes"
            problem = Problem(
                what=f"not done after {minutes}, including the wait for a machine; it was stopped",
                where=", ".join(_ids(started)),
                hint="--timeout MINUTES",
            )
            return replace(cancel(steps, "it took too long"), problems=(problem,), remote=_ids(started))
        self._fetch(failed=any(follower.status(each) != SUCCEEDED for each in started))
        outcomes = [self._outcome(follower, each) for each in started]
        return replace(join_outcomes(outcomes), remote=_ids(started))

    def _outcome(self, follower: Follower, started: Started) -> Outcome:
        """Return the outcome of one build."""
        status = follower.status(started)
        if status == SUCCEEDED:
            return collect_results(started.steps, self.folder, self.session.destination, time.time)
        outcome = explain_failure(started.steps, self.folder)
        if status == "FAILED" and outcome.problems:
            return outcome
        problem = follower.problem(started, minutes=self._minutes)
        return replace(outcome, problems=(problem, *outcome.problems))

    def _fetch(self, *, failed: bool) -> None:
        """Download the builds' results into the run's folder. failed: one failed; results may be missing."""
        try:
            for key in self.bucket.keys(results_prefix(self.folder.name)):
                file = self.folder / Path(key).name
                self.bucket.download(key, file)
                if file.match(EVENTS):
                    hide_events(file, self.session.mask)
        except AwsError:
            if not failed:
                raise

    def _interrupted(self, started: tuple[Started, ...]) -> Outcome:
        """Return the outcome of a run that the user stopped; ask whether to stop the builds as well."""
        ids, screen = ", ".join(_ids(started)), self.session.screen
        if started and screen.ask(f"stop {ids} as well?", default=True):
            try:
                self._stop(started)
                screen.say(f"stopped {ids}")
            except AwsError as error:
                screen.notes(
                    replace(each, what=f"{ids} could not be stopped: {each.what}") for each in error.problems
                )
        elif started:
            screen.say(f"{ids} continues; the next run finds the images it pushes")
        steps = tuple(step for each in self.remotes for step in each.steps)
        return replace(cancel(steps, "the run was stopped"), interrupted=True, remote=_ids(started))

    def _stop(self, started: tuple[Started, ...]) -> None:
        problems: list[Problem] = []
        for each in started:
            try:
                self.codebuild.stop(each.id)
            except AwsError as error:
                problems += error.problems
        AwsError.check(problems)


def _left_running(started: tuple[Started, ...]) -> Outcome:
    """Return the outcome of a run that does not wait; nothing is recorded yet."""
    results = {
        decision.image.name: Result(image=decision.image, status="started", reasons=decision.reasons)
        for step in _steps(started)
        for decision in step.request.decisions
    }
    return Outcome(results=results, remote=_ids(started))


def _steps(started: tuple[Started, ...]) -> tuple[RemoteStep, ...]:
    return tuple(step for each in started for step in each.steps)


def _ids(started: tuple[Started, ...]) -> tuple[str, ...]:
    return tuple(each.id for each in started)
