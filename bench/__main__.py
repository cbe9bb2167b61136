"""``python -m bench``: measure, or show earlier results; `bench.options` has the flags."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import chart, machine, pages, table
from bench.borrowed import BorrowedGround
from bench.cases import rank
from bench.compare import compare
from bench.goals import goals
from bench.ground import Ground
from bench.options import Options, read_options
from bench.private import PrivateGround
from bench.rows import FAILED, BenchReport, BenchRow, read_report
from bench.suite import Suite
from lamina.errors import BuildError, ConfigError, Interrupted, LaminaError, Problem
from lamina.files import write_atomic, write_json
from lamina.process import SubprocessRunner
from lamina.report import figures
from lamina.report.console import Screen
from lamina.sandbox.engine import unsupported


def main() -> int:
    """Measure or render, show, write and compare. Return the exit code."""
    screen = Screen()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: engines are stopped
    try:
        options = read_options()
        earlier = read_report(options.compare) if options.compare else None
        stopped: LaminaError | None = None
        if options.render:
            report = read_report(options.render)
        else:
            report, stopped = _measure(options, screen)
        _show(report, screen)
        _write(report, options, screen, complete=stopped is None)
        if stopped:
            raise stopped
        if earlier:
            _compare(earlier, report, options, screen)
        BuildError.check(_failures(report))
    except LaminaError as error:
        screen.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return Interrupted.exit_code
    return 0


def _measure(options: Options, screen: Screen) -> tuple[BenchReport, LaminaError | None]:
    """Measure; return the report and, if it is incomplete, the error that stopped it."""
    runner = SubprocessRunner()
    rows: list[BenchRow] = []
    stopped: LaminaError | None = None
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder, screen.working() as say:
        ground: Ground = (
            BorrowedGround(runner, say) if unsupported() else PrivateGround(runner, Path(folder), say)
        )
        suite = Suite(
            runner=runner,
            ground=ground,
            source=Path.cwd(),
            folder=Path(folder),
            budget=options.budget,
            say=say,
        )
        try:
            for row in suite.run(options.selection):
                rows.append(row)
                if row.seconds or row.failed:
                    screen.say(table.line(row))
        except KeyboardInterrupt:
            stopped = Interrupted.of("stopped; the results so far are kept")
        except LaminaError as error:
            stopped = error
        finally:
            ground.close()
    report = BenchReport(
        rows=tuple(sorted(rows, key=lambda row: rank(row.case, row.variant))),
        machine=machine.facts(ground.versions),
        uncounted=ground.uncounted,
    )
    return report, stopped


def _show(report: BenchReport, screen: Screen) -> None:
    screen.say(table.machine(report))
    screen.rows(table.HEADINGS, map(table.terminal, report.measured))
    screen.notes(Problem(what=f"not run: {line}") for line in table.reasons(report))
    known = [goal for goal in goals(report) if goal.met is not None]
    if known:
        words = {True: "met", False: "missed"}
        screen.rows(
            ("goal", "wanted", "measured", ""),
            ((goal.what, goal.wanted, goal.found, words[bool(goal.met)]) for goal in known),
        )


def _write(report: BenchReport, options: Options, screen: Screen, *, complete: bool) -> None:
    """Write the results. Write the documentation only if it was requested and the report is complete."""
    if not options.render:
        write_json(options.out / "bench.json", report.document())
    write_atomic(options.out / "bench.md", pages.markdown(report))
    written = [options.out]
    charts = [options.out / "bench"]
    if options.write and complete:
        written += pages.write_pages(Path.cwd(), report)
        charts.append(Path(pages.CHART))
    try:
        chart.draw(report, *(Path(f"{name}.{suffix}") for name in charts for suffix in ("svg", "png")))
    except ConfigError as error:
        screen.notes(error.problems)
    screen.say(f"the figures are in {', '.join(map(str, written))}")


def _failures(report: BenchReport) -> Iterator[Problem]:
    """Yield each failure once, with all the cases that it affects."""
    lost: dict[str, list[str]] = {}
    for row in report.rows:
        if row.failed and row.not_run:
            lost.setdefault(row.not_run.removeprefix(FAILED), []).append(f"{row.variant} {row.case}")
    for reason, names in lost.items():
        yield Problem(what=f"{', '.join(names)}: {reason}")


def _compare(earlier: BenchReport, report: BenchReport, options: Options, screen: Screen) -> None:
    """Show both runs. Raise BuildError for cases that became slower than the tolerance."""
    changes = compare(earlier, report)
    screen.rows(
        ("case", "variant", "before", "now", "ratio"),
        (
            (
                each.case,
                each.variant,
                figures.seconds(each.before),
                figures.seconds(each.now),
                f"{each.ratio:.2f}",
            )
            for each in changes
        ),
    )
    BuildError.check(
        Problem(
            what=f"{each.variant} {each.case} takes {each.ratio:.2f} times as long as before",
            where=str(options.compare),
            allowed=f"{options.tolerance:g} times (--tolerance)",
        )
        for each in changes
        if each.slower(options.tolerance)
    )


if __name__ == "__main__":
    sys.exit(main())
