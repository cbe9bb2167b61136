"""The log has what SARIF 2.1.0 requires, with paths relative to the project."""

from __future__ import annotations

import json

from lamina.lint.findings import Finding
from lamina.lint.registry import RULES
from lamina.lint.sarif import sarif_log

FOUND = Finding(
    rule="LAM203",
    slug="no-link",
    severity="note",
    image="app",
    file="docker files/Dockerfile",
    line=3,
    message="COPY without --link",
    why="a linked layer stays",
    fix=None,
    hint="COPY --link",
)


def test_a_log_is_one_run_with_all_rules() -> None:
    log = json.loads(json.dumps(sarif_log([FOUND], version="1.2")))

    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("Lamina", "1.2")
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in RULES]
    assert all(
        rule["shortDescription"]["text"] and rule["fullDescription"]["text"] for rule in driver["rules"]
    )
    assert {rule["defaultConfiguration"]["level"] for rule in driver["rules"]} == {"error", "warning", "note"}


def test_a_result_points_to_its_rule_and_its_line() -> None:
    log = sarif_log([FOUND], version="1.2")
    (result,) = log["runs"][0]["results"]

    assert (
        result["ruleId"] == log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "LAM203"
    )
    assert result["level"] in {"none", "note", "warning", "error"}
    assert result["message"] == {"text": "COPY without --link. a linked layer stays. COPY --link"}
    (location,) = result["locations"]
    place = location["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "docker%20files/Dockerfile", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 3}


def test_nothing_found_is_a_log_all_the_same() -> None:
    assert sarif_log([], version="1.2")["runs"][0]["results"] == []
