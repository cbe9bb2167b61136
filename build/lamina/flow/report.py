"""Report a kept run, found by its name, together with earlier runs."""

from __future__ import annotations

import difflib
import time
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from lamina.errors import SelectionError
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.report.analysis import RunReport, analyse
from lamina.report.calls import KeptCall, call_runs, read_calls, run_of_calls
from lamina.report.history import Run, read_run, read_steps, run_ids
from lamina.report.inits import measured_inits
from lamina.report.page import render, render_runs
from lamina.report.since import PeriodReport, read_since, sum_up

PAGE = "report.html"
_NEAREST = 3
_ALIKE = 0.4


def list_runs(session: Session) -> tuple[Run, ...]:
    """Return all kept runs, the latest first: of builds, and of commands that changed something in AWS.

    Raises SelectionError if there is none.
    """
    state = session.project.state
    builds = frozenset(run_ids(state))
    return tuple(_read(state, run, read_calls(state, run), builds) for run in _kept(session))


def report_run(session: Session, wanted: str, last: int) -> RunReport:
    """Return the report of a run: the latest build, or the one whose name begins with ``wanted``.

    last: how many of the latest runs to include for comparison.
    Raises SelectionError if no run or several runs match, or if no run is kept.
    """
    if last < 1:
        raise SelectionError.of(f"{last} runs cannot be shown", where="--last", allowed="1 and more")
    state, known = session.project.state, _kept(session)
    ids = run_ids(state)
    name = find_run(known if wanted else ids or known, wanted)
    calls = read_calls(state, name)
    run = _read(state, name, calls, ids)
    runs = (read_run(state, each) for each in ids[:last])
    inits = measured_inits(state, {image.name for image in run.images})
    report = analyse(run, read_steps(state, run), {each: read_steps(state, each) for each in runs}, inits)
    return replace(report, calls=calls)


def _read(state: Path, run: str, calls: Sequence[KeptCall], builds: Container[str]) -> Run:
    if run not in builds:
        return run_of_calls(run, calls)
    return replace(read_run(state, run), calls=len(calls))


def report_period(session: Session, since: str) -> PeriodReport:
    """Return the report of a period that ends now. since: see `read_since`.

    Raises ConfigError if that is not a period, SelectionError if no run is kept.
    """
    now = time.time()
    start = read_since(since, now)
    state, builds = session.project.state, run_ids(session.project.state)
    runs = [read_run(state, run) for run in _kept(session) if run in builds]
    steps = {run.id: read_steps(state, run) for run in runs}
    return sum_up(runs, steps, since=start, until=now)


def write_report(session: Session, report: RunReport, file: str | bool) -> Path:
    """Write the HTML page of a report and return its path. file: True for the default path."""
    return _write(session, render(report), file)


def write_runs(
    session: Session, runs: tuple[Run, ...], file: str | bool, totals: tuple[str, ...] = ()
) -> Path:
    """Write one HTML page for many builds and return its path. file: True for the default path.

    totals: sentences that sum them up.
    """
    state = session.project.state
    reports, builds = [], run_ids(state)
    for run in (each for each in runs if each.id in builds):
        steps = read_steps(state, run)
        reports.append(analyse(run, steps, {run: steps}))
    inits = measured_inits(state, {image.name for run in runs for image in run.images})
    return _write(session, render_runs(reports, inits, totals), file)


def find_run(ids: tuple[str, ...], wanted: str) -> str:
    """Return the run whose name begins with ``wanted``; the latest if it is empty. Raises SelectionError."""
    if not wanted or wanted in ids:
        return wanted or ids[0]
    found = [each for each in ids if each.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    near = found or difflib.get_close_matches(wanted, ids, n=_NEAREST, cutoff=_ALIKE) or ids
    raise SelectionError.of(
        f"{len(found)} runs begin with {wanted!r}" if found else f"there is no run {wanted!r}",
        where="--run",
        allowed="the name of a run, or its beginning if no other begins so",
        hint=f"{', '.join(near[:_NEAREST])}; all of them: invoke report --list",
    )


def _write(session: Session, text: str, file: str | bool) -> Path:
    page = (session.project.state / PAGE if file is True else Path(str(file))).absolute()
    write_atomic(page, text.encode("utf-8", "backslashreplace"))
    return page


def _kept(session: Session) -> tuple[str, ...]:
    """Return the names of the kept runs, the latest first. Raises SelectionError if there is none."""
    state = session.project.state
    ids = tuple(sorted((*run_ids(state), *call_runs(state)), reverse=True))
    if not ids:
        raise SelectionError.of("no run is kept here yet", where=str(state / "runs"), hint="invoke build-all")
    return ids
