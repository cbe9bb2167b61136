"""Build a plan on CodeBuild: send the sources, start and follow the builds, confirm and record results."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from lamina.aws.clients import Access, Clients, boto_clients
from lamina.aws.codebuild import CodeBuild, SourceBucket, StartRequest
from lamina.codebuild.buildspec import (
    BUILDSPEC,
    EVENTS,
    RESULTS,
    CodeBuildMachine,
    buildspec,
    logins,
    public_hosts,
    results_prefix,
    secret_file,
)
from lamina.codebuild.follow import SUCCEEDED, Follower, Started, kept_settings
from lamina.codebuild.limits import architecture_of, needed_secrets, notes, unfit
from lamina.codebuild.source_bundle import make_bundle, write_zip
from lamina.codebuild.steps import RemoteStep, cancel, collect_results, explain_failure, split
from lamina.decide.plan import Plan
from lamina.declare.codebuild import ARCHITECTURES
from lamina.declare.config import Secret
from lamina.errors import AwsError, BuildError, ConfigError, Problem
from lamina.execute.bake import BuildRequest
from lamina.execute.engine import Builder
from lamina.execute.masked_events import hide_events
from lamina.execute.outcome import Outcome, Result
from lamina.files import write_atomic, write_json
from lamina.flow.build import build_images, make_request
from lamina.flow.cache import find_caches, settle_caches
from lamina.flow.session import Session
from lamina.flow.snapshot import Snapshot
from lamina.masks import Mask
from lamina.refs import Reference

COMMAND = "codebuild.build"
_SETUP_FIRST = "see Setup in docs/codebuild.md"
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


def build_on_codebuild(session: Session, options: CodeBuildOptions) -> Outcome:
    """Plan as for a push, and build the images on CodeBuild; see `build_images`.

    Raises ConfigError for missing configuration, AwsError when AWS fails.
    """
    ConfigError.check(_lacking(session, options))
    remote = Builder(name="codebuild", driver="docker-container", local_images=False)
    return build_images(session.elsewhere(remote), COMMAND, by=partial(_build, options=options))


def aws_clients(session: Session) -> Clients:
    """Return the clients for the region in which builds run."""
    region = session.project.codebuild.region or session.project.ecr.region
    return boto_clients(Access(region=region))


def lacking_registry(session: Session) -> Iterator[Problem]:
    """Yield a problem unless the registry is ECR."""
    if not session.on_ecr:
        registry = session.project.settings.sourced("registry")
        yield Problem(
            what=f"builds on CodeBuild push to ECR, and the registry is {registry.value!r}",
            where=registry.source,
            allowed="ecr, or ecr/prefix",
            hint='add --registry ecr, or registry = "ecr" to [tool.lamina]',
        )


def lacking_setting(key: str, what: str) -> Problem:
    """Return the problem of a missing configuration key."""
    return Problem(
        what=f"{what} is not configured", where=f"[tool.lamina.codebuild] {key}", hint=_SETUP_FIRST
    )


def elsewhere(bucket: SourceBucket, codebuild: CodeBuild) -> Iterator[Problem]:
    """Yield a problem if the bucket is in another region, from which builds cannot fetch sources."""
    region = bucket.region()
    if region and region != codebuild.region:
        yield Problem(
            what=f"the bucket {bucket.name} is in {region}, and builds run in {codebuild.region}",
            where="[tool.lamina.codebuild] bucket",
            allowed=f"a bucket in {codebuild.region}; CodeBuild fetches sources only from its own region",
            hint=f'name another bucket, or let builds run there: region = "{region}"',
        )


def outside_images(session: Session) -> tuple[Reference, ...]:
    """Return the images that builds pull from outside the project: machines, BuildKit, base images."""
    settings = session.project.codebuild
    machines = {settings.image_of(each) for each in ARCHITECTURES}
    own = {each for each in machines if not each.startswith("aws/codebuild/")}
    own |= {settings.buildkit} if settings.buildkit else set()
    names = {each.name for node in session.graph.nodes.values() for each in node.externals}
    return tuple(Reference.parse(name) for name in (*sorted(own), *sorted(names)))


def _lacking(session: Session, options: CodeBuildOptions) -> Iterator[Problem]:
    yield from lacking_registry(session)
    if session.project.codebuild.bucket is None:
        yield lacking_setting("bucket", "the bucket for sources")
    if session.attestations:
        yield Problem(
            what="images built on CodeBuild cannot have attestations",
            where="--provenance, --sbom",
            hint="leave them out, or build it here: invoke build-all --push",
        )
    if options.timeout is not None and not 5 <= options.timeout <= 2160:
        yield Problem(
            what=f"{options.timeout} minutes is not a valid timeout", where="--timeout", allowed="5 to 2160"
        )


def _build(
    session: Session,
    plan: Plan,
    snapshot: Snapshot,
    run: str,
    *,
    options: CodeBuildOptions,
) -> Outcome:
    """Build on CodeBuild; see `Build` of `build_images`."""
    decisions, outside = plan.acting("build"), snapshot.externals
    settings = session.project.codebuild
    built = {decision.image.name: decision.image for decision in decisions}
    used = {name for image in built for name in outside.references.get(image, ())}
    stand_ins = {name: each.ref for name, each in outside.stand_ins.items() if name in used}
    project = session.project
    ConfigError.check(unfit(settings, built, secrets=project.secrets, stand_ins=stand_ins))
    caches = find_caches(session, built.values())
    session.screen.notes((*caches.notes, *notes(settings)))
    request = make_request(session, plan.found, decisions, (), outside, caches.images)
    needed = needed_secrets(settings, built.values())
    clients = aws_clients(session)
    codebuild, bucket = CodeBuild(clients), SourceBucket(str(settings.bucket), clients)
    ConfigError.check(elsewhere(bucket, codebuild))
    machine = CodeBuildMachine(
        logins={
            session.registry.address.partition("/")[0]: project.ecr.region or codebuild.region,
            **logins(outside_images(session)),
        },
        region=codebuild.region,
        buildkit=settings.buildkit,
        secrets=needed,
        public=public_hosts(outside_images(session)),
    )
    remotes = _remote_builds(session, request, machine, tuple(needed))
    ConfigError.check(_secret_arguments(remotes))
    folder = session.project.state / "runs" / run
    folder.mkdir(parents=True)
    started: list[Started] = []
    try:
        for each in remotes:
            started.append(_begin(session, codebuild, bucket, request, each, folder, options))
            session.screen.say(f"{each.project}: started {started[-1].id}")
        write_json(folder / "codebuild.json", kept_settings(tuple(started)))
        if not options.wait:
            return _left_running(tuple(started))
        outcome = _follow(session, codebuild, bucket, tuple(started), folder, options)
    except KeyboardInterrupt:
        return _stopped(session, codebuild, tuple(started), remotes)
    except AwsError:
        if len(started) < len(remotes):  # one of two architectures was not started
            with suppress(AwsError):
                _stop(codebuild, tuple(started))
        raise
    exact = not request.reproducible
    session.screen.notes(settle_caches(session.registry, caches, outcome, exact=exact))
    return outcome


def _remote_builds(
    session: Session, request: BuildRequest, machine: CodeBuildMachine, secrets: tuple[str, ...]
) -> tuple[RemoteBuild, ...]:
    """Return one build per architecture, each on one machine."""
    settings = session.project.codebuild
    files = tuple(
        Secret(name=name, file=Path(secret_file(number))) for number, name in enumerate(secrets, start=1)
    )
    remotes: list[RemoteBuild] = []
    for name in ARCHITECTURES:
        own = tuple(each for each in request.decisions if architecture_of(each.image) == name)
        if not own:
            continue
        first = 1 + sum(len(remote.steps) for remote in remotes)
        jobs = session.project.settings.jobs
        steps = split(replace(request, decisions=own, secrets=files), jobs, first=first)
        texts = {
            **{each.step.bake_file: each.render() for each in steps},
            BUILDSPEC: buildspec([each.step for each in steps], machine),
        }
        remotes.append(RemoteBuild(project=settings.project_of(name), steps=steps, texts=texts))
    return tuple(remotes)


def _secret_arguments(remotes: Iterable[RemoteBuild]) -> Iterator[Problem]:
    """Yield a problem if bake needs variables of this machine: build arguments that look like secrets."""
    names = {name for remote in remotes for step in remote.steps for name in step.bake.environment}
    if names:
        yield Problem(
            what="build arguments that look like secrets are not sent to CodeBuild",
            where="[tool.lamina.args]",
            hint="read them with RUN --mount=type=secret, from [tool.lamina.codebuild.secrets]",
        )


def _send(session: Session, bucket: SourceBucket, request: BuildRequest, remote: RemoteBuild) -> str:
    """Upload the source of a build unless the bucket has it, and return its key."""
    stages = {name: request.stages[name] for step in remote.steps for name in step.images}
    with tempfile.TemporaryDirectory(prefix="source-", dir=session.project.state) as scratch:
        bundle = make_bundle(Path(scratch), remote.texts, stages)
        BuildError.check(
            Problem(what=f"the staged files of {name} changed while they were packed", hint="run again")
            for name, each in stages.items()
            if not each.intact
        )
        if bucket.has(bundle.key):
            session.screen.say(f"{remote.project}: already in the bucket: s3://{bucket.name}/{bundle.key}")
            return bundle.key
        file = Path(scratch) / "source.zip"
        write_zip(bundle, file)
        size = file.stat().st_size
        bucket.upload(file, bundle.key)
        session.screen.say(f"{remote.project}: sent {size} bytes to s3://{bucket.name}/{bundle.key}")
        return bundle.key


def _begin(
    session: Session,
    codebuild: CodeBuild,
    bucket: SourceBucket,
    request: BuildRequest,
    remote: RemoteBuild,
    folder: Path,
    options: CodeBuildOptions,
) -> Started:
    """Send a source and start its build. The bake files are kept locally, as for a local run."""
    for step in remote.steps:
        write_atomic(folder / step.step.bake_file, remote.texts[step.step.bake_file])
    start = StartRequest(
        project=remote.project,
        source=f"{bucket.name}/{_send(session, bucket, request, remote)}",
        buildspec=BUILDSPEC,
        environment={RESULTS: f"s3://{bucket.name}/{results_prefix(folder.name)}"},
        token=f"{folder.name}-{remote.steps[0].number}",
        timeout=options.timeout or session.project.codebuild.timeout,
    )
    return Started(id=codebuild.start(start), project=remote.project, steps=remote.steps)


def _left_running(started: tuple[Started, ...]) -> Outcome:
    """Return the outcome of a run that does not wait; nothing is recorded yet."""
    results = {
        decision.image.name: Result(image=decision.image, status="started", reasons=decision.reasons)
        for each in started
        for step in each.steps
        for decision in step.request.decisions
    }
    return Outcome(results=results, remote=tuple(each.id for each in started))


def _follow(
    session: Session,
    codebuild: CodeBuild,
    bucket: SourceBucket,
    started: tuple[Started, ...],
    folder: Path,
    options: CodeBuildOptions,
) -> Outcome:
    minutes = options.timeout or session.project.codebuild.timeout
    names = tuple(name for each in started for step in each.steps for name in step.images)
    with session.screen.progress(names) as view:
        follower = Follower(
            codebuild, started, view, session.screen.say, mask=session.mask, follow=options.follow
        )
        seconds = minutes * 60 + _QUEUE_SECONDS
        in_time = follower.wait(pause=options.pause, clock=options.clock, seconds=seconds)
    if not in_time:
        _stop(codebuild, started)
        steps = tuple(step for each in started for step in each.steps)
        what = f"not done after {seconds / 60:.0f} minutes, including the wait for a machine; it was stopped"
        problem = Problem(what=what, where=", ".join(each.id for each in started), hint="--timeout MINUTES")
        return replace(cancel(steps, "it took too long"), problems=(problem,), remote=_ids(started))
    _fetch(bucket, folder, session.mask, failed=any(follower.status(each) != SUCCEEDED for each in started))
    outcomes = [_end(session, follower, each, folder, minutes) for each in started]
    return Outcome(
        results={name: result for each in outcomes for name, result in each.results.items()},
        installs={name: steps for each in outcomes for name, steps in each.installs.items()},
        problems=tuple(problem for each in outcomes for problem in each.problems),
        remote=_ids(started),
    )


def _end(session: Session, follower: Follower, started: Started, folder: Path, minutes: int) -> Outcome:
    """Return the outcome of one build."""
    status = follower.status(started)
    if status == SUCCEEDED:
        return collect_results(started.steps, folder, session.destination, time.time)
    outcome = explain_failure(started.steps, folder)
    if status == "FAILED" and outcome.problems:
        return outcome
    return replace(outcome, problems=(follower.problem(started, minutes=minutes), *outcome.problems))


def _fetch(bucket: SourceBucket, folder: Path, mask: Mask, *, failed: bool) -> None:
    """Download the builds' results into the run's folder. failed: one failed, so results may be missing."""
    try:
        for key in bucket.keys(results_prefix(folder.name)):
            file = folder / Path(key).name
            bucket.download(key, file)
            if file.match(EVENTS):
                hide_events(file, mask)
    except AwsError:
        if not failed:
            raise


def _stopped(
    session: Session, codebuild: CodeBuild, started: tuple[Started, ...], remotes: tuple[RemoteBuild, ...]
) -> Outcome:
    """Return the outcome of a run that the user stopped; ask whether to stop the builds as well."""
    ids = ", ".join(_ids(started))
    if started and session.screen.ask(f"stop {ids} as well?", default=True):
        try:
            _stop(codebuild, started)
            session.screen.say(f"stopped {ids}")
        except AwsError as error:
            session.screen.notes(
                replace(each, what=f"{ids} could not be stopped: {each.what}") for each in error.problems
            )
    elif started:
        session.screen.say(f"{ids} continues; the next run finds the images it pushes")
    steps = tuple(step for each in remotes for step in each.steps)
    return replace(cancel(steps, "the run was stopped"), interrupted=True, remote=_ids(started))


def _stop(codebuild: CodeBuild, started: tuple[Started, ...]) -> None:
    problems: list[Problem] = []
    for each in started:
        try:
            codebuild.stop(each.id)
        except AwsError as error:
            problems += error.problems
    AwsError.check(problems)


def _ids(started: tuple[Started, ...]) -> tuple[str, ...]:
    return tuple(each.id for each in started)
