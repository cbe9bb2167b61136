"""Go from plan to images: build, push, and record what is confirmed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lamina.decide.plan import Decision, FoundImage, Plan
from lamina.decide.preflight import passes_agent
from lamina.declare.machine import native_platform
from lamina.errors import BuildError, ConfigError, LaminaError, Problem, RegistryError
from lamina.execute.outcome import Outcome, Result, broken_off, cancelled
from lamina.execute.retag import apply_without_build
from lamina.flow.lock import pin_for_build
from lamina.flow.plan import decide
from lamina.flow.session import Session
from lamina.flow.snapshot import Snapshot, look_up, select, store_kind, take_snapshot
from lamina.identify.image import Image
from lamina.parallel import both
from lamina.reachable import reachable
from lamina.refs import Reference
from lamina.report.cold import with_saved
from lamina.report.installs import with_resolved
from lamina.report.record import write_manifest
from lamina.report.runs import RunSettings, keep_run, prune_runs

if TYPE_CHECKING:  # what builds, appends and pushes is imported when there is something to do
    from lamina.execute.bake import BuildRequest
    from lamina.execute.externals import Externals
    from lamina.execute.image_store import ImageStore
    from lamina.execute.remote_cache import ImageCache
    from lamina.execute.run import BuildEnv
    from lamina.registries.credentials import Credential
    from lamina.report.view import BuildView

Build = Callable[[Session, Plan, Snapshot, str], Outcome]
"""Builds a plan. Arguments: session, plan, the snapshot it was made from, name of the run."""


def build_images(
    session: Session, command: str, kind: str | None = None, *, by: Build | None = None
) -> Outcome:
    """Plan and build. Record every confirmed image, even if others fail, and record the run.

    by: the function that builds; by default with the engine's builder.
    """
    started = time.time()
    snapshot = take_snapshot(session, select(session, kind), pins=pin_for_build)
    snapshot = look_up(session, snapshot, session.destination)
    plan = decide(session, snapshot, append=store_kind(session))
    session.screen.headline(plan.headline)
    session.screen.notes(plan.notes)
    if session.project.settings.append == "only":
        from lamina.flow.append import check_appends

        check_appends(session, plan)
    run = session.begin_run(builds=True)
    if session.flags.push:
        images = [each.image for each in plan.decisions.values()]
        _check_destination(session, snapshot.externals, images)
    if session.attestations:
        from lamina.flow.attest import check_attestable

        session.screen.notes(check_attestable(session, plan))
    state = session.project.state
    try:
        outcome = _apply(session, plan, snapshot, run, by or _build)
    except (LaminaError, KeyboardInterrupt) as error:
        problems = error.problems if isinstance(error, LaminaError) else ()
        _keep(session, command, run, plan, broken_off(plan, problems, interrupted=not problems), started)
        raise
    outcome = with_resolved(state, outcome)
    outcome = with_saved(state, outcome, run=run, pushed=session.flags.push)
    write_manifest(state, outcome, run=run, pushed=session.flags.push)
    _keep(session, command, run, plan, outcome, started)
    return outcome


def _apply(session: Session, plan: Plan, snapshot: Snapshot, run: str, by: Build) -> Outcome:
    results = apply_without_build(plan, session.destination)
    tagged = {
        name: FoundImage(ref=each.image.ref, digest=each.digest)
        for name, each in results.items()
        if each.status == "retagged" and each.digest
    }
    moved = plan.acting("retag") if session.flags.push else ()
    if moved:
        from lamina.execute.publish import carry

        for decision in moved:
            if decision.source:
                carry(session.destination, decision.source, decision.image.ref)
    plan = replace(plan, found={**plan.found, **tagged})
    built, rest = Outcome(results={}), plan
    if plan.appends:
        from lamina.flow.append import append_images, with_appends, without_appended

        built, refused = append_images(session, plan, snapshot.images)
        if refused and built.ok:  # what else is lost is found out as if none could be appended
            found = look_up(session, snapshot, session.destination)
            plan = with_appends(decide(session, found), refused)
        rest = without_appended(plan, built)
    results.update(built.results)
    if not built.ok:
        reason = "cancelled: the run broke off"
        results.update({each.image.name: cancelled(each, reason) for each in rest.acting("build")})
    elif rest.acting("build"):
        built = by(session, rest, snapshot, run)
        results.update(built.results)
        if session.project.settings.append != "never":
            from lamina.flow.append import note_for_appends, tag_for_appends

            if session.flags.push:
                session.screen.notes(tag_for_appends(session.registry, built, snapshot.images))
            else:
                note_for_appends(session.project.state, built, snapshot.images)
    return replace(built, results={name: results[name] for name in plan.decisions})


def _keep(session: Session, command: str, run: str, plan: Plan, outcome: Outcome, started: float) -> None:
    project = session.project
    settings = RunSettings(
        command=command,
        static=session.static,
        push=session.flags.push,
        platform=project.settings.platform or native_platform(),
        registry=project.settings.registry,
        builder=project.settings.builder,
    )
    seconds = time.time() - started
    keep_run(project.state, run, settings, plan, outcome, started=started, seconds=seconds, mask=session.mask)
    session.observe(run, outcome)


def _build(session: Session, plan: Plan, snapshot: Snapshot, run: str) -> Outcome:
    """Stage, bake and confirm the builds of a plan; then tidy their remote caches."""
    from lamina.execute.cache_exports import export_again
    from lamina.execute.externals import check_stand_ins
    from lamina.execute.run import build
    from lamina.execute.spread import build_spread
    from lamina.flow.cache import find_caches, is_on_fresh_builder, settle_caches
    from lamina.flow.spread import find_spreading

    decisions, outside = plan.acting("build"), snapshot.externals
    make_ready(session, outside)
    by_digest = session.flags.push or session.builder.local_images
    support = () if by_digest else find_support(decisions, snapshot.images)
    caches = find_caches(session, (decision.image for decision in decisions))
    session.screen.notes(caches.notes)
    request, fresh = both(
        lambda: make_request(session, plan.found, decisions, support, outside, caches.images),
        lambda: is_on_fresh_builder(session, caches),
    )
    used = from_outside((*(each.image for each in decisions), *support), outside)
    check_stand_ins(used, outside, session.builder)
    with session.screen.progress(tuple(decision.image.name for decision in decisions)) as view:
        build_env = make_build_env(session, used, session.destination, run, view)
        jobs, keep_going = session.project.settings.jobs, session.flags.keep_going
        if spreading := find_spreading(session, request, build_env):
            outcome = build_spread(request, build_env, spreading, keep_going=keep_going, jobs=jobs)
        else:
            outcome = build(request, build_env, keep_going=keep_going, jobs=jobs)
        notes = outcome.notes
        if caches.images:
            again = partial(export_again, request, build_env, outcome)
            exact = not request.reproducible
            caches = replace(caches, fresh=None if spreading else fresh)
            settled = settle_caches(session.registry, caches, outcome, run, again, exact=exact)
            outcome, notes = replace(outcome, cache_uses=settled.uses), (*notes, *settled.notes)
    session.screen.notes(notes)
    return outcome


def make_ready(session: Session, outside: Externals) -> None:
    """Prepare the builder and load the stand-ins of a build, in parallel: both wait for a program."""
    from lamina.execute.externals import load_stand_ins

    engine = session.engine
    both(
        lambda: session.builder,
        lambda: load_stand_ins(outside, session.provider, session.runner, engine, session.screen.say),
    )


def make_request(
    session: Session,
    found: Mapping[str, FoundImage],
    decisions: tuple[Decision, ...],
    support: tuple[Image, ...],
    outside: Externals,
    caches: Mapping[str, ImageCache],
) -> BuildRequest:
    """Stage the contexts and return the build request. found: existing bases, by name."""
    from lamina.execute.bake import BuildRequest
    from lamina.execute.revision import read_revision
    from lamina.execute.staging import stage_images

    images = [*(decision.image for decision in decisions), *support]
    stages, revision = both(
        lambda: stage_images(session.project.state, images),
        lambda: read_revision(session.runner, session.project.root),  # git is slow on a large worktree
    )
    return BuildRequest(
        decisions=decisions,
        support=support,
        stages=stages,
        found=found,
        externals=outside.references,
        secrets=session.project.secrets,
        ssh=passes_agent(session.project.settings, images, os.environ),
        caches=caches,
        push=session.flags.push,
        local_images=session.builder.local_images,
        revision=revision.commit if revision and revision.clean else None,
        static=session.static,
        reproducible=session.project.settings.reproducible,
        attestations=session.attestations,
    )


def make_build_env(
    session: Session, outside: Iterable[Reference], store: ImageStore, run: str, view: BuildView
) -> BuildEnv:
    """Create the run's folder below `.lamina/runs/` and return its build environment.

    outside: see `from_outside`. store: the one in which its images are looked up.
    """
    from lamina.execute.run import BuildEnv
    from lamina.registries.credentials import DockerConfig

    folder = session.project.state / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)  # it may have calls of AWS already
    prune_runs(session.project.state)
    # buildx logs in by itself, also to registries that Lamina does not use.
    session.mask.learn(*DockerConfig.load().secrets)
    return BuildEnv(
        runner=session.runner,
        engine=session.engine,
        builder=session.builder.name,
        store=store,
        state=session.project.state,
        folder=folder,
        clock=time.time,
        watch=view.watch,
        environment={**session.variables, **session.docker_login.environment_for(outside)},
        renew=session.docker_login.renew,
        mask=session.mask,
        stalls=session.stalls,
    )


def from_outside(images: Iterable[Image], outside: Externals) -> tuple[Reference, ...]:
    """Return the references of external images that builds of these images may pull."""
    return tuple(
        Reference.parse(outside.references.get(image.name, {}).get(each.name, each.name))
        for image in images
        for each in image.node.externals
    )


def find_support(
    decisions: Iterable[Decision], images: Mapping[str, Image], visible: Collection[str] = ()
) -> tuple[Image, ...]:
    """Return the up-to-date bases that must be built again because the builder cannot see them.

    visible: names of the bases that it can see.
    """
    built = {decision.image.name for decision in decisions}

    def bases(name: str) -> Iterable[str]:
        return (
            each for each in images[name].node.parents if each in images and each not in {*built, *visible}
        )

    needed = reachable((base for name in built for base in bases(name)), bases)
    return tuple(images[name] for name in images if name in needed)


def push_built(session: Session) -> Outcome:
    """Push images of the engine that are not yet in the registry, and confirm every digest.

    Raises BuildError for images that are not built or not confirmed.
    """
    from lamina.execute.image_store import RegistryStore, find_images
    from lamina.execute.push import push_images
    from lamina.flow.attest import unattested_push

    snapshot = take_snapshot(session)
    chosen = snapshot.chosen
    session.screen.notes(unattested_push(session))
    _check_destination(session, snapshot.externals, chosen.values())
    registry = RegistryStore(session.registry)
    existing = find_images(registry, chosen.values())
    built = {name: _local_ref(session, image) for name, image in chosen.items() if name not in existing}
    BuildError.check(
        Problem(what=f"{chosen[name].ref} is not built", where="the engine", hint="invoke build-all")
        for name, ref in built.items()
        if ref is None
    )
    missing = {ref: chosen[name].ref for name, ref in built.items() if ref is not None}
    push_images(
        session.local_store,
        session.registry,
        missing,
        credential=credentials(session),
        say=session.screen.say,
        renew=session.docker_login.renew,
    )
    found = find_images(registry, chosen.values())
    BuildError.check(
        Problem(
            what=f"{registry.name} does not have all of {image.ref}, even after it was pushed",
            hint=f"invoke build-all --push --refresh --image {name}",
        )
        for name, image in chosen.items()
        if name not in found
    )
    results = {
        name: Result(
            image=image,
            status="skipped" if name in existing else "pushed",
            reasons=(f"{'was already' if name in existing else 'is now'} in {registry.name}",),
            digest=found[name].digest,
            size=found[name].size,
        )
        for name, image in chosen.items()
    }
    outcome = with_resolved(session.project.state, Outcome(results=results))
    write_manifest(session.project.state, outcome, run="push", pushed=True)
    return outcome


def _local_ref(session: Session, image: Image) -> Reference | None:
    """Return the engine's name for an image, built for this registry or for none. None if not built."""
    bare = Reference.parse(session.project.repository(image.name)).with_tag(image.tag)
    existing = session.engine_store.find([image.ref, bare])
    return next((ref for ref, found in existing.items() if found.is_image(image)), None)


def credentials(session: Session) -> Callable[[str], Credential | None]:
    """Return a function that finds the credential docker-py needs for a host; None if there is none."""
    from lamina.registries.credentials import DockerConfig, lookup

    environment = {**os.environ, **session.docker_login.environment}

    def find(host: str) -> Credential | None:
        found = lookup(session.runner, host, config=DockerConfig.load(environment))
        session.mask.learn(*(found.secrets if found else ()))
        return found

    return find


def _check_destination(session: Session, outside: Externals, images: Iterable[Image]) -> None:
    """Check, before anything is built, that the images can be pushed. With --create, create repositories.

    Raises ConfigError if a stand-in would leave this machine, RegistryError for missing repositories.
    """
    from lamina.flow.cache import read_policy

    registry, chosen = session.registry, list(images)
    away = [image for image in chosen if not image.repository.loopback]
    if outside.stand_ins and away and not session.flags.allow_stand_in:
        raise ConfigError.of(
            f"{', '.join(outside.stand_ins)} is a stand-in here: images built from it do not run on AWS",
            where=away[0].repository.pull_host,
            allowed="a loopback registry, or --allow-stand-in",
            hint="run `invoke lock` where the runtime's registry can be reached",
        )
    names = {session.project.repository(image.name) for image in chosen}
    policy = read_policy(session)
    if policy.writes:
        names |= {policy.name(name) for name in names}
    missing = registry.missing_repositories(name for name in names if not _made_by_push(session, name))
    if session.flags.create:
        for name in missing:
            registry.create_repository(name)
            session.screen.say(f"created repository {name}")
    else:
        RegistryError.check(
            Problem(
                what=f"there is no repository {name}",
                where=registry.address,
                hint="invoke ecr.setup creates all of them; or add --create, or: "
                f"aws ecr create-repository --repository-name {name}",
            )
            for name in missing
        )


def _made_by_push(session: Session, name: str) -> bool:
    """Whether ECR has a template from which a push creates the repository."""
    ecr = session.ecr
    return ecr is not None and session.project.ecr.creates(ecr.inventory.full(name))
