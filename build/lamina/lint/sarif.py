"""Findings as a SARIF 2.1.0 log, which code hosts show beside the lines. Pure.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from lamina.json_data import Json, JsonDocument
from lamina.lint.findings import Finding
from lamina.lint.registry import RULES

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"


def sarif_log(findings: Iterable[Finding], *, version: str) -> JsonDocument:
    """Return the log: one run, all rules, a result for each finding. Paths are relative to the project.

    version: of Lamina.
    """
    places = {rule.id: index for index, rule in enumerate(RULES)}
    rules: list[Json] = [
        {
            "id": rule.id,
            "name": rule.slug,
            "shortDescription": {"text": rule.summary},
            "fullDescription": {"text": rule.why},
            "help": {"text": f"--fix: {rule.fixes}"},
            "defaultConfiguration": {"level": rule.severity},
        }
        for rule in RULES
    ]
    results: list[Json] = [
        {
            "ruleId": each.rule,
            "ruleIndex": places[each.rule],
            "level": each.severity,
            "message": {"text": ". ".join(filter(None, (each.message, each.why, each.hint)))},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote(each.file), "uriBaseId": _ROOT},
                        "region": {"startLine": each.line},
                    }
                }
            ],
            "properties": {"image": each.image},
        }
        for each in findings
    ]
    driver: JsonDocument = {"name": "Lamina", "version": version, "rules": rules}
    run: JsonDocument = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
