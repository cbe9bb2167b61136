"""Read images and functions from a Serverless Framework service."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from lamina.adopt.declared import Declared, Reading, inside, open_keys
from lamina.adopt.yaml_files import Table, read_yaml, strings, table, text
from lamina.declare.machine import normal_platform
from lamina.errors import Problem

_DEFAULT = "x86_64"
_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}


def read_serverless(content: str, path: str) -> Reading:
    """Return every image of ``provider.ecr.images``, with the functions that use it."""
    document = read_yaml(content, path)
    if isinstance(document, Problem):
        return Reading(notes=(document,))
    provider, functions = table(document.get("provider")), table(document.get("functions"))
    service = text(document.get("service"))
    found: list[Declared] = []
    notes: list[Problem] = []
    for name, given in table(table(provider.get("ecr")).get("images")).items():
        users = {each: table(of) for each, of in functions.items() if _image_of(of) == name}
        made = _image(name, given, users, provider, service, path)
        if isinstance(made, Problem):
            notes.append(made)
        elif made is not None:
            found.append(made)
    return Reading(declared=tuple(found), notes=tuple(notes))


def _image(
    name: str, given: object, users: Mapping[str, Table], provider: Table, service: str | None, path: str
) -> Declared | Problem | None:
    """Read an entry: a path, or a table with ``path``, ``file``, ``buildArgs``; None for a ``uri``.

    A function without a name of its own is deployed as ``<service>-<stage>-<key>``:
    https://www.serverless.com/framework/docs/providers/aws/guide/functions
    """
    entry = table(given)
    if "uri" in entry:
        return None
    where = f"{path}:{entry.line}" if entry else path
    context = text(given if isinstance(given, str) else entry.get("path", "."))
    folder = inside(posixpath.dirname(path), context) if context else None
    file = text(entry.get("file", "Dockerfile"))
    dockerfile = inside(folder, file) if folder is not None and file else None
    if folder is None or dockerfile is None:
        return Problem(what=f"the image {name} is unknown: its path is not a plain string", where=where)
    default = provider.get("architecture", _DEFAULT)
    architectures = {str(each.get("architecture", default)) for each in users.values()}
    named = f"{service}-{{stack}}-" if service else None
    deployed = {key: text(of.get("name")) or (named and named + key) for key, of in users.items()}
    shared = _PLATFORMS.get(architectures.pop()) if len(architectures) == 1 else None
    return Declared(
        dockerfile=dockerfile,
        context=folder,
        name=name,
        functions=tuple(name for name in deployed.values() if name),
        resources=tuple(key for key, name in deployed.items() if not name),
        platform=normal_platform(text(entry.get("platform")) or "") or shared,
        target=None,
        args=(args := strings(entry.get("buildArgs"))),
        open_args=open_keys(entry.get("buildArgs"), args),
        where=where,
    )


def _image_of(function: object) -> str | None:
    """Return the name of the image that a function uses."""
    image = table(function).get("image")
    return text(image if isinstance(image, str) else table(image).get("name"))
