"""What is wrong with images before anything is built, all of it at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lamina.errors import Problem
from lamina.identify.context import Missing
from lamina.identify.image import Image


def faults(images: Mapping[str, Image]) -> Iterator[Problem]:
    """What would fail the build: sources that find nothing, leave the context or cannot be read."""
    for image in images.values():
        for name, context in image.contexts.items():
            for missing in context.missing:
                yield _missing(image, missing, name)


def notes(images: Mapping[str, Image]) -> Iterator[Problem]:
    """What the user should know and the build survives."""
    for image in images.values():
        recipe = image.node.recipe
        for stage in recipe.stages:
            yield from stage.notes
        for source in recipe.sources:
            if source.reason:
                yield Problem(what=source.reason, where=recipe.dockerfile.where(source.line))
        for name in sorted(set(image.node.spec.args) - recipe.declared_args):
            yield Problem(
                what=f"build argument {name} has no effect: the Dockerfile of {image.name} has no ARG {name}",
                where=image.node.spec.source,
                hint=f"add ARG {name} to {image.node.spec.dockerfile_path}, or drop it",
            )


def _missing(image: Image, missing: Missing, context: str) -> Problem:
    where = image.node.recipe.dockerfile.where(missing.source.line)
    instruction = missing.source.instruction
    place = f"the context {context}" if context else "the context"
    what = f"{instruction} {missing.path}"
    if missing.fault:
        return Problem(
            what=f"{what} {missing.fault}", where=where, allowed=f"files below {image.root(context)}"
        )
    if missing.hidden_by:
        return Problem(
            what=f"{what}: {missing.hidden_by} hides it",
            where=where,
            hint=f"add !{missing.path} below that line, or drop the line",
        )
    return Problem(
        what=f"{what}: there is no such file in {place}",
        where=where,
        allowed=f"paths relative to {image.root(context)}",
        hint=f"did you mean {missing.nearest}?" if missing.nearest else None,
    )
