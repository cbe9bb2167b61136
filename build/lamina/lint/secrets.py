"""Rules about secrets: what is written into an image can be read by whoever may pull it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.declare.dockerfile import Instruction
from lamina.lint.rule import Hit, Rule
from lamina.lint.survey import Survey

_SECRET = re.compile(
    r"(?i)(.*_)?(token|passw(or)?d|passphrase|secret|(secret|api|access|private|signing|encryption)_?key|credentials?)"
    r"|aws_(secret_access_key|access_key_id|session_token)"
)


def _secrets(survey: Survey) -> Iterator[Hit]:
    for image in survey.images.values():
        dockerfile = image.node.recipe.dockerfile
        stages = (each.stage.instructions for each in image.node.recipe.stages)
        for each in (*dockerfile.header, *(line for lines in stages for line in lines)):
            for name in _names(each):
                if _SECRET.fullmatch(name):
                    yield Hit(
                        image=image.name,
                        file=dockerfile.path,
                        line=each.line,
                        message=f"{each.name} {name}: its value stays in the image's history",
                        hint=f"RUN --mount=type=secret,id={name.lower()} …, and [tool.lamina.secrets] "
                        f'{name.lower()} = {{ file = "…" }}; what the function needs, give it at run time',
                    )


def _names(instruction: Instruction) -> Iterator[str]:
    """The names that an ARG declares, or that an ENV gives a value."""
    if instruction.name == "ARG":
        yield from (word.partition("=")[0] for word in instruction.words)
    elif instruction.name == "ENV":
        pairs = zip(instruction.words[::2], instruction.words[1::2], strict=True)
        yield from (name for name, value in pairs if value.strip("\"'"))


RULES = (
    Rule(
        id="LAM501",
        slug="secret",
        severity="error",
        what="a secret in ARG or ENV, by its name",
        why="both are in the image's configuration, which everybody who pulls it can read",
        fixes="by hand",
        find=_secrets,
    ),
)
