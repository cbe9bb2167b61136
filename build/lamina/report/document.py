"""Build the documents for programs, schema 1: the manifest's entries and the images of ``--json``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamina.json_data import JsonDocument

if TYPE_CHECKING:
    from lamina.decide.locking import PinMove
    from lamina.decide.plan import Decision, Plan
    from lamina.execute.outcome import CacheUse, Outcome, Result, Saved
    from lamina.identify.explain import InputChange

SCHEMA = 1


def entry(result: Result) -> JsonDocument:
    """Return the manifest entry of one image; size in bytes, seconds of its own build.

    builder: which of several built it; left out if there was one.
    appended: the digest of the image that it was appended to; left out for others.
    resolved: distribution -> the version that its own steps installed; left out if none is known.
    """
    image = result.image
    return {
        "image": image.name,
        "kind": image.node.kind,
        "fingerprint": image.fingerprint,
        "tags": [image.tag],
        "ref": f"{image.ref}@{result.digest}" if result.digest else None,
        "digest": result.digest,
        "platform": image.node.spec.platform,
        "functions": [str(each) for each in image.node.spec.functions],
        "size": result.size,
        "action": result.status,
        "reasons": list(result.reasons),
        "seconds": round(result.seconds, 3),
        "cached": result.cached,
        "total": result.total,
        **({"builder": result.builder} if result.builder else {}),
        **({"appended": result.appended} if result.appended else {}),
        **({"resolved": dict(sorted(result.resolved.items()))} if result.resolved else {}),
    }


def outcome_documents(outcome: Outcome) -> list[JsonDocument]:
    """Return the images of a finished run: their manifest entries with the keys that plans use."""
    return [
        {
            "name": result.image.name,
            **{key: value for key, value in entry(result).items() if key != "image"},
            "tag": result.image.tag,
            "parents": list(result.image.node.parents),
        }
        for result in outcome.results.values()
    ]


def saved_document(saved: Saved | None) -> JsonDocument | None:
    """Return the savings; None without a cold build to compare with. bytes: None if unknown."""
    return {"seconds": round(saved.seconds, 3), "bytes": saved.bytes} if saved else None


def use_document(use: CacheUse | None) -> JsonDocument:
    """Return the entry of an image's remote cache; empty if it has none."""
    return {"remote_cache": {key: getattr(use, key) for key in use.__slots__}} if use else {}


def lock_documents(moves: Iterable[PinMove]) -> list[JsonDocument]:
    """Return the pins of a lock. old, new: full digests, None without a pin. rebuilds: names of images."""
    return [
        {
            "name": move.name,
            "old": move.old.digest if move.old else None,
            "new": move.new.digest if move.new else None,
            "rebuilds": list(move.rebuilds),
        }
        for move in moves
    ]


def plan_documents(plan: Plan) -> list[JsonDocument]:
    """Return the images of a plan. ref: with the content tag.

    append: the digest of the image that a build is appended to, None if it needs a builder, and builder: why;
    both are left out where that was not looked into.
    """
    return [
        {
            "name": name,
            "kind": decision.image.node.kind,
            "action": decision.action,
            "reasons": list(decision.reasons),
            "changes": change_documents(decision.changes),
            "fingerprint": decision.image.fingerprint,
            "tag": decision.image.tag,
            "ref": str(decision.image.ref),
            "parents": list(decision.image.node.parents),
            "platform": decision.image.node.spec.platform,
            **_append_keys(decision),
        }
        for name, decision in plan.decisions.items()
    ]


def _append_keys(decision: Decision) -> JsonDocument:
    if decision.append:
        return {"append": decision.append.before.digest, "layers": len(decision.append.layers)}
    return {"append": None, "builder": decision.builder} if decision.builder else {}


def change_documents(changes: Iterable[InputChange]) -> list[JsonDocument]:
    """Return all differences between two states of an image; keys without a value are left out."""
    return [
        {
            "kind": each.kind,
            "subject": each.subject,
            **({"context": each.context} if each.context else {}),
            **({"before": each.before} if each.before is not None else {}),
            **({"after": each.after} if each.after is not None else {}),
            "text": each.text,
            **({"diff": list(each.diff)} if each.diff else {}),
        }
        for each in changes
    ]
