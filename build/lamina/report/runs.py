"""What is kept of each run, ``.lamina/runs/<id>/run.json``, and for how long."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.files import write_json
from lamina.masks import Mask
from lamina.report.cold import read_colds
from lamina.report.document import SCHEMA, outcome_documents, saved_document

if TYPE_CHECKING:
    from lamina.decide.plan import Plan
    from lamina.errors import Problem
    from lamina.execute.outcome import Outcome

KEPT_RUNS = 50
"""Folders; beside them those of the last cold build of each image."""
RUN_FILE = "run.json"
_LONGEST_RUN = 48 * 3600.0  # seconds
_KEPT = (
    *("name", "kind", "reasons", "tag", "ref", "digest", "platform", "size"),
    *("seconds", "cached", "total", "parents"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run was made. builder: as it was asked for; empty: the engine's own."""

    command: str
    static: bool
    push: bool
    platform: str
    registry: str
    builder: str


def keep_run(
    state: Path,
    run: str,
    settings: RunSettings,
    plan: Plan,
    outcome: Outcome,
    *,
    started: float,
    seconds: float,
    mask: Mask,
) -> None:
    """Write down what was planned and how it ended, and remove runs of long ago.

    started: seconds since the epoch. mask: what is not to be read in it.
    """
    images = [
        {
            **{key: document[key] for key in _KEPT},
            "status": document["action"],
            "planned": list(plan.decisions[document["name"]].reasons),
            "saved": saved_document(outcome.saved.get(document["name"])),
        }
        for document in outcome_documents(outcome)
    ]
    document = {
        "schema": SCHEMA,
        "run": run,
        "command": settings.command,
        "started": datetime.fromtimestamp(started).astimezone().isoformat(timespec="milliseconds"),
        "seconds": round(seconds, 3),
        "ok": outcome.ok,
        "interrupted": outcome.interrupted,
        "static": settings.static,
        "push": settings.push,
        "platform": settings.platform,
        "registry": settings.registry,
        "builder": settings.builder,
        "images": images,
        "saved": saved_document(outcome.saved_in_all),
        "problems": [_problem_document(each) for each in outcome.problems],
    }
    write_json(state / "runs" / run / RUN_FILE, mask.hide_in(document))
    prune_runs(state)


def prune_runs(state: Path) -> None:
    """Remove the oldest folders, but none that savings are measured against or that a run is at work in."""
    folders = sorted(each for each in (state / "runs").iterdir() if each.is_dir() and not _at_work(each))
    old = folders[:-KEPT_RUNS]
    if not old:
        return
    needed = {cold.run for cold in read_colds(state).values()}
    for folder in old:
        if folder.name not in needed:
            with contextlib.suppress(OSError):  # another run removes it as well
                shutil.rmtree(folder)


def _at_work(folder: Path) -> bool:
    """Whether a run may still need its folder: it has not ended, and began not long ago."""
    try:
        begun = folder.stat().st_mtime
    except FileNotFoundError:
        return False
    return not (folder / RUN_FILE).exists() and time.time() - begun < _LONGEST_RUN


def _problem_document(problem: Problem) -> dict[str, Any]:
    """A problem without the log below its first line: that may hold what nobody else should see."""
    return {"what": problem.what.partition("\n")[0], "where": problem.where, "hint": problem.hint}
