"""Show the results of audit and verify, as a table and as JSON documents."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.audit.compare import Audited
from lamina.audit.layers import AuditVerdict
from lamina.audit.verified import Verified
from lamina.json_data import JsonDocument
from lamina.report.console import Screen, shown_reasons, styled
from lamina.report.table import TextTable


def show_audit(screen: Screen, audited: Iterable[Audited], *, skipped: int, seed: int | None) -> None:
    """Show the verdicts as a table.

    Args:
        skipped: number of skipped images.
        seed: of the sample, if any.
    """
    table = TextTable(("image", "verdict", "why", "cached", "tag"))
    counts: dict[str, int] = {"confirmed": 0, "false skip": 0, "not comparable": 0}
    for each in audited:
        verdict = each.verdict
        counts[verdict.conclusion] += 1
        table.add_row(
            each.image.name,
            styled(verdict.conclusion),
            shown_reasons(verdict.reasons),
            f"{each.cached}/{each.total}",
            each.image.tag,
        )
    screen.table(table)
    totals = ", ".join(f"{number} {conclusion}" for conclusion, number in counts.items())
    sample = f"; sample of {skipped} chosen by --seed {seed}" if seed is not None else ""
    screen.say(f"{totals}{sample}")


def audit_documents(audited: Iterable[Audited]) -> list[JsonDocument]:
    """Return the audited images. layers: those whose files differ, with digests of the unpacked layers."""
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


def verify_document(verified: Verified) -> JsonDocument:
    """Return the verified image. digests: of the manifest, the configuration and each unpacked layer."""
    return {
        "name": verified.image.name,
        "kind": verified.image.node.kind,
        "identical": verified.identical,
        "ref": str(verified.found.ref),
        "digest": verified.found.digest,
        "digests": [
            {"what": row.name, "recorded": row.recorded, "rebuilt": row.rebuilt} for row in verified.rows
        ],
        "reasons": [] if verified.identical else list(verified.verdict.reasons),
        "layers": _differences(verified.verdict),
    }


def _differences(verdict: AuditVerdict) -> list[JsonDocument]:
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
