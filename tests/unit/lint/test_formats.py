"""Findings for code hosts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.lint.findings import Finding
from lamina.lint.formats import github_text, gitlab_text
from lamina.lint.output import from_checkout

FOUND = Finding(
    rule="LAM404",
    slug="lost-source",
    severity="error",
    image="app",
    file="my app/Dockerfile",
    line=3,
    message="COPY a,b: 100 % lost\nbelow",
    why="it fails",
    fix=None,
    hint="add it",
)


def test_github_gets_an_escaped_annotation_at_the_line() -> None:
    assert github_text([FOUND, replace(FOUND, severity="note", hint=None, message="m")]) == (
        "::error file=my app/Dockerfile,line=3,col=1,title=LAM404 lost-source"
        "::COPY a,b: 100 %25 lost%0Abelow. it fails. add it\n"
        "::notice file=my app/Dockerfile,line=3,col=1,title=LAM404 lost-source::m. it fails\n"
    )


def test_gitlab_gets_a_report_whose_fingerprints_differ_and_stay_when_lines_move() -> None:
    same = replace(FOUND, line=9)
    first, second = json.loads(gitlab_text([FOUND, same]))

    assert first["severity"] == "critical"
    assert first["location"] == {"path": "my app/Dockerfile", "lines": {"begin": 3}}
    assert first["fingerprint"] != second["fingerprint"]
    moved = json.loads(gitlab_text([replace(FOUND, line=4), replace(same, line=10)]))
    assert [each["fingerprint"] for each in moved] == [first["fingerprint"], second["fingerprint"]]


@pytest.mark.parametrize(
    ("form", "path"), [("github", "sub/my app/Dockerfile"), ("sarif", "my app/Dockerfile")]
)
def test_paths_are_relative_to_the_checkout(
    form: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))

    assert [each.file for each in from_checkout([FOUND], form, tmp_path / "sub")] == [path]
