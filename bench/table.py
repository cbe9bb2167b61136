"""Format the figures as tables: rows for the terminal, Markdown for the documentation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.cases import BY_NAME, EMPTY, WITHOUT_ENGINE
from bench.goals import goals
from bench.machine import sentence
from bench.meter import Spread
from bench.rows import FAILED, BenchReport, BenchRow
from bench.variants import VARIANTS
from lamina.report.figures import NONE, seconds, size

HEADINGS = (
    "case",
    "variant",
    "seconds",
    "min",
    "max",
    "runs",
    "internet",
    "registry",
    "cached",
    "built",
    "memory",
)
SHORT = (
    *("cold", "handler", "unchanged-empty", "handler-empty", "scale-100"),
    *("real-plan", "real-unchanged", "real-handler"),
)


def terminal(row: BenchRow) -> tuple[str, ...]:
    """Return the cells of a row that has figures, for HEADINGS."""
    spread = row.seconds or Spread(min=0.0, median=0.0, max=0.0)
    return (
        row.case,
        row.variant,
        f"{spread.median:.2f}",
        f"{spread.min:.2f}",
        f"{spread.max:.2f}",
        str(row.runs),
        size(row.bytes_internet),
        size(row.bytes_registry),
        f"{row.steps_cached}/{row.steps_total}",
        f"{row.images_built}/{row.images_total}",
        size(row.memory),
    )


def line(row: BenchRow) -> str:
    """Return a row in one line, for progress."""
    if row.seconds is None:
        return f"  {row.variant} {row.case}: not run: {(row.not_run or '').partition(chr(10))[0]}"
    moved = "" if row.bytes_moved is None else f", {size(row.bytes_moved)} moved"
    several = f" ({seconds(row.seconds.min)} to {seconds(row.seconds.max)}, {row.runs} runs)"
    return (
        f"  {row.variant} {row.case}: {seconds(row.seconds.median)}{several if row.runs > 1 else ''}{moved}"
    )


def short(report: BenchReport) -> str:
    """The table of the README: the cases that people meet, and how much faster they became."""
    rows = []
    for case in SHORT:
        ours = report.find(case, "lamina")
        if ours is None:
            continue
        others = (report.find(case, variant) for variant in ("before", "bake"))
        versus = next((row for row in others if row and row.seconds), None)
        ratio = NONE
        if versus and versus.seconds and ours.seconds:
            ratio = f"{versus.seconds.median / ours.seconds.median:.1f} x ({versus.variant})"
        rows.append((BY_NAME[case].about, *(_cell(report, case, each) for each in VARIANTS), ratio))
    return _markdown(("case", *VARIANTS, "lamina is faster by"), rows)


def by_case(report: BenchReport) -> str:
    """Return a row for each case: median seconds and moved bytes of each variant."""
    cases = dict.fromkeys(row.case for row in report.rows)
    shown = [name for name in BY_NAME if name in cases]
    rows = [(f"`{case}`", *(_cell(report, case, variant) for variant in VARIANTS)) for case in shown]
    return _markdown(("case", *VARIANTS), rows)


def about_cases() -> str:
    """Return the description of each case."""
    return _markdown(("case", "is"), [(f"`{case.name}`", case.about) for case in BY_NAME.values()])


def full(report: BenchReport) -> str:
    """Return every row with all its figures."""
    return _markdown(HEADINGS, [terminal(row) for row in report.measured])


def judged(report: BenchReport) -> str:
    """Return the goals and whether they are met."""
    words = {True: "met", False: "**missed**", None: NONE}
    rows = [(goal.what, goal.wanted, goal.found, words[goal.met]) for goal in goals(report)]
    return _markdown(("goal", "wanted", "measured", ""), rows)


def reasons(report: BenchReport) -> tuple[str, ...]:
    """Return why rows have no figures, a line for each variant and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in report.rows:
        if row.not_run is not None:
            reason = row.not_run.removeprefix(FAILED).partition("\n")[0]
            found.setdefault((row.variant, reason), []).append(row.case)
    return tuple(f"{variant}: {', '.join(cases)}: {reason}" for (variant, reason), cases in found.items())


def machine(report: BenchReport) -> str:
    """Return a sentence about the machine, and whether bytes were counted."""
    uncounted = f" Bytes were not counted: {report.uncounted}." if report.uncounted else ""
    return f"Measured on {sentence(report.machine)}.{uncounted}"


def _cell(report: BenchReport, case: str, variant: str) -> str:
    row = report.find(case, variant)
    if row is None or row.seconds is None:
        return NONE
    moved = row.bytes_moved
    group = BY_NAME[case].group
    shown = moved is not None and group not in WITHOUT_ENGINE and (moved > 0 or group == EMPTY)
    return seconds(row.seconds.median) + (f" · {size(moved)}" if shown else "")


def _markdown(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(_lines(tuple(headings), rows))


def _lines(headings: tuple[str, ...], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
