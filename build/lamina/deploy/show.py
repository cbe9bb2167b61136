"""Show deployments and the state of functions: as tables and as documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lamina.deploy.deploy import DeployOptions
from lamina.deploy.reached import Reached
from lamina.deploy.results import Rollout
from lamina.deploy.rules import FunctionUpdate, StatusRow
from lamina.deploy.stacks import StackRuns, differ
from lamina.errors import Problem
from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen

_COUNTED = frozenset({"skipped", "planned"})
_SHOWN = 19
"""Characters of a digest in a table: ``sha256:`` and twelve."""


def show_moves(screen: Screen, moves: Iterable[FunctionUpdate]) -> None:
    """Show the planned action of each function, and why."""
    rows = (
        (str(each.wanted.function), each.wanted.image, each.action, "; ".join(each.reasons), each.wanted.tag)
        for each in moves
    )
    screen.rows(("function", "image", "action", "why", "tag"), rows, wide="why")


def summary(statuses: Iterable[tuple[str, str]]) -> str:
    """Return the results in one line. Skipped and planned functions are counted, all others are named.

    Args:
        statuses: pairs of function and status.
    """
    names: dict[str, list[str]] = {}
    for function, status in statuses:
        names.setdefault(status, []).append(function)
    return "; ".join(
        f"{len(some)} {status}" + ("" if status in _COUNTED else f": {', '.join(some)}")
        for status, some in names.items()
    )


def move_document(move: FunctionUpdate, *, status: str, version: str | None) -> JsonDocument:
    """Return a function's JSON document. status: of `DeployResult`."""
    wanted = move.wanted
    return {
        "function": str(wanted.function),
        "image": wanted.image,
        "action": move.action,
        "status": status,
        "reasons": list(move.reasons),
        "uri": wanted.uri,
        "digest": wanted.digest,
        "tag": wanted.tag,
        "command": list(wanted.function.command),
        "version": version,
        "alias_before": move.alias,
    }


def show_shift(screen: Screen, options: DeployOptions) -> None:
    """Say how calls move and what judges that; a note if nothing does."""
    if options.shift is None:
        return
    judges = [
        *(f"the alarm {each}" for each in options.alarms),
        *(["the answers to events"] if options.smoke else []),
    ]
    judged = f", judged by {', '.join(judges)}" if judges else ""
    screen.say(f"{options.alias} moves by {options.shift}{judged}")
    if not judges:
        screen.notes(
            [
                Problem(
                    what="the new versions are not judged: only Ctrl-C returns the calls",
                    where=f"--{options.shift.kind}",
                    hint="add --alarm <name>, or --smoke",
                )
            ]
        )


def canary_document(options: DeployOptions, done: Rollout) -> JsonDocument | None:
    """Return the JSON document of a canary, planned or done; None if none was asked for."""
    if options.shift is None:
        return None
    report = done.canary
    return {
        "shift": str(options.shift),
        "alarms": list(options.alarms),
        "functions": list(report.functions) if report else [],
        "outcome": report.outcome if report else None,
        "history": [{"at": each.at, "weight": each.weight} for each in report.history] if report else [],
    }


def show_status(screen: Screen, rows: Iterable[StatusRow]) -> None:
    """Show a row for each version and alias."""
    cells = (
        (
            each.image,
            each.function,
            each.place,
            each.verdict if each.counts or each.live else f"({each.verdict})",
            each.tag,
            _digest(each.pushed),
            _digest(each.digest),
        )
        for each in rows
    )
    headings = ("image", "function", "at", "verdict", "worktree", "in the registry", "deployed")
    screen.rows(headings, cells, wide="verdict")


def status_documents(rows: Iterable[StatusRow]) -> list[JsonDocument]:
    """Return the rows of ``status --json``."""
    return [
        {
            "image": each.image,
            "function": each.function,
            "at": each.place,
            "tag": each.tag,
            "pushed": each.pushed,
            "deployed": each.digest,
            "live": each.live,
            "verdict": each.verdict,
            "counts": each.counts,
        }
        for each in rows
    ]


def show_stacks(screen: Screen, stacks: Sequence[StackRuns]) -> None:
    """Show what each stack runs, a row for each image and a column for each stack."""
    images = dict.fromkeys(row.image for each in stacks for row in each.rows)
    others = differ(stacks)
    rows = (
        (image, *(_runs(each.names(image)) for each in stacks), "no" if image in others else "yes")
        for image in images
    )
    screen.rows(("image", *(each.stack for each in stacks), "same"), rows, wide=stacks[-1].stack)


def _runs(names: Mapping[str, Sequence[Reached]]) -> str:
    """Return what an image's functions run; which function runs what only if they differ."""
    if len(names) < 2:
        return next(iter(names), figures.NONE)
    return "; ".join(
        f"{name}: {', '.join(dict.fromkeys(str(each.function) for each in some))}"
        for name, some in names.items()
    )


def stacks_documents(stacks: Iterable[StackRuns]) -> list[JsonDocument]:
    """Return the stacks of ``status --stacks --json``."""
    return [
        {
            "stack": stack.stack,
            "error": str(stack.error) if stack.error else None,
            "functions": [
                {
                    "image": each.image,
                    "function": str(each.function),
                    "at": each.place,
                    "version": each.live.version,
                    "digest": each.live.digest,
                    "tag": (stack.tags or {}).get(str(each.live.digest)),
                }
                for each in stack.rows
            ],
        }
        for stack in stacks
    ]


def _digest(digest: str | None) -> str:
    return digest[:_SHOWN] if digest else figures.NONE
