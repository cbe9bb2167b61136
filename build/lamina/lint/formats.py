"""Findings in the formats of other programs: GitHub's annotations, GitLab's code quality report, SARIF. Pure.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

from lamina.json_data import JsonDocument
from lamina.lint.findings import Finding
from lamina.lint.sarif import sarif_log
from lamina.report.github import annotation

PROGRAMS = ("github", "gitlab", "sarif")
"""The formats of other programs."""
_GITHUB_LEVEL = {"error": "error", "warning": "warning", "note": "notice"}
_GITLAB_LEVEL = {"error": "critical", "warning": "minor", "note": "info"}


def finding_documents(findings: Iterable[Finding]) -> list[JsonDocument]:
    """Return findings for JSON. fix: the edits that ``--fix`` makes, or null.

    An edit replaces the lines from start up to, but not including, end; both are counted from 1.
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
            "column": each.column,
            "message": each.message,
            "why": each.why,
            "hint": each.hint,
            "fix": [
                {"file": edit.file, "start": edit.start, "end": edit.end, "lines": list(edit.lines)}
                for edit in each.fix
            ]
            if each.fix is not None
            else None,
        }
        for each in findings
    ]


def github_text(findings: Iterable[Finding]) -> str:
    """Return a workflow command for each finding, which GitHub shows beside the line."""
    return "".join(
        annotation(
            _GITHUB_LEVEL[each.severity],
            _text(each),
            file=each.file,
            line=each.line,
            col=each.column,
            title=f"{each.rule} {each.slug}",
        )
        + "\n"
        for each in findings
    )


def gitlab_text(findings: Iterable[Finding]) -> str:
    """Return a code quality report.

    A finding's fingerprint does not change when lines above it do: it is of the rule, the file and the
    message, and counts those that are equal.
    """
    seen = Counter[tuple[str, str, str]]()
    issues = []
    for each in findings:
        key = (each.rule, each.file, each.message)
        seen[key] += 1
        issues.append(
            {
                "description": f"{each.rule}: {_text(each)}",
                "check_name": each.slug,
                "fingerprint": hashlib.sha256("\0".join((*key, str(seen[key]))).encode()).hexdigest(),
                "severity": _GITLAB_LEVEL[each.severity],
                "location": {"path": each.file, "lines": {"begin": each.line}},
            }
        )
    return json.dumps(issues, indent=2) + "\n"


def program_text(form: str, findings: Iterable[Finding], *, version: str) -> str:
    """Return the findings in one of `PROGRAMS`. version: of Lamina."""
    if form == "sarif":
        return json.dumps(sarif_log(findings, version=version), indent=2) + "\n"
    return github_text(findings) if form == "github" else gitlab_text(findings)


def _text(finding: Finding) -> str:
    return ". ".join(filter(None, (finding.message, finding.why, finding.hint)))
