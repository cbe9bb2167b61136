"""A deployment as a run: its name, what it records, and where."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from lamina.declare.stacks import Stack
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import DeployRecord, Ran, keep_record
from lamina.deploy.results import Rollout
from lamina.deploy.shift import KINDS, Kind, Shift, read_shift
from lamina.deploy.stack import who_deploys
from lamina.errors import AwsError, ConfigError, Problem
from lamina.execute.revision import read_revision
from lamina.execute.task_run import TaskRun, first_error
from lamina.flow.session import Session
from lamina.parallel import within
from lamina.refs import Reference

_PATIENCE, _LONGEST = 1.0, 30.0
"""Seconds that AWS gets to say who the caller is: after Ctrl-C, and else."""


def options_of_run(session: Session, given: DeployOptions, *, of_worktree: bool) -> DeployOptions:
    """Return the options with the stack's alias, unless another was given, and with the name of a run.

    of_worktree: whether the worktree's images are deployed. Only then, and without changes, is its commit
    that of the deployment.
    """
    revision = read_revision(session.runner, session.project.root) if of_worktree else None
    return replace(
        given,
        alias=given.alias or session.project.stack.alias,
        stack=session.project.stack.name,
        run=session.begin_run(builds=False),
        commit=revision.commit if revision and revision.clean else None,
    )


def with_shift(
    options: DeployOptions, stack: Stack, *, canary: str | None, linear: str | None, alarms: Sequence[str]
) -> DeployOptions:
    """Return the options with the shift and the alarms of the flags, else with those of the stack.

    Raises ConfigError if a shift is not one, or has no alias to move.
    """
    given: dict[Kind, str | None] = {"canary": canary, "linear": linear}
    of_stack: dict[Kind, str | None] = {"canary": stack.canary, "linear": stack.linear}
    flags = [each for each in KINDS if given[each]]
    if len(flags) > 1:
        raise ConfigError.of("--canary and --linear exclude each other", where="--canary", hint="give one")
    kinds = flags or [each for each in KINDS if of_stack[each]]
    shift, where = None, ""
    for kind in kinds[:1]:
        where = f"--{kind}" if flags else f"{stack.source} {kind}".strip()
        shift = read_shift(kind, (given if flags else of_stack)[kind] or "", where)
    ConfigError.check(_without_use(options, shift, where, alarms, stack))
    return replace(options, shift=shift, alarms=tuple(alarms or stack.alarms) if shift else ())


def _without_use(
    options: DeployOptions, shift: Shift | None, where: str, alarms: Sequence[str], stack: Stack
) -> Sequence[Problem]:
    """Return what has no meaning together: a shift without an alias, alarms without a shift."""
    if shift and options.alias is None:
        hint = f'add --alias <name>, or alias = "<name>" to [tool.lamina.stacks.{stack.name}]'
        what = "calls can only be shared by an alias, and none is named"
        return [Problem(what=what, where=where, hint=hint)]
    if not all(each.strip() for each in alarms):
        return [Problem(what="a name of an alarm is empty", where="--alarm")]
    if alarms and not shift:
        return [
            Problem(
                what="--alarm belongs to --canary or --linear", where="--alarm", hint="add --canary 10%:5m"
            )
        ]
    return []


def record_run(
    session: Session,
    command: str,
    options: DeployOptions,
    deployment: Deployment,
    done: Rollout,
    *,
    who: Callable[[Session], str | None] = who_deploys,
) -> None:
    """Keep what a deployment changed; nothing if it changed nothing. A failure is a note.

    The record is written before AWS is asked who the caller is, and completed with the answer.
    """
    stack, state = session.project.stack.name, session.project.state
    made = make_record(command, stack, options, deployment, done)
    if made is None:
        return
    callers: list[str | None] = []
    try:
        keep_record(state, made)
        within(_PATIENCE if done.interrupted else _LONGEST, lambda: callers.append(who(session)))
        if callers and callers[0]:
            keep_record(state, replace(made, caller=callers[0]))
    except OSError as error:
        session.screen.notes(
            [Problem(what=f"the record of {made.run} is not written: {error}", where=str(state))]
        )


def task_runs(done: Rollout) -> Iterator[TaskRun]:
    """Yield what became of each function, for a trace. One that was not begun has no length."""
    now = time.time()
    for each in done.results:
        wanted, problem = each.move.wanted, each.problem
        started, finished = each.span or (now, now)
        yield TaskRun(
            kind="deploy",
            name=wanted.name,
            image=wanted.image,
            status=each.status,
            started=started,
            finished=finished,
            ref=_reference(wanted.uri),
            error=first_error(AwsError(problem)) if problem else None,
        )


def _reference(uri: str) -> Reference | None:
    """Return an image as Lambda names it; None if that is not a reference."""
    try:
        return Reference.parse(uri)
    except ValueError:
        return None


def make_record(
    command: str, stack: str, options: DeployOptions, deployment: Deployment, done: Rollout
) -> DeployRecord | None:
    """Return the record of a deployment; None if it changed nothing.

    A function that was updated is in it also if something failed later. No alias moved then. So is one whose
    update was begun and not waited for.
    """
    alias = None if done.incomplete else options.alias
    before, after = {}, {}
    for each in done.results:
        move, name = each.move, str(each.move.wanted.function)
        begun = each.status == "begun" and move.action == "update"
        if each.now is None and not begun and each.status not in {"updated", "pointed"}:
            continue
        live = deployment.live[name]
        now = each.now or live
        before[name] = Ran(uri=live.uri or "", command=live.command, version=move.alias if alias else None)
        uri = (now.uri if each.now else None) or (move.wanted.uri if move.image else live.uri)
        words = move.wanted.function.command if begun and move.command else now.command
        after[name] = Ran(uri=uri or "", command=words, version=each.version)
    if not after:
        return None
    return DeployRecord(
        run=options.run,
        command=command,
        stack=stack,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        before=before,
        after=after,
        alias=alias,
        commit=options.commit,
        canary={"shift": done.canary.shift, "outcome": done.canary.outcome} if done.canary else None,
    )
