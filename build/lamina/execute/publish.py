"""Put content tags on images that were pushed with attestations.

Lambda does not accept an index. So BuildKit pushes the index under its own tag, and then the image in it
gets the content tag: an image with a content tag has its attestations, and Lambda gets a single manifest.
"""

from __future__ import annotations

from dataclasses import replace

from lamina.decide.plan import FoundImage
from lamina.errors import LaminaError, Problem
from lamina.execute.attest import attested_ref
from lamina.execute.bake import BuildRequest
from lamina.execute.image_store import ImageStore
from lamina.identify.image import Image
from lamina.refs import Reference


def publish_attested(
    request: BuildRequest, store: ImageStore, *, finished: bool
) -> tuple[dict[str, Problem], dict[str, str]]:
    """Tag the pushed images. Return the problems and the tagged images' digests, both by image.

    Does nothing for a request without attestations.
    finished: whether everything was pushed. If not, an index may be from an earlier run: its image has the
    same fingerprint, so it may get a missing content tag, but an existing tag is not moved.
    """
    problems: dict[str, Problem] = {}
    digests: dict[str, str] = {}
    images = [each.image for each in request.decisions if finished or each.image.name not in request.found]
    attested = (
        store.attested(attested_ref(image.ref) for image in images) if images and request.attests else {}
    )
    for image in images:
        if found := attested.get(attested_ref(image.ref)):
            try:
                if store.fingerprint(found.ref) == image.fingerprint:
                    _name(request, store, image, found)
                    digests[image.name] = found.digest
            except LaminaError as error:
                problems[image.name] = error.problems[0]
    return problems, digests


def _name(request: BuildRequest, store: ImageStore, image: Image, found: FoundImage) -> None:
    source = replace(found, ref=found.ref.with_digest(found.digest))
    cache = request.caches.get(image.name)
    for name in (*(Reference.parse(tag) for tag in (cache.tags if cache else ())), image.ref):
        store.retag(source, name)


def carry(store: ImageStore, source: FoundImage, target: Reference) -> bool:
    """Copy the attestations of a retagged image to its new name. Return whether there are any.

    Args:
        source: with its content tag.
        target: the new name.
    """
    index = attested_ref(source.ref)
    found = store.find([index]).get(index)
    if found is not None:
        store.retag(found, attested_ref(target))
    return found is not None
