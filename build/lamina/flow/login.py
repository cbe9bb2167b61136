"""Prepare for a build: log in to the registry, and pull base images into the engine."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.execute.externals import load_stand_ins
from lamina.flow.credentials import credentials
from lamina.flow.lock import read_pins
from lamina.flow.pull_through import through_caches
from lamina.flow.session import Session
from lamina.flow.snapshot import select, take_snapshot, without_stable
from lamina.refs import Reference


def enter(session: Session) -> str:
    """Log in to ECR, or check docker's credentials for another registry. Return the result as a sentence."""
    if not session.remote:
        return "nothing to log in to: images live in the engine"
    if session.ecr:
        done = session.ecr.login()
        until = f", good until {done.expires:%Y-%m-%d %H:%M} UTC" if done.expires else ""
        return f"logged in to {done.host} ({done.source}){until}"
    session.registry.check()
    return f"{session.registry.address} lets us in"


def warm(session: Session) -> Iterator[tuple[str, str]]:
    """Pull the base images the next build needs, by digest; yield each name with the result.

    Missing images are reported, not an error.
    """
    chosen = select(session)
    outside = read_pins(session, chosen)
    load_stand_ins(outside, session.provider, session.runner, session.engine, session.screen.say)
    for name in outside.stand_ins:
        yield name, f"stand-in {outside.stand_ins[name].ref} is in the engine"
    for name in outside.unlocked:
        yield name, "not pinned yet: invoke lock"
    outside = through_caches(session, outside, chosen)
    pulled = {
        (name, ref): None
        for used in outside.references.values()
        for name, ref in used.items()
        if name not in outside.stand_ins
    }
    images = take_snapshot(session, stable=without_stable).images
    bases = {name: image.ref for name, image in images.items() if image.node.kind == "base"}
    existing = session.image_store.find(bases.values())
    for name, ref in bases.items():
        if ref not in existing:
            yield name, f"{ref.tag} is not in {session.image_store.name}"
        elif session.remote:
            pulled[name, f"{ref.name}@{existing[ref].digest}"] = None
        else:
            yield name, f"{ref.tag} is in {session.image_store.name}"
    find = credentials(session)
    for name, text in pulled:
        reference = Reference.parse(text)
        yield name, session.local_store.pull(reference, find(reference.pull_host))
