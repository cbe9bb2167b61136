"""Which images of a registry nobody needs any more, and why each other one is kept. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from lamina.errors import LaminaError, Problem
from lamina.identify.image import STABLE

Kind = Literal["image", "index", "cache", "referrer", "other"]
Action = Literal["keep", "delete"]

GONE = "was gone already"
RETAGGED = "its tags changed meanwhile: it stays"
TAKEN = "a function runs it meanwhile: it stays"
LISTED = "an index that stays may list it"
MEANWHILE = frozenset({GONE, RETAGGED, TAKEN, LISTED})
"""Why something is not deleted that is nobody's fault."""
_CONTENT = re.compile(r"sha-[0-9a-f]{12}")
_REVISION = re.compile(r"git-[0-9a-f]{4,40}(?:-dirty)?")
_ATTESTED = re.compile(r"att-[0-9a-f]{12,64}")
"""Of an index that lists an image together with its attestations: it goes with the image."""
_CACHE = re.compile(r"cache-[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldManifest:
    """A manifest in a repository. size: bytes, compressed. pushed: None where that is not known.

    subject: the digest that a referrer (a signature, an attestation) is about.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int
    pushed: datetime | None
    kind: Kind
    subject: str | None = None

    @property
    def name(self) -> str:
        """For people: its tags, else its digest."""
        return ", ".join(self.tags) or self.digest[:19]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What a manifest needs. children: digests an index lists. bases: ``repository:tag`` or ``…@digest``."""

    children: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """What is kept. now: the moment that ages count from. keep_last: of each repository's images, by push.

    used: digest -> the functions that run it. current: ``repository:tag`` of what the worktree would build;
    caches: of the caches it would read or write.
    """

    now: datetime
    keep_last: int
    days: int
    cache_days: int
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    current: frozenset[str] = frozenset()
    caches: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionVerdict:
    """What becomes of a manifest. rule: the same words for all that are kept for one reason; detail: why."""

    held: HeldManifest
    action: Action
    rule: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What there is and what becomes of it. looked: where functions were looked at, ``account …, region``.

    dated: whether ages count from the push; else from the build, where an image tells it. lists: digest of
    an index -> the digests in it. doubts: why functions may run images that nobody saw.
    """

    verdicts: tuple[RetentionVerdict, ...]
    looked: tuple[str, ...]
    dated: bool
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    doubts: tuple[Problem, ...] = ()

    @property
    def doomed(self) -> tuple[HeldManifest, ...]:
        """What is to be deleted."""
        return tuple(each.held for each in self.verdicts if each.action == "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What came of it. deleted: what is confirmed to be gone, and nothing else, however it ended.

    left: repository and digest -> why it was not deleted; what is in neither was not reached. error: what
    kept it from being complete.
    """

    deleted: tuple[HeldManifest, ...]
    left: Mapping[tuple[str, str], str]
    error: LaminaError | None


def judge(
    held: Iterable[HeldManifest], rules: RetentionRules, links: Mapping[str, Links]
) -> tuple[RetentionVerdict, ...]:
    """Decide about everything that repositories hold, in their order.

    links: digest -> what it needs, as far as that has been read. What nobody needs by itself is kept all
    the same for the sake of what is kept.
    """
    everything = tuple(held)
    newest = _newest(everything, rules.keep_last)
    verdicts = {_key(each): _alone(each, rules, newest) for each in everything}
    waiting = [each.held for each in verdicts.values() if each.action == "keep"]
    by_name: dict[str, HeldManifest] = {}
    for each in everything:
        by_name |= {f"{each.repository}:{tag}": each for tag in each.tags}
        by_name[f"{each.repository}@{each.digest}"] = each
    referrers: dict[str, list[HeldManifest]] = defaultdict(list)
    indexes: dict[str, list[HeldManifest]] = defaultdict(list)
    for each in everything:
        if each.subject:
            referrers[f"{each.repository}@{each.subject}"].append(each)
        if each.kind == "index":
            for child in links.get(each.digest, Links()).children:
                indexes[f"{each.repository}@{child}"].append(each)
    while waiting:
        kept = waiting.pop()
        own, needs = f"{kept.repository}@{kept.digest}", links.get(kept.digest, Links())
        related: list[tuple[HeldManifest | None, str]] = [
            *((by_name.get(f"{kept.repository}@{child}"), "part of") for child in needs.children),
            *((by_name.get(base), "base of") for base in needs.bases),
            *((each, "about") for each in referrers[own]),
            *((each, "lists") for each in indexes[own]),
        ]
        for needed, how in related:
            if needed is not None and verdicts[_key(needed)].action == "delete":
                verdicts[_key(needed)] = RetentionVerdict(
                    held=needed,
                    action="keep",
                    rule=f"{how} what is kept",
                    detail=f"{how} {kept.repository}:{kept.name}",
                )
                waiting.append(needed)
    return tuple(verdicts.values())


def in_order(verdicts: Iterable[RetentionVerdict]) -> Mapping[str, tuple[HeldManifest, ...]]:
    """What is to be deleted by repository; an index goes before what it lists, which it holds fast."""
    found: dict[str, list[HeldManifest]] = defaultdict(list)
    for each in verdicts:
        if each.action == "delete":
            found[each.held.repository].append(each.held)
    return {name: tuple(sorted(held, key=lambda each: each.kind != "index")) for name, held in found.items()}


def changed(held: HeldManifest, there: Mapping[str, tuple[str, ...]], used: Container[str]) -> str | None:
    """What happened to an image since it was decided about, if that matters.

    there: digest -> tags, of its repository now. used: the digests that functions run now.
    """
    if held.digest not in there:
        return GONE
    if there[held.digest] != held.tags:
        return RETAGGED
    return TAKEN if held.digest in used else None


def _newest(held: Iterable[HeldManifest], count: int) -> Mapping[tuple[str, str], int]:
    """The tagged images of each repository that were pushed last, and which in that order each is."""
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
    """What becomes of a manifest that nothing else needs."""
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
    """Why a manifest is kept, what counts most first: a rule, and its reason here."""
    if functions := rules.used.get(held.digest):
        more = f" and {len(functions) - 1} more" if len(functions) > 1 else ""
        yield "in use", f"run by {functions[0]}{more}"
    for tag in held.tags:
        if not _is_ours(tag):
            yield "unknown tag", f"the tag {tag} is not of Lamina"
    if held.kind == "other":
        yield "unknown kind", "it is no image and no cache of BuildKit"
    names = {f"{held.repository}:{tag}" for tag in held.tags}
    if STABLE in held.tags:
        yield STABLE, "static mode builds on it"
    if names & rules.current:
        yield "current", "the worktree is as it was built from"
    if names & rules.caches:
        yield "cache in use", "builds of this branch and of the fallback read it"
    if held.pushed is None:
        yield "age unknown", "nothing tells when it was pushed"
        return
    days = rules.cache_days if held.kind == "cache" else rules.days
    if rules.now - held.pushed < timedelta(days=days):
        yield "young", f"younger than {days} days"
    if _key(held) in newest:
        yield f"newest {rules.keep_last}", f"number {newest[_key(held)]} of its repository"


def _is_ours(tag: str) -> bool:
    return tag == STABLE or any(each.fullmatch(tag) for each in (_CONTENT, _REVISION, _ATTESTED, _CACHE))


def _key(held: HeldManifest) -> tuple[str, str]:
    return held.repository, held.digest


def _age(held: HeldManifest, now: datetime) -> str:
    return "?" if held.pushed is None else str((now - held.pushed).days)
