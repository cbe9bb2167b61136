"""The settings of a project: what each is called, where it may be set, and where its value came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lamina.declare.document import TYPES, Document
from lamina.declare.grammar import (
    BUILDER,
    NAMES,
    REGISTRIES,
    is_image,
    is_name,
    is_registry,
    is_repository,
    without_login,
)
from lamina.declare.machine import normal_platform

LOCAL = "local"
CACHE_REPOSITORY = re.compile(r"[a-z0-9._/-]*\{repository\}[a-z0-9._/-]*")
_PLATFORM = re.compile(r"linux/[a-z0-9]+(?:/v[0-9]+)?")
_OF_LAMBDA = ("linux/amd64", "linux/arm64")
CACHE_MODES = ("max", "min", "inline", "off")
PROVENANCE = ("off", "min", "max")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
BATCH = 25
"""Images in one call of bake, whose time grows faster than their number: of 100 that all changed, one took
95 and 104 s, calls of 50 took 66 and 54 s, of 25 took 48 and 35 s, of 10 took 72 and 54 s."""

STALL = 120
"""Seconds. A push of few bytes through a slow line says nothing for as long as that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting: its type, its default, and the variables that set it (the first one present wins)."""

    name: str
    kind: type
    default: Any
    env: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A setting's value and its source: a flag, a variable, ``pyproject.toml:12``, or the default."""

    value: Any
    source: str


# fmt: off
SETTINGS: Mapping[str, Setting] = {each.name: each for each in (
    Setting(name="registry", kind=str, default=LOCAL, env=("LAMINA_REGISTRY",),
            help="where images live: local, ecr, or host[:port][/prefix]"),
    Setting(name="stack", kind=str, default="dev", env=("LAMINA_STACK",),
            help="part of the repository name: dev, prod, ..."),
    Setting(name="repository", kind=str, default="{image}-{stack}", env=("LAMINA_REPOSITORY",),
            help="the repository name of an image, made of {image} and {stack}"),
    Setting(name="platform", kind=str, default="", env=("LAMINA_PLATFORM",),
            help="linux/amd64 or linux/arm64; empty: this machine's own"),
    Setting(name="static", kind=bool, default=False, env=("LAMINA_STATIC", "USE_STATIC_BASE_IMAGE"),
            help="build Lambda images on <base>:stable and leave the bases alone"),
    Setting(name="builder", kind=str, default="", env=("LAMINA_BUILDER", "BUILDX_BUILDER"),
            help="a buildx builder; empty: the engine's own"),
    Setting(name="reproducible", kind=bool, default=False, env=("LAMINA_REPRODUCIBLE",),
            help="one fixed time in layers and configuration: two cold engines give the same digests"),
    Setting(name="jobs", kind=int, default=BATCH, env=("LAMINA_JOBS",),
            help="images built at once; 0: all"),
    Setting(name="cache", kind=str, default="max", env=("LAMINA_CACHE_MODE",),
            help="remote cache: max, min, inline, off"),
    Setting(name="cache-read-only", kind=bool, default=False, env=("LAMINA_CACHE_READ_ONLY",),
            help="read the remote cache but write none, as builds of forks should"),
    Setting(name="cache-repository", kind=str, default="{repository}", env=("LAMINA_CACHE_REPOSITORY",),
            help="where an image's cache is kept, made of {repository}, the image's own"),
    Setting(name="cache-branch", kind=str, default="", env=("LAMINA_CACHE_BRANCH",),
            help="whose cache is read and written; empty: the branch that CI or git names"),
    Setting(name="cache-fallback", kind=str, default="main", env=("LAMINA_CACHE_FALLBACK",),
            help="the branch whose cache is read as well"),
    Setting(name="provenance", kind=str, default="off", env=("LAMINA_PROVENANCE",),
            help="attestation of how a pushed image was made: off, min, or max with arguments and steps"),
    Setting(name="sbom", kind=bool, default=False, env=("LAMINA_SBOM",),
            help="attestation of what a pushed image holds"),
    Setting(name="sbom-generator", kind=str, default="", env=("LAMINA_SBOM_GENERATOR",),
            help="the image that finds out what an image holds; empty: BuildKit's own, from Docker Hub"),
    Setting(name="stall", kind=int, default=STALL, env=("LAMINA_STALL",),
            help="seconds in which an exchange with a registry must move; 0: no limit"),
    Setting(name="dockerfiles", kind=str, default="dockerfiles", env=("LAMINA_DOCKERFILES",),
            help="folder whose <image>/Dockerfile are images without being listed"),
    Setting(name="context", kind=str, default=".", env=("LAMINA_CONTEXT",),
            help="build context of images that name none"),
)}
# fmt: on


def read_settings(
    document: Document, env: Mapping[str, str], flags: Mapping[str, Any]
) -> Mapping[str, Value]:
    """Every setting's value: flag over variable over file over default. Faults go to the document."""
    values = {name: _value(setting, document, env, flags) for name, setting in SETTINGS.items()}
    platform = values["platform"]
    found = read_platform(str(platform.value), platform.source, document)
    values["platform"] = replace(platform, value=found)
    _check(values, document)
    return values


def read_platform(text: str, source: str, document: Document) -> str:
    """A configured platform by its usual name; empty where none is told. What is not one is a fault.

    An architecture may stand alone where Lambda has it: who writes ``arm`` may mean arm64.
    """
    found = normal_platform(text) or ""
    if text and not (_PLATFORM.fullmatch(found) if "/" in text else found in _OF_LAMBDA):
        document.problem(f"{text!r} is not a platform", where=source, allowed=", ".join(_OF_LAMBDA))
    return found


def _value(setting: Setting, document: Document, env: Mapping[str, str], flags: Mapping[str, Any]) -> Value:
    if flags.get(setting.name) is not None:
        source = f"--{setting.name}"
        return Value(value=_parsed(setting, flags[setting.name], source, document), source=source)
    for name in setting.env:
        if name in env:
            source = f"${name}"
            return Value(value=_parsed(setting, env[name], source, document), source=source)
    if setting.name in document.table:
        return Value(value=document.table[setting.name], source=document.where(setting.name))
    return Value(value=setting.default, source="default")


def _parsed(setting: Setting, given: Any, source: str, document: Document) -> Any:
    """A flag's or a variable's text as the setting's type."""
    if isinstance(given, setting.kind):
        return given
    text = str(given).strip()
    if setting.kind is bool and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if setting.kind is int and text.isdecimal():
        return int(text)
    document.problem(f"{text!r} is not {TYPES[setting.kind]}", where=source, allowed=setting.help)
    return setting.default


def _check(values: Mapping[str, Value], document: Document) -> None:
    repository, stack = (values[name] for name in ("repository", "stack"))
    cache, cached_in = values["cache"], values["cache-repository"]
    if cache.value not in CACHE_MODES:
        document.problem(
            f"{cache.value!r} is no cache mode", where=cache.source, allowed=", ".join(CACHE_MODES)
        )
    cache_name = str(cached_in.value)
    if not CACHE_REPOSITORY.fullmatch(cache_name) or not is_repository(_filled(cache_name)):
        document.problem(
            f"{cached_in.value!r} is no place for the cache of each image",
            where=cached_in.source,
            allowed="a name with {repository} in it: {repository}, {repository}-cache, cache/{repository}",
        )
    if "{image}" not in str(repository.value):
        document.problem(
            "the repository must hold {image}, else all images share one",
            where=repository.source,
            allowed=SETTINGS["repository"].default,
        )
    elif not is_repository(_filled(str(repository.value))):
        document.problem(
            f"{repository.value!r} gives no names of repositories", where=repository.source, allowed=NAMES
        )
    if not is_name(str(stack.value)):
        document.problem(
            f"{stack.value!r} is no stack: it is part of a repository name", where=stack.source, allowed=NAMES
        )
    _check_places(values, document)


def _check_places(values: Mapping[str, Value], document: Document) -> None:
    """What names a registry, a builder or an image: nothing else may be hidden in it."""
    registry, builder, generator = (values[name] for name in ("registry", "builder", "sbom-generator"))
    address = str(registry.value)
    if address != LOCAL and not is_registry(address):
        document.problem(
            f"{without_login(address)!r} is no registry",
            where=registry.source,
            allowed=REGISTRIES,
            hint="credentials do not belong into an address: docker login <host>" if "@" in address else None,
        )
    if builder.value and not BUILDER.fullmatch(str(builder.value)):
        document.problem(
            f"{builder.value!r} is no builder", where=builder.source, allowed="a name of docker buildx ls"
        )
    if generator.value and not is_image(str(generator.value)):
        document.problem(
            f"{without_login(str(generator.value))!r} is no image", where=generator.source, allowed="name:tag"
        )
    if values["provenance"].value not in PROVENANCE:
        document.problem(
            f"{values['provenance'].value!r} is no kind of provenance",
            where=values["provenance"].source,
            allowed=", ".join(PROVENANCE),
        )
    jobs = values["jobs"]
    if isinstance(jobs.value, int) and jobs.value < 0:
        document.problem(f"{jobs.value} images cannot be built at once", where=jobs.source, allowed="0: all")
    stall = values["stall"]
    if isinstance(stall.value, int) and stall.value < 0:
        document.problem(
            f"{stall.value} s is no time", where=stall.source, allowed="seconds; 0: wait without a limit"
        )


def _filled(template: str) -> str:
    """A name as a template gives it."""
    return re.sub(r"\{(image|stack|repository)\}", "a", template)
