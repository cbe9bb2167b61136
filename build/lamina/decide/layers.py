"""Find the Dockerfile step that makes each layer of an image. Pure."""

from __future__ import annotations

from lamina.declare.dockerfile import Instruction
from lamina.declare.graph import Node
from lamina.declare.recipe import Recipe
from lamina.values import dataclass

_MAKES_LAYERS = frozenset({"ADD", "COPY", "RUN", "WORKDIR"})
_LONGEST_STEP = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStep:
    """The step that makes a layer.

    Attributes:
        text: with its line.
        exact: whether equal inputs give equal files.
    """

    text: str
    exact: bool
    name: str = ""
    """The instruction's name; empty for the base image."""


def steps(node: Node, *, exact_base: bool) -> tuple[LayerStep, ...]:
    """Return the steps that make an image's layers: one for the base image, then the own instructions.

    exact_base: whether the base image is pinned by digest.
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
    """Whether equal inputs may give different files: the instruction runs a command or uses the network."""
    remote = instruction.name == "ADD" and any(
        "://" in word or word.startswith("git@") for word in instruction.words[:-1]
    )
    return instruction.name == "RUN" or (remote and instruction.flag("checksum") is None)


def _shown(recipe: Recipe, instruction: Instruction) -> str:
    line = " ".join((instruction.name, *instruction.flags, *instruction.words))
    line = " ".join(line.split())
    cut = line if len(line) <= _LONGEST_STEP else line[: _LONGEST_STEP - 1] + "…"
    return f"{recipe.dockerfile.where(instruction.line)} {cut}"
