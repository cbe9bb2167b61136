from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lamina.ecr.retention import (
    GONE,
    RETAGGED,
    TAKEN,
    HeldManifest,
    Links,
    ManifestInventory,
    RetentionRules,
    RetentionVerdict,
    changed,
    in_order,
    judge,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RULES = RetentionRules(now=NOW, keep_last=1, days=30, cache_days=60)
REPO = "app-dev"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def held(number: int, *tags: str, days: float | None = 100, **more: Any) -> HeldManifest:
    """Return an image pushed this many days ago."""
    given: dict[str, Any] = {"repository": REPO, "kind": "image", "size": 10, **more}
    pushed = None if days is None else NOW - timedelta(days=days)
    return HeldManifest(digest=digest(number), tags=tags, pushed=pushed, **given)


def sha(number: int) -> str:
    return f"sha-{number:012x}"


NEWEST = held(999, sha(999), days=50)
"""Takes the place of the newest image."""


def judged(
    *those: HeldManifest, rules: RetentionRules = RULES, **links: Links
) -> dict[str, RetentionVerdict]:
    """Return digest -> verdict. links: by ``n<number>``."""
    known = {digest(int(name[1:])): each for name, each in links.items()}
    found = judge(ManifestInventory.of((*those, NEWEST), known), rules)
    return {each.held.digest: each for each in found}


def test_unused_images_are_deleted() -> None:
    verdict = judged(held(1, sha(1)))[digest(1)]

    assert (verdict.action, verdict.detail) == ("delete", "not among the newest 1, pushed 100 days ago")


@pytest.mark.parametrize(
    ("each", "rules", "rule"),
    [
        (held(1, sha(1)), {"used": {digest(1): ("app:3 (account 1, r)",)}}, "in use"),
        (held(1), {"used": {digest(1): ("app:$LATEST (account 1, r)", "app:7 (account 1, r)")}}, "in use"),
        (held(1, sha(1)), {"used": {f"{REPO}:{sha(1)}": ("the ECS task definition web:3",)}}, "in use"),
        (held(1, sha(1), "v1.2"), {}, "unknown tag"),
        (held(1, "latest"), {}, "unknown tag"),
        (held(1, "sha-1"), {}, "unknown tag"),
        (held(1, "sha256-abc.sig"), {}, "unknown tag"),
        (held(1, kind="other"), {}, "unknown kind"),
        (held(1, sha(1), "keep-audit.2030"), {}, "pinned"),
        (held(1, sha(1), pulled=NOW - timedelta(days=29)), {"pulled_days": 30}, "pulled lately"),
        (held(1, sha(1), days=20, pulled=NOW), {"pulled_days": 30}, "young"),
        (held(1, "stable"), {}, "stable"),
        (held(1, sha(1)), {"current": frozenset({f"{REPO}:{sha(1)}"})}, "current"),
        (held(1, "cache-main-amd64", kind="cache"), {"caches": frozenset({f"{REPO}:cache-main-amd64"})},
         "cache in use"),
        (held(1, "cache-x-amd64", kind="cache", days=59), {}, "young"),
        (held(1, sha(1), days=29.9), {}, "young"),
        (held(1, days=29.9), {}, "young"),
        (held(1, sha(1), days=None), {}, "age unknown"),
        (held(1, sha(1), days=49), {}, "newest 1"),
        (held(1, "git-0a1b2c3", days=49), {}, "newest 1"),
    ],
)  # fmt: skip
def test_an_image_is_kept_by_a_rule(each: HeldManifest, rules: dict[str, Any], rule: str) -> None:
    verdict = judged(each, rules=replace(RULES, **rules))[digest(1)]

    assert (verdict.action, verdict.rule) == ("keep", rule)
    assert verdict.detail


@pytest.mark.parametrize(
    ("each", "why"),
    [
        (held(1), "no tag names it"),
        (held(1, "git-0a1b2c3"), "not among the newest 1"),
        (held(1, sha(1), "append-0123456789ab"), "not among the newest 1"),
        (held(1, sha(1), "git-0a1b2c3-dirty"), "not among the newest 1"),
        (held(1, "cache-x-amd64", kind="cache"), "an old cache"),
        (held(1, kind="cache"), "a cache that was replaced"),
        (held(1, kind="referrer", subject=digest(5)), "what it is about is not kept"),
        (held(1, days=30), "no tag names it"),
    ],
)
def test_an_unused_image_goes_with_a_reason(each: HeldManifest, why: str) -> None:
    verdict = judged(each)[digest(1)]

    assert (verdict.action, verdict.rule) == ("delete", why)


def test_functions_are_named() -> None:
    used = {digest(1): ("app:7 (account 1, r)", "app:8 (account 1, r)", "app:9 (account 1, r)")}
    verdict = judged(held(1), rules=replace(RULES, used=used))[digest(1)]

    assert verdict.detail == "run by app:7 (account 1, r) and 2 more"


def test_a_digest_in_use_stays_in_every_repository() -> None:
    found = judge(
        ManifestInventory.of((held(1, sha(1)), held(1, sha(1), repository="app-prod")), {}),
        replace(RULES, keep_last=0, used={digest(1): ("app:1",)}),
    )

    assert [each.rule for each in found] == ["in use", "in use"]


def test_the_last_ones_are_counted_by_repository_and_untagged_ones_do_not_count() -> None:
    those = [held(number, sha(number), days=100 + number) for number in range(1, 6)]
    other = held(7, sha(7), days=900, repository="other-dev")
    untagged = held(8, days=40)
    cache = held(9, "cache-x-amd64", kind="cache", days=70)

    found = judge(ManifestInventory.of((*those, other, untagged, cache), {}), replace(RULES, keep_last=3))

    kept = [each.held.digest for each in found if each.action == "keep"]
    assert kept == [digest(1), digest(2), digest(3), digest(7)]


def test_the_bases_of_what_is_kept_stay_all_the_way_down() -> None:
    base, middle = held(1, sha(1), repository="base-dev"), held(2, sha(2), repository="mid-dev")
    other = held(4, sha(4), repository="base-dev", days=99)
    newest = [
        held(number, sha(number), repository=name, days=50)
        for number, name in ((8, "base-dev"), (9, "mid-dev"))
    ]
    used = replace(RULES, used={digest(3): ("app:1",)})
    links = {
        "n3": Links(bases=(f"mid-dev:{sha(2)}", f"mid-dev@{digest(5)}")),
        "n2": Links(bases=(f"base-dev:{sha(1)}",)),
    }

    found = judged(base, middle, held(3, sha(3)), other, *newest, rules=used, **links)

    assert found[digest(2)].detail == f"base of {REPO}:{sha(3)}"
    assert found[digest(1)].detail == f"base of mid-dev:{sha(2)}"
    assert found[digest(4)].action == "delete"


def test_a_base_by_digest_stays_as_static_mode_records_it() -> None:
    used = replace(RULES, used={digest(3): ("app:1",)})
    found = judged(
        held(1), held(3, sha(3)), rules=used, n3=Links(bases=(f"{REPO}:sha-x", f"{REPO}@{digest(1)}"))
    )

    assert found[digest(1)].rule == "base of what is kept"


def test_an_index_and_what_it_lists_stay_together() -> None:
    index, child, proof = held(1, sha(1), kind="index"), held(2), held(3)
    links = {"n1": Links(children=(digest(2), digest(3)))}

    assert {
        each.action
        for number, each in judged(index, child, proof, **links).items()
        if number != NEWEST.digest
    } == {"delete"}
    used = replace(RULES, used={digest(2): ("app:1",)})
    found = judged(index, child, proof, rules=used, **links)
    assert [found[digest(number)].rule for number in (1, 2, 3)] == [
        "lists what is kept",
        "in use",
        "part of what is kept",
    ]


def test_attestations_do_not_take_the_place_of_an_image() -> None:
    index = held(1, "att-0123456789ab", kind="index", days=40)

    found = judged(index, held(2, sha(2)), rules=replace(RULES, keep_last=1))

    assert found[NEWEST.digest].rule == "newest 1"
    assert found[digest(1)].action == "delete"


def test_a_manifest_about_a_kept_image_stays() -> None:
    signature = held(2, kind="referrer", subject=NEWEST.digest)

    assert judged(signature)[digest(2)].rule == "about what is kept"


def test_an_index_goes_before_what_it_lists() -> None:
    those = (held(2), held(1, sha(1), kind="index"), held(3, repository="other-dev"))
    found = in_order(judge(ManifestInventory.of((*those, NEWEST), {}), RULES))

    assert {name: [each.kind for each in goes] for name, goes in found.items()} == {
        REPO: ["index", "image"],
        "other-dev": ["image"],
    }


@pytest.mark.parametrize(
    ("there", "used", "why"),
    [
        ({digest(1): (sha(1),)}, set(), None),
        ({}, set(), GONE),
        ({digest(1): (sha(1), "v1")}, set(), RETAGGED),
        ({digest(1): (sha(1),)}, {digest(1)}, TAKEN),
    ],
)
def test_changes_in_the_meantime_count(
    there: dict[str, tuple[str, ...]], used: set[str], why: str | None
) -> None:
    assert changed(held(1, sha(1)), there, used) == why
