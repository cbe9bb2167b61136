"""Put further tags on existing images: the git revision, and ``stable`` on bases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lamina.errors import BuildError, Problem
from lamina.execute.image_store import find_images
from lamina.execute.revision import read_revision
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import STABLE, Image
from lamina.refs import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """An image and its tags, the content tag first."""

    image: Image
    tags: tuple[str, ...]


def make_tags(session: Session) -> tuple[Tagged, ...]:
    """Return each selected image's tags: ``sha-…``, ``git-…`` on a clean tree, ``stable`` in static mode."""
    selected = session.graph.select(session.flags.images)
    images = take_snapshot(session, selected).images
    revision = read_revision(session.runner, session.project.root)
    git = (revision.tag,) if revision and revision.clean else ()
    return tuple(
        Tagged(
            image=images[name],
            tags=(
                images[name].tag,
                *git,
                *((STABLE,) if session.static and _is_base(images[name]) else ()),
            ),
        )
        for name in selected
    )


def apply_tags(session: Session, tagged: tuple[Tagged, ...]) -> None:
    """Put the tags on existing images without pulling. Raises BuildError for missing images."""
    store = session.image_store
    existing = find_images(store, (each.image for each in tagged))
    BuildError.check(
        Problem(what=f"{each.image.ref} is not in {store.name}", hint="invoke build-all")
        for each in tagged
        if each.image.name not in existing
    )
    for each in tagged:
        for tag in each.tags[1:]:
            store.retag(existing[each.image.name], each.image.repository.with_tag(tag))


def move_stable(session: Session) -> Mapping[str, Reference]:
    """Point ``stable`` of the bases at their current content; return image -> reference with digest.

    In the engine the plain name ``<image>:stable`` moves too: Dockerfiles use it for plain
    ``docker build``.
    """
    selected = session.graph.select(session.flags.images, kind="base")
    images = take_snapshot(session, selected).chosen
    apply_tags(session, tuple(Tagged(image=image, tags=(image.tag, STABLE)) for image in images.values()))
    store = session.image_store
    existing = find_images(store, images.values())
    if not session.remote:
        for name in images:
            store.retag(existing[name], Reference.parse(name).with_tag(STABLE))
    return {
        name: replace(image.repository.with_tag(STABLE), digest=existing[name].digest)
        for name, image in images.items()
    }


def _is_base(image: Image) -> bool:
    return image.node.kind == "base"
