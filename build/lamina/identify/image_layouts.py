"""Compute the layouts of images, each on those of its bases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from lamina.identify.image import Image
from lamina.identify.layout import Layout, Sources, StageLayouts, lay_out
from lamina.identify.readings import Readings
from lamina.identify.wheel import Wheel


def lay_out_images(
    images: Mapping[str, Image], readings: Readings | None = None
) -> Mapping[str, StageLayouts]:
    """Compute the layouts of each image, bases first. readings: keeps what is read from the disk."""
    layouts: dict[str, StageLayouts] = {}
    read = partial(_text, readings or Readings())
    wheels: dict[tuple[tuple[str, str], ...], Wheel] = {}
    for name, image in images.items():
        parents = {
            called: layouts[parent].final if parent in layouts else _as_built(parent)
            for parent, spellings in image.node.parents.items()
            for called in spellings
        }
        sources = Sources(
            contexts={context: _origins(image, context) for context in image.contexts},
            parents=parents,
            read=read,
            wheels=wheels,
            requirements={
                str(image.root("") / path): lines for path, lines in image.inputs.requirements.items()
            },
        )
        made = lay_out(image.node.recipe, sources)
        final = {max(made.stages): _with_links(image, made.final)}
        layouts[name] = replace(made, stages={**made.stages, **final})
    return layouts


def _as_built(base: str) -> Layout:
    return Layout().with_gap(f"{base} contains it", whole=True)


def _with_links(image: Image, layout: Layout) -> Layout:
    """Add a gap to the layout if links are copied, because their targets are not followed."""
    links = {
        str(image.root(context) / file.path)
        for context, each in image.contexts.items()
        for file in each.files
        if file.kind == "link"
    }
    copied = sorted(links.intersection(layout.files.values()))
    if not copied:
        return layout
    return layout.with_gap(f"the link {image.project_path_of(copied[0])} leads to it", " ".join(copied))


def _origins(image: Image, context: str) -> dict[str, str]:
    root = image.root(context)
    return {file.path: f"{root}/{file.path}" for file in image.contexts[context].files if file.kind != "dir"}


def _text(readings: Readings, origin: str) -> str | None:
    try:
        content = readings.content(origin)
        return None if content is None else content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return None
