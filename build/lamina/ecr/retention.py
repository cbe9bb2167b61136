"""Decide which images of a registry are no longer used, and why each other one is kept. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from lamina.ecr.version_rules import Action, Pruned, VersionVerdict
from lamina.errors import LaminaError, Problem
from lamina.identify.code_copies import KEY_PREFIX
from lamina.identify.image import STABLE

Kind = Literal["image", "index", "cache", "referrer", "other"]

GONE = "was already deleted"
RETAGGED = "kept: its tags changed meanwhile"
TAKEN = "kept: something runs it now"
LISTED = "kept: an index that stays may list it"
IN_USE = "in use"
PULLED = "pulled lately"
"""The rule about images that something pulled. Gc reads no manifest of these: that would count as a pull."""
MEANWHILE = frozenset({GONE, RETAGGED, TAKEN, LISTED})
"""Reasons not to delete a manifest that are not failures."""
_CONTENT = re.compile(r"sha-[0-9a-f]{12}")
_REVISION = re.compile(r"git-[0-9a-f]{4,40}(?:-dirty)?")
_ATTESTED = re.compile(r"att-[0-9a-f]{12,64}")
"""The tag of an index that lists an image with its attestations. It is deleted with the image."""
_APPEND = re.compile(rf"{KEY_PREFIX}[0-9a-f]{{12}}")
_PIN = re.compile(r"keep-[\w.-]+", re.ASCII)
"""The tag by which people pin an image."""
_CACHE = re.compile(r"cache-[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldManifest:
    """A manifest in a repository.

    Attributes:
        size: bytes, compressed.
        pushed: None if unknown.
        subject: the digest a referrer (a signature, an attestation) refers to.
        pulled: when it was last pulled; None if never or unknown.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int
    pushed: datetime | None
    kind: Kind
    subject: str | None = None
    pulled: datetime | None = None

    @property
    def name(self) -> str:
        """The manifest's tags, or its digest if it has none; for people."""
        return ", ".join(self.tags) or self.digest[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The manifests that a manifest needs.

    Attributes:
        children: digests an index lists.
        bases: ``repository:tag`` or ``repository@digest``.
        blobs: digest of its configuration and layers -> bytes.
    """

    children: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    blobs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestInventory:
    """The manifests of all repositories, and which of them need each other.

    links: digest -> the manifests it needs, as far as they have been read.
    """

    manifests: tuple[HeldManifest, ...]
    links: Mapping[str, Links]
    _by_name: Mapping[str, HeldManifest] = field(repr=False)
    _referrers: Mapping[str, list[HeldManifest]] = field(repr=False)
    _indexes: Mapping[str, list[HeldManifest]] = field(repr=False)

    @classmethod
    def of(cls, manifests: Iterable[HeldManifest], links: Mapping[str, Links]) -> ManifestInventory:
        """Return the inventory of manifests with these links."""
        known = tuple(manifests)
        by_name: dict[str, HeldManifest] = {}
        referrers: dict[str, list[HeldManifest]] = defaultdict(list)
        indexes: dict[str, list[HeldManifest]] = defaultdict(list)
        for each in known:
            by_name |= {f"{each.repository}:{tag}": each for tag in each.tags}
            by_name[f"{each.repository}@{each.digest}"] = each
            if each.subject:
                referrers[f"{each.repository}@{each.subject}"].append(each)
            for child in links.get(each.digest, Links()).children if each.kind == "index" else ():
                indexes[f"{each.repository}@{child}"].append(each)
        return cls(manifests=known, links=links, _by_name=by_name, _referrers=referrers, _indexes=indexes)

    def needed_by(self, kept: HeldManifest) -> Iterator[tuple[HeldManifest, str]]:
        """Yield the manifests to keep because another is kept, with their relation to it."""
        own, needs = f"{kept.repository}@{kept.digest}", self.links.get(kept.digest, Links())
        children = (self._by_name.get(f"{kept.repository}@{child}") for child in needs.children)
        yield from ((each, "part of") for each in children if each)
        bases = (self._by_name.get(base) for base in needs.bases)
        yield from ((each, "base of") for each in bases if each)
        yield from ((each, "about") for each in self._referrers.get(own, ()))
        yield from ((each, "lists") for each in self._indexes.get(own, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """The rules that keep manifests.

    Attributes:
        now: the time from which ages count.
        keep_last: how many of the newest images of each repository to keep.
        days, cache_days: keep images and caches younger than this.
        pulled_days: keep images that were pulled within this many days.
        used: digest, or ``repository:tag`` -> what runs it.
        current: ``repository:tag`` of each image the worktree would build.
        caches: the same for the caches that builds would read or write.
    """

    now: datetime
    keep_last: int
    days: int
    cache_days: int
    pulled_days: int = 0
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    current: frozenset[str] = frozenset()
    caches: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionVerdict:
    """The decision about a manifest.

    Attributes:
        rule: the same text for all manifests of one reason.
        detail: why.
    """

    held: HeldManifest
    action: Action
    rule: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The decisions about all manifests.

    Attributes:
        looked: the accounts and regions whose functions were read, ``account …, region``.
        dated: whether ages count from the push; otherwise from the build, if an image records it.
        lists: digest of an index -> the digests in it.
        doubts: why functions of unknown accounts may run images.
        unknown: services besides Lambda that may use images, but could not be asked.
        versions: the decisions about published versions; empty if none was asked for.
        blobs: digest of a manifest that was read -> the digests of its blobs, and their bytes.
        shared: whether repositories share blobs.
        by_number: digests that only published versions run.
    """

    verdicts: tuple[RetentionVerdict, ...]
    looked: tuple[str, ...]
    dated: bool
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    doubts: tuple[Problem, ...] = ()
    unknown: tuple[Problem, ...] = ()
    versions: tuple[VersionVerdict, ...] = ()
    blobs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    shared: bool = False
    by_number: frozenset[str] = frozenset()

    @property
    def doomed(self) -> tuple[HeldManifest, ...]:
        """The manifests to delete."""
        return tuple(each.held for each in self.verdicts if each.action == "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The result of a deletion.

    Attributes:
        deleted: only manifests whose deletion was confirmed.
        left: repository and digest -> why it was not deleted. A manifest in neither was not reached.
        error: why the deletion is incomplete, None if it is not.
        pruned: the published versions that were deleted first.
    """

    deleted: tuple[HeldManifest, ...]
    left: Mapping[tuple[str, str], str]
    error: LaminaError | None
    pruned: Pruned = field(default_factory=Pruned)


def judge(inventory: ManifestInventory, rules: RetentionRules) -> tuple[RetentionVerdict, ...]:
    """Decide about every manifest, in the order of the inventory.

    First each manifest is judged alone. Then every manifest that a kept one needs is kept as well.
    """
    newest = _newest(inventory.manifests, rules.keep_last)
    verdicts = {_key(each): _alone(each, rules, newest) for each in inventory.manifests}
    waiting = [each.held for each in verdicts.values() if each.action == "keep"]
    while waiting:
        kept = waiting.pop()
        for needed, how in inventory.needed_by(kept):
            if verdicts[_key(needed)].action == "delete":
                verdicts[_key(needed)] = RetentionVerdict(
                    held=needed,
                    action="keep",
                    rule=f"{how} what is kept",
                    detail=f"{how} {kept.repository}:{kept.name}",
                )
                waiting.append(needed)
    return tuple(verdicts.values())


def in_order(verdicts: Iterable[RetentionVerdict]) -> Mapping[str, tuple[HeldManifest, ...]]:
    """Return the manifests to delete, by repository. Indexes come first: they block what they list."""
    found: dict[str, list[HeldManifest]] = defaultdict(list)
    for each in verdicts:
        if each.action == "delete":
            found[each.held.repository].append(each.held)
    return {name: tuple(sorted(held, key=lambda each: each.kind != "index")) for name, held in found.items()}


def changed(held: HeldManifest, existing: Mapping[str, tuple[str, ...]], used: Container[str]) -> str | None:
    """Return why an image must not be deleted any more, None if nothing changed since the decision.

    Args:
        existing: digest -> tags, of its repository now.
        used: the digests, or ``repository:tag``, that something runs now.
    """
    if held.digest not in existing:
        return GONE
    if existing[held.digest] != held.tags:
        return RETAGGED
    names = (held.digest, *(f"{held.repository}:{tag}" for tag in held.tags))
    return TAKEN if any(each in used for each in names) else None


def _newest(held: Iterable[HeldManifest], count: int) -> Mapping[tuple[str, str], int]:
    """Return the newest ``count`` tagged images of each repository, with their rank by push time (from 1)."""
    images: dict[str, list[HeldManifest]] = defaultdict(list)
    for each in held:
        counts = any(not _ATTESTED.fullmatch(tag) for tag in each.tags)
        if each.kind in {"image", "index"} and counts and each.pushed is not None:
            images[each.repository].append(each)
    found: dict[tuple[str, str], int] = {}
    for those in images.values():
        ranked = sorted(those, key=lambda each: (each.pushed, each.digest), reverse=True)
        found |= {_key(each): number for number, each in enumerate(ranked[:count], start=1)}
    return found


def _alone(
    held: HeldManifest, rules: RetentionRules, newest: Mapping[tuple[str, str], int]
) -> RetentionVerdict:
    """Decide about a manifest without regard to the others."""
    kept = next(_reasons(held, rules, newest), None)
    if kept is not None:
        return RetentionVerdict(held=held, action="keep", rule=kept[0], detail=kept[1])
    age = _age(held, rules.now)
    if held.kind == "cache":
        what = "an old cache" if held.tags else "a cache that was replaced"
    elif held.subject:
        what = "what it is about is not kept"
    else:
        what = f"not among the newest {rules.keep_last}" if held.tags else "no tag names it"
    return RetentionVerdict(held=held, action="delete", rule=what, detail=f"{what}, pushed {age} days ago")


def _reasons(
    held: HeldManifest, rules: RetentionRules, newest: Mapping[tuple[str, str], int]
) -> Iterator[tuple[str, str]]:
    """Yield why a manifest is kept, as pairs of rule and detail; the most important first."""
    names = {f"{held.repository}:{tag}" for tag in held.tags}
    if functions := next((rules.used[each] for each in (held.digest, *names) if each in rules.used), None):
        more = f" and {len(functions) - 1} more" if len(functions) > 1 else ""
        yield IN_USE, f"run by {functions[0]}{more}"
    for tag in held.tags:
        if _PIN.fullmatch(tag):
            yield "pinned", f"its tag {tag} pins it"
        elif not _is_ours(tag):
            yield "unknown tag", f"Lamina does not set tags like {tag}"
    if held.kind == "other":
        yield "unknown kind", "it is neither an image nor a BuildKit cache"
    if STABLE in held.tags:
        yield STABLE, "static mode builds on it"
    if names & rules.current:
        yield "current", "the worktree's inputs are those it was built from"
    if names & rules.caches:
        yield "cache in use", "builds of this branch and of the fallback branch read it"
    if held.pushed is None:
        yield "age unknown", "the time of its push is not known"
    else:
        yield from _by_age(held, held.pushed, rules, newest)


def _by_age(
    held: HeldManifest, pushed: datetime, rules: RetentionRules, newest: Mapping[tuple[str, str], int]
) -> Iterator[tuple[str, str]]:
    days = rules.cache_days if held.kind == "cache" else rules.days
    if rules.now - pushed < timedelta(days=days):
        yield "young", f"younger than {days} days"
    if _key(held) in newest:
        yield f"newest {rules.keep_last}", f"number {newest[_key(held)]} of its repository"
    if held.kind == "image" and held.pulled and rules.now - held.pulled < timedelta(days=rules.pulled_days):
        yield PULLED, f"something pulled it in the last {rules.pulled_days} days"


def _is_ours(tag: str) -> bool:
    ours = (_CONTENT, _REVISION, _ATTESTED, _CACHE, _APPEND)
    return tag == STABLE or any(each.fullmatch(tag) for each in ours)


def _key(held: HeldManifest) -> tuple[str, str]:
    return held.repository, held.digest


def _age(held: HeldManifest, now: datetime) -> str:
    return "?" if held.pushed is None else str((now - held.pushed).days)
