"""What is deleted of what was decided, after the world has moved on a little."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lamina.decide.garbage import GONE, LISTED, RETAGGED, TAKEN, Held, Kind
from lamina.registries.stock import Stored
from lamina.workflow.collecting import delete

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Shelf:
    """A repository. refuses: digest -> why it is not deleted. calls: what was asked to go, call by call."""

    holds: dict[str, tuple[str, ...]]
    refuses: dict[str, str] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    says_when: bool = True

    def stored(self, repository: str) -> tuple[Stored, ...]:
        return tuple(
            Stored(digest=digest, tags=tags, size=1, pushed=LONG_AGO) for digest, tags in self.holds.items()
        )

    def remove(self, repository: str, digests: Iterable[str]) -> Mapping[str, str]:
        asked = list(digests)
        self.calls += [asked] if asked else []
        return {each: self.refuses[each] for each in asked if each in self.refuses}


def held(digest: str, *tags: str, kind: Kind = "image") -> Held:
    return Held(repository="app", digest=digest, tags=tags, size=1, pushed=LONG_AGO, kind=kind)


INDEX, CHILD, OTHER = held("index", "sha-1", kind="index"), held("child"), held("other", "sha-2")
ALL = (INDEX, CHILD, OTHER)
HOLDS = {"index": ("sha-1",), "child": (), "other": ("sha-2",)}


def test_an_index_goes_first() -> None:
    shelf = Shelf(dict(HOLDS))

    assert delete(shelf, "app", ALL, {}, {}) == {}
    assert shelf.calls == [["index"], ["child", "other"]]


def test_what_was_gone_retagged_or_taken_is_not_asked_for() -> None:
    shelf = Shelf({**HOLDS, "other": ("sha-2", "v1")})
    del shelf.holds["index"]

    assert delete(shelf, "app", ALL, {"child": ("app:1",)}, {}) == {
        "index": GONE,
        "child": TAKEN,
        "other": RETAGGED,
    }
    assert shelf.calls == []


def test_what_an_index_may_list_stays_with_it() -> None:
    retagged = Shelf({**HOLDS, "index": ("sha-1", "v1")})
    refused = Shelf(dict(HOLDS), refuses={"index": "no"})

    assert delete(retagged, "app", ALL, {}, {}) == {"index": RETAGGED, "child": LISTED}
    assert delete(refused, "app", ALL, {}, {}) == {"index": "no", "child": LISTED}
    assert retagged.calls == [["other"]]


def test_so_does_what_it_lists_under_a_tag_of_its_own() -> None:
    retagged = Shelf({**HOLDS, "index": ("sha-1", "v1")})

    kept = delete(retagged, "app", ALL, {}, {"index": ("other",)})

    assert kept == {"index": RETAGGED, "child": LISTED, "other": LISTED}
    assert retagged.calls == []
