"""Decide which published versions of functions are no longer used, and why each other one is kept. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from lamina.aws.lambda_usage import Usage, UsedImage
from lamina.deploy.record import read_note
from lamina.errors import LaminaError

Action = Literal["keep", "delete"]

LEAST_AGE = timedelta(hours=1)
"""A younger version stays in any case: a deployment may be about to point an alias at it."""
_RUN_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldVersion:
    """A published version that runs an image of this stack.

    Attributes:
        account, region: where its function is.
        published: when; None if not known.
        ours: whether Lamina published it.
        special: see `UsedImage`.
        rank: its place among the versions of its function, 1 for the newest.
    """

    account: str
    region: str
    function: str
    version: str
    digest: str
    published: datetime | None
    ours: bool
    special: str
    rank: int

    @property
    def key(self) -> tuple[str, str]:
        """The function and the version."""
        return self.function, self.version

    @property
    def place(self) -> tuple[str, str]:
        """The account and the region."""
        return self.account, self.region

    def __str__(self) -> str:
        return f"{self.function}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionVerdict:
    """The decision about a version.

    Attributes:
        rule: the same text for all versions of one reason.
        detail: why.
    """

    held: HeldVersion
    action: Action
    rule: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The result of deleting versions.

    Attributes:
        deleted: only versions whose deletion was confirmed.
        left: those that were not deleted -> why. A version in neither was not reached.
        error: why the deletion is incomplete, None if it is not.
    """

    deleted: tuple[HeldVersion, ...] = ()
    left: Mapping[HeldVersion, str] = field(default_factory=dict)
    error: LaminaError | None = None


def versions_of(usage: Usage, repositories: Iterable[str]) -> tuple[HeldVersion, ...]:
    """Return the published versions that run images of these repositories, ``host/path``.

    Versions of all images count for the rank.
    """
    names = frozenset(repositories)
    published: dict[str, list[UsedImage]] = defaultdict(list)
    for each in usage.deployed:
        if each.version.isdecimal():
            published[each.function].append(each)
    found = []
    for those in published.values():
        newest_first = sorted(those, key=lambda each: int(each.version), reverse=True)
        found += [
            _held(usage, each, rank)
            for rank, each in enumerate(newest_first, start=1)
            if each.repository in names
        ]
    return tuple(found)


def judge_versions(
    held: Iterable[HeldVersion], *, keep: int, days: int, now: datetime
) -> tuple[VersionVerdict, ...]:
    """Decide about every version, without regard to who names it.

    keep: how many of the newest versions of each function to keep. days: keep younger ones.
    """
    return tuple(_judged(each, keep, days, now) for each in held)


def keep_named(
    verdicts: Iterable[VersionVerdict], users: Mapping[tuple[str, str, str, str], str]
) -> tuple[VersionVerdict, ...]:
    """Return the verdicts; versions that something names are kept.

    users: account, region, function and version -> what names it.
    """
    return tuple(
        VersionVerdict(held=each.held, action="keep", rule="named", detail=why)
        if each.action == "delete" and (why := users.get((*each.held.place, *each.held.key)))
        else each
        for each in verdicts
    )


def _judged(held: HeldVersion, keep: int, days: int, now: datetime) -> VersionVerdict:
    kept = next(_reasons(held, keep, days, now), None)
    if kept:
        return VersionVerdict(held=held, action="keep", rule=kept[0], detail=kept[1])
    age = (now - held.published).days if held.published else 0
    what = f"not among the newest {keep}"
    return VersionVerdict(
        held=held, action="delete", rule=what, detail=f"{what}, published {age} days ago, named by nothing"
    )


def _reasons(held: HeldVersion, keep: int, days: int, now: datetime) -> Iterator[tuple[str, str]]:
    if held.rank <= keep:
        yield f"newest {keep}", f"number {held.rank} of its function"
    if not held.ours:
        yield "not Lamina's", "another tool published it"
    if held.special:
        yield "may run", held.special
    if held.published is None:
        yield "age unknown", "Lambda does not report when it was published"
    elif now - held.published < max(timedelta(days=days), LEAST_AGE):
        yield "young", f"younger than {days} days" if days else "younger than an hour"


def _held(usage: Usage, used: UsedImage, rank: int) -> HeldVersion:
    note = read_note(used.description)
    times = (
        _time(used.published, "%Y-%m-%dT%H:%M:%S.%f%z"),
        _time(note.run[:15], _RUN_TIME) if note else None,
    )
    return HeldVersion(
        account=usage.account,
        region=usage.region,
        function=used.function,
        version=used.version,
        digest=used.digest,
        published=None if times[0] is None else max(each for each in times if each),
        ours=note is not None,
        special=used.special,
        rank=rank,
    )


def _time(text: str | None, form: str) -> datetime | None:
    """Return a time, which is in UTC if it does not say where; None if the text has another form."""
    try:
        found = datetime.strptime(text or "", form)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
