"""Read images and functions from a CDK program in TypeScript, as far as they are plain. Nothing is run."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from lamina.adopt.cdk_helpers import Helper, call_through, read_helpers
from lamina.adopt.declared import (
    Asset,
    Declared,
    Located,
    Reading,
    folder_with,
    inside,
    open_keys,
    run_folders,
    unread_command,
)
from lamina.adopt.typescript import SPREAD, TsCall, calls_in, read_calls, read_constants
from lamina.adopt.typescript_paths import path_of
from lamina.errors import Problem

_FUNCTION = "DockerImageFunction"
_HOLDERS = frozenset({"DockerImageAsset", "ContainerImageBuild"})
"""Constructs that build an image, for a function to run; the second is deploy-time-build's."""
_HELD, _PULLED = "toLambdaDockerImageCode", "fromEcr"
"""How a function gets the image of such a construct."""
_IMAGES = frozenset({"fromImageAsset", "fromAssetImage"})
_ZIPS = frozenset({"fromDockerBuild", "fromBuild"})
"""They run a container and take its files: Code.fromDockerBuild, and DockerImage.fromBuild for bundling."""
_CONTAINER, _DOCKER_ASSET = "ContainerImage", "fromDockerImageAsset"
_CONTAINERS = frozenset({"fromAsset", _DOCKER_ASSET})
"""With `_CONTAINER` before them: images of ECS."""
_SETTINGS = 2
"""Where a construct has its settings, behind its scope and id."""
_DEFAULT = "linux/amd64"
"""Of a function without an architecture."""
_ADD = "add the function to functions in [tool.lamina.images.<name>]"
_NO_WORDS: list[object] = []
_PLATFORMS = {"ARM_64": "linux/arm64", "X86_64": "linux/amd64"}
_IMAGE_PLATFORMS = {"LINUX_ARM64": "linux/arm64", "LINUX_AMD64": "linux/amd64"}


def helpers_of(content: str) -> dict[str, Helper]:
    """Return the functions of a program that build the image which they are given, by name."""
    return {each.name: each for each in read_helpers(content, {*_IMAGES, *_ZIPS})}


def read_cdk_typescript(
    content: str, path: str, root: Path, helpers: Mapping[str, Helper] | None = None
) -> Reading:
    """Return every image that a program builds from a Dockerfile.

    Args:
        root: of the repository.
        helpers: functions of its programs that build what they are given; see `helpers_of`.
    """
    known = helpers or {}
    found: list[Declared] = []
    notes: list[Problem] = []
    assets: list[Asset] = []
    own = helpers_of(content)
    inside_helpers = {each.at for each in own.values()}
    owned = set(inside_helpers)
    constants = read_constants(content)
    calls = list(read_calls(content, {_FUNCTION, *_IMAGES, *_HOLDERS, *_ZIPS, *known, *_CONTAINERS}))
    for found_call in sorted(calls, key=_rank):
        helper = known.get(found_call.last)
        call = call_through(helper, found_call) if helper else found_call
        if call is None or (call.line, found_call.last) in {(each.line, each.name) for each in own.values()}:
            continue
        if call.last in _CONTAINERS and not call.name.endswith(f"{_CONTAINER}.{call.last}"):
            continue
        owner = _known(call, constants) if call.last == _FUNCTION else None
        inner = list(_run_by(owner, known, constants)) if owner else [_known(call, constants)]
        if owner and not inner and (fault := _unread(owner, path, constants)):
            notes.append(fault)
        for each in inner:
            if each.at in (inside_helpers if owner else owned):
                continue
            owned.add(each.at)
            container = call.last in _CONTAINERS
            if container and each.last not in {*_CONTAINERS, *_HOLDERS}:
                continue
            made = _image(each, owner, path, root, constants)
            if isinstance(made, Problem):
                if not container:
                    notes.append(made)
            elif call.last in _ZIPS:
                assets.append(Asset(dockerfile=made.dockerfile, where=made.where))
            else:
                found.append(replace(made, deploys=False, elsewhere=True) if container else made)
                if not container and _has_unread_command(each):
                    notes.append(unread_command((*made.functions, *made.resources), made.where))
    found.sort(key=lambda each: int(each.where.rpartition(":")[2]))
    return Reading(declared=tuple(found), notes=tuple(notes), assets=tuple(assets))


def _rank(call: TsCall) -> int:
    """Return what comes first: what runs images, before the images, which may be held in variables."""
    return 0 if call.last == _FUNCTION else 1 if call.last in _CONTAINERS else 2


def _known(call: TsCall, constants: Mapping[str, object]) -> TsCall:
    """Return a call with the values of the constants that it names."""
    if call.last == _DOCKER_ASSET and call.args:
        held = _value_of(call.args[0], constants)
        call = held if isinstance(held, TsCall) and held.args else call
    values = [_value_of(each, constants) for each in call.args]
    plain = [
        {key: _value_of(inner, constants) for key, inner in each.items()} if isinstance(each, dict) else each
        for each in values
    ]
    return replace(call, args=tuple(plain))


def _value_of(value: object, constants: Mapping[str, object]) -> object:
    named = isinstance(value, TsCall) and not value.args
    held = constants.get(value.name) if isinstance(value, TsCall) and named else None
    return value if held is None else held


def _run_by(
    function: TsCall, helpers: Mapping[str, Helper], constants: Mapping[str, object]
) -> Iterator[TsCall]:
    """Yield the images that a function runs."""
    for each in calls_in(function):
        if held := _held_by(each, constants):
            yield _known(held, constants)
            continue
        helper = helpers.get(each.last)
        made = call_through(helper, each) if helper else each
        if made and made.args and made.last in _IMAGES:
            yield _known(made, constants)


def _held_by(call: TsCall, constants: Mapping[str, object]) -> TsCall | None:
    """Return the construct whose image a call gives to a function, with the command that it sets."""
    owner = call.name.removesuffix(f".{_HELD}") if call.last == _HELD else ""
    if call.last == _PULLED and call.args and isinstance(repository := call.args[0], TsCall):
        owner = repository.name.removesuffix(".repository")
    held = constants.get(owner)
    if not isinstance(held, TsCall) or held.last not in _HOLDERS or len(held.args) <= _SETTINGS:
        return None
    given = call.args[-1] if call.args and isinstance(call.args[-1], dict) else {}
    command = {"cmd": given["cmd"]} if "cmd" in given else {}
    return replace(held, args=(*held.args[:_SETTINGS], {**_object(held, _SETTINGS), **command}))


def _unread(function: TsCall, path: str, constants: Mapping[str, object]) -> Problem | None:
    """Return a note about a function whose image the program does not build, or not where it is read."""
    code = _object(function, 2).get("code")
    if isinstance(code, TsCall) and code.args and code.last != _PULLED:
        return None
    identifier = function.args[1] if len(function.args) > 1 else None
    named = f"function {identifier}" if isinstance(identifier, str) else "a function"
    given = f"`{code.name}`" if isinstance(code, TsCall) else "its code"
    if isinstance(code, TsCall) and code.last == _PULLED:
        return Problem(
            what=f"{named} runs {_pulled(code, constants)}, which this program does not build",
            where=f"{path}:{function.line}",
            hint=_ADD,
        )
    return Problem(
        what=f"the image of {named} is not known: {given} is not a plain value of this file",
        where=f"{path}:{function.line}",
        hint=_ADD,
    )


def _pulled(code: TsCall, constants: Mapping[str, object]) -> str:
    """Return the image of a repository, by the last text of the call that makes the repository."""
    made = _value_of(code.args[0], constants)
    names = [each for each in made.args if isinstance(each, str)] if isinstance(made, TsCall) else []
    return f"an image of the repository {names[-1]}" if names else "an image of a repository"


def _image(
    call: TsCall, function: TsCall | None, path: str, root: Path, constants: Mapping[str, object]
) -> Declared | Problem:
    settings = _object(call, _SETTINGS if call.last in _HOLDERS else 1)
    written = settings.get("directory") if call.last in _HOLDERS else call.args[0]
    where = f"{path}:{call.line}"
    file = path_of(settings.get("file", "Dockerfile"), path, constants)
    context = _folder(path_of(written, path, constants), file, path, root)
    dockerfile = inside(context, file) if context is not None and file is not None else None
    if dockerfile is None or not (root / dockerfile).is_file():
        return Problem(what="an image whose Dockerfile is not given by plain strings", where=where)
    owner = _object(function, 2) if function else {}
    name = owner.get("functionName")
    identifier = function.args[1] if function and len(function.args) > 1 else None
    no_platform = {"platform", SPREAD}.isdisjoint(settings)
    unnamed = isinstance(identifier, str) and not isinstance(name, str)
    target, given, command = settings.get("target"), settings.get("buildArgs"), settings.get("cmd")
    args = {
        key: value
        for key, value in (given if isinstance(given, dict) else {}).items()
        if isinstance(value, str)
    }
    return Declared(
        dockerfile=dockerfile,
        context=context,
        functions=(name,) if isinstance(name, str) else (),
        resources=(str(identifier),) if unnamed else (),
        stack="" if unnamed else None,
        platform=_constant(owner.get("architecture"), _PLATFORMS)
        or _constant(settings.get("platform"), _IMAGE_PLATFORMS)
        or (_DEFAULT if owner and {"architecture", SPREAD}.isdisjoint(owner) and no_platform else None),
        target=target if isinstance(target, str) else None,
        args=args,
        open_args=tuple(each for each in open_keys(given, args) if each != SPREAD),
        command=_words(command),
        where=where,
    )


def _has_unread_command(image: TsCall) -> bool:
    """Whether the image of a function has a ``cmd`` that is not a plain list of strings."""
    given = _object(image, 1).get("cmd", _NO_WORDS) if image.last in _IMAGES else _NO_WORDS
    left_out = isinstance(given, TsCall) and given.name == "undefined"
    return given != _NO_WORDS and not left_out and not _words(given)


def _words(value: object) -> tuple[str, ...]:
    words = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
    return tuple(words) if isinstance(value, list) and len(words) == len(value) else ()


def _object(call: TsCall, index: int) -> dict[str, object]:
    value = call.args[index] if len(call.args) > index else None
    return value if isinstance(value, dict) else {}


def _folder(value: str | None, file: str | None, path: str, root: Path) -> str | None:
    """Return a folder of the repository.

    A string is relative to the folder in which CDK runs, one with a ``cdk.json`` or else any above the file;
    ``path.join(__dirname, …)`` to the program's file.
    """
    bases = ("",) if isinstance(value, Located) else run_folders(root, posixpath.dirname(path))
    return None if value is None else folder_with(root, bases, value, file)


def _constant(value: object, known: dict[str, str]) -> str | None:
    return known.get(value.last) if isinstance(value, TsCall) else None
