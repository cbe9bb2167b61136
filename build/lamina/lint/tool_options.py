"""Rules about how uv, Poetry, PDM and Pipenv are called: groups for development, versions, links."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise

from lamina.declare.lockfile import UV_LOCK
from lamina.declare.pip import read_install
from lamina.declare.project_tools import CACHES, ToolInstall
from lamina.declare.uv_lock import Selection, UnusualLockError
from lamina.lint.environments import copied_from, wheel_bytes
from lamina.lint.findings import Hit
from lamina.lint.installs import listed
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput
from lamina.lint.tools import is_mounted, tool_calls
from lamina.report.figures import size

_ON = {"1", "true", "yes", "on"}
_PRODUCTION = {
    "uv": ("--no-dev", "--no-default-groups", "--only-group", "--no-group"),
    "poetry": ("--only", "--without", "--no-dev", "--only-root"),
    "pdm": ("--prod", "--production", "--no-dev", "--no-default", "-G", "--group", "--without"),
}
"""Tool -> options that leave out groups for development, or choose the groups."""
_ADVICE = {"uv": "--no-dev", "poetry": "--only main", "pdm": "--prod"}
_GROUPS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "poetry": (("tool", "poetry", "group", "dev"), ("tool", "poetry", "dev-dependencies")),
    "pdm": (("tool", "pdm", "dev-dependencies"), ("dependency-groups", "dev")),
}
"""Tool -> the tables of ``pyproject.toml`` with what it installs for development."""
_OTHER_DEFAULTS = re.compile(r"^\s*default-groups\s*=", re.MULTILINE)
_SCRIPTS = re.compile(r"https://(?:astral\.sh/uv/install\.sh|install\.python-poetry\.org)\b")


def _development(survey: LintInput) -> Iterator[Hit]:
    for step, call in tool_calls(survey):
        if not call.project or (not step.in_image and copied_from(step) is None):
            continue
        if call.tool == "pipenv":
            more = "the packages for development" if call.flags("--dev", "-d") else None
        elif call.has(*_PRODUCTION[call.tool]):
            more = None
        else:
            more = _of_lock(survey, step, call) if call.tool == "uv" else _of_project(survey, step, call)
        if more is None:
            continue
        end, advice = call.word.end, _ADVICE.get(call.tool, "")
        fixable = call.tool == "uv" and step.script.editable
        yield hit(
            step,
            call.word.start,
            message=f"{call.name} also installs {more}",
            fix=(step.edit([(end, end, f" {advice}")]),) if fixable else None,
            hint=f"{call.name} {advice}" if advice else f"{call.name} without --dev",
        )


def _of_lock(survey: LintInput, step: RunStep, call: ToolInstall) -> str | None:
    """Return what only the group ``dev`` of a lock adds; None if it adds nothing, or that is not certain."""
    lock = survey.locks.get(step.image.name, {}).get(UV_LOCK)
    on = step.environment.get("UV_NO_DEV", "").lower() in _ON
    project = survey.listings.get(step.image.name, {}).get("pyproject.toml", "")
    if lock is None or on or "UV_NO_DEFAULT_GROUPS" in step.environment or _OTHER_DEFAULTS.search(project):
        return None
    words = [word.text for word in call.options]
    members = {after for word, after in pairwise(words) if word == "--package"}
    members |= {word.partition("=")[2] for word in words if word.startswith("--package=")}
    chosen = (Selection(members=frozenset(members), groups=each) for each in ("all", "all but dev"))
    try:
        everything, others = (lock.sizes(each) for each in chosen)
    except UnusualLockError:
        return None
    added = {pin: sizes for pin, sizes in everything.items() if pin not in others}
    if not added:
        return None
    ships = wheel_bytes(step, added)
    names = listed([pin.partition("==")[0].partition(" @")[0] for pin in added])
    return f"the group dev: {names}" + (f", {size(ships)} of wheels" if ships else "")


def _of_project(survey: LintInput, step: RunStep, call: ToolInstall) -> str | None:
    """Return a text if ``pyproject.toml`` has packages for development that a tool installs by default."""
    try:
        table = tomllib.loads(survey.listings.get(step.image.name, {}).get("pyproject.toml", ""))
    except tomllib.TOMLDecodeError:
        return None
    for keys in _GROUPS[call.tool]:
        found: object = table
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if found and not (isinstance(found, dict) and found.get("optional") is True):
            return "the packages for development"
    return None


def _newest_tool(survey: LintInput) -> Iterator[Hit]:
    for found in survey.steps.values():
        for step in found:
            for command in step.script.commands:
                install = read_install(command)
                for word in install.requirements if install else ():
                    if word.text in CACHES:
                        yield hit(
                            step,
                            word.start,
                            message=f"pip installs the newest {word.text} of the day",
                            hint=f"pip install {word.text}==<version>",
                        )
                script = next((each for each in command.words if _SCRIPTS.search(each.text)), None)
                if script is not None:
                    yield hit(
                        step,
                        script.start,
                        message=f"{script.text} installs the newest version of the day",
                        hint="https://astral.sh/uv/<version>/install.sh"
                        if "astral" in script.text
                        else "POETRY_VERSION=<version> before python3",
                    )


def _links(survey: LintInput) -> Iterator[Hit]:
    for step, call in tool_calls(survey):
        linked = "UV_LINK_MODE" in step.environment or call.has("--link-mode")
        if call.tool != "uv" or linked or not is_mounted(step, call):
            continue
        end = call.word.end
        yield hit(
            step,
            call.word.start,
            message=f"{call.name} tries to link files from the mounted cache, fails and then copies them",
            fix=(step.edit([(end, end, " --link-mode=copy")]),) if step.script.editable else None,
            hint="ENV UV_LINK_MODE=copy",
        )


RULES = (
    LintRule(
        id="LAM114",
        slug="development-packages",
        severity="warning",
        summary="packages for development: the group `dev` of uv, Poetry and PDM, or `pipenv --dev`",
        why="they make the image larger, and functions do not import them",
        fixes="adds `--no-dev` to `uv sync`",
        find=_development,
    ),
    LintRule(
        id="LAM115",
        slug="newest-tool",
        severity="note",
        summary="`pip install uv`, or an installer of uv or Poetry, without a version",
        why="a later build may install with another version, although nothing changed",
        fixes="by hand",
        find=_newest_tool,
    ),
    LintRule(
        id="LAM116",
        slug="cache-links",
        severity="note",
        summary="uv with a mounted cache and without `UV_LINK_MODE=copy`",
        why="a hard link cannot leave a mount, and uv warns about it in every build",
        fixes="adds `--link-mode=copy`",
        find=_links,
    ),
)
