"""Find what is wrong with images before anything is built, all at once. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from lamina.decide.weight import heavy_contexts
from lamina.declare.machine import SET_UP_QEMU, Machine, family
from lamina.declare.settings import Settings
from lamina.errors import ConfigError, Problem, did_you_mean, nearest
from lamina.identify.context import Missing
from lamina.identify.excludes import BY_DEFAULT
from lamina.identify.ignore import IgnoreRule
from lamina.identify.image import Image
from lamina.identify.tree import shown
from lamina.patterns import regex
from lamina.refs import Reference

_ALIKE = 0.8
_NAMED = 5
# fmt: off
_OFFICIAL = frozenset({
    "almalinux", "alpine", "amazoncorretto", "amazonlinux", "bash", "buildpack-deps", "busybox", "debian",
    "docker", "eclipse-temurin", "fedora", "golang", "gradle", "haproxy", "httpd", "maven", "mongo", "mysql",
    "nginx", "node", "openjdk", "oraclelinux", "perl", "php", "postgres", "pypy", "python", "rabbitmq",
    "redis", "registry", "rockylinux", "ruby", "rust", "swift", "traefik", "ubuntu",
})
# fmt: on
"""Common base images of Docker Hub with a bare name: https://hub.docker.com/u/library"""
_GENERATED = regex(
    r"(?:^|/)(?:build|dist|target|out|node_modules|\.next)(?:/|$)|\.(?:whl|zip|jar|tar\.gz|tgz)$"
    r"|(?:^|/)requirements[^/]*\.txt$"
)
"""Paths that tools make and repositories leave out; requirements are often exported from a lock."""


def faults(images: Mapping[str, Image]) -> Iterator[Problem]:
    """Yield what would fail the build: sources that match nothing, leave the context or cannot be read."""
    for image in images.values():
        for name, context in image.contexts.items():
            for missing in context.missing:
                if not missing.optional:
                    yield _missing(image, missing, name)


def notes(images: Mapping[str, Image]) -> Iterator[Problem]:
    """Yield what the user should know and what does not fail the build."""
    yield from heavy_contexts(images)
    for image in images.values():
        recipe = image.node.recipe
        for stage in recipe.stages:
            yield from stage.notes
        yield from _unknown_sources(image)
        for name, context in image.contexts.items():
            yield from (_missing(image, missing, name) for missing in context.missing if missing.optional)
        for name in sorted(set(image.node.spec.args) - recipe.declared_args):
            yield Problem(
                what=f"build argument {name} has no effect: the Dockerfile of {image.name} has no ARG {name}",
                where=image.node.spec.source,
                hint=f"add ARG {name} to {image.node.spec.dockerfile_path}, or drop it",
            )


def _unknown_sources(image: Image) -> Iterator[Problem]:
    """Yield why the whole context counts; of an argument without a value once, and what to do about it."""
    recipe, unset = image.node.recipe, set[str]()
    for source in recipe.sources:
        where = recipe.dockerfile.where(source.line)
        if source.unset is None:
            if source.reason:
                yield Problem(what=source.reason, where=where)
        elif source.unset not in unset:
            unset.add(source.unset)
            key = f"[tool.lamina.images.{image.name}]"
            yield Problem(
                what=f"ARG {source.unset} has no value, so the whole context counts",
                where=where,
                hint=f'args.{source.unset} = "…" in {key}; an image for each value',
            )


def misspelt_bases(images: Mapping[str, Image], names: Collection[str]) -> Iterator[Problem]:
    """Yield a note for each external image whose bare name is close to that of an image of the project.

    Not an error: Docker Hub may have an image of that name. names: all images of the project.
    """
    for image in images.values():
        for external in image.node.externals:
            reference = Reference.parse(external.name)
            bare = reference.host is None and reference.digest is None and "/" not in reference.repository
            if not bare or reference.repository in _OFFICIAL or reference.repository in names:
                continue
            others = [name for name in names if name != image.name]
            if near := nearest(reference.repository, others, cutoff=_ALIKE):
                yield Problem(
                    what=f"{external.name} is not an image of this project: it is looked for on Docker Hub",
                    where=image.node.recipe.dockerfile.where(external.line),
                    hint=did_you_mean(near),
                )


def unknown_secrets(images: Mapping[str, Image], declared: Collection[str]) -> Iterator[Problem]:
    """Yield a note for each mounted secret that is not configured: the step runs without it."""
    for image in images.values():
        recipe = image.node.recipe
        for secret in recipe.secrets:
            if secret in declared:
                continue
            named = re.compile(rf"\bid={re.escape(secret)}(?:,|$)")
            runs = (each for stage in recipe.stages for each in stage.stage.instructions)
            line = next((each.line for each in runs if any(map(named.search, each.flags_of("mount")))), 1)
            yield Problem(
                what=f"{image.name} mounts secret {secret}, which is not configured",
                where=recipe.dockerfile.where(line),
                hint=f'[tool.lamina.secrets] {secret} = {{ file = "path", optional = true }}',
            )


def unused_agents(images: Mapping[str, Image], settings: Settings) -> Iterator[Problem]:
    """Yield a note for each image that mounts an SSH agent and gets none: the step runs without it."""
    for image in images.values() if not settings.ssh else ():
        if image.node.recipe.ssh:
            yield Problem(
                what=f"{image.name} mounts an SSH agent, which is not configured",
                where=image.node.spec.dockerfile_path,
                hint="ssh = true in [tool.lamina]",
            )


def passes_agent(settings: Settings, images: Iterable[Image], env: Mapping[str, str]) -> bool:
    """Whether a build passes on an SSH agent. Raises ConfigError if an image needs it and there is none."""
    needing = [image for image in images if image.node.recipe.ssh] if settings.ssh else []
    if needing and not env.get("SSH_AUTH_SOCK"):
        raise ConfigError.of(
            f"{needing[0].name} mounts an SSH agent, and this machine has none: SSH_AUTH_SOCK is not set",
            where=settings.source("ssh"),
            hint='eval "$(ssh-agent)" && ssh-add',
        )
    return bool(needing)


def emulated(
    images: Mapping[str, Image], machine: Machine, stand_ins: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield a note for each platform other than the machine's whose programs builds run, naming the images.

    stand_ins: external images replaced by a stand-in, which is for the machine's own platform.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for image in images.values():
        for platform, run in image.node.recipe.runs_on.items():
            foreign = family(platform) != family(machine.platform)
            if foreign and not _is_from_any(image, images, stand_ins):
                where = image.node.recipe.dockerfile.where(run.line)
                found.setdefault(platform, []).append((image.name, where))
    for platform, steps in found.items():
        can_emulate = family(platform) in machine.emulates
        how = "which is slow" if can_emulate else "and QEMU is not set up"
        install = "" if can_emulate else f"; for emulation: {SET_UP_QEMU}"
        names = list(dict.fromkeys(name for name, _ in steps))
        yield Problem(
            what=f"{_listed(names)} for {platform}, "
            f"whose programs this machine runs only by emulation, {how}",
            where=steps[0][1],
            hint="run such a step in a stage FROM --platform=$BUILDPLATFORM and COPY --link the result; "
            f"there {_for_platform(platform)}{install}",
        )


def foreign_stand_ins(
    images: Mapping[str, Image], machine: Machine, stand_ins: Collection[str]
) -> Iterator[Problem]:
    """Yield a note for each platform other than the machine's whose images are based on a stand-in."""
    found: dict[str, list[Image]] = {}
    for image in images.values():
        platform = family(image.node.spec.platform)
        if platform != family(machine.platform) and _is_from_any(image, images, stand_ins):
            found.setdefault(platform, []).append(image)
    for platform, based in found.items():
        names = [image.name for image in based]
        yield Problem(
            what=f"{_listed(names)} for {platform}, but the stand-in runtime is for {machine.platform}, "
            "and so is what RUN installs",
            where=based[0].node.spec.dockerfile_path,
            hint=f"to try images on this machine: build-all and smoke with --platform {machine.platform}",
        )


def _listed(names: list[str]) -> str:
    """Return the names with their verb, cut to the first ones."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} {'is' if len(names) == 1 else 'are'}"


def _for_platform(platform: str) -> str:
    machine = "aarch64" if family(platform) == "linux/arm64" else "x86_64"
    return (
        f"pip needs --platform manylinux2014_{machine} --only-binary=:all: "
        f"(uv: --python-platform {machine}-manylinux2014)"
    )


def _is_from_any(image: Image, images: Mapping[str, Image], names: Collection[str]) -> bool:
    """Whether an image, or one of the project that it is built FROM, uses one of the external images."""
    if any(each.name in names for each in image.node.externals):
        return True
    return any(_is_from_any(images[each], images, names) for each in image.node.parents if each in images)


def _missing(image: Image, missing: Missing, context: str) -> Problem:
    where = image.node.recipe.dockerfile.where(missing.source.line)
    place = f"the context {context}" if context else "the context"
    path = shown(missing.path)
    what = f"{missing.source.instruction} {path}"
    if missing.source.origin:
        what = f"ONBUILD {what} at {missing.source.origin}"
    if missing.fault:
        return Problem(
            what=f"{what} {shown(missing.fault)}", where=where, allowed=f"files below {image.root(context)}"
        )
    if missing.hidden_by:
        return Problem(
            what=f"{what}: {missing.hidden_by} hides it",
            where=where,
            hint=_unhide(image, missing.hidden_by, path),
        )
    return Problem(
        what=f"{what}: there is no such file in {place}",
        where=where,
        allowed=f"paths relative to {image.root(context)}",
        hint=_made_before(image, path) or _similar(missing),
    )


def _similar(missing: Missing) -> str | None:
    """Return the name that may be meant. One in another Unicode form looks the same, as macOS writes some."""
    near = missing.nearest
    if near is None or missing.path.isascii() or near.isascii():
        return did_you_mean(near and shown(near))
    from unicodedata import normalize

    if normalize("NFC", near) == normalize("NFC", missing.path):
        escaped = near.encode("ascii", "backslashreplace").decode()
        return f"give both names one Unicode form: the file's is {escaped}"
    return did_you_mean(shown(near))


def _made_before(image: Image, path: str) -> str | None:
    """Return how to make a source that an earlier step makes; None if that is not known."""
    if before := image.node.spec.before:
        return f"run this command with --prepare, which first runs: {before}"
    if not _GENERATED.search(path):
        return None
    return (
        f'make it first, or set before = "<the command that makes it>" in [tool.lamina.images.{image.name}] '
        "and use --prepare"
    )


def _unhide(image: Image, rule: IgnoreRule, path: str) -> str:
    if rule.source == BY_DEFAULT:
        return f"add !{rule.pattern} to {image.node.spec.dockerfile_path}.dockerignore"
    return f"add !{path} below that line, or drop the line"
