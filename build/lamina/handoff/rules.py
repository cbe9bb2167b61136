"""What is handed to those who deploy: of each image its reference, or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lamina.declare.functions import Function
from lamina.errors import ConfigError, Problem
from lamina.identify.fingerprint import content_tag
from lamina.refs import Reference

MANIFEST = ".lamina/manifest.json"
_SHOWN_REASONS = 3
_HOST = '[tool.lamina.ecr] host = "<account>.dkr.ecr.<region>.amazonaws.com"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutput:
    """An image as a function can name it. ref: by digest or, where only that is known, by content tag.

    tag: the content tag, in both cases. functions: all that run the image.
    """

    image: str
    ref: Reference
    tag: str
    functions: tuple[Function, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the manifest has of an image. ref: with tag and digest. pushed: confirmed in a registry."""

    image: str
    fingerprint: str
    ref: Reference
    pushed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredOutput:
    """What the worktree says of an image.

    repository: where it belongs; without a host where that is not known offline. fingerprint: of its files
    now, None where it does not matter. changes: what differs from what is recorded, a line each.
    flags: what a command needs that is about the same repository, ``--stack prod``.
    """

    image: str
    repository: Reference
    functions: tuple[Function, ...] = ()
    fingerprint: str | None = None
    changes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def read_recorded(entries: Iterable[Mapping[str, Any]]) -> Mapping[str, Recorded]:
    """The entries of the manifest that name an image; damaged ones count as none."""
    found: dict[str, Recorded] = {}
    for each in entries:
        try:
            found[each["image"]] = Recorded(
                image=each["image"],
                fingerprint=each["fingerprint"],
                ref=Reference.parse(each["ref"]),
                pushed=each.get("pushed") is True,
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
    return found


def by_tag(wanted: DesiredOutput, fingerprint: str) -> ImageOutput:
    """The image under its content tag, whether it is there or not."""
    tag = content_tag(fingerprint)
    return ImageOutput(
        image=wanted.image, ref=wanted.repository.with_tag(tag), tag=tag, functions=wanted.functions
    )


def by_digest(wanted: DesiredOutput, recorded: Recorded | None) -> ImageOutput | Problem:
    """The image as it was pushed, or why that is not what the worktree asks for."""
    name = wanted.image
    if recorded is None or recorded.ref.digest is None:
        return _problem(wanted, f"{name} is not recorded: it was not built in this checkout")
    if not recorded.pushed or recorded.ref.host is None:
        what = f"{name} ({content_tag(recorded.fingerprint)}) is built but was not pushed from here"
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
    """The host of ECR, as the last push met it: AWS names it, nobody can make it up. Raises ConfigError.

    repositories: image -> its repository in this stack; a push of another one may have gone to another
    account. account: the only one that may be meant, where that is configured.
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
    told = (
        f"pushes went to {', '.join(sorted(hosts))}"
        if hosts
        else "nothing of this stack was pushed from here"
    )
    raise ConfigError.of(
        f"AWS alone knows the host of its registry, and is not asked now; {told}",
        where=MANIFEST,
        allowed=_HOST,
        hint="set it (`invoke login` tells the host), or: invoke build-all --push",
    )


def _names_account(host: str) -> bool:
    first = host.partition(".")[0]
    return len(first) == 12 and first.isdecimal()


def _belongs(ref: Reference, repository: Reference) -> bool:
    """Whether a reference is in the repository; where its host is not known only the name counts."""
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
        more="; to hand over the old one: --allow-stale, allow_stale=True",
    )


def _problem(wanted: DesiredOutput, what: str, more: str = "") -> Problem:
    command = " ".join(("invoke build-all --push --image", wanted.image, *wanted.flags))
    return Problem(what=what, where=MANIFEST, hint=command + more)
