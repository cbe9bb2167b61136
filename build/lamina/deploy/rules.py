"""Decide what a deployment changes in each function, what prevents it, and what is live. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lamina.declare.functions import Function
from lamina.errors import Problem

ARCHITECTURES: Mapping[str, str] = {"amd64": "x86_64", "arm64": "arm64"}
"""An image's architecture -> Lambda's name for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFunction:
    """A declared function, and the image it should run.

    Attributes:
        digest: of the pushed image.
        uri: that image by digest, as Lambda expects it.
        platform: of the image, for example ``linux/arm64``.
        tag: its content tag.
        snap_start: whether Lambda should make snapshots of its versions; None: as the function is.
    """

    function: Function
    image: str
    uri: str
    digest: str
    platform: str
    tag: str
    snap_start: bool | None = None

    @property
    def name(self) -> str:
        """The function as declared."""
        return str(self.function)

    @property
    def architecture(self) -> str:
        """The image's architecture, by Lambda's name."""
        part = self.platform.split("/")[1]
        return ARCHITECTURES.get(part, part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The state of a function or of one of its versions, as Lambda's GetFunction reports it.

    snap_start: whether Lambda makes snapshots of versions. has_snapshot: whether this version has one.
    """

    version: str
    package: str
    digest: str | None
    command: tuple[str, ...]
    architecture: str
    state: str
    reason: str
    snap_start: bool = False
    has_snapshot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUpdate:
    """The planned update of a function.

    Attributes:
        image, command, snap_start: whether each has to change.
        reasons: why, or why nothing has to.
        alias: the version that the alias names, None if there is no such alias or none was requested.
        pointed: whether the alias has to move.
        version: the published version that it moves to; None: a new one.
        alike: whether the alias's version has the same image and command already.
    """

    wanted: DesiredFunction
    image: bool
    command: bool
    reasons: tuple[str, ...]
    alias: str | None = None
    pointed: bool = False
    snap_start: bool = False
    version: str | None = None
    alike: bool = False

    @property
    def action(self) -> str:
        """``update``, ``point`` or ``skip``."""
        updates = self.image or self.command or self.snap_start
        return "update" if updates else "point" if self.pointed else "skip"


def obstacles(wanted: DesiredFunction, running: Running | None) -> Iterator[Problem]:
    """Yield every reason why a function cannot be updated to its image."""
    name = str(wanted.function)
    if running is None:
        yield Problem(
            what=f"there is no function {name}",
            where=wanted.image,
            hint=f"create it from {wanted.uri}, or correct functions in [tool.lamina.images.{wanted.image}]",
        )
    elif running.package != "Image":
        yield zip_function(name, wanted.image)
    elif running.architecture != wanted.architecture:
        yield Problem(
            what=f"the function {name} is for {running.architecture}, the image for {wanted.architecture}",
            where=wanted.image,
            hint=f"build the image for {running.architecture} (platform), "
            f"or create the function for {wanted.architecture}",
        )


def zip_function(name: str, image: str) -> Problem:
    """Return the problem of a function that cannot run an image, with the way to one that can."""
    return Problem(
        what=f"the function {name} is made of a zip file; Lambda cannot change its package type",
        where=image,
        hint="create a function of package type Image under another name, declare that one, point triggers "
        "and permissions to it, and delete this one. A tool that replaces it under its name deletes it "
        "first: until the new one exists, calls fail",
    )


def owned_elsewhere(wanted: DesiredFunction, stack: str, owner: str | None) -> Iterator[Problem]:
    """Yield a problem if another stack deploys the function: each would undo the other's deployments.

    Args:
        owner: the stack whose image the function runs; None if unknown.
    """
    if owner is not None and owner != stack:
        yield Problem(
            what=f"the function {wanted.function} runs {wanted.image} of stack {owner}, not of {stack}",
            where=f"[tool.lamina.images.{wanted.image}] functions",
            allowed="a function of its own for each stack, or one stack that deploys it",
            hint="put {stack} into the name of the function, or add --take-over to move it to this stack",
        )


def decide(
    wanted: DesiredFunction,
    running: Running,
    *,
    alias: Running | None = None,
    aliased: bool = False,
    shared: bool = False,
) -> FunctionUpdate:
    """Decide what has to change in a function.

    Args:
        alias: the version behind the alias, if the alias exists.
        aliased: whether an alias was requested.
        shared: whether the alias sends a share of its calls to other versions.
    """
    reasons: list[str] = []
    image = running.digest != wanted.digest or running.state == "Failed"
    if running.digest != wanted.digest:
        reasons.append(f"runs {_short(running.digest)}, {wanted.tag} is {_short(wanted.digest)}")
    elif image:
        reasons.append(f"is {running.state}: {running.reason}")
    declared = wanted.function.command
    command = bool(declared) and running.command != declared
    if command:
        reasons.append(f"command is {_words(running.command)}, not {_words(declared)}")
    snap_start = wanted.snap_start not in {None, running.snap_start}
    if snap_start:
        reasons.append(f"SnapStart is {'on' if running.snap_start else 'off'}")
    same = alias is not None and _same(alias, wanted)
    pointed = aliased and (image or command or snap_start or shared or not same)
    if pointed and not reasons:
        if alias is None:
            reasons.append("the alias does not exist")
        elif same:
            reasons.append("the alias sends a share of the calls to other versions")
        elif alias.digest == wanted.digest and wanted.snap_start and not alias.has_snapshot:
            reasons.append(f"version {alias.version} has no snapshot")
        else:
            reasons.append(f"the alias runs {_short(alias.digest)}")
    return FunctionUpdate(
        wanted=wanted,
        image=image,
        command=command,
        reasons=tuple(reasons) or (f"runs {wanted.tag}",),
        alias=alias.version if alias else None,
        pointed=pointed,
        snap_start=snap_start,
        alike=same,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """The state of a function at ``$LATEST``, a version, or an alias.

    Attributes:
        place: ``$LATEST``, ``7`` or ``live = 7``.
        tag: the worktree's content tag.
        pushed: its digest in the registry, None if it is not pushed.
        digest: of the image that runs, None if there is none.
        verdict: see `judge`.
        counts: whether calls go to this version or alias.
    """

    image: str
    function: str
    place: str
    tag: str
    pushed: str | None
    digest: str | None
    verdict: str
    counts: bool

    @property
    def live(self) -> bool:
        """Whether the worktree's image runs at this version or alias."""
        return self.verdict == "live"


def judge(pushed: str | None, running: Running | None, command: tuple[str, ...], deployed: str | None) -> str:
    """Return ``live``, or the reason why not.

    Args:
        pushed: digest of the worktree's image in the registry, None if it is not pushed.
        command: the declared command, empty if none is declared.
        deployed: content tag of the image that runs, None if unknown.
    """
    if running is None:
        return "no function"
    if running.package != "Image":
        return "a zip file"
    if running.state == "Failed":
        return f"failed: {running.reason}"
    if pushed is None:
        return "not pushed"
    if running.digest != pushed:
        return f"stale: {deployed or 'an image that the registry does not know'}"
    if command and running.command != command:
        return f"command is {_words(running.command)}"
    return "live"


def _same(running: Running, wanted: DesiredFunction) -> bool:
    declared = wanted.function.command
    starts = not wanted.snap_start or running.has_snapshot
    return running.digest == wanted.digest and (not declared or running.command == declared) and starts


def _short(digest: str | None) -> str:
    return digest[:19] if digest else "nothing"


def _words(command: tuple[str, ...]) -> str:
    return " ".join(command) or "the image's own"
