"""Read images and functions from an AWS SAM template."""

from __future__ import annotations

import posixpath

from lamina.adopt.declared import Declared, Reading, inside
from lamina.adopt.yaml_files import Table, read_yaml, strings, table, text, texts
from lamina.errors import Problem

_FUNCTION = "AWS::Serverless::Function"
_DEFAULT = "x86_64"
_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}


def read_sam(content: str, path: str) -> Reading:
    """Return every function with ``PackageType: Image``, from its ``Metadata`` and ``Architectures``."""
    document = read_yaml(content, path)
    if isinstance(document, Problem):
        return Reading(notes=(document,))
    defaults = table(table(document.get("Globals")).get("Function"))
    found: list[Declared] = []
    notes: list[Problem] = []
    for name, resource in table(document.get("Resources")).items():
        made = _function(name, table(resource), defaults, path)
        if isinstance(made, Problem):
            notes.append(made)
        elif made is not None:
            found.append(made)
    return Reading(declared=tuple(found), notes=tuple(notes))


def _function(name: str, resource: Table, defaults: Table, path: str) -> Declared | Problem | None:
    properties, metadata = table(resource.get("Properties")), table(resource.get("Metadata"))
    kind = properties.get("PackageType", defaults.get("PackageType"))
    if resource.get("Type") != _FUNCTION or kind != "Image" or not metadata:
        return None
    where = f"{path}:{resource.line}"
    context, file = text(metadata.get("DockerContext", ".")), text(metadata.get("Dockerfile", "Dockerfile"))
    folder = inside(posixpath.dirname(path), context) if context else None
    dockerfile = inside(folder, file) if folder is not None and file else None
    if folder is None or dockerfile is None:
        return Problem(what=f"the image of {name} is unknown: its Metadata has no plain path", where=where)
    deployed = text(properties.get("FunctionName"))
    return Declared(
        dockerfile=dockerfile,
        context=folder,
        functions=(deployed,) if deployed else (),
        resources=() if deployed else (name,),
        platform=_platform(properties.get("Architectures", defaults.get("Architectures"))),
        target=text(metadata.get("DockerBuildTarget")),
        args=strings(metadata.get("DockerBuildArgs")),
        where=where,
    )


def _platform(architectures: object) -> str | None:
    """Return the platform; Lambda's default if none is given, None if it is only known when deployed."""
    if architectures is None:
        return _PLATFORMS[_DEFAULT]
    return next((_PLATFORMS[each] for each in texts(architectures) if each in _PLATFORMS), None)
