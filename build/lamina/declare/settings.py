"""The settings of a project: their names, where they can be set, and the source of each value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, fields, replace
from typing import Generic, TypeVar

from lamina.declare.document import TYPES, Document, Entries
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
from lamina.patterns import regex
from lamina.values import dataclass

LOCAL = "local"
DEFAULT = "default"
"""The source of a setting that is not set."""
CACHE_REPOSITORY = regex(r"[a-z0-9._/-]*\{repository\}[a-z0-9._/-]*")
_PLATFORM = regex(r"linux/[a-z0-9]+(?:/v[0-9]+)?")
_OF_LAMBDA = ("linux/amd64", "linux/arm64")
CACHE_MODES = ("auto", "max", "min", "inline", "off")
"""auto: as max, but not written where that does not pay."""
PROVENANCE = ("off", "min", "max")
APPEND = ("auto", "never", "only")
ANY_SEVERITY = "any"
SEVERITIES = (ANY_SEVERITY, "none", "informational", "low", "medium", "high")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
BATCH = 25
"""Images in one call of bake. Its time grows faster than their number. For 100 changed images, two runs each:
one call 95 and 104 s, calls of 50 66 and 54 s, of 25 48 and 35 s, of 10 72 and 54 s."""

PROMETHEUS, EMBEDDED, EMBEDDED_LINES, METRICS_OUTPUT = ".prom", ".json", ".jsonl", "-"
"""What the setting ``metrics`` ends with, or is: it chooses the format."""

STALL = 120
"""Seconds. A small push over a slow line can be silent for this long."""


SettingValue = str | int | bool
_Kind = TypeVar("_Kind", str, int, bool)
_Held = TypeVar("_Held", covariant=True)
_DECLARED = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The declaration of a setting.

    Attributes:
        env: Its environment variables; the first one set wins.
        choices: All values it may have; empty if any text of the right form will do.
    """

    name: str
    kind: type[str] | type[int] | type[bool]
    default: SettingValue
    env: tuple[str, ...]
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Value(Generic[_Held]):
    """A value and its source: a flag, a variable, ``pyproject.toml:12`` or the default."""

    value: _Held
    source: str


def _setting(default: _Kind, *env: str, help: str, choices: tuple[str, ...] = ()) -> _Kind:  # noqa: A002
    """Declare a field of `Settings`; `env` and `choices` as in `Setting`."""
    declared = {"kind": type(default), "default": default, "env": env, "help": help, "choices": choices}
    return field(default=default, metadata={_DECLARED: declared})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a project. Their names in ``[tool.lamina]`` have dashes instead of underscores.

    Attributes:
        sources: Setting -> its source; those with their default may be missing. See `source`.
    """

    # fmt: off
    registry: str = _setting(LOCAL, "LAMINA_REGISTRY",
        help="where images are stored: local, ecr, or host[:port][/prefix]")
    stack: str = _setting("dev", "LAMINA_STACK",
        help="part of the repository name: dev, prod, ...")
    repository: str = _setting("{image}-{stack}", "LAMINA_REPOSITORY",
        help="template of repository names, with {image} and {stack}")
    platform: str = _setting("", "LAMINA_PLATFORM",
        help="linux/amd64 or linux/arm64; empty: this machine's")
    static: bool = _setting(False, "LAMINA_STATIC", "USE_STATIC_BASE_IMAGE",
        help="build Lambda images on <base>:stable and do not build base images")
    builder: str = _setting("", "LAMINA_BUILDER", "BUILDX_BUILDER",
        help="buildx builder, or several with commas that share a push; empty: the engine's own")
    reproducible: bool = _setting(False, "LAMINA_REPRODUCIBLE",
        help="use one fixed time in layers and configuration, so that cold engines give equal digests")
    jobs: int = _setting(BATCH, "LAMINA_JOBS",
        help="images to build at once; 0: all")
    append: str = _setting("auto", "LAMINA_APPEND", choices=APPEND,
        help="make code changes without a builder: auto, never, or only (fail where one is needed)")
    cache: str = _setting("max", "LAMINA_CACHE_MODE", choices=CACHE_MODES,
        help="remote cache: auto (max where it pays), max, min, inline, off")
    cache_read_only: bool = _setting(False, "LAMINA_CACHE_READ_ONLY",
        help="read the remote cache but do not write it, as in builds of forks")
    cache_repository: str = _setting("{repository}", "LAMINA_CACHE_REPOSITORY",
        help="repository of an image's cache; {repository} is the image's own")
    cache_branch: str = _setting("", "LAMINA_CACHE_BRANCH",
        help="branch whose cache is read and written; empty: the branch of CI or git")
    cache_fallback: str = _setting("main", "LAMINA_CACHE_FALLBACK",
        help="another branch whose cache is read")
    provenance: str = _setting("off", "LAMINA_PROVENANCE", choices=PROVENANCE,
        help="attest how a pushed image was built: off, min, or max with arguments and steps")
    sbom: bool = _setting(False, "LAMINA_SBOM",
        help="attest the contents of a pushed image (SBOM)")
    sbom_generator: str = _setting("", "LAMINA_SBOM_GENERATOR",
        help="image that generates the SBOM; empty: BuildKit's own, from Docker Hub")
    ssh: bool = _setting(False, "LAMINA_SSH",
        help="pass the SSH agent of this machine to steps with --mount=type=ssh")
    stall: int = _setting(STALL, "LAMINA_STALL",
        help="seconds without progress before a registry transfer fails; 0: no limit")
    metrics: str = _setting("", "LAMINA_METRICS",
        help="where builds write their metrics: a .prom, .json or .jsonl file, or -; empty: nowhere")
    max_severity: str = _setting(ANY_SEVERITY, "LAMINA_MAX_SEVERITY", choices=SEVERITIES,
        help="the worst finding of ECR's scan that a deployed image may have; any: scans are not read")
    dockerfiles: str = _setting("dockerfiles", "LAMINA_DOCKERFILES",
        help="folder in which each <image>/Dockerfile is an image")
    context: str = _setting(".", "LAMINA_CONTEXT",
        help="build context of images that do not set one")
    # fmt: on
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def builders(self) -> tuple[str, ...]:
        """The names of the builders; empty for the engine's own."""
        return tuple(self.builder.split(",")) if self.builder else ()

    def source(self, name: str) -> str:
        """Return the source of a setting: a flag, a variable, ``pyproject.toml:12`` or the default."""
        return self.sources.get(name, DEFAULT)

    def place(self, name: str) -> str:
        """Return where a message says that a setting is: its source, or its name if nothing sets it."""
        source = self.source(name)
        return name if source == DEFAULT else source

    def sourced(self, name: str) -> Value[SettingValue]:
        """Return the value and the source of a setting by name."""
        return Value(value=getattr(self, name.replace("-", "_")), source=self.source(name))


SETTINGS: Mapping[str, Setting] = {
    (name := each.name.replace("_", "-")): Setting(name=name, **each.metadata[_DECLARED])
    for each in fields(Settings)
    if _DECLARED in each.metadata
}
"""The declarations, by name, in the order of the fields."""


def read_settings(
    document: Document, env: Mapping[str, str], flags: Mapping[str, SettingValue | None]
) -> Settings:
    """Return the settings: flag over variable over file over default. Problems go to the document."""
    values = {name: _value(setting, document, env, flags) for name, setting in SETTINGS.items()}
    found: Entries = {name.replace("-", "_"): value.value for name, value in values.items()}
    settings = Settings(**found, sources={name: value.source for name, value in values.items()})
    platform = read_platform(settings.platform, settings.source("platform"), document)
    settings = replace(settings, platform=platform)
    _check(settings, document)
    return settings


def read_platform(text: str, source: str, document: Document) -> str:
    """Return a configured platform by its normal name, or an empty string if none is set or it is not one.

    An architecture may omit ``linux/`` only if Lambda has it: ``arm`` is refused since it may mean arm64.
    """
    found = normal_platform(text) or ""
    if text and not (_PLATFORM.fullmatch(found) if "/" in text else found in _OF_LAMBDA):
        document.problem(f"{text!r} is not a platform", where=source, allowed=", ".join(_OF_LAMBDA))
    return found


def is_metrics(text: str) -> bool:
    """Whether a text says where metrics go, and in which format; empty: nowhere."""
    return text in {"", METRICS_OUTPUT} or text.endswith((PROMETHEUS, EMBEDDED, EMBEDDED_LINES))


def stack_name(document: Document, env: Mapping[str, str], flags: Mapping[str, SettingValue | None]) -> str:
    """Return the selected stack: it decides which table of ``stacks`` counts."""
    return str(_value(SETTINGS["stack"], document, env, flags).value)


def _value(
    setting: Setting,
    document: Document,
    env: Mapping[str, str],
    flags: Mapping[str, SettingValue | None],
) -> Value[SettingValue]:
    if (flag := flags.get(setting.name)) is not None:
        source = f"--{setting.name}"
        return Value(value=_parsed(setting, flag, source, document), source=source)
    for name in setting.env:
        if name in env:
            source = f"${name}"
            return Value(value=_parsed(setting, env[name], source, document), source=source)
    if setting.name in document.table:
        return Value(value=document.table[setting.name], source=document.where(setting.name))
    return Value(value=setting.default, source=DEFAULT)


def _parsed(setting: Setting, given: SettingValue, source: str, document: Document) -> SettingValue:
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


def _check(settings: Settings, document: Document) -> None:
    if settings.cache not in CACHE_MODES:
        document.problem(
            f"{settings.cache!r} is not a cache mode",
            where=settings.source("cache"),
            allowed=", ".join(CACHE_MODES),
        )
    name = settings.cache_repository
    if not CACHE_REPOSITORY.fullmatch(name) or not is_repository(_filled(name)):
        document.problem(
            f"{name!r} is not a cache repository",
            where=settings.source("cache-repository"),
            allowed="a name with {repository} in it: {repository}, {repository}-cache, cache/{repository}",
        )
    if "{image}" not in settings.repository:
        document.problem(
            "repository must contain {image}, or all images would share one",
            where=settings.source("repository"),
            allowed=str(SETTINGS["repository"].default),
        )
    elif not is_repository(_filled(settings.repository)):
        document.problem(
            f"{settings.repository!r} does not make repository names",
            where=settings.source("repository"),
            allowed=NAMES,
        )
    if not is_name(settings.stack):
        document.problem(
            f"{settings.stack!r} is not a stack: it is part of a repository name",
            where=settings.source("stack"),
            allowed=NAMES,
        )
    _check_places(settings, document)


def _check_places(settings: Settings, document: Document) -> None:
    """Check the settings that hold a registry, a builder, an image or a number."""
    address = settings.registry
    if address != LOCAL and not is_registry(address):
        document.problem(
            f"{without_login(address)!r} is not a registry",
            where=settings.source("registry"),
            allowed=REGISTRIES,
            hint="log in with docker login <host>; an address holds no credentials"
            if "@" in address
            else None,
        )
    _check_builders(settings, document)
    if settings.sbom_generator and not is_image(settings.sbom_generator):
        document.problem(
            f"{without_login(settings.sbom_generator)!r} is not an image",
            where=settings.source("sbom-generator"),
            allowed="name:tag",
        )
    if settings.provenance not in PROVENANCE:
        document.problem(
            f"{settings.provenance!r} is not a kind of provenance",
            where=settings.source("provenance"),
            allowed=", ".join(PROVENANCE),
        )
    if settings.append not in APPEND:
        document.problem(
            f"{settings.append!r} does not say when to append",
            where=settings.source("append"),
            allowed=", ".join(APPEND),
        )
    if not is_metrics(settings.metrics):
        document.problem(
            f"{settings.metrics!r} does not say in which format metrics are written",
            where=settings.source("metrics"),
            allowed="name.prom (Prometheus), name.json, name.jsonl or - (CloudWatch)",
        )
    if settings.jobs < 0:
        document.problem(
            f"jobs is {settings.jobs}",
            where=settings.source("jobs"),
            allowed="images at once, 1 or more; 0: all",
        )
    if settings.stall < 0:
        document.problem(
            f"stall is {settings.stall}",
            where=settings.source("stall"),
            allowed="seconds, 1 or more; 0: no limit",
        )


def _check_builders(settings: Settings, document: Document) -> None:
    names, where = settings.builders, settings.source("builder")
    for name in dict.fromkeys(names):
        if not BUILDER.fullmatch(name):
            document.problem(
                f"{name!r} is not a builder", where=where, allowed="a name from docker buildx ls"
            )
        elif names.count(name) > 1:
            document.problem(f"the builder {name!r} is named twice", where=where, hint="name it once")


def _filled(template: str) -> str:
    """Return a template with each placeholder filled in, to check its form."""
    return re.sub(r"\{(image|stack|repository)\}", "a", template)
