"""The code copies of an image: linked copies on top whose files reach nothing else in it.

When only their files differ from those of an earlier image, or settings at the end, its manifest with other
layers and another configuration is the new image. `code_key` is equal for two images exactly if that is so.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.declare.recipe import Recipe, SourceFiles
from lamina.identify.copied import heads
from lamina.identify.fingerprint import BuildInputs
from lamina.identify.goregexp import PatternError
from lamina.identify.image import Image
from lamina.identify.last_settings import last_settings
from lamina.identify.wildcard import compile_wildcard, fixed_part, is_wildcard
from lamina.patterns import regex
from lamina.values import dataclass

MAKES_LAYERS = frozenset({"ADD", "COPY", "RUN", "WORKDIR"})
KEY_PREFIX = "append-"
_KEY_DIGITS = 12
_LINK = frozenset({"--link", "--link=true"})
_OWNER = regex(r"--chown=(\d+)(?::(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeCopy:
    """A ``COPY --link`` of the target's stage from the main context.

    Attributes:
        sources: Expanded.
        chown: The value of its flag; empty without one.
    """

    instruction: Instruction
    sources: tuple[str, ...]
    chown: str


def code_copies(recipe: Recipe) -> tuple[CodeCopy, ...]:
    """Return the code copies of a recipe, in order.

    Nothing after a code copy may depend on the layers below.
    """
    own = recipe.stages[-1].stage.instructions
    above = next((index for index in range(len(own), 0, -1) if _is_bound(own[index - 1])), 0)
    sources = {each.line: each for each in recipe.stages[-1].sources if each.instruction == "COPY"}
    found = (_code_copy(each, sources.get(each.line)) for each in own[above:])
    return tuple(each for each in found if each is not None)


def _is_bound(instruction: Instruction) -> bool:
    """Whether an instruction makes a layer that depends on the layers below it."""
    return instruction.name in MAKES_LAYERS and not instruction.is_linked


def _code_copy(instruction: Instruction, source: SourceFiles | None) -> CodeCopy | None:
    owners = [each for each in instruction.flags if each not in _LINK]
    if (
        instruction.name != "COPY"
        or source is None
        or source.paths is None
        or source.context is not None
        or source.origin is not None
        or instruction.heredocs
        or not all(_OWNER.fullmatch(each) for each in owners)
    ):
        return None
    return CodeCopy(
        instruction=instruction, sources=source.paths, chown="".join(owners).removeprefix("--chown=")
    )


def code_key(image: Image, inputs: BuildInputs, images: Mapping[str, Image]) -> str:
    """Return a digest of all build inputs except the files of code copies, the settings at the end, and bases
    below linked layers.

    Args:
        inputs: Of this image or of an earlier one with the same instructions.
        images: All images of the plan, for the bases.
    """
    below = loose_parents(image, images)
    document, lines = inputs.document(), inputs.instructions
    fixed = {
        **{key: value for key, value in document.items() if key != "requirements"},
        "instructions": lines[: len(lines) - len(last_settings(lines))],
        "files": {**inputs.files, "": dict(_fixed_files(image.node.recipe, inputs.files.get("", {})))},
        "parents": {name: "" if name in below else parent for name, parent in inputs.parents.items()},
    }
    canonical = json.dumps(fixed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def code_tag(image: Image, images: Mapping[str, Image]) -> str:
    """Return the tag of an image that a code change is appended to: ``append-`` and digits of the key."""
    return KEY_PREFIX + code_key(image, image.inputs, images)[:_KEY_DIGITS]


def loose_parents(image: Image, images: Mapping[str, Image]) -> frozenset[str]:
    """Return the bases on which only linked layers are put. In static mode there are none.

    Such a base may change without a change in the image's own layers.
    """
    recipe = image.node.recipe
    base = recipe.chain[-1].base
    if any(_is_bound(each) for each in recipe.instructions):
        return frozenset()
    return frozenset(
        name
        for name, names in image.node.parents.items()
        if set(names) == {base}
        and name in images
        and image.inputs.parents.get(name) == images[name].fingerprint
        and not images[name].node.recipe.triggers
        and not _is_read(recipe, base)
    )


def _is_read(recipe: Recipe, base: str) -> bool:
    """Whether anything but the target's lowest stage uses a base."""
    stages = [each for each in recipe.stages if each.base == base]
    flags = (flag for each in recipe.stages for step in each.stage.instructions for flag in step.flags)
    return len(stages) > 1 or any(base in flag for flag in flags)


def _fixed_files(recipe: Recipe, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the files of the main context that may reach more than the layers of code copies."""
    lines = {each.instruction.line for each in code_copies(recipe)}
    own = set(recipe.stages[-1].sources)
    others = [
        source
        for stage in recipe.stages
        for source in stage.sources
        if source.context is None and not (source in own and source.line in lines)
    ]
    readers = tuple(_readers(others, files))
    yield from ((path, text) for path, text in files.items() if any(reads(path) for reads in readers))


def _readers(sources: Iterable[SourceFiles], files: Mapping[str, str]) -> Iterator[Callable[[str], bool]]:
    """Yield a function for each source path: whether it may read a file. When in doubt it does."""
    links = [path for path, text in files.items() if text.startswith("l ")]
    for source in sources:
        if source.paths is None or source.parents:
            yield _everything
            continue
        for written in source.paths:
            path = posixpath.normpath(f"/{written}").lstrip("/")
            yield _reader(path, links, wild=source.instruction in {"ADD", "COPY"} and is_wildcard(path))


def _reader(path: str, links: Iterable[str], *, wild: bool) -> Callable[[str], bool]:
    start = fixed_part(path) if wild else path
    if not path or "\\" in path or any(_is_within(start, link) for link in links):
        return _everything
    if not wild:
        return lambda file: _is_within(file, path)
    if any(not start or _is_within(link, start) for link in links):
        return _everything
    try:
        pattern = compile_wildcard(path, deep=False)
    except PatternError:
        return _everything
    return lambda file: any(pattern.fullmatch(head) for head in heads(file))


def _everything(_: str) -> bool:
    return True


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
