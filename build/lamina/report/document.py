"""What is written for programs, schema 1: the manifest's entries and the images of ``--json``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.audit.compare import Audited
    from lamina.audit.layers import AuditVerdict
    from lamina.audit.verified import Verified
    from lamina.decide.locking import PinMove
    from lamina.decide.plan import Plan
    from lamina.execute.outcome import Outcome, Result, Saved
    from lamina.identify.explain import InputChange
    from lamina.lint.rule import Finding
    from lamina.smoke.answer import Failure
    from lamina.smoke.container import Smoked

SCHEMA = 1


def entry(result: Result) -> dict[str, Any]:
    """One image of the manifest; size in bytes, seconds of its own build.

    resolved: distribution -> the version that its own steps installed; absent where none is known.
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
        **({"resolved": dict(sorted(result.resolved.items()))} if result.resolved else {}),
    }


def outcome_documents(outcome: Outcome) -> list[dict[str, Any]]:
    """The images of a finished run: their manifest entries under the names that plans use."""
    return [
        {
            "name": result.image.name,
            **{key: value for key, value in entry(result).items() if key != "image"},
            "tag": result.image.tag,
            "parents": list(result.image.node.parents),
        }
        for result in outcome.results.values()
    ]


def saved_document(saved: Saved | None) -> dict[str, Any] | None:
    """What was spared; null where there is no cold build to compare with. bytes: null where unknown."""
    return {"seconds": round(saved.seconds, 3), "bytes": saved.bytes} if saved else None


def lock_documents(moves: Iterable[PinMove]) -> list[dict[str, Any]]:
    """The pins of a lock. old, new: whole digests, null where there is no pin. rebuilds: names of images."""
    return [
        {
            "name": move.name,
            "old": move.old.digest if move.old else None,
            "new": move.new.digest if move.new else None,
            "rebuilds": list(move.rebuilds),
        }
        for move in moves
    ]


def plan_documents(plan: Plan) -> list[dict[str, Any]]:
    """The images of a plan. ref: under the content tag."""
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
        }
        for name, decision in plan.decisions.items()
    ]


def change_documents(changes: Iterable[InputChange]) -> list[dict[str, Any]]:
    """What differs between two states of an image, whole; keys that have nothing to say are left out."""
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


def audit_documents(audited: Iterable[Audited]) -> list[dict[str, Any]]:
    """The images of an audit. layers: those whose files differ; digests are of the unpacked layers."""
    return [
        {
            "name": each.image.name,
            "kind": each.image.node.kind,
            "verdict": each.verdict.conclusion,
            "reasons": list(each.verdict.reasons),
            "ref": str(each.found.ref),
            "digest": each.found.digest,
            "cached": each.cached,
            "total": each.total,
            "ran": list(each.ran),
            "layers": _differences(each.verdict),
        }
        for each in audited
    ]


def verify_document(verified: Verified) -> dict[str, Any]:
    """The image of a verification. digests: of the manifest, the configuration and each unpacked layer."""
    return {
        "name": verified.image.name,
        "kind": verified.image.node.kind,
        "identical": verified.identical,
        "ref": str(verified.found.ref),
        "digest": verified.found.digest,
        "digests": [
            {"what": row.what, "recorded": row.recorded, "rebuilt": row.rebuilt} for row in verified.rows
        ],
        "reasons": [] if verified.identical else list(verified.verdict.reasons),
        "layers": _differences(verified.verdict),
    }


def smoke_documents(smoked: Iterable[Smoked]) -> list[dict[str, Any]]:
    """The functions that were tried. ok: null for one that was skipped. memory_mb: at most."""
    return [
        {
            "name": each.image,
            "function": each.function,
            "ok": None if each.skipped else each.answer.failure is None,
            "payload": each.answer.payload,
            "error": _failure(each.answer.failure),
            "init_ms": each.answer.init_ms,
            "duration_ms": each.answer.duration_ms,
            "billed_ms": each.answer.billed_ms,
            "memory_mb": each.answer.memory_mb,
            "log": list(each.answer.log),
            **({"skipped": each.skipped} if each.skipped else {}),
        }
        for each in smoked
    ]


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "trace": list(failure.trace)}


def finding_documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """What lint found. fix: the edits that ``--fix`` makes, null where there are none.

    An edit replaces the lines from start up to end, which stays, both counted from 1.
    """
    return [
        {
            "rule": each.rule,
            "name": each.slug,
            "severity": each.severity,
            "certainty": each.certainty,
            "unless": each.unless,
            "image": each.image,
            "file": each.file,
            "line": each.line,
            "message": each.message,
            "why": each.why,
            "hint": each.hint,
            "fix": each.fix
            and [
                {"file": edit.file, "start": edit.start, "end": edit.end, "lines": list(edit.lines)}
                for edit in each.fix
            ],
        }
        for each in findings
    ]


def _differences(verdict: AuditVerdict) -> list[dict[str, Any]]:
    return [
        {
            "number": each.pair.number,
            "instruction": each.pair.step.text,
            "built": each.pair.built,
            "found": each.pair.found,
            "files": None if each.files is None else list(each.files),
            "proves": each.proves,
        }
        for each in verdict.differences
    ]
