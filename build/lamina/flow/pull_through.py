"""Pull external images through the caches that the project's ECR keeps of other registries.

Only where an image comes from changes: its digest, and with it every fingerprint, is the same.
https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lamina.errors import Problem, RegistryError
from lamina.parallel import gather
from lamina.refs import Reference

if TYPE_CHECKING:
    from lamina.execute.externals import Externals
    from lamina.flow.session import Session
    from lamina.registries.base import Manifest

_THREADS = 8
_PERMISSIONS = (
    "allow ecr:BatchImportUpstreamImage, and ecr:CreateRepository for the first pull, below its prefix "
    "(docs/ecr.md); make the rule: invoke ecr.setup"
)


def through_caches(session: Session, outside: Externals, images: Iterable[str]) -> Externals:
    """Return the external images with references to the caches from which builds pull them.

    An image that its cache does not have is pulled from its own registry, which a note says.

    Args:
        images: names of the images to be built; their bases count as well.
    """
    if not session.on_ecr or session.flags.offline:
        return outside
    chosen = {
        name: {each: outside.references[name].get(each, each) for each in outside.identities[name]}
        for name in session.graph.with_ancestors(images)
    }
    asked = {
        (name, text): None
        for used in chosen.values()
        for name, text in used.items()
        if name not in outside.stand_ins and session.project.ecr.cache_of(Reference.parse(text))
    }
    found = dict(
        zip(asked, gather(lambda each: _cached(session, *each), tuple(asked), threads=_THREADS), strict=True)
    )
    session.screen.notes(each for each in found.values() if isinstance(each, Problem))
    cached = {key: str(each) for key, each in found.items() if isinstance(each, Reference)}
    references: Mapping[str, Mapping[str, str]] = {
        **outside.references,
        **{
            name: {
                **outside.references[name],
                **{each: cached[each, text] for each, text in used.items() if (each, text) in cached},
            }
            for name, used in chosen.items()
        },
    }
    return replace(outside, references=references)


def in_cache(session: Session, reference: Reference) -> Reference | None:
    """Return an image of another registry as it is named in its cache; None without a cache."""
    cache = session.project.ecr.cache_of(reference) if session.on_ecr else None
    if cache is None:
        return None
    host = session.registry.address.partition("/")[0]
    return replace(reference, host=host, repository=cache.repository(reference))


def read_through(session: Session, reference: Reference) -> Manifest | None:
    """Return what a name stands for: as its cache has it, otherwise as its own registry has it.

    ECR asks the other registry about a tag once a day.
    """
    try:
        cached = in_cache(session, reference)
        found = session.registry.manifest(cached) if cached else None
    except RegistryError as error:
        session.screen.notes([_passed_by(str(reference), reference, error.problems[0].what)])
        found = None
    return found or session.registries.upstream(reference).manifest(reference)


def _cached(session: Session, name: str, text: str) -> Reference | Problem:
    """Return an image in its cache, or why it is not pulled from there."""
    wanted, written = Reference.parse(text), Reference.parse(name)
    try:
        cached = in_cache(session, wanted)
        if cached is None:
            return wanted
        if session.registry.manifest(cached):
            return cached
        # ECR fetches only what it is asked for by tag: https://github.com/aws/containers-roadmap/issues/2837
        if written.tag is None and written.digest:
            return _passed_by(name, wanted, "ECR does not fetch an image that has no tag")
        if session.registry.manifest(cached.with_tag(written.tag or "latest")) is None:
            return _passed_by(name, wanted, f"ECR did not fetch {cached.name}")
        if session.registry.manifest(cached):
            return cached
    except RegistryError as error:
        return _passed_by(name, wanted, error.problems[0].what)
    return replace(
        _passed_by(name, wanted, f"the tag of {cached.name} names another image than lamina.lock"),
        hint="invoke lock --refresh",
    )


def _passed_by(name: str, reference: Reference, why: str) -> Problem:
    return Problem(what=f"{name} comes from {reference.pull_host} itself: {why}", hint=_PERMISSIONS)
