"""Name runs, write ``.lamina/runs/<id>/run.json``, and delete old runs."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.files import write_json
from lamina.json_data import JsonDocument
from lamina.masks import Mask
from lamina.report.cold import read_colds
from lamina.report.document import SCHEMA, outcome_documents, saved_document, use_document
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.decide.plan import Plan
    from lamina.errors import Problem
    from lamina.execute.outcome import Outcome

KEPT_RUNS = 50
"""Run folders kept, in addition to those of each image's last cold build."""
KEPT_CALLS = 100
"""Folders kept of runs that only changed something in AWS, such as deployments."""
RUN_FILE = "run.json"
CALLS_FILE = "aws.jsonl"
_LONGEST_RUN = 48 * 3600.0  # seconds
_KEPT = (
    *("name", "kind", "reasons", "tag", "ref", "digest", "platform", "size"),
    *("seconds", "cached", "total", "parents", "builder", "appended"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a run was made. builder: as configured; empty: the default one."""

    command: str
    static: bool
    push: bool
    platform: str
    registry: str
    builder: str


def name_run(purpose: str = "", *, now: float | None = None) -> str:
    """Return a unique name for a run; names sort by time. purpose: a suffix for runs that keep no image.

    Of the six digits after the second, three are its fraction in 1/4096 s, and three are random.
    now: seconds since the epoch; by default the time of the call.
    """
    now = time.time() if now is None else now
    second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    unique = f"{int(now % 1 * 0x1000):03x}{int.from_bytes(os.urandom(2)) & 0xFFF:03x}"
    return "-".join(filter(None, (second, unique, purpose)))


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
    """Write the plan and the outcome of a run, and delete old runs.

    Args:
        started: seconds since the epoch.
        mask: the secrets to hide.
    """
    images = [
        {
            **{key: document[key] for key in _KEPT if key in document},
            "status": document["action"],
            "planned": list(plan.decisions[str(document["name"])].reasons),
            "saved": saved_document(outcome.saved.get(str(document["name"]))),
            **use_document(outcome.cache_uses.get(str(document["name"]))),
        }
        for document in outcome_documents(outcome)
    ]
    document: JsonDocument = {
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
    """Delete the oldest folders, except those of last cold builds and of runs in progress.

    Builds and runs that only changed something in AWS do not displace each other.
    """
    folders = sorted(each for each in (state / "runs").iterdir() if each.is_dir() and not _at_work(each))
    calls = [each for each in folders if calls_only(each)]
    old = [*[each for each in folders if each not in calls][:-KEPT_RUNS], *calls[:-KEPT_CALLS]]
    if not old:
        return
    import shutil  # brings bz2 and lzma along

    needed = {cold.run for cold in read_colds(state).values()}
    for folder in old:
        if folder.name not in needed:
            with contextlib.suppress(OSError):  # another run may delete it at the same time
                shutil.rmtree(folder)


def calls_only(folder: Path) -> bool:
    """Whether a folder is of a command that built nothing: its name has a purpose; see `name_run`."""
    return folder.name.count("-") > 1 and (folder / CALLS_FILE).is_file()


def _at_work(folder: Path) -> bool:
    """Whether a run may still use its folder: it has not ended and began less than 48 hours ago."""
    try:
        begun = folder.stat().st_mtime
    except FileNotFoundError:
        return False
    return not (folder / RUN_FILE).exists() and time.time() - begun < _LONGEST_RUN


def _problem_document(problem: Problem) -> JsonDocument:
    """Return a problem without the log below its first line, which may hold secrets."""
    return {"what": problem.what.partition("\n")[0], "where": problem.where, "hint": problem.hint}
