"""The settings of a project: their names, where they can be set, and the source of each value."""

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
"""Images in one call of bake. Its time grows faster than their number. For 100 changed images, two runs each:
one call 95 and 104 s, calls of 50 66 and 54 s, of 25 48 and 35 s, of 10 72 and 54 s."""

STALL = 120
"""Seconds. A small push over a slow line can be silent for this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting: its type, its default, and its environment variables (the first one set wins)."""

    name: str
    kind: type
    default: Any
    env: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A setting's value and its source: a flag, a variable, ``pyproject.toml:12`` or the default."""

    value: Any
    source: str


# fmt: off
SETTINGS: Mapping[str, Setting] = {each.name: each for each in (
    Setting(name="registry", kind=str, default=LOCAL, env=("LAMINA_REGISTRY",),
            help="where images are stored: local, ecr, or host[:port][/prefix]"),
    Setting(name="stack", kind=str, default="dev", env=("LAMINA_STACK",),
            help="part of the repository name: dev, prod, ..."),
    Setting(name="repository", kind=str, default="{image}-{stack}", env=("LAMINA_REPOSITORY",),
            help="template of repository names, with {image} and {stack}"),
    Setting(name="platform", kind=str, default="", env=("LAMINA_PLATFORM",),
            help="linux/amd64 or linux/arm64; empty: this machine's"),
    Setting(name="static", kind=bool, default=False, env=("LAMINA_STATIC", "USE_STATIC_BASE_IMAGE"),
            help="build Lambda images on <base>:stable and do not build base images"),
    Setting(name="builder", kind=str, default="", env=("LAMINA_BUILDER", "BUILDX_BUILDER"),
            help="buildx builder; empty: the engine's own"),
    Setting(name="reproducible", kind=bool, default=False, env=("LAMINA_REPRODUCIBLE",),
            help="use one fixed time in layers and configuration, so that cold engines give equal digests"),
    Setting(name="jobs", kind=int, default=BATCH, env=("LAMINA_JOBS",),
            help="images to build at once; 0: all"),
    Setting(name="cache", kind=str, default="max", env=("LAMINA_CACHE_MODE",),
            help="remote cache: max, min, inline, off"),
    Setting(name="cache-read-only", kind=bool, default=False, env=("LAMINA_CACHE_READ_ONLY",),
            help="read the remote cache but do not write it, as in builds of forks"),
    Setting(name="cache-repository", kind=str, default="{repository}", env=("LAMINA_CACHE_REPOSITORY",),
            help="repository of an image's cache; {repository} is the image's own"),
    Setting(name="cache-branch", kind=str, default="", env=("LAMINA_CACHE_BRANCH",),
            help="branch whose cache is read and written; empty: the branch of CI or git"),
    Setting(name="cache-fallback", kind=str, default="main", env=("LAMINA_CACHE_FALLBACK",),
            help="another branch whose cache is read"),
    Setting(name="provenance", kind=str, default="off", env=("LAMINA_PROVENANCE",),
            help="attest how a pushed image was built: off, min, or max with arguments and steps"),
    Setting(name="sbom", kind=bool, default=False, env=("LAMINA_SBOM",),
            help="attest the contents of a pushed image (SBOM)"),
    Setting(name="sbom-generator", kind=str, default="", env=("LAMINA_SBOM_GENERATOR",),
            help="image that generates the SBOM; empty: BuildKit's own, from Docker Hub"),
    Setting(name="stall", kind=int, default=STALL, env=("LAMINA_STALL",),
            help="seconds without progress before a registry transfer fails; 0: no limit"),
    Setting(name="dockerfiles", kind=str, default="dockerfiles", env=("LAMINA_DOCKERFILES",),
            help="folder in which each <image>/Dockerfile is an image"),
    Setting(name="context", kind=str, default=".", env=("LAMINA_CONTEXT",),
            help="build context of images that do not set one"),
)}
# fmt: on


def read_settings(
    document: Document, env: Mapping[str, str], flags: Mapping[str, Any]
) -> Mapping[str, Value]:
    """Return each setting's value: flag over variable over file over default. Problems go to the document."""
    values = {name: _value(setting, document, env, flags) for name, setting in SETTINGS.items()}
    platform = values["platform"]
    found = read_platform(str(platform.value), platform.source, document)
    values["platform"] = replace(platform, value=found)
    _check(values, document)
    return values


def read_platform(text: str, source: str, document: Document) -> str:
    """Return a configured platform by its normal name, or an empty string if none is set or it is not one.

    An architecture may omit ``linux/`` only if Lambda has it: ``arm`` is refused since it may mean arm64.
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
    """Convert the text of a flag or variable to the setting's type."""
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
            f"{cache.value!r} is not a cache mode", where=cache.source, allowed=", ".join(CACHE_MODES)
        )
    cache_name = str(cached_in.value)
    if not CACHE_REPOSITORY.fullmatch(cache_name) or not is_repository(_filled(cache_name)):
        document.problem(
            f"{cached_in.value!r} is not a cache repository",
            where=cached_in.source,
            allowed="a name with {repository} in it: {repository}, {repository}-cache, cache/{repository}",
        )
    if "{image}" not in str(repository.value):
        document.problem(
            "repository must contain {image}, or all images would share one",
            where=repository.source,
            allowed=SETTINGS["repository"].default,
        )
    elif not is_repository(_filled(str(repository.value))):
        document.problem(
            f"{repository.value!r} does not make repository names", where=repository.source, allowed=NAMES
        )
    if not is_name(str(stack.value)):
        document.problem(
            f"{stack.value!r} is not a stack: it is part of a repository name",
            where=stack.source,
            allowed=NAMES,
        )
    _check_places(values, document)


def _check_places(values: Mapping[str, Value], document: Document) -> None:
    """Check the settings that hold a registry, a builder, an image or a number."""
    registry, builder, generator = (values[name] for name in ("registry", "builder", "sbom-generator"))
    address = str(registry.value)
    if address != LOCAL and not is_registry(address):
        document.problem(
            f"{without_login(address)!r} is not a registry",
            where=registry.source,
            allowed=REGISTRIES,
            hint="log in with docker login <host>; an address holds no credentials"
            if "@" in address
            else None,
        )
    if builder.value and not BUILDER.fullmatch(str(builder.value)):
        document.problem(
            f"{builder.value!r} is not a builder",
            where=builder.source,
            allowed="a name from docker buildx ls",
        )
    if generator.value and not is_image(str(generator.value)):
        document.problem(
            f"{without_login(str(generator.value))!r} is not an image",
            where=generator.source,
            allowed="name:tag",
        )
    if values["provenance"].value not in PROVENANCE:
        document.problem(
            f"{values['provenance'].value!r} is not a kind of provenance",
            where=values["provenance"].source,
            allowed=", ".join(PROVENANCE),
        )
    jobs = values["jobs"]
    if isinstance(jobs.value, int) and jobs.value < 0:
        document.problem(
            f"jobs is {jobs.value}", where=jobs.source, allowed="images at once, 1 or more; 0: all"
        )
    stall = values["stall"]
    if isinstance(stall.value, int) and stall.value < 0:
        document.problem(
            f"stall is {stall.value}", where=stall.source, allowed="seconds, 1 or more; 0: no limit"
        )


def _filled(template: str) -> str:
    """Return a template with each placeholder filled in, to check its form."""
    return re.sub(r"\{(image|stack|repository)\}", "a", template)
