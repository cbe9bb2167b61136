"""Report: a run that is kept, found by its name, beside those before it."""

from __future__ import annotations

import difflib
from pathlib import Path

from lamina.errors import SelectionError
from lamina.files import write_atomic
from lamina.flow.session import Session
from lamina.report.analysis import RunReport, analyse
from lamina.report.history import Run, read_run, read_steps, run_ids
from lamina.report.page import render

PAGE = "report.html"
_NEAREST = 3
_ALIKE = 0.4


def list_runs(session: Session) -> tuple[Run, ...]:
    """All runs that are kept, the latest first. Raises SelectionError when there is none."""
    return tuple(read_run(session.project.state, run) for run in _kept(session))


def report_run(session: Session, wanted: str, last: int) -> RunReport:
    """The report of a run: of the latest, or of the one whose name begins so. last: runs beside it.

    Raises SelectionError for a name that no run or several runs have, or when there is no run.
    """
    if last < 1:
        raise SelectionError.of(f"{last} runs cannot be shown", where="--last", allowed="1 and more")
    state, ids = session.project.state, _kept(session)
    run = read_run(state, find_run(ids, wanted))
    runs = (read_run(state, each) for each in ids[:last])
    return analyse(run, read_steps(state, run), {each: read_steps(state, each) for each in runs})


def write_report(session: Session, report: RunReport, file: str | bool) -> Path:
    """Write the page of a report; where it is. file: True for the usual place."""
    page = (session.project.state / PAGE if file is True else Path(str(file))).absolute()
    write_atomic(page, render(report).encode("utf-8", "backslashreplace"))
    return page


def find_run(ids: tuple[str, ...], wanted: str) -> str:
    """The run whose name begins so; the latest when nothing is wanted. Raises SelectionError."""
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


def _kept(session: Session) -> tuple[str, ...]:
    """The names of the runs, the latest first."""
    state = session.project.state
    ids = run_ids(state)
    if not ids:
        raise SelectionError.of("no run is kept here yet", where=str(state / "runs"), hint="invoke build-all")
    return ids
