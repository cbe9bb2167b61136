"""Read images from Pulumi and CDK programs in Python, as far as they are plain strings. Nothing is run."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lamina.adopt.declared import Declared, Reading, first_inside, inside
from lamina.errors import Problem

_ASSETS = frozenset({"from_image_asset", "from_asset", "DockerImageAsset"})
_IMAGES = frozenset({"Image", "DockerImage"})
_FUNCTION = "DockerImageFunction"
_CONTEXTS = frozenset({"context", "context_path", "build_context", "build_context_path"})
"""Arguments of components that name the context; ``dockerfile_path`` names the Dockerfile."""
_LOCATION = "location"


def read_python_infra(content: str, path: str, root: Path) -> Reading:
    """Return every image that a program builds from a Dockerfile. root: of the repository."""
    try:
        tree = ast.parse(content, path)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        return Reading(notes=(Problem(what=f"cannot be read as Python: {error}", where=f"{path}:{line}"),))
    found: list[Declared] = []
    notes: list[Problem] = []
    for call, function in _calls(tree, None):
        made = _declared(call, function, path, root)
        if isinstance(made, Problem):
            notes.append(made)
        elif made is not None:
            found.append(made)
    return Reading(declared=tuple(found), notes=tuple(notes))


def _calls(node: ast.AST, function: ast.Call | None) -> Iterator[tuple[ast.Call, ast.Call | None]]:
    """Yield every call, with the enclosing call of ``DockerImageFunction``."""
    if isinstance(node, ast.Call):
        yield node, function
        function = node if _name(node) == _FUNCTION else function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, function)


def _declared(call: ast.Call, function: ast.Call | None, path: str, root: Path) -> Declared | Problem | None:
    given = _given(call)
    if _name(call) in _ASSETS:
        context, file = given.get("directory", _positional(call, -1)), given.get("file", "Dockerfile")
        if "file" not in given and _name(call) == "from_asset":
            return None  # a folder that is zipped
    elif _name(call) in _IMAGES and {"dockerfile", "build", "context"} & given.keys():
        given = {**given, **_settings(given.get("build"))}
        context, file = _located(given.get("context")), _located(given.get("dockerfile"))
    elif (own := _component(given, path, root)) is not None:
        return Declared(dockerfile=own[0], context=own[1], where=f"{path}:{call.lineno}")
    else:
        return None
    where = f"{path}:{call.lineno}"
    folder = posixpath.dirname(path)
    place = first_inside(root, (folder, ""), context, folder=True) if isinstance(context, str) else None
    name = file if isinstance(file, str) else "Dockerfile" if file is None else None
    looked = tuple(each for each in (place, folder, "") if each is not None)
    dockerfile = first_inside(root, looked, name, folder=False) if name else None
    if dockerfile is None:
        return Problem(what="an image whose Dockerfile is not given by plain strings", where=where)
    owner = _given(function) if function else {}
    function_name = owner.get("function_name") or (_positional(function, 1) if function else None)
    return Declared(
        dockerfile=dockerfile,
        context=place,
        functions=(function_name,) if isinstance(function_name, str) else (),
        platform=_platform(owner.get("architecture"), given.get("platform"), given.get("platforms")),
        target=given["target"] if isinstance(given.get("target"), str) else None,
        args=_strings(given.get("build_args") or given.get("args")),
        where=where,
    )


def _component(given: dict[str, Any], path: str, root: Path) -> tuple[str, str] | None:
    """Return the Dockerfile and the context in plain arguments of a component; None without both."""
    file = given.get("dockerfile_path")
    context = next((each for key, each in given.items() if key in _CONTEXTS), None)
    if not isinstance(file, str) or not isinstance(context, str):
        return None
    for base in (posixpath.dirname(path), ""):
        dockerfile, place = inside(base, file), inside(base, context)
        if dockerfile and place and (root / dockerfile).is_file() and (root / place).is_dir():
            return dockerfile, place
    return None


def _name(call: ast.Call) -> str:
    """Return the last part of the called name."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _given(call: ast.Call) -> dict[str, Any]:
    return {each.arg: _value(each.value) for each in call.keywords if each.arg}


def _positional(call: ast.Call, index: int) -> Any:
    """Return a positional argument; None if there is none."""
    return _value(call.args[index]) if len(call.args) > max(index, 0) else None


def _value(node: ast.AST) -> Any:
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


def _settings(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _located(value: Any) -> Any:
    return value.get(_LOCATION, value) if isinstance(value, dict) else value


def _platform(*values: Any) -> str | None:
    """Return the first platform among values such as ``linux/arm64``, ``ARM_64`` or ``LINUX_ARM64``."""
    for value in values:
        for each in value if isinstance(value, list) else [value]:
            word = (each.text if isinstance(each, _Word) else str(each)).lower().replace("_", "")
            if "arm64" in word:
                return "linux/arm64"
            if "amd64" in word or "x8664" in word:
                return "linux/amd64"
    return None


def _strings(value: Any) -> dict[str, str]:
    return {key: each for key, each in _settings(value).items() if isinstance(each, str)}
