"""The results of rows: comparisons, goals, tables, pages, the chart."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import chart, pages, table
from bench.compare import compare
from bench.goals import goals
from bench.machine import parse_model, sentence
from bench.rows import BenchReport, BenchRow
from lamina.errors import ConfigError

from .figures import report, row


def test_runs_are_compared_where_both_have_figures() -> None:
    before = report(row("cold", "lamina", 10.0), row("handler", "lamina", 1.0), row("branch", "bake", 1.0))
    now = report(row("cold", "lamina", 15.0), row("handler", "lamina", 0.5), row("cold", "bake", 9.0))

    changes = compare(before, now)

    assert [(each.case, each.variant, each.ratio) for each in changes] == [
        ("cold", "lamina", 1.5),
        ("handler", "lamina", 0.5),
    ]
    assert [each.slower(1.25) for each in changes] == [True, False]
    assert not changes[0].slower(1.5)


def test_a_hundredth_of_a_second_is_not_a_change() -> None:
    (change,) = compare(report(row("plan-20", "lamina", 0.02)), report(row("plan-20", "lamina", 0.11)))

    assert change.ratio > 5
    assert not change.slower(1.25)


def test_goals_are_ratios_of_one_run() -> None:
    found = goals(
        report(
            row("handler-empty", "before", 100.0, 1_000_000),
            row("handler-empty", "lamina", 1.0, 900),
            row("cold", "before", 60.0),
            row("cold", "bake", 30.0),
            row("cold", "lamina", 34.0),
            row("scale-100-edit", "lamina", 1.5),
        )
    )
    by_words = {(goal.what, goal.wanted): (goal.found, goal.met) for goal in found}

    assert len(found) == 16
    assert by_words["a handler edited, empty runner", "at least 50 times faster than *before*"] == (
        "100.0 times",
        True,
    )
    assert by_words["a handler edited, empty runner", "at least 99.9% fewer bytes than *before*"][1] is True
    assert by_words["cold", "at least 3 times faster than *before*"] == ("1.8 times", False)
    assert by_words["cold, beside bake of the same Dockerfiles", "at most 1.1 times its time"][1] is False
    assert by_words["one of 100 images edited", "at most 2 s"] == ("1.50 s", True)
    assert by_words["100 images, unchanged", "at least 25 times faster than *bake*"] == ("not measured", None)


def test_a_handler_is_compared_with_bake_of_that_one_image() -> None:
    def met(ours: float) -> bool | None:
        made = report(row("handler", "lamina", ours), row("handler", "bake", 0.4))
        return next(goal.met for goal in goals(made) if goal.what == "a handler edited, warm")

    assert met(0.8) is True
    assert met(1.0) is False


def test_the_row_of_the_terminal() -> None:
    assert table.terminal(row("cold", "bake", 30.0, 1_500_000)) == (
        *("cold", "bake", "30.00", "30.00", "30.00", "1", "0 B", "1.5 MB", "1/2", "1/4", "-"),
    )


def test_a_monorepo_of_real_size_is_judged_by_seconds_and_memory() -> None:
    quick = replace(row("real-plan", "lamina", 0.9), memory=100_000_000)
    large = replace(row("real-plan-again", "lamina", 0.4), memory=200_000_000)

    met = {goal.what.partition(": ")[2]: goal.met for goal in goals(report(quick, large))}

    assert (met["the first plan"], met["the second plan"], met["init"], met["memory"]) == (
        True,
        False,
        None,
        False,
    )
    assert table.terminal(quick)[-1] == "100 MB"


def test_markdown_has_a_column_for_each_variant_and_escapes_bars() -> None:
    made = report(row("cold", "before", 60.0, 5_000_000), row("cold", "lamina", 30.0))

    assert table.by_case(made).splitlines() == [
        "| case | before | seed | bake | lamina |",
        "|---|---|---|---|---|",
        "| `cold` | 60 s · 5.0 MB | - | - | 30 s |",
    ]
    assert "| 2.0 x (before) |" in table.short(made)
    barred = BenchReport(rows=(row("cold", "a|b", 1.0),), machine={})
    assert "a\\|b" in table.full(barred)


def test_where_the_first_variant_did_not_run_the_next_is_the_measure() -> None:
    made = report(
        BenchRow.missing("scale-100", "before", "not its kind"),
        row("scale-100", "bake", 40.0),
        row("scale-100", "lamina", 1.0),
    )

    assert "| 40.0 x (bake) |" in table.short(made)


def test_reasons_are_reported_once() -> None:
    made = report(
        BenchRow.missing("scale-10", "before", "about others"),
        BenchRow.missing("scale-50", "before", "about others"),
        BenchRow.missing("cold", "bake", "failed: no network\n  | and a log"),
    )

    assert table.reasons(made) == ("before: scale-10, scale-50: about others", "bake: cold: no network")


def test_only_what_is_marked_is_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    readme = "before\n<!-- bench:short -->\nold\nold\n<!-- bench:end -->\nafter\n"
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "docs/benchmark.md").write_text(
        "<!-- bench:machine -->\n<!-- bench:end -->\n\\1\n<!-- bench:full -->\nx\n<!-- bench:end -->\n"
    )
    made = report(row("cold", "lamina", 30.0))

    pages.write_pages(tmp_path, made)
    once = (tmp_path / "README.md").read_text()
    pages.write_pages(tmp_path, made)

    assert once == f"before\n<!-- bench:short -->\n{table.short(made)}\n<!-- bench:end -->\nafter\n"
    assert (tmp_path / "README.md").read_text() == once
    page = (tmp_path / "docs/benchmark.md").read_text()
    assert page.startswith(f"<!-- bench:machine -->\n{table.machine(made)}\n<!-- bench:end -->\n\\1\n")
    assert "\nx\n" not in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no section\n", "no marked section"),
        ("<!-- bench:shrot -->\n<!-- bench:end -->\n", "nothing is called 'shrot'"),
    ],
)
def test_a_page_without_the_right_markers_is_left_alone(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "docs").mkdir()
    good = "<!-- bench:short -->\nold\n<!-- bench:end -->\n"
    (tmp_path / "README.md").write_text(good)
    (tmp_path / "docs/benchmark.md").write_text(text)

    with pytest.raises(ConfigError, match=message):
        pages.write_pages(tmp_path, report(row("cold", "lamina", 30.0)))

    assert (tmp_path / "README.md").read_text() == good


def test_our_own_pages_have_markers_that_are_known() -> None:
    root = Path(__file__).parents[3]
    parts = pages.sections(report(row("cold", "lamina", 30.0)))

    for name in (pages.README, pages.PAGE):
        pages.fill((root / name).read_text("utf-8"), parts, where=name)


def test_without_matplotlib_there_is_no_chart_but_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(ConfigError, match="nox -s bench"):
        chart.draw(report(row("cold", "lamina", 30.0)), tmp_path / "bench.svg")


def test_the_machine_in_a_sentence() -> None:
    assert parse_model("processor\t: 0\nmodel name\t: A  CPU @ 2GHz\nmodel name\t: B\n") == "A CPU @ 2GHz"
    assert parse_model("processor: 0\n") is None
    said = sentence(
        {"cpus": "2", "cpu": "A", "memory": "8 GiB", "system": "Debian", "kernel": "Linux 6", "docker": "28"}
    )
    assert said == "2 CPUs (A), 8 GiB, Debian, Linux 6; Docker 28"
