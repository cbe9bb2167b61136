"""Read images and functions from an AWS SAM template, and the name of its stack from samconfig.toml."""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Mapping

from lamina.adopt.declared import Declared, Reading, inside, open_keys
from lamina.adopt.yaml_files import Table, read_yaml, strings, table, text, texts
from lamina.errors import Problem

_FUNCTION = "AWS::Serverless::Function"
_USUAL = "default"
"""The environment of ``sam deploy`` without ``--config-env``."""
_DEFAULT = "x86_64"
_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}


def read_sam(content: str, path: str, config: str = "") -> Reading:
    """Return every function with ``PackageType: Image``, from its ``Metadata`` and ``Architectures``.

    config: the text of samconfig.toml beside the template.
    """
    document = read_yaml(content, path)
    if isinstance(document, Problem):
        return Reading(notes=(document,))
    defaults = table(table(document.get("Globals")).get("Function"))
    stack = stack_name(config)
    found: list[Declared] = []
    notes: list[Problem] = []
    for name, resource in table(document.get("Resources")).items():
        made = _function(name, table(resource), defaults, path, stack)
        if isinstance(made, Problem):
            notes.append(made)
        elif made is not None:
            found.append(made)
    return Reading(declared=tuple(found), notes=tuple(notes))


def stack_name(config: str) -> str:
    """Return the stack's name in a samconfig.toml, with ``{stack}`` for the environment; empty if unknown.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html
    """
    try:
        document = tomllib.loads(config)
    except tomllib.TOMLDecodeError:
        return ""
    names = {environment: name for environment, given in document.items() if (name := _deployed(given))}
    others = {each: name for each, name in names.items() if each != _USUAL}
    made = {name.replace(each, "{stack}", 1) for each, name in others.items()}
    if len(made) == 1 and all("{stack}" in each for each in made):
        return made.pop()
    return next(iter(names.values())) if len(set(names.values())) == 1 else ""


def _deployed(environment: object) -> str | None:
    """Return the stack's name in the parameters of an environment."""
    for command in ("deploy", "global"):
        given = environment.get(command) if isinstance(environment, Mapping) else None
        parameters = given.get("parameters") if isinstance(given, Mapping) else None
        name = parameters.get("stack_name") if isinstance(parameters, Mapping) else None
        if isinstance(name, str):
            return name
    return None


def _function(
    name: str, resource: Table, defaults: Table, path: str, stack: str
) -> Declared | Problem | None:
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
        stack=None if deployed else stack,
        platform=_platform(properties.get("Architectures", defaults.get("Architectures"))),
        target=text(metadata.get("DockerBuildTarget")),
        args=(args := strings(metadata.get("DockerBuildArgs"))),
        open_args=open_keys(metadata.get("DockerBuildArgs"), args),
        command=tuple(texts(table(properties.get("ImageConfig")).get("Command"))),
        where=where,
    )


def _platform(architectures: object) -> str | None:
    """Return the platform; Lambda's default if none is given, None if it is only known when deployed."""
    if architectures is None:
        return _PLATFORMS[_DEFAULT]
    return next((_PLATFORMS[each] for each in texts(architectures) if each in _PLATFORMS), None)
