"""Read the context, target and arguments of images from a compose file. It says nothing about functions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from lamina.adopt.declared import Declared, Reading, inside
from lamina.adopt.yaml_files import read_yaml, strings, table, text
from lamina.errors import Problem


def read_compose(content: str, path: str) -> Reading:
    """Return every image that a service builds: https://docs.docker.com/reference/compose-file/build/"""
    document = read_yaml(content, path)
    if isinstance(document, Problem):
        return Reading(notes=(document,))
    return Reading(declared=tuple(_images(document.get("services"), path)))


def _images(services: object, path: str) -> Iterator[Declared]:
    for service in table(services).values():
        build = table(service).get("build")
        given = table(build)
        context = text(build) or text(given.get("context"))
        file = text(given.get("dockerfile", "Dockerfile"))
        folder = inside(posixpath.dirname(path), context) if context and ":" not in context else None
        dockerfile = inside(folder, file) if folder is not None and file else None
        if dockerfile is None:
            continue
        yield Declared(
            dockerfile=dockerfile,
            context=folder,
            target=text(given.get("target")),
            args=_arguments(given.get("args")),
            where=f"{path}:{table(service).line}",
            deploys=False,
        )


def _arguments(args: object) -> dict[str, str]:
    """Return the arguments with plain values: a mapping, or a list of ``NAME=value``."""
    if isinstance(args, list):
        pairs = (each.partition("=") for each in args if isinstance(each, str) and "${" not in each)
        return {name: value for name, given, value in pairs if given}
    return strings(args)
