"""Findings for people: what is told once, and what each line says."""

from __future__ import annotations

from dataclasses import replace

from lamina.lint.findings import Finding
from lamina.lint.show import concise_lines, full_lines, statistics_lines, total_line
from lamina.report.table import Cell

FOUND = Finding(
    rule="LAM105",
    slug="no-cache-dir",
    severity="warning",
    image="app",
    file="app/Dockerfile",
    line=3,
    message="app: 2 packages (a, b) are downloaded again",
    why="it takes time",
    fix=None,
    hint=None,
    column=5,
)
ALIKE = [
    replace(
        FOUND,
        image=name,
        file=f"{name}/Dockerfile",
        message=f"{name}: {n} packages (c) are downloaded again",
    )
    for n, name in enumerate(["one", "two", "three", "four"], start=1)
]


def text(line: Cell) -> str:
    return "".join(span.text for span in line)


def test_the_lines_of_a_hint_stand_below_it() -> None:
    (_, _, told, _) = full_lines([replace(FOUND, hint="install first:\nCOPY a ./\nRUN b")])

    assert text(told) == "  help: install first:\n    COPY a ./\n    RUN b"


def test_findings_of_one_cause_are_shown_once_with_their_places() -> None:
    lines = [text(each) for each in full_lines([FOUND, *ALIKE])]

    assert lines == [
        "app/Dockerfile:3:5: LAM105 warning: app: 2 packages (a, b) are downloaded again",
        (
            "  also, with other figures, in one/Dockerfile:3, two/Dockerfile:3, three/Dockerfile:3 "
            "and 1 more place"
        ),
        "  why: it takes time",
        "",
    ]


def test_findings_with_the_same_figures_are_in_the_other_places_as_well() -> None:
    same = [replace(each, message=f"{each.image}: 2 packages (a, b) are downloaded again") for each in ALIKE]

    assert "  also in one/Dockerfile:3, two/Dockerfile:3, three/Dockerfile:3 and 1 more place" in [
        text(each) for each in full_lines([FOUND, *same])
    ]


def test_two_findings_are_few_enough_to_be_shown_both() -> None:
    assert sum("LAM105" in text(each) for each in full_lines([FOUND, ALIKE[0]])) == 2


def test_errors_come_first_and_each_is_shown() -> None:
    errors = [replace(each, severity="error") for each in ALIKE]

    shown = [text(each) for each in full_lines([FOUND, *errors]) if "LAM105" in text(each)]

    assert len(shown) == 5
    assert all("error" in each for each in shown[:4])


def test_other_packages_are_another_cause() -> None:
    others = [replace(each, message=f"{each.image}: x{each.image}y is downloaded again") for each in ALIKE]

    assert sum("LAM105" in text(each) for each in full_lines(others)) == 4


def test_concise_has_one_line_each_and_statistics_one_line_a_rule() -> None:
    assert len([*concise_lines([FOUND, *ALIKE])]) == 5
    assert [text(each) for each in statistics_lines([FOUND, *ALIKE])] == ["5  LAM105  [ ]  no-cache-dir"]


def test_the_total_says_how_many_notes_are_hidden() -> None:
    note = replace(FOUND, severity="note")

    assert total_line([FOUND, note], 1) == "0 errors, 1 warning; 1 note not shown: --notes"
    assert total_line([FOUND, note], 0) == "0 errors, 1 warning, 1 note"


def test_the_sources_that_one_line_of_an_ignore_file_hides_are_one_error_with_their_number() -> None:
    hides = "line 2 `**` of .dockerignore hides it"
    lost = [
        replace(
            FOUND,
            rule="LAM404",
            severity="error",
            file=f"{name}/Dockerfile",
            image=name,
            message=f"COPY {name}.py: {hides}",
            hint=f"!{name}.py below that line",
        )
        for name in ("one", "two", "three", "four", "five")
    ]
    other = replace(lost[0], message="COPY z: line 3 `z` of .dockerignore hides it")

    lines = [text(each) for each in full_lines([*lost, other])]

    assert [each for each in lines if "hides" in each] == [
        f"one/Dockerfile:3:5: LAM404 error: COPY one.py: {hides}",
        "  it hides 4 more sources: two/Dockerfile:3, three/Dockerfile:3, four/Dockerfile:3 and 1 more place",
        "one/Dockerfile:3:5: LAM404 error: COPY z: line 3 `z` of .dockerignore hides it",
    ]
    assert total_line([*lost, other], 0).startswith("6 errors")
