"""The rules about SnapStart: images of which Lambda can make no snapshot, and what a snapshot freezes.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-custom.html
"""

from __future__ import annotations

from collections.abc import Iterator

from lamina.identify.image import Image
from lamina.lint.findings import Edit, Hit
from lamina.lint.frozen_state import frozen_state
from lamina.lint.rule import LintRule
from lamina.lint.survey import LintInput, bottom
from lamina.preflight.bases import read_base

LABEL = "com.amazonaws.lambda.feature.snapstart"
_ALLOW = "Allow"
_FIRST = (3, 12)
"""The first Python whose runtime takes part in snapshots by itself."""


def _no_snapshot(survey: LintInput) -> Iterator[Hit]:
    for name, image in survey.images.items():
        if not image.node.spec.snap_start:
            continue
        base = read_base(_lowest(survey, image))
        if base.on_runtime and base.python is not None and base.python >= _FIRST:
            continue
        label = _label(survey, image)
        if label == _ALLOW:
            continue
        last = image.node.recipe.stages[-1].stage.instructions[-1]
        line, edit = (
            last.line,
            Edit(
                file=image.node.spec.dockerfile_path,
                start=last.end + 1,
                end=last.end + 1,
                lines=(f'LABEL {LABEL}="{_ALLOW}"',),
            ),
        )
        what = f"the label says {label!r}, not {_ALLOW!r}" if label else "lacks the label for SnapStart"
        yield Hit(
            image=name,
            file=image.node.spec.dockerfile_path,
            line=line,
            message=f"{name} has snap-start, is based on {base.name}, and {what}",
            fix=(edit,),
            certainty="likely",
            unless="its runtime client calls /runtime/restore/next, as awslambdaric does from 3.0 on",
        )


def _frozen(survey: LintInput) -> Iterator[Hit]:
    for name, sources in survey.snapshot_sources.items():
        for path, source in sources.items():
            for line, what in frozen_state(source):
                yield Hit(
                    image=name,
                    file=path,
                    line=line,
                    message=what,
                    hint="do it in the handler, or in a hook: register_after_restore of snapshot_restore_py",
                )


def _lowest(survey: LintInput, image: Image) -> str:
    """Return the base outside the project."""
    parent = _parent(survey, image)
    return _lowest(survey, parent) if parent else bottom(image)


def _parent(survey: LintInput, image: Image) -> Image | None:
    name = bottom(image)
    return next((survey.images[one] for one, names in image.node.parents.items() if name in names), None)


def _label(survey: LintInput, image: Image) -> str | None:
    """Return the value of the label that an image has, its own or that of a base in the project."""
    found: str | None = None
    for instruction in image.node.recipe.instructions:
        if instruction.name == "LABEL":
            pairs = zip(instruction.words[::2], instruction.words[1::2], strict=False)
            for key, value in pairs:
                if key.strip("\"'") == LABEL:
                    found = value.strip("\"'")
    if found is None and (parent := _parent(survey, image)):
        return _label(survey, parent)
    return found


RULES = (
    LintRule(
        id="LAM603",
        slug="no-snapshot",
        severity="error",
        summary="`snap-start = true` for an image on a base that takes no part in snapshots, without the "
        f"label `{LABEL}`",
        why="Lambda refuses to publish a version, so that the deployment fails",
        fixes=f'adds `LABEL {LABEL}="{_ALLOW}"` (no hooks run before and after a snapshot)',
        find=_no_snapshot,
    ),
    LintRule(
        id="LAM604",
        slug="frozen-state",
        severity="note",
        summary="with `snap-start = true`: random values, times and connections that are made on import",
        why="all copies of a snapshot start with the same ones",
        fixes="by hand",
        find=_frozen,
    ),
)
