"""Decide the reference of each image for deployment tools, or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from lamina.declare.functions import Function
from lamina.errors import ConfigError, Problem
from lamina.identify.fingerprint import content_tag
from lamina.json_data import JsonTable
from lamina.refs import Reference

MANIFEST = ".lamina/manifest.json"
_SHOWN_REASONS = 3
_HOST = 'host = "<account>.dkr.ecr.<region>.amazonaws.com" in [tool.lamina.ecr]'


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutput:
    """An image reference for functions.

    Attributes:
        ref: by digest, or by content tag with --plan-only.
        tag: the content tag in both cases.
        functions: the declared functions that run the image.
    """

    image: str
    ref: Reference
    tag: str
    functions: tuple[Function, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The manifest's entry for an image.

    Attributes:
        ref: with tag and digest.
        pushed: confirmed in a registry.
    """

    image: str
    fingerprint: str
    ref: Reference
    pushed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredOutput:
    """An image as the worktree has it.

    Attributes:
        repository: where the image belongs; without a host if that is not known offline.
        fingerprint: of its current files, None if it does not matter.
        changes: the differences from the recorded inputs, a line each.
        flags: the flags a build needs to push to the same repository, for example ``--stack prod``.
    """

    image: str
    repository: Reference
    functions: tuple[Function, ...] = ()
    fingerprint: str | None = None
    changes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def read_recorded(entries: Iterable[JsonTable]) -> Mapping[str, Recorded]:
    """Return the manifest's entries by image; damaged entries are ignored."""
    found: dict[str, Recorded] = {}
    for each in entries:
        image, fingerprint, ref = (each.get(key) for key in ("image", "fingerprint", "ref"))
        if isinstance(image, str) and isinstance(fingerprint, str) and isinstance(ref, str):
            with suppress(ValueError):
                found[image] = Recorded(
                    image=image,
                    fingerprint=fingerprint,
                    ref=Reference.parse(ref),
                    pushed=each.get("pushed") is True,
                )
    return found


def by_tag(wanted: DesiredOutput, fingerprint: str) -> ImageOutput:
    """Return the image under its content tag, whether it is pushed or not."""
    tag = content_tag(fingerprint)
    return ImageOutput(
        image=wanted.image, ref=wanted.repository.with_tag(tag), tag=tag, functions=wanted.functions
    )


def by_digest(wanted: DesiredOutput, recorded: Recorded | None) -> ImageOutput | Problem:
    """Return the image by its pushed digest, or why that digest does not fit the worktree."""
    name = wanted.image
    if recorded is None or recorded.ref.digest is None:
        return _problem(wanted, f"{name} is not recorded: it was not built in this checkout")
    if not recorded.pushed or recorded.ref.host is None:
        what = f"{name} ({content_tag(recorded.fingerprint)}) is built but was not pushed from this checkout"
        return _problem(wanted, what)
    if not _belongs(recorded.ref, wanted.repository):
        return _problem(wanted, f"{name} was pushed as {recorded.ref.name}, not as {wanted.repository.name}")
    if wanted.fingerprint not in {None, recorded.fingerprint}:
        return _behind(wanted, recorded, wanted.fingerprint or "")
    return ImageOutput(
        image=name,
        ref=recorded.ref.with_digest(recorded.ref.digest),
        tag=content_tag(recorded.fingerprint),
        functions=wanted.functions,
    )


def known_host(recorded: Iterable[Recorded], repositories: Mapping[str, str], account: str | None) -> str:
    """Return the registry's host as recorded by the last push: only AWS knows it, so it cannot be derived.

    Args:
        recorded: the manifest's entries.
        repositories: image -> its repository in this stack. A push of another stack may have gone to another
            account.
        account: the configured account, None if none is configured.

    Raises:
        ConfigError: no push, or pushes to more than one host, are recorded.
    """
    hosts = {
        each.ref.host
        for each in recorded
        if each.pushed and each.ref.host and each.ref.repository == repositories.get(each.image)
    }
    if account:
        hosts = {host for host in hosts if host.partition(".")[0] in {account} or not _names_account(host)}
    if len(hosts) == 1:
        return hosts.pop()
    recorded_pushes = (
        f"pushes went to {', '.join(sorted(hosts))}"
        if hosts
        else "nothing of this stack was pushed from this checkout"
    )
    raise ConfigError.of(
        f"the host of the ECR registry is not known, and AWS is not asked offline; {recorded_pushes}",
        where=MANIFEST,
        allowed=_HOST,
        hint="set it (`invoke login` prints the host), or: invoke build-all --push",
    )


def _names_account(host: str) -> bool:
    first = host.partition(".")[0]
    return len(first) == 12 and first.isdecimal()


def _belongs(ref: Reference, repository: Reference) -> bool:
    """Whether a reference is in the repository; if its host is not known, only the name counts."""
    return ref.repository == repository.repository and repository.host in {None, ref.host}


def _behind(wanted: DesiredOutput, recorded: Recorded, fingerprint: str) -> Problem:
    reasons = list(wanted.changes[:_SHOWN_REASONS])
    if more := len(wanted.changes) - len(reasons):
        reasons.append(f"and {more} more")
    what = (
        f"the manifest is behind the worktree: {wanted.image} was pushed as "
        f"{content_tag(recorded.fingerprint)}, and is {content_tag(fingerprint)} now"
    )
    return _problem(
        wanted,
        "\n  ".join((what, *reasons)),
        more="; to use the old one: --allow-stale, allow_stale=True",
    )


def _problem(wanted: DesiredOutput, what: str, more: str = "") -> Problem:
    command = " ".join(("invoke build-all --push --image", wanted.image, *wanted.flags))
    return Problem(what=what, where=MANIFEST, hint=command + more)
