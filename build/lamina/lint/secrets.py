"""Rules about secrets: everyone who can pull an image can read what is written into it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.lint.findings import Hit
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput
from lamina.masks import looks_secret, password_of

_FILE = re.compile(r"(?:\$\{?\w+\}?|[.~])?(?:/[\w.-]+)*/(?:[\w-]+\.\w{2,5}|secrets/[\w.-]+)")
"""The path of a file, as in GOOGLE_APPLICATION_CREDENTIALS: not a secret itself."""


def _secrets(survey: LintInput) -> Iterator[Hit]:
    for image in survey.images.values():
        dockerfile = image.node.recipe.dockerfile
        stages = (each.stage.instructions for each in image.node.recipe.stages)
        for each in (*dockerfile.header, *(line for lines in stages for line in lines)):
            for name, value in _values(each, image.node.spec.build_args):
                if (looks_secret(name) and not _FILE.fullmatch(value.strip("\"'"))) or password_of(value):
                    yield Hit(
                        image=image.name,
                        file=dockerfile.path,
                        line=each.line,
                        message=f"{each.name} {name}: its value stays in the image's history",
                        hint=f"RUN --mount=type=secret,id={name.lower()} …, and [tool.lamina.secrets] "
                        f'{name.lower()} = {{ file = "…" }}; pass secrets of the function at run time',
                    )


def _values(instruction: Instruction, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names and values that an ARG or ENV sets. given: the project's build arguments."""
    if instruction.name == "ARG":
        for name, _, default in (word.partition("=") for word in instruction.words):
            yield name, given.get(name, default)
    elif instruction.name == "ENV":
        pairs = zip(instruction.words[::2], instruction.words[1::2], strict=True)
        yield from ((name, value) for name, value in pairs if value.strip("\"'"))


RULES = (
    LintRule(
        id="LAM501",
        slug="secret",
        severity="error",
        summary="a secret in ARG or ENV: by its name, or a password in a URL",
        why="both are in the image's configuration, which everyone who can pull the image can read",
        fixes="by hand",
        find=_secrets,
    ),
)
