"""Push images that the engine has built already."""

from __future__ import annotations

from lamina.errors import BuildError, Problem
from lamina.execute.outcome import Outcome, Result
from lamina.flow.credentials import credentials
from lamina.flow.destination import check_destination
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.report.installs import with_resolved
from lamina.report.record import write_manifest


def push_built(session: Session) -> Outcome:
    """Push images of the engine that are not yet in the registry, and confirm every digest.

    Raises BuildError for images that are not built or not confirmed.
    """
    from lamina.execute.image_store import RegistryStore, find_images
    from lamina.execute.push import push_images
    from lamina.execute.task_run import skipped, timed
    from lamina.flow.attest import unattested_push

    snapshot = take_snapshot(session)
    chosen = snapshot.chosen
    session.screen.notes(unattested_push(session))
    check_destination(session, snapshot.externals, chosen.values())
    registry = RegistryStore(session.registry)
    existing = find_images(registry, chosen.values())
    built = {name: _local_ref(session, image) for name, image in chosen.items() if name not in existing}
    BuildError.check(
        Problem(what=f"{chosen[name].ref} is not built", where="the engine", hint="invoke build-all")
        for name, ref in built.items()
        if ref is None
    )
    missing = {ref: chosen[name].ref for name, ref in built.items() if ref is not None}
    names = {image.ref: name for name, image in chosen.items()}
    for name in existing:
        session.did(skipped("push", name, chosen[name].ref))
    push_images(
        session.local_store,
        session.registry,
        missing,
        credential=credentials(session),
        around=lambda ref: timed(session.did, "push", names[ref], status="pushed", ref=ref),
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
    if missing and session.project.settings.append != "never":
        from lamina.flow.append import tag_for_appends

        session.screen.notes(tag_for_appends(session.registry, outcome, snapshot.images))
    write_manifest(session.project.state, outcome, run="push", pushed=True)
    return outcome


def _local_ref(session: Session, image: Image) -> Reference | None:
    """Return the engine's name for an image, built for this registry or for none. None if not built."""
    bare = Reference.parse(session.project.repository(image.name)).with_tag(image.tag)
    existing = session.engine_store.find([image.ref, bare])
    return next((ref for ref, found in existing.items() if found.is_image(image)), None)
