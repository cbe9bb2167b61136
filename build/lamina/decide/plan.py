"""Make the plan: whether each image is built, retagged or skipped, and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal

from lamina.errors import Problem
from lamina.identify.fingerprint import BuildInputs
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.decide.append import AppendPlan
    from lamina.identify.explain import InputChange

Action = Literal["build", "retag", "skip"]
StoreKind = Literal["registry", "engine"]
"""Where images go."""
_REFRESH = "--refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image that exists. ref: where, by tag or digest. size: bytes; compressed in a registry.

    config: the digest of its configuration; None if unknown. fingerprint: the one it carries; None if Lamina
    did not build it. lost: digests of blobs that it refers to and that are missing, among those checked.
    store: which of several stores has it; None if one was asked.
    """

    ref: Reference
    digest: str
    size: int = 0
    config: str | None = None
    fingerprint: str | None = None
    lost: tuple[str, ...] = ()
    store: str | None = field(default=None, compare=False)

    def is_image(self, image: Image) -> bool:
        """Whether it is exactly this image, with no blob lost: a tag may point to another one."""
        return self.fingerprint == image.fingerprint and not self.lost

    @property
    def lacks(self) -> str:
        """The lost blobs in words: ``its configuration sha256:1234``, ``2 of its layers``."""
        layers = [each for each in self.lost if each != self.config]
        parts = [f"its configuration {self.config[:19]}"] if self.config in self.lost and self.config else []
        if layers:
            parts.append(
                f"its layer {layers[0][:19]}" if len(layers) == 1 else f"{len(layers)} of its layers"
            )
        return " and ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLookup:
    """Which images exist in the image store.

    store: the store's name for reasons: ``the engine``, ``registry example.com``. found: image -> the image
    under its content tag. elsewhere: image -> the same fingerprint under another name. recorded: the images
    that were in it once, as they are now. unknown: why the store was not asked, in few words; None if
    it was. cause: the error of the store, if that is why.
    """

    store: str
    found: Mapping[str, FoundImage] = field(default_factory=dict)
    elsewhere: Mapping[str, FoundImage] = field(default_factory=dict)
    recorded: Collection[str] = ()
    unknown: str | None = None
    cause: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with one image. source: the image that a retag tags, or that a skip found.

    reasons: lines for people; very many changed files become one line. changes: all differences from the last
    build, if they are why the image is built.
    append: how a build needs no builder; else, if that was looked into, builder: why one is needed.
    """

    image: Image
    action: Action
    reasons: tuple[str, ...]
    changes: tuple[InputChange, ...] = ()
    source: FoundImage | None = None
    no_cache: bool = False
    """Whether its steps run although BuildKit has cached results."""
    append: AppendPlan | None = None
    builder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All decisions in build order, and what else the user should know."""

    decisions: Mapping[str, Decision]
    found: Mapping[str, FoundImage]
    """The existing images among these and their bases: under the content tag, or at the source of a retag."""
    store: str
    unknown: str | None = None
    cause: Problem | None = None
    notes: tuple[Problem, ...] = ()
    headline: str | None = None
    """The first line of every report: static mode, the stand-in runtime."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return all(decision.action == "skip" for decision in self.decisions.values())

    def action(self, name: str) -> Action | None:
        """Return the action for an image; None for one that is not in the plan."""
        return self.decisions[name].action if name in self.decisions else None

    @property
    def appends(self) -> tuple[Decision, ...]:
        """The builds that need no builder, in build order."""
        return tuple(each for each in self.decisions.values() if each.append)

    def acting(self, action: Action) -> tuple[Decision, ...]:
        """Return the decisions with one action, in build order."""
        return tuple(each for each in self.decisions.values() if each.action == action)


def lacking(seen: StoreLookup, lost: Mapping[str, FoundImage]) -> StoreLookup:
    """Return the lookup corrected for images that have lost blobs. lost: image -> it, with its lost blobs."""
    elsewhere = {name: each for name, each in seen.elsewhere.items() if name not in lost}
    found = {name: each for name, each in lost.items() if name not in seen.elsewhere}
    return replace(seen, found={**seen.found, **found}, elsewhere=elsewhere)


def make_plan(
    images: Mapping[str, Image],
    selected: Iterable[str],
    lookup: StoreLookup,
    *,
    last: Mapping[str, BuildInputs],
    force: bool = False,
    refresh: bool = False,
    unlocked: Collection[str] = (),
    notes: tuple[Problem, ...] = (),
    headline: str | None = None,
) -> Plan:
    """Decide for the selected images and for the missing bases that they need.

    Args:
        last: image -> its build inputs at the last build, to name the changes since.
        force: build the selected images even if they exist.
        refresh: the same, without BuildKit's cached results.
        unlocked: external images without a digest; every image that builds on one, at any depth, is built.
    """
    wanted = set(selected)
    forced = _REFRESH if refresh else "--force" if force else None
    loose = _loose(images, unlocked)
    decisions: dict[str, Decision] = {}
    for name, image in images.items():
        if name in wanted:
            decisions[name] = _decide(image, lookup, last.get(name), forced=forced, loose=loose[name])
    _add_missing_bases(decisions, images, lookup, last, loose)
    return Plan(
        decisions={name: decisions[name] for name in images if name in decisions},
        found={**lookup.found, **_sources(decisions.values())},
        store=lookup.store,
        unknown=lookup.unknown,
        cause=lookup.cause,
        notes=notes,
        headline=headline,
    )


def _sources(decisions: Iterable[Decision]) -> Mapping[str, FoundImage]:
    """Return the sources of the retags: a build in the same plan may use one as its base."""
    return {
        each.image.name: each.source
        for each in decisions
        if each.action == "retag" and each.source is not None
    }


def _loose(images: Mapping[str, Image], unlocked: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the unlocked images below each image, direct or through parents: its fingerprint may change."""
    loose: dict[str, tuple[str, ...]] = {}
    for name, image in images.items():
        own = [each.name for each in image.node.externals if each.name in unlocked]
        inherited = (each for parent in image.inputs.parents for each in loose.get(parent, ()))
        loose[name] = tuple(dict.fromkeys((*own, *inherited)))
    return loose


def _add_missing_bases(
    decisions: dict[str, Decision],
    images: Mapping[str, Image],
    lookup: StoreLookup,
    last: Mapping[str, BuildInputs],
    loose: Mapping[str, tuple[str, ...]],
) -> None:
    """Add bases that were not selected but that a selected image needs to be built."""
    for name in reversed(tuple(images)):
        if name in decisions and decisions[name].action == "build":
            for parent in images[name].node.parents:
                if parent in images and parent not in decisions:
                    decided = _decide(
                        images[parent], lookup, last.get(parent), forced=None, loose=loose[parent]
                    )
                    if decided.action != "skip":
                        decisions[parent] = decided


def _decide(
    image: Image, lookup: StoreLookup, last: BuildInputs | None, *, forced: str | None, loose: tuple[str, ...]
) -> Decision:
    name = image.name
    if forced:
        return Decision(image=image, action="build", reasons=(forced,), no_cache=forced == _REFRESH)
    if loose:
        reasons = tuple(f"{each} is not locked yet: invoke lock" for each in loose)
        return Decision(image=image, action="build", reasons=reasons)
    found = lookup.found.get(name)
    if found and found.is_image(image):
        reason = f"up to date: {image.tag} is in {found.store or lookup.store}"
        return Decision(image=image, action="skip", reasons=(reason,), source=found)
    if name in lookup.elsewhere:
        source = lookup.elsewhere[name]
        reason = f"the same content is at {source.ref}"
        return Decision(image=image, action="retag", reasons=(reason,), source=source)
    if found:
        return Decision(
            image=image,
            action="build",
            reasons=(why_unusable(found, image, lookup.store),),
            no_cache=any(each != found.config for each in found.lost),
        )
    changes, lines = _changes(last, image) if last else ((), ())
    if lookup.unknown:
        reasons = (*lines, f"unknown whether it exists: {lookup.unknown}")
    else:
        since = "no longer" if name in lookup.recorded else "not yet"
        reasons = lines or (f"{image.tag} is {since} in {lookup.store}",)
    return Decision(image=image, action="build", reasons=reasons, changes=changes)


def why_unusable(found: FoundImage, image: Image, store: str) -> str:
    """Return why the image under a content tag cannot be used: other inputs, lost blobs, no fingerprint."""
    if found.fingerprint not in {None, image.fingerprint}:
        return f"{image.tag} exists in {store} but was built from different inputs"
    if found.lost:
        return f"{image.tag} in {store} has lost {found.lacks}"
    return f"{image.tag} exists in {store} but carries no fingerprint: Lamina did not build it"


def _changes(last: BuildInputs, image: Image) -> tuple[tuple[InputChange, ...], tuple[str, ...]]:
    """Return what changed since the last build, and the same in lines."""
    from lamina.identify.change_lines import describe_changes

    changes = image.changes_since(last)
    return changes, tuple(each.line for each in describe_changes(changes))
