"""A deployment as a run: its name, what it records, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import DeployRecord, Ran, keep_record
from lamina.deploy.results import Rollout
from lamina.deploy.stack import who_deploys
from lamina.errors import Problem
from lamina.execute.revision import read_revision
from lamina.flow.session import Session
from lamina.report.runs import name_run


def options_of_run(session: Session, given: DeployOptions, *, of_worktree: bool) -> DeployOptions:
    """Return the options with the stack's alias, unless another was given, and with the name of a run.

    of_worktree: whether the worktree's images are deployed. Only then, and without changes, is its commit
    that of the deployment.
    """
    revision = read_revision(session.runner, session.project.root) if of_worktree else None
    return replace(
        given,
        alias=given.alias or session.project.stack.alias,
        run=name_run(),
        commit=revision.commit if revision and revision.clean else None,
    )


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
    try:
        keep_record(state, made)
        if caller := who(session):
            keep_record(state, replace(made, caller=caller))
    except OSError as error:
        session.screen.notes(
            [Problem(what=f"the record of {made.run} is not written: {error}", where=str(state))]
        )


def make_record(
    command: str, stack: str, options: DeployOptions, deployment: Deployment, done: Rollout
) -> DeployRecord | None:
    """Return the record of a deployment; None if it changed nothing.

    A function that was updated is in it also if something failed later. No alias moved then.
    """
    alias = None if done.incomplete else options.alias
    before, after = {}, {}
    for each in done.results:
        move, name = each.move, str(each.move.wanted.function)
        if each.now is None and each.status not in {"updated", "pointed"}:
            continue
        live = deployment.live[name]
        now = each.now or live
        before[name] = Ran(uri=live.uri or "", command=live.command, version=move.alias if alias else None)
        uri = (now.uri if each.now else None) or move.wanted.uri
        after[name] = Ran(uri=uri, command=now.command, version=each.version)
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
    )
