"""Which step of a Dockerfile makes each layer of an image. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.declare.dockerfile import Instruction
from lamina.declare.graph import Node
from lamina.declare.recipe import Recipe

_MAKES_LAYERS = frozenset({"ADD", "COPY", "RUN", "WORKDIR"})
_LONGEST_STEP = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStep:
    """What makes a layer. text: with its line. exact: whether equal inputs always give equal files."""

    text: str
    exact: bool
    name: str = ""
    """The instruction's name; empty for what the image stands on."""


def steps(node: Node, *, exact_base: bool) -> tuple[LayerStep, ...]:
    """What makes an image's layers: first, for all of them, what it stands on; then its own instructions.

    exact_base: whether the layers it stands on are pinned by their digests.
    """
    recipe = node.recipe
    varying = any(_varies(each) for stage in recipe.stages for each in stage.stage.instructions)
    parents = {name for names in node.parents.values() for name in names}
    own = (
        LayerStep(
            text=_shown(recipe, each),
            exact=not _varies(each)
            and (each.flag("from") is None or not (varying or each.flag("from") in parents)),
            name=each.name,
        )
        for each in recipe.instructions
        if each.name in _MAKES_LAYERS
    )
    base = ", ".join(node.parents) or recipe.chain[-1].base
    return (LayerStep(text=f"of {base}", exact=exact_base), *own)


def _varies(instruction: Instruction) -> bool:
    """Whether it may give other files of the same inputs: it runs something, or asks the network."""
    remote = instruction.name == "ADD" and any(
        "://" in word or word.startswith("git@") for word in instruction.words[:-1]
    )
    return instruction.name == "RUN" or (remote and instruction.flag("checksum") is None)


def _shown(recipe: Recipe, instruction: Instruction) -> str:
    line = " ".join((instruction.name, *instruction.flags, *instruction.words))
    line = " ".join(line.split())
    cut = line if len(line) <= _LONGEST_STEP else line[: _LONGEST_STEP - 1] + "…"
    return f"{recipe.dockerfile.where(instruction.line)} {cut}"
