"""Read images and functions from a Pulumi program in TypeScript, as far as they are plain. Nothing is run.

Known are ``Image`` of the providers docker and docker-build, and of awsx.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lamina.adopt.declared import (
    Declared,
    Located,
    Reading,
    first_inside,
    open_keys,
    run_folders,
    unread_command,
)
from lamina.adopt.typescript import TsCall, read_calls, read_constants
from lamina.adopt.typescript_paths import path_of
from lamina.declare.machine import normal_platform
from lamina.errors import Problem

_IMAGE, _FUNCTION = "Image", "Function"
_DOCKERFILE = "Dockerfile"
_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
_DEFAULT = ["x86_64"]


def read_pulumi_typescript(content: str, path: str, root: Path) -> Reading:
    """Return every image that a program builds, with the functions that run it. root: of the repository."""
    constants = read_constants(content)
    built: dict[int, Declared] = {}
    run: dict[int, list[Declared]] = {}
    notes: list[Problem] = []
    calls = [call for call in read_calls(content, {_IMAGE, _FUNCTION}) if _settings(call)]
    for call in (each for each in calls if each.last == _IMAGE):
        made = _image(call, path, root, constants)
        if isinstance(made, Problem):
            notes.append(made)
        else:
            built[call.at] = made
    for call in (each for each in calls if "imageUri" in _settings(each)):
        image = _owner(_settings(call)["imageUri"], constants)
        if image in built:
            runs = _run_by(call, built[image])
            run.setdefault(image, []).append(runs)
            if _table(_settings(call).get("imageConfig")).get("commands") and not runs.command:
                notes.append(unread_command((*runs.functions, *runs.resources), f"{path}:{call.line}"))
        elif image is None:
            notes.append(
                Problem(
                    what=f"the image of {_named(call)} is not known: this file does not build it",
                    where=f"{path}:{call.line}",
                    hint="add the function to functions in [tool.lamina.images.<name>]",
                )
            )
    declared = (each for at, image in built.items() for each in run.get(at, [image]))
    return Reading(declared=tuple(declared), notes=tuple(notes))


def _settings(call: TsCall) -> dict[str, object]:
    return _table(call.args[1]) if len(call.args) > 1 else {}


def _table(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _named(call: TsCall) -> str:
    label = call.args[0]
    return f"function {label}" if isinstance(label, str) else "a function"


def _owner(uri: object, constants: Mapping[str, object]) -> int | None:
    """Return where the image begins whose attribute a value is: ``image.imageUri``."""
    held = constants.get(uri.name.rpartition(".")[0]) if isinstance(uri, TsCall) else None
    return held.at if isinstance(held, TsCall) and held.last == _IMAGE else None


def _image(call: TsCall, path: str, root: Path, constants: Mapping[str, object]) -> Declared | Problem:
    """Read an image; the Dockerfile's path is relative to where Pulumi runs, and not to the context."""
    build = _settings(call).get("build")
    settings = _settings(call) | ({"context": build} if isinstance(build, str) else _table(build))
    where = f"{path}:{call.line}"
    folders = tuple(run_folders(root, posixpath.dirname(path)))
    written = path_of(_located(settings.get("context", settings.get("path"))), path, constants)
    bases = ("",) if isinstance(written, Located) else folders
    context = None if written is None else first_inside(root, bases, written, folder=True)
    named = path_of(_located(settings.get("dockerfile")), path, constants)
    inner = (context,) if context is not None else ()
    own = "dockerfile" in settings
    bases = ("",) if isinstance(named, Located) else (*folders, *inner) if own else inner
    file = named if own else _DOCKERFILE
    dockerfile = None if file is None else first_inside(root, bases, file, folder=False)
    if dockerfile is None:
        return Problem(what="an image whose Dockerfile is not given by plain strings", where=where)
    given = settings.get("buildArgs", settings.get("args"))
    args = {key: value for key, value in _table(given).items() if isinstance(value, str)}
    platforms = settings.get("platforms", [settings.get("platform")])
    target = settings.get("target")
    return Declared(
        dockerfile=dockerfile,
        context=context,
        platform=_platform(platforms),
        target=target if isinstance(target, str) else None,
        args=args,
        open_args=open_keys(given, args),
        where=where,
    )


def _located(value: object) -> object:
    return value.get("location") if isinstance(value, dict) else value


def _platform(platforms: object) -> str | None:
    """Return a platform: ``linux/arm64``, or a constant such as ``Platform.Linux_arm64``."""
    first = platforms[0] if isinstance(platforms, list) and platforms else None
    text = first.last.lower().replace("_", "/") if isinstance(first, TsCall) else first
    return normal_platform(text) if isinstance(text, str) else None


def _run_by(call: TsCall, image: Declared) -> Declared:
    """Return an image as a function runs it. A function without a plain name gets a random one."""
    settings, label = _settings(call), call.args[0]
    name, commands = settings.get("name"), _table(settings.get("imageConfig")).get("commands")
    words = [each for each in commands if isinstance(each, str)] if isinstance(commands, list) else []
    architectures = settings.get("architectures", _DEFAULT)
    known = architectures[0] if isinstance(architectures, list) and architectures else None
    return replace(
        image,
        functions=(name,) if isinstance(name, str) else (),
        resources=(label,) if isinstance(label, str) and not isinstance(name, str) else (),
        platform=_PLATFORMS.get(known) if isinstance(known, str) else image.platform,
        command=tuple(words) if isinstance(commands, list) and len(words) == len(commands) else (),
    )


def is_pulumi(content: str) -> bool:
    """Whether a TypeScript program is one of Pulumi that makes images."""
    return "@pulumi/" in content and f"{_IMAGE}(" in content
