"""Read images from Pulumi and CDK programs in Python, as far as they are plain strings. Nothing is run."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.adopt.declared import (
    Asset,
    Declared,
    Located,
    Reading,
    first_inside,
    folder_with,
    inside,
    open_keys,
    run_folders,
    unread_command,
)
from lamina.adopt.python_paths import constants, with_plain_values
from lamina.errors import Problem

_ASSETS = frozenset({"from_image_asset", "from_asset", "DockerImageAsset"})
_IMAGES = frozenset({"Image", "DockerImage"})
_FUNCTION = "DockerImageFunction"
_ZIPS = frozenset({"from_docker_build", "from_build"})
_MAKERS = _ASSETS | _IMAGES | _ZIPS | {_FUNCTION}
_DOCKERFILE_PATH = "dockerfile_path"
_CONTEXTS = frozenset({"context", "context_path", "build_context", "build_context_path"})
"""Arguments of components that name the context; ``dockerfile_path`` names the Dockerfile."""
_LOCATION = "location"
_DOCKERFILE = "Dockerfile"
_DEFAULT = "linux/amd64"
"""Of a function without an architecture."""
_PLATFORMS = {
    **dict.fromkeys(("linux/arm64", "linuxarm64", "arm64"), "linux/arm64"),
    **dict.fromkeys(("linux/amd64", "linuxamd64", "amd64", "x8664"), "linux/amd64"),
}


def read_python_infra(content: str, path: str, root: Path) -> Reading:
    """Return every image that a program builds from a Dockerfile. root: of the repository."""
    try:
        tree = ast.parse(content, path)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        return Reading(notes=(Problem(what=f"cannot be read as Python: {error}", where=f"{path}:{line}"),))
    found: list[Declared] = []
    notes: list[Problem] = []
    assets: list[Asset] = []
    calls = list(_calls(tree, None))
    _evaluate([call for call, _ in calls], constants(tree), path)
    held = _held(tree)
    users: dict[int, list[ast.Call]] = {}
    for call, _ in calls:
        code = next((each.value for each in call.keywords if each.arg == "code"), None)
        if _name(call) != _FUNCTION or not isinstance(code, ast.Name):
            continue
        if image := held.get(code.id):
            users.setdefault(id(image), []).append(call)
        else:
            what = f"the image of a function is not known: `{code.id}` is not a plain value of this file"
            notes.append(Problem(what=what, where=f"{path}:{call.lineno}"))
    for call, function in calls:
        if zipped := _zipped(call, path, root):
            assets.append(zipped)
        for owner in users.get(id(call), [function]):
            made = _declared(call, owner, path, root)
            if isinstance(made, Problem):
                notes.append(made)
            elif made is not None:
                found.append(made)
                if made.deploys and _has_unread_command(call, made):
                    notes.append(unread_command((*made.functions, *made.resources), made.where))
    return Reading(declared=tuple(found), assets=tuple(assets), notes=tuple(notes))


def _evaluate(calls: Iterable[ast.Call], names: Mapping[str, ast.expr], path: str) -> None:
    """Replace arguments that say what is built by their values, where those are known."""
    for call in calls:
        if _name(call) in _MAKERS or any(each.arg == _DOCKERFILE_PATH for each in call.keywords):
            with_plain_values(call, names, path)


def _held(tree: ast.AST) -> dict[str, ast.Call | None]:
    """Return the calls whose values are held in variables, by name; None for a name with several values."""
    found: dict[str, ast.Call | None] = {}
    for node in ast.walk(tree):
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name):
            once = target.id not in found and isinstance(node.value, ast.Call)
            found[target.id] = node.value if once and isinstance(node.value, ast.Call) else None
    return found


def _calls(node: ast.AST, function: ast.Call | None) -> Iterator[tuple[ast.Call, ast.Call | None]]:
    """Yield every call, with the enclosing call of ``DockerImageFunction``."""
    if isinstance(node, ast.Call):
        yield node, function
        function = node if _name(node) == _FUNCTION else function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, function)


def _declared(call: ast.Call, function: ast.Call | None, path: str, root: Path) -> Declared | Problem | None:
    """Return the image that a call declares; None for any other call."""
    given = _given(call)
    where = f"{path}:{call.lineno}"
    read = _asset if _name(call) in _ASSETS else _image if _name(call) in _IMAGES else None
    located = read(call, given) if read else None
    if located is None:
        own = None if _name(call) in _ASSETS else _component(given, path, root)
        return Declared(dockerfile=own[0], context=own[1], where=where) if own else None
    folder = posixpath.dirname(path)
    context = _context(located.context, located.file, path, root)
    folders = (*([context] if context is not None else []), *([] if located.in_context else [folder, ""]))
    file = located.file
    dockerfile = first_inside(root, folders, file, folder=False) if isinstance(file, str) else None
    container = _is_container(call)
    if dockerfile is None and container:
        return None
    if dockerfile is None:
        return Problem(what="an image whose Dockerfile is not given by plain strings", where=where)
    owner = _given(function) if function else {}
    name, identifier = owner.get("function_name"), _positional(function, 1) if function else None
    unnamed = isinstance(identifier, str) and not isinstance(name, str)
    settings, target = located.settings, located.settings.get("target")
    platform = _platform(owner.get("architecture"), settings.get("platform"), settings.get("platforms"))
    if function and not platform and not _says_platform(function, call):
        platform = _DEFAULT
    command = settings.get("cmd")
    words = command if isinstance(command, list) and all(isinstance(each, str) for each in command) else []
    given_args = settings.get("build_args") or settings.get("args")
    return Declared(
        dockerfile=dockerfile,
        context=context,
        functions=(name,) if isinstance(name, str) else (),
        resources=(str(identifier),) if unnamed else (),
        stack="" if unnamed else None,
        platform=platform,
        target=target if isinstance(target, str) else None,
        args=(args := _strings(given_args)),
        open_args=open_keys(given_args, args),
        command=tuple(map(str, words)),
        where=where,
        deploys=not container,
        elsewhere=container,
    )


def _has_unread_command(call: ast.Call, made: Declared) -> bool:
    """Whether an image has a ``cmd`` that is not a plain list of strings."""
    given = next((each.value for each in call.keywords if each.arg == "cmd"), None)
    left_out = isinstance(given, ast.Constant) and given.value is None
    return given is not None and not left_out and not made.command and _value(given) != []


def _context(written: object, file: object, path: str, root: Path) -> str | None:
    """Return a folder that exists, relative to the repository, given as in a program.

    A folder that is not plain is the repository's own, if the Dockerfile's path is one from there.
    """
    if not isinstance(written, str):
        from_root = isinstance(file, str) and "/" in file and (root / file).is_file()
        return "." if from_root and inside("", str(file)) else None
    bases = ("",) if isinstance(written, Located) else run_folders(root, posixpath.dirname(path))
    return folder_with(root, bases, written, file if isinstance(file, str) else None)


def _says_platform(function: ast.Call, image: ast.Call) -> bool:
    """Whether the call of a function or of its image names a platform, or may do so: by ``**``."""
    keys = {each.arg for each in (*function.keywords, *image.keywords)}
    return not keys.isdisjoint({"architecture", "platform", None})


def _is_container(call: ast.Call) -> bool:
    """Whether it makes an image of ECS: ``ContainerImage.from_asset``."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return name == "ContainerImage"


def _zipped(call: ast.Call, path: str, root: Path) -> Asset | None:
    """Return the Dockerfile of a call whose files become a zip file.

    CDK's ``Code.from_docker_build``, and ``DockerImage.from_build`` for bundling.
    """
    if _name(call) not in _ZIPS:
        return None
    given = _given(call)
    file = given.get("file", _DOCKERFILE)
    context = _context(given.get("path", _positional(call, 0)), file, path, root)
    dockerfile = inside(context, file) if context is not None and isinstance(file, str) else None
    return Asset(dockerfile=dockerfile, where=f"{path}:{call.lineno}") if dockerfile else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImageArguments:
    """The arguments of a call that builds an image.

    Attributes:
        context, file: the values given, of any type.
        in_context: whether the file is relative to the context.
    """

    context: object
    file: object
    in_context: bool
    settings: Mapping[str, object]


def _asset(call: ast.Call, given: Mapping[str, object]) -> _ImageArguments | None:
    """Read a call of CDK; None if it zips a folder."""
    if _name(call) == "from_asset" and "file" not in given and not _is_container(call):
        return None
    context = given.get("directory", _positional(call, 0))
    file = given.get("file", _DOCKERFILE)
    return _ImageArguments(context=context, file=file, in_context=True, settings=given)


def _image(_: ast.Call, given: Mapping[str, object]) -> _ImageArguments | None:
    """Read a call of Pulumi's Docker or Docker Build provider; None if it is another class."""
    if not {"dockerfile", "build", "context"} & given.keys():
        return None
    settings = {**given, **_settings(given.get("build"))}
    named = "dockerfile" in settings
    return _ImageArguments(
        context=_located(settings.get("context")),
        file=_located(settings["dockerfile"]) if named else _DOCKERFILE,
        in_context=not named,
        settings=settings,
    )


def _component(given: dict[str, object], path: str, root: Path) -> tuple[str, str] | None:
    """Return the Dockerfile and the context in plain arguments of a component; None without both."""
    file = given.get(_DOCKERFILE_PATH)
    context = next((each for key, each in given.items() if key in _CONTEXTS), None)
    if not isinstance(file, str) or not isinstance(context, str):
        return None
    for base in ("",) if isinstance(file, Located) else (posixpath.dirname(path), ""):
        dockerfile, folder = inside(base, file), inside(base, context)
        if dockerfile and folder and (root / dockerfile).is_file() and (root / folder).is_dir():
            return dockerfile, folder
    return None


def _name(call: ast.Call) -> str:
    """Return the last part of the called name."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _given(call: ast.Call) -> dict[str, object]:
    return {each.arg: _value(each.value) for each in call.keywords if each.arg}


def _positional(call: ast.Call, index: int) -> object:
    """Return a positional argument; None if there is none."""
    return _value(call.args[index]) if len(call.args) > index else None


def _value(node: ast.AST) -> object:
    """Return a plain value, the keyword arguments of a nested call, or the last part of a name."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: _value(value) for key, value in pairs if isinstance(key, ast.Constant)}
    if isinstance(node, ast.Call):
        return _given(node)
    return _Word(node.attr) if isinstance(node, ast.Attribute) else None


class _Word:
    """A name such as ``LINUX_ARM64`` of ``Platform.LINUX_ARM64``."""

    def __init__(self, text: str) -> None:
        self.text = text


def _settings(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _located(value: object) -> object:
    return value.get(_LOCATION, value) if isinstance(value, dict) else value


def _platform(*values: object) -> str | None:
    """Return the first platform among values such as ``linux/arm64``, ``ARM_64`` or ``LINUX_ARM64``."""
    words = (each for value in values for each in (value if isinstance(value, list) else [value]))
    texts = (each.text if isinstance(each, _Word) else str(each) for each in words)
    return next(filter(None, (_PLATFORMS.get(each.lower().replace("_", "")) for each in texts)), None)


def _strings(value: object) -> dict[str, str]:
    return {key: each for key, each in _settings(value).items() if isinstance(each, str)}
