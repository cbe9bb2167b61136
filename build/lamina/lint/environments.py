"""The rule about code inside of an environment that an image copies as one folder."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from lamina.declare.dockerfile import Instruction
from lamina.declare.lockfile import UV_LOCK
from lamina.declare.project_tools import ToolInstall
from lamina.declare.uv_lock import Selection, UnusualLockError
from lamina.identify.fingerprint import distribution
from lamina.lint.findings import Edit, Fix, Hit
from lamina.lint.rule import LintRule
from lamina.lint.steps import RunStep, hit
from lamina.lint.survey import LintInput, bottom
from lamina.lint.tools import NO_CODE, is_plain_sync, tool_calls, whole_copy
from lamina.preflight.bases import read_base
from lamina.preflight.wheels import MACHINES, chosen
from lamina.report.figures import size

_PYPROJECT = "pyproject.toml"
_VARIABLE = "UV_PROJECT_ENVIRONMENT"
_NOTHING = frozenset({"LABEL", "EXPOSE"})
_BACKENDS = ("hatchling", "uv_build")
"""Build backends that take the package of the project's name from ``src/`` or beside the project file."""
_METADATA = re.compile(rb"importlib[._]metadata|pkg_resources")
"""What reads files of an installed distribution, which a copy of its code does not have."""
_OPTIONS = frozenset(
    {"--no-editable", NO_CODE["uv"], "--locked", "--frozen", "--compile-bytecode", "--link-mode=copy"}
)
"""Options of uv that do not change which packages from elsewhere it installs."""


def _code_in_environment(survey: LintInput) -> Iterator[Hit]:
    """Yield installs of the code into an environment that the image copies as one folder from a stage."""
    for step, call in tool_calls(survey):
        if step.in_image or not call.with_code or call.tool not in NO_CODE:
            continue
        copied = copied_from(step)
        if copied is None or whole_copy(step) is None:
            continue
        ships = _wheels(survey, step, call)
        yield hit(
            step,
            call.word.start,
            message=f"{call.name} puts the code into the environment, which the image copies as one layer "
            f"({copied.name} in line {copied.line}" + (f", with {size(ships)} of wheels)" if ships else ")"),
            fix=_apart(survey, step, call, copied),
            hint=f"{call.name} {NO_CODE[call.tool]}, and in the last stage: COPY --link <package>/ "
            "${LAMBDA_TASK_ROOT}/<package>/",
        )


def copied_from(step: RunStep) -> Instruction | None:
    """Return the instruction of the image that copies from the stage of a step."""
    return next(_copies(step), None)


def _copies(step: RunStep) -> Iterator[Instruction]:
    names = {step.stage.stage.name, str(step.stage.stage.index)}
    for stage in step.image.node.recipe.stages:
        yield from (each for each in stage.stage.instructions if each.flag("from") in names)


def _wheels(survey: LintInput, step: RunStep, call: ToolInstall) -> int | None:
    """Return the bytes of the wheels that a call installs, by the lock; None if they are not known."""
    lock = survey.locks.get(step.image.name, {}).get(UV_LOCK)
    if lock is None or call.tool != "uv":
        return None
    try:
        found = lock.sizes(Selection(groups="all but dev" if call.has("--no-dev") else "all"))
    except UnusualLockError:
        return None
    return wheel_bytes(step, found)


def wheel_bytes(step: RunStep, archives: Mapping[str, Mapping[str, int]]) -> int | None:
    """Return the bytes of the wheels that a step takes; None if they are not known.

    archives: of each package, by file name.
    """
    base, machine = read_base(bottom(step.image, step.stage)), MACHINES.get(step.image.node.recipe.platform)
    if base.python is None or machine is None:
        return None
    wheels = (sizes.get(chosen(tuple(sizes), base, machine) or "", 0) for sizes in archives.values())
    return sum(wheels) or None


def _apart(survey: LintInput, step: RunStep, call: ToolInstall, copied: Instruction) -> Fix | None:
    """Return the edits that leave the code out of the environment and copy it on top of it.

    None unless an earlier step installs the dependencies alike, the copied context serves nothing else, and
    the project is one package of pure Python that does not look at its own metadata.
    """
    copy, folder = whole_copy(step), _environment(step)
    python = survey.python(step.image, step.stage) or read_base(bottom(step.image, step.stage)).python
    places = [word for word in copied.words[:-1] if posixpath.normpath(word) == folder]
    if copy is None or folder is None or python is None or len(places) != len(copied.words) - 1:
        return None
    if call.tool != "uv" or not is_plain_sync(step, call) or not _is_alone(step, copy):
        return None
    if not any(_installs_the_rest(each, step, call) for each in survey.steps[step.image.name]):
        return None
    package = _package(survey, step)
    target = copied.words[-1].rstrip("/")
    if package is None or not target.startswith("/") or len([*_copies(step)]) != 1:
        return None
    file = step.image.node.recipe.dockerfile.path
    site = f"{target}/lib/python{python[0]}.{python[1]}/site-packages/{package.name}/"
    return (
        Edit(file=file, start=copy.line, end=copy.end + 1, lines=()),
        Edit(file=file, start=step.instruction.line, end=step.instruction.end + 1, lines=()),
        Edit(file=file, start=copied.end + 1, end=copied.end + 1, lines=(f"COPY --link {package}/ {site}",)),
    )


def _environment(step: RunStep) -> str | None:
    """Return the folder of the environment of a step; None if it is not certain."""
    folder = step.environment.get(_VARIABLE, ".venv")
    if "$" in folder or "UV_PYTHON" in step.environment:
        return None
    return posixpath.normpath(posixpath.join(step.workdir, folder))


def _is_alone(step: RunStep, copy: Instruction) -> bool:
    """Whether nothing but the step uses what a COPY of its stage brings."""
    stage = step.stage.stage
    names = {stage.name, str(stage.index)}
    later = [each for each in stage.instructions if each.line > copy.line and each is not step.instruction]
    based = any(each.base in names for each in step.image.node.recipe.dockerfile.stages)
    return not based and len(copy.words) == 2 and all(each.name in _NOTHING for each in later)


def _installs_the_rest(other: RunStep, step: RunStep, call: ToolInstall) -> bool:
    """Whether an earlier step of the stage installs the dependencies with the same options."""
    if other.stage is not step.stage or other.instruction.line >= step.instruction.line:
        return False
    wanted = {word.text for word in call.options} - _OPTIONS
    return any(
        each.tool == "uv"
        and each.project
        and each.has(NO_CODE["uv"])
        and {word.text for word in each.options} - _OPTIONS == wanted
        for each in other.tools
    )


def _package(survey: LintInput, step: RunStep) -> PurePosixPath | None:
    """Return the folder of the one package that a project consists of; None if it is not certain."""
    try:
        table = tomllib.loads(survey.listings.get(step.image.name, {}).get(_PYPROJECT, ""))
    except tomllib.TOMLDecodeError:
        return None
    project, tool = table.get("project", {}), table.get("tool", {})
    backend = str(table.get("build-system", {}).get("build-backend", ""))
    if not backend.startswith(_BACKENDS) or "entry-points" in project or "scripts" in project:
        return None
    if tool.get("hatch", {}).get("build") or tool.get("uv", {}).get("build-backend"):
        return None
    name = distribution(str(project.get("name", ""))).replace("-", "_")
    files = survey.whole[step.image.name].files
    found = [each for each in (f"src/{name}", name) if f"{each}/__init__.py" in files]
    inside = [path for path in files if found and path.startswith(f"{found[0]}/")]
    if len(found) != 1 or any(path.endswith((".pyx", ".c", ".so")) for path in inside):
        return None
    root = step.image.root("")
    sources = ((root / path).read_bytes() for path in inside if path.endswith(".py"))
    return None if any(_METADATA.search(each) for each in sources) else PurePosixPath(found[0])


RULES = (
    LintRule(
        id="LAM112",
        slug="code-in-environment",
        severity="warning",
        summary="code installed into a virtual environment that is copied as a whole",
        why="an edit of one line makes and ships the whole environment again, as a new layer",
        fixes="leaves the project out of the environment and copies its package as a layer of its own, if an "
        "earlier step installs the dependencies",
        find=_code_in_environment,
    ),
)
