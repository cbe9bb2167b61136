"""Whether a project's own limits allow the Python of the stage that installs it."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator
from functools import cache

from lamina.declare.script import ShellCommand
from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, RunView, is_sure, line_of, words_of

VERSION = Rule(
    id="LAM629",
    slug="python-version",
    summary="a project whose requires-python or .python-version does not allow the Python of its base image",
    why="pip and poetry refuse to install it; uv downloads another Python, which Lambda does not start",
    logs=(
        r"requires a different Python: [\d.]+ not in",
        r"does not satisfy Python[<>=~!]",
        r"is not (?:supported|allowed) by the project \(",
        r"No interpreter found for Python|incompatible with the project's Python requirement",
    ),
    advice="build FROM an image of a Python that the project allows, or widen requires-python",
    in_builds=True,
)
RULES = (VERSION,)
_CLAUSE = regex(r"(\^|~=|~|===?|!=|<=?|>=?)?\s*v?(\d{1,3})(?:\.(\d{1,3}|\*))?((?:\.[\d*]+)*)")
_POETRY = frozenset({"poetry install", "poetry sync"})
Version = tuple[int, int]


def version_faults(view: ImageView) -> Iterator[Fault]:
    """Yield installs of projects that do not allow the Python of their stage."""
    for step in view.runs:
        python = step.base.python
        if python is None:
            continue
        for command in step.commands:
            words = words_of(command)
            tool = " ".join((posixpath.basename(words[0]), *words[1:2])) if words else ""
            if tool in _POETRY or tool == "uv sync":
                yield from _project(view, step, command, tool, step.sees.workdir, python)
        for call, folder, _ in step.installs:
            for word in call.folders:
                place = step.path(word.text.partition("[")[0], folder)
                if place:
                    yield from _project(view, step, call.command, "pip install", place, python)


def _project(
    view: ImageView, step: RunView, command: ShellCommand, tool: str, place: str, python: Version
) -> Iterator[Fault]:
    written = limits_of(view, step, place)
    allowed = allows(written[0], python) if written else None
    downloads = tool == "uv sync"
    chosen = step.set("UV_PYTHON") or any(word.text.startswith(("--python", "-p")) for word in command.words)
    if downloads and chosen:
        return
    if downloads and not view.is_lambda:  # its environment has the Python that uv downloads
        return
    if written and allowed is False:
        limit, shown = written
        sure = is_sure(command, step) and not downloads and step.base.system is not None
        yield view.fault(
            VERSION,
            line=line_of(step, command, view.image.node.recipe.dockerfile.text),
            message=f"{tool} of {shown}, which requires Python {limit}, and {step.base.name} has "
            f"Python {_text(python)}",
            hint=f"build {view.name} FROM an image with Python {limit}, or change the limit in {shown}",
            certainty="certain" if sure else "likely",
            unless=f"{step.base.name} has another Python",
        )
    elif downloads and (pinned := pinned_by(view, step, place)) and pinned[0] != python:
        yield view.fault(
            VERSION,
            line=line_of(step, command, view.image.node.recipe.dockerfile.text),
            message=f"uv sync installs for Python {_text(pinned[0])} of {pinned[1]}, and "
            f"{step.base.name} has Python {_text(python)}",
            hint=f"ENV UV_PYTHON={_text(python)} before it, or do not copy {pinned[1]}",
            certainty="likely",
            unless="the function starts that environment's own Python",
        )


def limits_of(view: ImageView, step: RunView, place: str) -> tuple[str, str] | None:
    """Return the limit of a project on its Python, and its file; None without one."""
    origin = step.sees.files.get(f"{place}/pyproject.toml")
    limit = _limit(view.content(origin) or b"") if origin else None
    return (limit, view.shown(origin)) if origin and limit is not None else None


@cache
def _limit(content: bytes) -> str | None:
    """Return the limit in a project file, which most images share."""
    try:
        table = tomllib.loads(content.decode("utf-8"))
        poetry = table.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
        limit = table.get("project", {}).get("requires-python", poetry)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return None
    return limit if isinstance(limit, str) else None


def pinned_by(view: ImageView, step: RunView, place: str) -> tuple[Version, str] | None:
    """Return the version of a ``.python-version`` beside a project, and the file."""
    origin = step.sees.files.get(f"{place}/.python-version")
    found = re.match(rb"\s*(?:cpython-)?3\.(\d{1,3})(?!\d)", view.content(origin) or b"") if origin else None
    return ((3, int(found[1])), view.shown(origin)) if origin and found else None


def allows(limit: str, python: Version) -> bool | None:
    """Whether a limit allows some release of a Python; None if the limit is not understood.

    The syntax of PEP 440, and ``^`` and ``~`` of poetry.
    """
    if "||" in limit:
        found = [allows(each, python) for each in limit.split("||")]
        return True if True in found else None if None in found else False
    answers = []
    for clause in filter(None, (each.strip() for each in re.split(r",|(?<=[\d*])\s+(?=[<>=!~^])", limit))):
        if clause == "*":
            continue
        parsed = _CLAUSE.fullmatch(clause)
        if parsed is None:
            return None
        answers.append(_meets(parsed, python))
    return all(answers)


def _meets(clause: re.Match[str], python: Version) -> bool:
    operator, major, minor, patch = clause[1] or "==", int(clause[2]), clause[3], clause[4]
    if minor in {None, "*"}:
        low, high = (major, 0), (major, 99)
    else:
        low = high = (major, int(minor))
    whole = not patch.strip(".*0")
    match operator:
        case ">=":
            return python >= low
        case ">":
            return python > low or (python == low and bool(patch))
        case "<":
            return python < low or (python == low and not whole)
        case "<=":
            return python <= high
        case "!=":
            return not (low <= python <= high and (patch == ".*" or minor in {None, "*"}))
        case "^":
            return python[0] == major and python >= low
        case "~=":
            return python[0] == major and (python == low if patch else python >= low)
    return low <= python <= high


def _text(version: Version) -> str:
    return ".".join(map(str, version))
