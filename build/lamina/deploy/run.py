"""A deployment as a run: its name, what it records, and where."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import DeployRecord, Ran, keep_record
from lamina.deploy.rollout import Rollout
from lamina.deploy.stack import who_deploys
from lamina.execute.revision import read_revision
from lamina.flow.build import name_run
from lamina.flow.session import Session


def options_of_run(session: Session, given: DeployOptions) -> DeployOptions:
    """Return the options with the stack's alias, unless another was given, and with the name of a run."""
    revision = read_revision(session.runner, session.project.root)
    return replace(
        given,
        alias=given.alias or session.project.stack.alias,
        run=name_run(),
        commit=revision.commit if revision else None,
    )


def record_run(
    session: Session, command: str, options: DeployOptions, deployment: Deployment, done: Rollout
) -> None:
    """Keep what a deployment changed; nothing if it changed nothing."""
    stack = session.project.stack.name
    if made := make_record(command, stack, options, deployment, done):
        keep_record(session.project.state, replace(made, caller=who_deploys(session)))


def make_record(
    command: str, stack: str, options: DeployOptions, deployment: Deployment, done: Rollout
) -> DeployRecord | None:
    """Return the record of a deployment; None if it changed nothing that it has finished."""
    changed = [each for each in done.results if each.status in {"updated", "pointed"}]
    before, after = {}, {}
    for each in changed:
        move, name = each.move, str(each.move.wanted.function)
        live = deployment.live[name]
        before[name] = Ran(uri=live.uri or "", command=live.command, version=move.alias)
        command_now = move.wanted.function.command if move.command else live.command
        after[name] = Ran(uri=move.wanted.uri, command=command_now, version=each.version)
    if not changed:
        return None
    return DeployRecord(
        run=options.run,
        command=command,
        stack=stack,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        before=before,
        after=after,
        alias=options.alias,
        commit=options.commit,
    )
