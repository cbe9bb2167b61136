"""The calls of AWS that changed something: ``.lamina/runs/<run>/aws.jsonl``, one a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.aws.changes import AwsCall
from lamina.errors import Problem
from lamina.json_data import JsonDocument
from lamina.masks import Mask
from lamina.report.history import Run, start_of
from lamina.report.runs import CALLS_FILE, calls_only, prune_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """A call that was recorded. command: which made it."""

    command: str
    call: AwsCall

    def document(self) -> JsonDocument:
        """Return it for JSON, and for the file."""
        return {"command": self.command, **self.call.document()}


class CallLog:
    """Appends calls to the file of their run, each as it ends, so that they survive a kill.

    Args:
        note: shows a problem. A full disk must not stop what is half done, so it is only said, once.
    """

    def __init__(self, command: str, mask: Mask, note: Callable[[Iterable[Problem]], None]) -> None:
        self._command = command
        self._mask = mask
        self._note = note
        self._failed = False

    def append(self, state: Path, run: str, call: AwsCall) -> None:
        """Append a call as one line."""
        kept = self._mask.hide_in(KeptCall(command=self._command, call=call).document())
        file = state / "runs" / run / CALLS_FILE
        try:
            is_new = not file.exists()
            file.parent.mkdir(parents=True, exist_ok=True)
            _append(file, f"{json.dumps(kept)}\n".encode())
            if is_new:
                prune_runs(state)
        except OSError as error:
            if not self._failed:
                self._note([Problem(what=f"calls of AWS are not recorded: {error}", where=str(file))])
            self._failed = True


def _append(file: Path, line: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def read_calls(state: Path, run: str) -> tuple[KeptCall, ...]:
    """Return the calls of a run, in order. Damaged lines are left out."""
    try:
        lines = (state / "runs" / run / CALLS_FILE).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(each for each in map(_parsed, lines) if each)


def _parsed(line: str) -> KeptCall | None:
    try:
        table = json.loads(line)
        return KeptCall(command=table.pop("command"), call=AwsCall(**table))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def run_of_calls(run: str, calls: Sequence[KeptCall]) -> Run:
    """Return the run of a command that built nothing."""
    command = calls[0].command if calls else run.rpartition("-")[2]
    done = all(each.call.error is None for each in calls)
    return Run(id=run, started=start_of(run), command=command, complete=True, ok=done, calls=len(calls))


def call_runs(state: Path) -> tuple[str, ...]:
    """Return the names of runs of which only their calls are kept, the latest first."""
    try:
        names = [each.name for each in (state / "runs").iterdir() if calls_only(each)]
    except OSError:
        return ()
    return tuple(sorted(names, reverse=True))
