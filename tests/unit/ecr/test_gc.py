"""Deletions of a decision, after repositories and functions have changed since."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from lamina.ecr.gc import delete, delete_all
from lamina.ecr.retention import GONE, LISTED, RETAGGED, TAKEN, HeldManifest, Kind
from lamina.errors import AwsError, Interrupted, LaminaError, RegistryError
from lamina.registries.inventory import StoredManifest

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Shelf:
    """Repositories. refuses: digest -> why it is not deleted. calls: the digests of each deletion.

    breaks: digest -> what happens instead of its deletion.
    """

    holds: dict[str, tuple[str, ...]]
    refuses: dict[str, str] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    breaks: dict[str, BaseException] = field(default_factory=dict)
    says_when: bool = True

    def stored(self, repository: str) -> tuple[StoredManifest, ...]:
        return tuple(
            StoredManifest(digest=digest, tags=tags, size=1, pushed=LONG_AGO)
            for digest, tags in self.holds.items()
        )

    def remove(self, repository: str, digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        asked = list(digests)
        self.calls += [asked] if asked else []
        for each in asked:
            if each in self.breaks:
                raise self.breaks[each]
            yield each, self.refuses.get(each)


def held(digest: str, *tags: str, kind: Kind = "image", repository: str = "app") -> HeldManifest:
    return HeldManifest(repository=repository, digest=digest, tags=tags, size=1, pushed=LONG_AGO, kind=kind)


def kept(shelf: Shelf, used: Container[str], lists: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the manifests of ALL that stay, and why."""
    return {digest: why for digest, why in delete(shelf, "app", ALL, lambda: used, lists) if why}


INDEX, CHILD, OTHER = held("index", "sha-1", kind="index"), held("child"), held("other", "sha-2")
ALL = (INDEX, CHILD, OTHER)
HOLDS = {"index": ("sha-1",), "child": (), "other": ("sha-2",)}


def test_an_index_goes_first() -> None:
    shelf = Shelf(dict(HOLDS))

    assert kept(shelf, {}, {}) == {}
    assert shelf.calls == [["index"], ["child", "other"]]


def test_what_only_a_deleted_index_listed_goes_too() -> None:
    """A registry that is not ECR lists untagged manifests no longer then."""

    class Forgetful(Shelf):
        def remove(self, repository: str, digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
            for digest, why in Shelf.remove(self, repository, digests):
                self.holds.pop("child", None)
                yield digest, why

    forgetful = Forgetful(dict(HOLDS))

    assert kept(forgetful, {}, {"index": ("child",)}) == {}
    assert forgetful.calls == [["index"], ["child", "other"]]


def test_a_gone_retagged_or_deployed_image_is_not_deleted() -> None:
    shelf = Shelf({**HOLDS, "other": ("sha-2", "v1")})
    del shelf.holds["index"]

    assert kept(shelf, {"child"}, {}) == {
        "index": GONE,
        "child": TAKEN,
        "other": RETAGGED,
    }
    assert shelf.calls == []


def test_an_image_that_something_names_by_a_tag_is_not_deleted() -> None:
    assert kept(Shelf(dict(HOLDS)), {"app:sha-2", "base:sha-1"}, {}) == {"other": TAKEN}


def test_manifests_that_an_index_may_list_stay_with_it() -> None:
    retagged = Shelf({**HOLDS, "index": ("sha-1", "v1")})
    refused = Shelf(dict(HOLDS), refuses={"index": "no"})

    assert kept(retagged, {}, {}) == {"index": RETAGGED, "child": LISTED}
    assert kept(refused, {}, {}) == {"index": "no", "child": LISTED}
    assert retagged.calls == [["other"]]


def test_so_does_what_it_lists_under_a_tag_of_its_own() -> None:
    retagged = Shelf({**HOLDS, "index": ("sha-1", "v1")})

    assert kept(retagged, {}, {"index": ("other",)}) == {"index": RETAGGED, "child": LISTED, "other": LISTED}
    assert retagged.calls == []


def names(held: Iterable[HeldManifest]) -> list[str]:
    return [each.digest for each in held]


FIRST, SECOND, THIRD = held("one"), held("two"), held("three", repository="base")
TWO = {"app": (FIRST, SECOND), "base": (THIRD,)}


def shelf_of(**more: BaseException) -> Shelf:
    return Shelf({"one": (), "two": (), "three": ()}, breaks=dict(more))


def test_functions_are_asked_for_again_before_each_repository() -> None:
    answers: list[set[str]] = [set(), {"three"}]

    done = delete_all(shelf_of(), TWO, lambda: answers.pop(0), {})

    assert names(done.deleted) == ["one", "two"]
    assert done.left == {("base", "three"): TAKEN}
    assert done.error is None


def test_functions_and_tags_are_read_again_before_each_call_that_deletes() -> None:
    """A hundred images are deleted by a call: a deployment may land between two of them."""
    many = tuple(held(f"{number:03}") for number in range(101))
    shelf = Shelf({each.digest: () for each in many})
    answers: list[set[str]] = [set(), {"100"}]

    done = delete_all(shelf, {"app": many}, lambda: answers.pop(0), {})

    assert list(map(len, shelf.calls)) == [100]
    assert done.left == {("app", "100"): TAKEN}


def fails_later() -> Callable[[], set[str]]:
    answers: list[set[str]] = [set()]

    def ask() -> set[str]:
        if not answers:
            raise AwsError.of("no more")
        return answers.pop()

    return ask


@pytest.mark.parametrize(
    ("breaks", "ask", "deleted", "kind"),
    [
        ({"two": RegistryError.of("no")}, set, ["one", "three"], RegistryError),
        ({"two": KeyboardInterrupt()}, set, ["one"], Interrupted),
        ({}, fails_later(), ["one", "two"], AwsError),
    ],
    ids=["refused", "interrupted", "nobody-answers"],
)
def test_confirmed_deletions_are_reported_however_it_ends(
    breaks: dict[str, BaseException],
    ask: Callable[[], set[str]],
    deleted: list[str],
    kind: type[LaminaError],
) -> None:
    done = delete_all(shelf_of(**breaks), TWO, ask, {})

    assert names(done.deleted) == deleted
    assert type(done.error) is kind
    assert not {(each.repository, each.digest) for each in done.deleted} & set(done.left)
