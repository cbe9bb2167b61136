"""Stage the contexts of a call of bake: verify them before it, and check them again after it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.errors import Problem
from lamina.execute.bake import BuildRequest
from lamina.identify.image import Image
from lamina.identify.stage import StagedContext, StagedTree, stage
from lamina.patterns import regex

if TYPE_CHECKING:  # a run that appends has none
    from lamina.execute.progress import Trace

_COPIES = regex(r"ONBUILD (?:COPY|ADD)\s", re.IGNORECASE)
_ELSEWHERE = regex(r"--from=|<<|://")


def stage_images(state: Path, images: Iterable[Image]) -> Mapping[str, StagedContext]:
    """Stage the contexts of the images below the project's state folder; return them by image name."""
    return {
        image.name: stage(
            state / "context" / image.name,
            image.fingerprint,
            image.node.recipe.dockerfile.text,
            {
                name: StagedTree(root=image.root(name), context=context)
                for name, context in image.contexts.items()
            },
        )
        for image in images
    }


def with_proved_stages(request: BuildRequest, state: Path) -> BuildRequest:
    """Return the request, with contexts that changed since they were verified staged again."""
    changed = [image for image in request.images if not request.stages[image.name].intact]
    return replace(request, stages={**request.stages, **stage_images(state, changed)}) if changed else request


def find_spoilt(request: BuildRequest) -> frozenset[str]:
    """Return the images whose contexts changed since they were verified, and the images built from them."""
    found = {image.name for image in request.images if not request.stages[image.name].intact}
    parents = {image.name: frozenset(image.node.parents) for image in request.images} if found else {}
    while more := {name for name, above in parents.items() if name not in found and above & found}:
        found |= more
    return frozenset(found)


def sent_wrong(image: Image) -> Problem:
    """Return the problem of an image whose staged files changed while it was built."""
    return Problem(
        what=f"the staged files of {image.name}, or of a base below it, changed while they were sent: "
        f"the content of {image.ref} is not known",
        where=".lamina/context",
        hint=f"stop programs that write below .lamina, then: invoke build-all --image {image.name} --force",
    )


def unknown_trigger(image: Image, trace: Trace) -> str | None:
    """Return the step that copies from the context by an ONBUILD of an external image, if there is one.

    No Dockerfile of the project has it, so its files were neither hashed nor staged.
    """
    if any(source.origin for source in image.node.recipe.sources):
        return None
    steps = (step.instruction for step in trace.of(image.name))
    return next((each for each in steps if _COPIES.match(each) and not _ELSEWHERE.search(each)), None)


def missed_files(image: Image, step: str) -> Problem:
    """Return the problem of an image that is based on an external one with such an ONBUILD."""
    return Problem(
        what=f"an external base image has {step}, which no Dockerfile shows: its files were not sent, "
        f"and {image.ref} lacks them",
        where=image.node.recipe.dockerfile.path,
        hint="build FROM an image without ONBUILD, and write its instructions into the Dockerfile",
    )
