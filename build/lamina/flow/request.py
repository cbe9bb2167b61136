"""Make ready what a build needs: the builder, the staged contexts, the run's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from lamina.decide.plan import Decision, FoundImage
from lamina.decide.preflight import passes_agent
from lamina.flow.session import Session
from lamina.identify.image import Image
from lamina.parallel import both
from lamina.reachable import reachable
from lamina.refs import Reference
from lamina.report.runs import prune_runs

if TYPE_CHECKING:
    from lamina.execute.bake import BuildRequest
    from lamina.execute.externals import Externals
    from lamina.execute.image_store import ImageStore
    from lamina.execute.remote_cache import ImageCache
    from lamina.execute.run import BuildEnv
    from lamina.report.view import BuildView


def make_ready(session: Session, outside: Externals, images: Iterable[str]) -> Externals:
    """Prepare the builder and load the stand-ins of a build, in parallel: both wait for a program.

    Return the external images as builds of these images and their bases pull them.
    """
    from lamina.execute.externals import load_stand_ins

    engine = session.engine
    both(
        lambda: session.builder,
        lambda: load_stand_ins(outside, session.provider, session.runner, engine, session.screen.say),
    )
    if not session.project.ecr.pull_through:
        return outside
    from lamina.flow.pull_through import through_caches

    return through_caches(session, outside, images)


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
