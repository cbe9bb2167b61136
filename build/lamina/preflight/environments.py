"""Virtual environments that one stage makes and another ships: their interpreter, and editable projects."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from lamina.declare.dockerfile import Instruction
from lamina.preflight.bases import Base
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, RunView, words_of
from lamina.preflight.workspace import local_folders
from lamina.values import dataclass

INTERPRETER = Rule(
    id="LAM636",
    slug="environment-without-python",
    summary="a virtual environment whose Python is at a path that the image does not have",
    why="an environment has a link to the Python that made it, not a Python of its own",
    logs=(r"fork/exec \S+/bin/python[\d.]*: no such file", r"exec: \"\S+/bin/python[\d.]*\": stat"),
    advice="make the environment in a stage FROM the image that ships it, or copy the Python as well",
)
EDITABLE = Rule(
    id="LAM637",
    slug="editable-left-behind",
    summary="an editable install whose source is not at the same path in the image",
    why="an editable install is a path to the source, so the package is not found without it",
    advice="uv sync --no-editable, pip install without -e, or COPY the source to the same path",
)
RULES = (INTERPRETER, EDITABLE)
_WITHOUT_PROJECT = frozenset({"--no-install-project", "--no-install-workspace", "--no-install-local"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shipped:
    """An environment or its packages, copied from a stage. path: in the stage; place: in the image."""

    copy: Instruction
    stage: int
    path: str
    place: str


def environment_faults(view: ImageView) -> Iterator[Fault]:
    """Yield environments of other stages that do not work in the image."""
    if not view.is_lambda:
        return
    for shipped in _shipped(view):
        for step in view.runs:
            if step.stage == shipped.stage:
                yield from _interpreter(view, step, shipped)
                yield from _editable(view, step, shipped)


def _shipped(view: ImageView) -> Iterator[_Shipped]:
    recipe = view.image.node.recipe
    for instruction in recipe.instructions:
        stage = (
            recipe.dockerfile.stage(instruction.flag("from") or "") if instruction.name == "COPY" else None
        )
        if stage is None or stage.index not in view.stages or len(instruction.words) != 2:
            continue
        origin = view.stages[stage.index]
        paths = [each for each in view.runs if each.stage == stage.index][-1:]
        path = paths[0].path(instruction.words[0]) if paths else None
        target = posixpath.normpath(posixpath.join(view.layout.workdir, instruction.words[1]))
        if path is not None and "$" not in target and origin.base.name:
            yield _Shipped(copy=instruction, stage=stage.index, path=path, place=target)


def _environment(step: RunView, words: list[str]) -> str | None:
    """Return the environment that a command makes."""
    program = posixpath.basename(words[0]) if words else ""
    tool = (program, *words[1:2])
    named = [word for word in words[2:] if not word.startswith("-")]
    if tool == ("uv", "sync"):
        return step.path(step.set("UV_PROJECT_ENVIRONMENT") or ".venv")
    if tool == ("uv", "venv"):
        return step.path(named[0] if named else ".venv")
    if program.startswith("python") and words[1:3] == ["-m", "venv"] and len(named) > 1:
        return step.path(named[-1])
    return step.path(words[-1]) if program == "virtualenv" and len(words) > 1 else None


def _python_folder(base: Base) -> str | None:
    """Return the folder of an image's own Python; None if unknown."""
    if base.on_runtime:
        return "/var/lang/bin"
    return "/usr/local/bin" if base.python is not None else None


def _interpreter(view: ImageView, step: RunView, shipped: _Shipped) -> Iterator[Fault]:
    """Yield an environment that the image starts and whose Python it does not have."""
    made = {_environment(step, words_of(command)) for command in step.commands}
    started = " ".join(
        word for start in (view.entrypoint, view.command) if start for word in start.instruction.words[:1]
    )
    if shipped.path not in made or not started.startswith(f"{shipped.place}/bin/python"):
        return
    there, here = _python_folder(step.base), _python_folder(view.base)
    known = step.base.python and view.base.python and "UV_PYTHON" not in step.before + step.text
    if not (there and here and known) or (there, step.base.python) == (here, view.base.python):
        return
    if any(each.in_image and ("ln -s" in each.text or "/bin/python" in each.text) for each in view.runs):
        return
    version = ".".join(map(str, step.base.python or ()))
    yield view.fault(
        INTERPRETER,
        line=shipped.copy.line,
        message=f"{shipped.place} has a link to {there}/python{version} of {step.base.name}, "
        f"which {view.base.name} does not have",
        hint=f"make the environment in a stage FROM {view.base.name}",
        certainty="certain" if here != there and not _may_bring(view, there) else "likely",
        unless=f"{view.base.name} has a Python in {there}"
        if here != there
        else f"another step puts {there}/python{version} there",
    )


def _may_bring(view: ImageView, folder: str) -> bool:
    """Whether a step or a COPY of the image may put files into a folder."""
    if any(each.in_image for each in view.runs):
        return True
    copies = (each for each in view.image.node.recipe.instructions if each.name in {"COPY", "ADD"})
    for copy in copies:
        target = posixpath.normpath(posixpath.join(view.layout.workdir, copy.words[-1]))
        if "$" in target or f"{folder}/".startswith(f"{target.rstrip('/')}/") or target.startswith(folder):
            return True
    return False


def _editable(view: ImageView, step: RunView, shipped: _Shipped) -> Iterator[Fault]:
    """Yield editable projects of a shipped environment whose source is not in the image at its path."""
    for name, source in _editable_projects(view, step, shipped):
        if source == "/" or any(f"{place}/".startswith(f"{source}/") for place in view.layout.files):
            continue
        if shipped.path == source or source.startswith(f"{shipped.path}/"):
            continue
        packages = _packages(step, source)
        inside = {posixpath.basename(posixpath.dirname(place)) for place in view.layout.files}
        missing = packages - inside
        if not missing:
            continue
        imported = _imported(view, missing) if not view.layout.gaps else None
        yield view.fault(
            EDITABLE,
            line=shipped.copy.line,
            message=f"{name} is installed as a path to {source}, which is not in {view.name}: "
            + (f"{imported}, which fails" if imported else f"importing {min(missing)} fails"),
            hint=f"uv sync --no-editable, or COPY the source to {source}",
            certainty="certain" if imported and not any(each.in_image for each in view.runs) else "likely",
            unless=f"the function finds {min(missing)} elsewhere"
            if imported
            else "another step copies the source there",
        )


def _imported(view: ImageView, packages: set[str]) -> str | None:
    """Say which module of the function always imports one of the packages; None if it is not certain."""
    for each in view.reached.values():
        for needed in each.certain_imports if each.certain else ():
            if needed.module.partition(".")[0] in packages:
                return f"{view.shown(each.origin)} imports {needed.module}"
    return None


def _editable_projects(view: ImageView, step: RunView, shipped: _Shipped) -> Iterator[tuple[str, str]]:
    """Yield the name and the folder of each project that a step installs as a path into what is shipped."""
    for command in step.commands:
        words = words_of(command)
        if _environment(step, words) != shipped.path or words[1:2] != ["sync"]:
            continue
        if "--no-editable" in words or step.set("UV_NO_EDITABLE") or _WITHOUT_PROJECT & set(words):
            continue
        for name, folder in local_folders(view, step).items():
            yield name, posixpath.normpath(posixpath.join(step.sees.workdir, folder))
    for call, folder, _ in step.installs:
        for value in call.values("-e", "--editable"):
            place = step.path(value.partition("[")[0], folder)
            if place and "-packages" in shipped.path:
                yield posixpath.basename(place), place


def _packages(step: RunView, source: str) -> set[str]:
    """Return the names of the packages in the folder of a project."""
    found = set()
    for place in step.sees.files:
        rest = place.removeprefix(f"{source}/")
        parts = rest.removeprefix("src/").split("/")
        if rest != place and len(parts) == 2 and parts[1] == "__init__.py" and parts[0] != "tests":
            found.add(parts[0])
    return found
