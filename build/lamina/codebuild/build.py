"""Build a plan on CodeBuild: check what it needs, make one build for each architecture, and run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from lamina.aws.clients import Access, Clients
from lamina.aws.codebuild import CodeBuild
from lamina.aws.source_bucket import SourceBucket
from lamina.codebuild.buildspec import (
    BUILDSPEC,
    CodeBuildMachine,
    buildspec,
    logins,
    public_hosts,
    secret_file,
)
from lamina.codebuild.limits import architecture_of, needed_secrets, notes, unfit
from lamina.codebuild.run import CodeBuildOptions, RemoteBuild, RemoteRun
from lamina.codebuild.steps import split
from lamina.decide.plan import Plan
from lamina.declare.codebuild import ARCHITECTURES
from lamina.declare.config import Secret
from lamina.errors import ConfigError, Problem
from lamina.execute.bake import BuildRequest
from lamina.execute.engine import Builder
from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.flow.cache import find_caches, settle_caches
from lamina.flow.pull_through import in_cache, through_caches
from lamina.flow.request import make_request
from lamina.flow.session import Session
from lamina.flow.snapshot import Snapshot
from lamina.refs import Reference

COMMAND = "codebuild.build"
_SETUP_FIRST = "see Setup in docs/codebuild.md"


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
    return session.aws(Access(region=region))


def lacking_registry(session: Session, reason: str = "builds on CodeBuild push to ECR") -> Iterator[Problem]:
    """Yield a problem unless the registry is ECR. reason: why it has to be."""
    if not session.on_ecr:
        registry = session.project.settings.sourced("registry")
        yield Problem(
            what=f"{reason}, and the registry is {registry.value!r}",
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
    references = tuple(Reference.parse(name) for name in (*sorted(own), *sorted(names)))
    return (*references, *(cached for each in references if (cached := in_cache(session, each))))


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
    decisions = plan.acting("build")
    settings = session.project.codebuild
    built = {decision.image.name: decision.image for decision in decisions}
    outside = through_caches(session, snapshot.externals, built)
    used = {name for image in built for name in outside.references.get(image, ())}
    stand_ins = {name: each.ref for name, each in outside.stand_ins.items() if name in used}
    project = session.project
    agent = project.settings.ssh
    ConfigError.check(unfit(settings, built, secrets=project.secrets, stand_ins=stand_ins, ssh=agent))
    caches = find_caches(session, built.values())
    session.screen.notes((*caches.notes, *notes(settings)))
    request = make_request(session, plan.found, decisions, (), outside, caches.images)
    needed = needed_secrets(settings, built.values())
    clients = aws_clients(session)
    codebuild, bucket = CodeBuild(clients), SourceBucket(str(settings.bucket), clients)
    ConfigError.check(elsewhere(bucket, codebuild))
    remotes = _remote_builds(session, request, _machine(session, codebuild.region, needed))
    ConfigError.check(_secret_arguments(remotes))
    folder = session.project.state / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)  # it may have calls of AWS already
    remote_run = RemoteRun(
        session=session,
        codebuild=codebuild,
        bucket=bucket,
        folder=folder,
        options=options,
        remotes=remotes,
        stages=request.stages,
    )
    outcome = remote_run.run()
    if options.wait and not outcome.interrupted:
        exact = not request.reproducible
        settled = settle_caches(session.registry, caches, outcome, run, exact=exact)
        session.screen.notes(settled.notes)
        outcome = replace(outcome, cache_uses=settled.uses)
    return outcome


def _machine(session: Session, region: str, secrets: Mapping[str, str]) -> CodeBuildMachine:
    """Return the registries, builder and secrets of the builds. region: in which they run."""
    own = session.registry.address.partition("/")[0]
    outside = outside_images(session)
    return CodeBuildMachine(
        logins={own: session.project.ecr.region or region, **logins(outside)},
        region=region,
        buildkit=session.project.codebuild.buildkit,
        secrets=secrets,
        public=public_hosts(outside),
    )


def _remote_builds(
    session: Session, request: BuildRequest, machine: CodeBuildMachine
) -> tuple[RemoteBuild, ...]:
    """Return one build per architecture, each on one machine."""
    settings = session.project.codebuild
    files = tuple(
        Secret(name=name, file=Path(secret_file(number)))
        for number, name in enumerate(machine.secrets, start=1)
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
