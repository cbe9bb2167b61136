"""What a save changes in a container that runs an earlier image: the files of code copies. Pure.

The proof is that of an append (see `identify.code_copies`): nothing else of the image differs. In a container
a new file is on top of everything, so nothing but code copies may be above the one that brings it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.decide.append import MOST_BYTES, NeedsBuilderError, copied_entries, copy_words
from lamina.declare.recipe import Recipe
from lamina.identify.code_copies import MAKES_LAYERS, code_copies, code_key, loose_parents
from lamina.identify.copy_layer import LayerEntry
from lamina.identify.image import Image

_WHITEOUT = ".wh."
# fmt: off
_READ_ONLY = (
    "bin", "boot", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "root", "run", "sbin", "srv",
    "usr", "var",
)
# fmt: on
_MOUNTED = frozenset({"", "dev", "proc", "sys", "tmp"})
"""Folders of a container that hide those of its image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningImage:
    """What a container was started from: the images as they were, and the image's own configuration.

    history: the commands of its history, lowest first. folder: its working folder.
    """

    images: Mapping[str, Image]
    history: tuple[str, ...]
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedLayer:
    """Entries to put into a container. image: in whose context they are. chown: as in the flag."""

    image: Image
    entries: tuple[LayerEntry, ...]
    chown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copied:
    """What a code copy brings now, and what it brought."""

    image: Image
    chown: str
    before: tuple[LayerEntry, ...]
    now: tuple[LayerEntry, ...]


_Visible = Mapping[str, tuple[LayerEntry, str, int]]
"""Path -> its entry, the owner and the number of the code copy that brings it."""


def find_edits(name: str, running: RunningImage, images: Mapping[str, Image]) -> tuple[EditedLayer, ...]:
    """Return what turns the files of a running container into those of the image now, in this order.

    Args:
        images: The image and its bases, as they are now.

    Raises:
        NeedsBuilderError: it is not proved that these are all differences, or a container cannot get them.
    """
    copies = list(_code_above(name, running, images))
    copies.reverse()
    before = _visible((each.before, each.chown) for each in copies)
    now = _visible((each.now, each.chown) for each in copies)
    if gone := before.keys() - now.keys():
        raise NeedsBuilderError(f"/{min(gone)} is gone")
    changed = {path for path, found in now.items() if path not in before or before[path][:2] != found[:2]}
    _check_places(changed, running.folder)
    folders = {above for path in changed for above in _folders(path) if above in now}
    wanted = changed | folders
    _check_size(images, (now[path][0] for path in changed))
    edits = (
        EditedLayer(
            image=copy.image,
            chown=copy.chown,
            entries=tuple(each for each in copy.now if each.path in wanted and now[each.path][2] == number),
        )
        for number, copy in enumerate(copies)
    )
    return tuple(each for each in edits if each.entries)


def _code_above(name: str, running: RunningImage, images: Mapping[str, Image]) -> Iterator[_Copied]:
    """Yield the code copies of an image and its bases that are above all other layers, the highest first.

    Raises NeedsBuilderError if anything else differs.
    """
    end, is_top, current = len(running.history), True, name
    while True:
        image, before = images[current], running.images.get(current)
        if before is None or not _same_but_code(image, before, images):
            raise NeedsBuilderError(f"{current} differs in more than code")
        recipe = image.node.recipe
        start = end - len(recipe.instructions)
        steps = _own_steps(recipe, running.history[max(0, start) : end])
        code = {each.instruction.line: each for each in code_copies(recipe)}
        for instruction, made_by in reversed(steps):
            if copy := code.get(instruction):
                words = copy_words(copy, made_by, running.folder, recipe)
                old, new = copied_entries(before.inputs, words), copied_entries(image.inputs, words)
                if is_top:
                    yield _Copied(image=image, chown=copy.chown, before=old, now=new)
                elif old != new:
                    raise NeedsBuilderError(f"other layers are above the code of {current}")
            elif made_by.partition(" ")[0] in MAKES_LAYERS:
                is_top = False
        below = [each for each in loose_parents(image, images) if each in images]
        if not below:
            return
        current, end = below[0], start


def _same_but_code(image: Image, before: Image, images: Mapping[str, Image]) -> bool:
    return image.inputs.instructions == before.inputs.instructions and code_key(
        image, image.inputs, images
    ) == code_key(image, before.inputs, images)


def _own_steps(recipe: Recipe, history: Sequence[str]) -> list[tuple[int, str]]:
    """Return the line and history of each instruction. Raises NeedsBuilderError if they do not match."""
    names = [each.partition(" ")[0] for each in history]
    if names != [each.name for each in recipe.instructions]:
        raise NeedsBuilderError("the history of the running image does not name its instructions")
    return [(each.line, made_by) for each, made_by in zip(recipe.instructions, history, strict=True)]


def _visible(layers: Iterable[tuple[tuple[LayerEntry, ...], str]]) -> _Visible:
    """Return what is seen of layers, lowest first. Raises NeedsBuilderError for a file that is a folder."""
    found: dict[str, tuple[LayerEntry, str, int]] = {}
    for number, (entries, chown) in enumerate(layers):
        for entry in entries:
            below = found.get(entry.path)
            if below and (below[0].kind == "dir") != (entry.kind == "dir"):
                raise NeedsBuilderError(f"/{entry.path} is a file and a folder")
            found[entry.path] = entry._replace(source=""), chown, number
    return found


def read_only_folders(folder: str) -> tuple[str, ...]:
    """Return the top folders that are read-only for a function. folder: the working folder of its image."""
    own = folder.strip("/").partition("/")[0]
    return (*_READ_ONLY, *(each for each in (own,) if each not in {*_READ_ONLY, *_MOUNTED}))


def _check_places(paths: Iterable[str], folder: str) -> None:
    allowed = read_only_folders(folder)
    for path in paths:
        parts = path.split("/")
        if parts[0] not in allowed or any(part.startswith(_WHITEOUT) for part in parts):
            raise NeedsBuilderError(f"a container may not show /{path} as its image does")


def _check_size(images: Mapping[str, Image], entries: Iterable[LayerEntry]) -> None:
    digests = {entry.sha256 for entry in entries}
    sizes = {file.sha256: file.size for image in images.values() for file in image.contexts[""].files}
    if sum(sizes.get(digest, 0) for digest in digests) > MOST_BYTES:
        raise NeedsBuilderError(f"more than {MOST_BYTES >> 20} MiB changed")


def _folders(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
