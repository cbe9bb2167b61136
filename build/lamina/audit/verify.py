"""Verify: rebuild an image without cache, in its own engine, and compare it with the recorded image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lamina.audit.audit import made_by
from lamina.audit.compare import compare
from lamina.audit.layers import Makeup, align
from lamina.audit.verified import Verified, VerifiedRow
from lamina.decide.layers import LayerStep
from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError, ConfigError, Problem
from lamina.execute.annotations import REVISION
from lamina.execute.image_store import find_images
from lamina.execute.run import build
from lamina.flow.lock import read_pins
from lamina.flow.request import from_outside, make_build_env, make_ready, make_request
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot, without_stable
from lamina.registries.content import Content
from lamina.report.runs import name_run


def verify_image(session: Session, name: str) -> Verified:
    """Build an image and its bases without cache, in a temporary private engine, and compare.

    Nothing is recorded or pushed.

    Raises:
        BuildError: The image does not exist or does not build.
        EngineError: No private engine can be started.
        ConfigError: A base is not locked.
    """
    session.graph.select((name,))
    outside = read_pins(session, (name,))
    ConfigError.check(
        Problem(what=f"{each} is not locked: its tag may move", hint="invoke lock")
        for each in outside.unlocked
    )
    images = take_snapshot(session, (name,), stable=without_stable).images
    image = images[name]
    found = find_images(session.image_store, [image]).get(image.name)
    if found is None:
        raise BuildError.of(
            f"{image.ref} is not in {session.image_store.name}: there is nothing to verify",
            hint=f"invoke build-all --image {name} --reproducible",
        )
    session.screen.headline(outside.headline)
    with session.image_store.open(found) as recorded, _cold(session) as cold:
        outside = make_ready(cold, outside, images)
        decisions = tuple(
            Decision(image=each, action="build", reasons=("verify",)) for each in images.values()
        )
        # The manifest names the commit; the files may be the same in another one.
        request = replace(
            make_request(cold, {}, decisions, (), outside, {}), revision=recorded.annotations.get(REVISION)
        )
        with cold.screen.progress(tuple(images)) as view:
            used = from_outside(images.values(), outside)
            outcome = build(request, make_build_env(cold, used, cold.engine_store, name_run("verify"), view))
        if outcome.interrupted:
            raise KeyboardInterrupt
        BuildError.check(outcome.problems)
        built = cold.engine_store.find([image.ref])[image.ref]
        steps = made_by(image, outside)
        with cold.engine_store.open(built) as rebuilt:
            rows = tuple(_rows(steps, found, recorded, built, rebuilt))
            return Verified(image=image, found=found, rows=rows, verdict=compare(rebuilt, recorded, steps))


@contextmanager
def _cold(session: Session) -> Iterator[Session]:
    """Open a session with its own empty engine."""
    name = f"verify-{os.getpid()}"
    cold = session.within(name)
    try:
        yield cold
    finally:
        cold.close()
        session.provider.remove_engine(session.runner, name)


def _rows(
    steps: tuple[LayerStep, ...], found: FoundImage, recorded: Content, built: FoundImage, rebuilt: Content
) -> Iterator[VerifiedRow]:
    if found.digest != recorded.digest:  # an engine without the containerd store has no manifests
        yield VerifiedRow(name="manifest", recorded=found.digest, rebuilt=built.digest)
    yield VerifiedRow(name="configuration", recorded=recorded.digest, rebuilt=rebuilt.digest)
    for pair in align(steps, Makeup.of(rebuilt.config), Makeup.of(recorded.config)):
        yield VerifiedRow(
            name=f"layer {pair.number}, {pair.step.text}", recorded=pair.found, rebuilt=pair.built
        )
