from __future__ import annotations

from dataclasses import replace

from lamina.decide.locking import PinMove, moves, newer, unlocked, unused
from lamina.declare.lockfile import Lock, Pin

from ..conftest import DIGEST, RUNTIME, Repo

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
AMD, ARM = "linux/amd64", "linux/arm64"
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
OLD = Pin(name=RUNTIME, digest=DIGEST, platforms={AMD: A, ARM: B})
NEW = Pin(name=RUNTIME, digest=C, platforms={AMD: C, ARM: B})


def rebuilds(repo: Repo, old: Pin, new: Pin) -> tuple[str, ...]:
    (move,) = moves(repo.graph(), [RUNTIME], Lock().with_pin(old), Lock().with_pin(new))
    return move.rebuilds


def test_a_moved_pin_rebuilds_its_users_and_their_children(receipts: Repo) -> None:
    receipts.image("lambda-free", "FROM scratch", 'CMD ["a.b"]')

    assert rebuilds(receipts, OLD, NEW) == (D, L, W, E)
    assert rebuilds(receipts, OLD, OLD) == ()


def test_a_move_on_another_platform_rebuilds_nothing(receipts: Repo) -> None:
    receipts.flags["platform"] = ARM

    assert rebuilds(receipts, OLD, NEW) == ()


def test_where_the_build_machine_counts_the_whole_index_does(repo: Repo) -> None:
    repo.flags["platform"] = ARM
    here = f"FROM --platform=$BUILDPLATFORM {RUNTIME} AS deps"
    repo.image("lambda-host", here, f"FROM {RUNTIME}", "COPY --from=deps /a /")
    repo.image("lambda-fixed", f"FROM --platform={AMD} {RUNTIME}")
    repo.image("lambda-own", f"FROM {RUNTIME}")

    assert rebuilds(repo, OLD, NEW) == ("lambda-fixed", "lambda-host")


def test_a_copy_is_of_the_target_platform_whatever_its_stage_is(repo: Repo) -> None:
    repo.image("app", "FROM --platform=$BUILDPLATFORM tools AS deps", f"COPY --from={RUNTIME} /a /")

    (used,) = (each for each in repo.graph().nodes["app"].externals if each.name == RUNTIME)

    assert used.platform == AMD


def test_a_move_is_reported_by_short_digests() -> None:
    short = "sha256:" + "1" * 12

    assert str(PinMove(name=RUNTIME, old=OLD, new=NEW)) == f"{short} -> {C[:19]}"
    assert str(PinMove(name=RUNTIME, old=OLD, new=OLD)) == f"{short} unchanged"
    assert str(PinMove(name=RUNTIME, old=None, new=OLD)) == f"none -> {short}"
    assert str(PinMove(name=RUNTIME, old=OLD, new=None)) == f"{short} -> none"
    assert str(PinMove(name=RUNTIME, old=None, new=None)) == "not pinned"


def test_pins_that_no_dockerfile_needs_are_found(receipts: Repo) -> None:
    other = Pin(name="busybox", digest=A)

    assert unused(receipts.graph(), Lock().with_pin(OLD).with_pin(other)) == ("busybox",)


def test_every_place_that_uses_an_unlocked_image_is_named(repo: Repo) -> None:
    repo.image(
        "app",
        "FROM tools:1 AS tools",
        f"FROM {RUNTIME}",
        "COPY --from=tools /a /",
        "COPY --from=other /b /",
        "COPY --from=tools:1 /a /",
    )

    told = [str(each) for each in unlocked(repo.graph().nodes.values(), {"tools:1", RUNTIME})]

    where, what = "dockerfiles/app/Dockerfile", "is not in lamina.lock, and app is built on it"
    assert told == [
        f"{where}:1: tools:1 {what}\n  next: invoke lock",
        f"{where}:2: {RUNTIME} {what}\n  next: invoke lock",
        f"{where}:5: tools:1 {what}\n  next: invoke lock",
    ]


def test_a_newer_runtime_is_a_note_where_it_would_rebuild_something() -> None:
    move = PinMove(name=RUNTIME, old=OLD, new=NEW, rebuilds=("app",))

    (told,) = newer([move, replace(move, rebuilds=()), replace(move, old=None)])

    assert str(told) == (
        f"newer runtime available: {RUNTIME} {DIGEST[:19]} -> {C[:19]}\n  next: invoke lock --refresh"
    )
