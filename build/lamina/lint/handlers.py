"""Rules about what Lambda starts: the handler and the code that it imports."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.decide.preflight import unrunnable
from lamina.identify.image import Image
from lamina.lint.contexts import of_problem
from lamina.lint.rule import Hit, Rule
from lamina.lint.survey import Survey


def _unrunnable(survey: Survey) -> Iterator[Hit]:
    for name, found in survey.runnable.items():
        image = survey.images[name]
        if not survey.on_runtime(image) and not _has_client(image):
            continue
        yield from (of_problem(image, each) for each in unrunnable({name: (image, found)}))


def _has_client(image: Image) -> bool:
    """Whether an image brings Lambda's runtime client itself."""
    lines = image.node.recipe.instructions
    return any(each.name == "ENTRYPOINT" and "awslambdaric" in " ".join(each.words) for each in lines)


RULES = (
    Rule(
        id="LAM601",
        slug="unrunnable",
        severity="error",
        what="a CMD that names nothing, or a handler that imports what is not in the image",
        why="the function fails when Lambda starts it, after the deployment",
        fixes="by hand",
        find=_unrunnable,
    ),
)
