"""What a deployment has to do with each function, and what stands in its way; what runs where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lamina.declare.functions import Function
from lamina.errors import Problem

ARCHITECTURES: Mapping[str, str] = {"amd64": "x86_64", "arm64": "arm64"}
"""Of images -> as Lambda calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredFunction:
    """What a function should run. digest: of the pushed image. uri: that image by digest, as Lambda takes it.

    platform: of the image, ``linux/arm64``. tag: its content tag.
    """

    function: Function
    image: str
    uri: str
    digest: str
    platform: str
    tag: str

    @property
    def architecture(self) -> str:
        """As Lambda calls it."""
        part = self.platform.split("/")[1]
        return ARCHITECTURES.get(part, part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a function is, or a version of it: the facts that decide, as Lambda's GetFunction tells them."""

    version: str
    package: str
    digest: str | None
    command: tuple[str, ...]
    architecture: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUpdate:
    """What is to be done with a function. image, command: whether that is to be changed; reasons: why.

    alias: version that the alias names, None where there is no such alias or none is asked for; pointed:
    whether it has to be pointed at what the function is then.
    """

    wanted: DesiredFunction
    image: bool
    command: bool
    reasons: tuple[str, ...]
    alias: str | None = None
    pointed: bool = False

    @property
    def action(self) -> str:
        """``update``, ``point`` or ``skip``."""
        return "update" if self.image or self.command else "point" if self.pointed else "skip"


def obstacles(wanted: DesiredFunction, running: Running | None) -> Iterator[Problem]:
    """Every reason for which a function cannot be given its image."""
    name = str(wanted.function)
    if running is None:
        yield Problem(
            what=f"there is no function {name}",
            where=wanted.image,
            hint=f"create it from {wanted.uri}, or mend functions in [tool.lamina.images.{wanted.image}]",
        )
    elif running.package != "Image":
        yield Problem(
            what=f"the function {name} is made of a zip file, and Lambda makes no image of that",
            where=wanted.image,
            hint="create another function with --package-type Image, and let that take its place",
        )
    elif running.architecture != wanted.architecture:
        yield Problem(
            what=f"the function {name} is for {running.architecture}, the image for {wanted.architecture}",
            where=wanted.image,
            hint=f"build it for the function (platform), or create the function for {wanted.architecture}",
        )


def owned_elsewhere(wanted: DesiredFunction, stack: str, owner: str | None) -> Iterator[Problem]:
    """A function that another stack deploys: each would take it from the other. owner: that stack."""
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
    """What has to change. alias: what the alias runs, if there is one. aliased: whether one is asked for.

    shared: whether the alias leaves some of its calls to other versions.
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
    same = alias is not None and _same(alias, wanted)
    pointed = aliased and (image or command or shared or not same)
    if pointed and not reasons:
        if alias is None:
            reasons.append("the alias is not there")
        elif same:
            reasons.append("the alias leaves a share of the calls to other versions")
        else:
            reasons.append(f"the alias runs {_short(alias.digest)}")
    return FunctionUpdate(
        wanted=wanted,
        image=image,
        command=command,
        reasons=tuple(reasons) or (f"runs {wanted.tag}",),
        alias=alias.version if alias else None,
        pointed=pointed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """Where a function's code is: at ``$LATEST``, a version, or an alias of one.

    place: ``$LATEST``, ``7``, ``live = 7``. digest: what runs there, None when nothing does. verdict: see
    `judge`. counts: whether calls are meant to come here: an alias, or ``$LATEST`` where there are none.
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
        """Whether what the worktree has runs here."""
        return self.verdict == "live"


def judge(pushed: str | None, running: Running | None, command: tuple[str, ...], deployed: str | None) -> str:
    """``live``, or what is in the way of that. deployed: content tag of what runs, where it is known."""
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
    return running.digest == wanted.digest and (not declared or running.command == declared)


def _short(digest: str | None) -> str:
    return digest[:19] if digest else "nothing"


def _words(command: tuple[str, ...]) -> str:
    return " ".join(command) or "the image's own"
