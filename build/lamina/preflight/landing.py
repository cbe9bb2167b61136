"""Whether Python finds what a step installs: folders that no path names, and the runtime's own packages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.places import LOOKS_ASIDE
from lamina.preflight.view import ImageView, RunView, line_of

UNSEEN = Rule(
    id="LAM635",
    slug="target-not-searched",
    summary="pip install --target into a folder in which the runtime does not look for packages",
    why="Python looks in /var/task, /opt/python and its own site-packages",
    advice='pip install --target "${LAMBDA_TASK_ROOT}", or name the folder in PYTHONPATH',
)
SECOND = Rule(
    id="LAM638",
    slug="runtime-package",
    summary="a pinned package that the runtime has as well, and that it finds first",
    why="up to python3.10, /var/runtime comes before site-packages, so the pinned version is not imported",
    advice='pip install --target "${LAMBDA_TASK_ROOT}"',
)
RULES = (UNSEEN, SECOND)
_ELSEWHERE = ("-t", "--target", "--prefix", "--root", "--user")
_RUNTIME_FIRST = ((3, 8), (3, 9), (3, 10))
# https://docs.aws.amazon.com/lambda/latest/dg/python-image.html#python-image-searchpath
_PINS = regex(
    rb"^(boto3|botocore|s3transfer|jmespath|urllib3)[ \t]*(?:\[[^\]]*\])?[ \t]*(==|>=|~=)[ \t]*([\w.]+)",
    re.M | re.I,
)


def landing_faults(view: ImageView) -> Iterator[Fault]:
    """Yield installs that the functions of an image on Lambda's runtime do not find."""
    if not view.is_lambda or not view.base.on_runtime or not view.starts_client:
        return
    for step in view.runs:
        if step.in_image:
            yield from _targets(view, step)
            yield from _second(view, step)


def _targets(view: ImageView, step: RunView) -> Iterator[Fault]:
    for call, folder, _ in step.installs:
        for value in call.values("-t", "--target"):
            place = step.path(value, folder)
            if place is None or _is_searched(view, place) or _is_named(view, step, place):
                continue
            yield view.fault(
                UNSEEN,
                line=line_of(step, call.command, view.image.node.recipe.dockerfile.text),
                message=f"pip install --target {place}: the functions of {view.name} do not look there",
                hint='pip install --target "${LAMBDA_TASK_ROOT}", or ENV PYTHONPATH=' + place,
                certainty="likely",
                unless="the function sets PYTHONPATH",
            )


def _is_searched(view: ImageView, place: str) -> bool:
    """Whether a folder, or one above, is where Lambda's runtime looks for modules."""
    roots = (view.layout.workdir, "/var/task", "/opt/python", "/var/runtime", *view.layout.paths)
    return "-packages" in place or place in roots or place.startswith("/opt/python/lib/")


def _is_named(view: ImageView, step: RunView, place: str) -> bool:
    """Whether anything but the installing step names a folder, or the code changes where Python looks."""
    name = posixpath.basename(place)
    rest = view.final.text.replace(step.text, "", 1) + step.text.partition(name)[2]
    found = view.final.variables.get("PYTHONPATH")
    if (found and found.value is None) or name in rest:
        return True
    return any(LOOKS_ASIDE.search(view.content(each.origin) or b"") for each in view.reached.values())


def _second(view: ImageView, step: RunView) -> Iterator[Fault]:
    if step.base.python not in _RUNTIME_FIRST or view.final.variables.get("PYTHONPATH"):
        return
    imported = {need.partition(".")[0] for each in view.reached.values() for need in each.imports}
    for call, folder, _ in step.installs:
        if call.values(*_ELSEWHERE) or call.flags(*_ELSEWHERE):
            continue
        for listed in call.values("-r", "--requirement"):
            origin = step.sees.files.get(step.path(listed, folder) or "")
            content = view.content(origin) if origin else None
            found = next(
                (each for each in _PINS.finditer(content or b"") if each[1].decode() in imported), None
            )
            if origin is None or content is None or found is None:
                continue
            name, pin = found[1].decode(), found[0].decode()
            yield view.fault(
                SECOND,
                file=view.shown(origin),
                line=content.count(b"\n", 0, found.start()) + 1,
                message=f"{pin} of {view.name} is not what its functions import: the runtime's own {name} in "
                "/var/runtime comes first",
                hint=f'pip install --target "${{LAMBDA_TASK_ROOT}}" in {view.file}:{step.instruction.line}',
                certainty="likely",
                unless=f"any version of {name} will do",
            )
