"""Commands about Lambda functions: deploy, status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.errors import AwsError, ConfigError, Interrupted, LaminaError, Problem
from lamina.flow.session import Session
from lamina.tasks.command import NOT_EMPTY

if TYPE_CHECKING:
    from lamina.deploy.deploy import Deployment, DeployOptions


def deploy(
    session: Session,
    *,
    dry_run: bool,
    alias: str | None,
    publish: bool,
    smoke: bool,
    take_over: bool,
    atomic: bool,
    rollback: bool,
    to: str | None,
    approve: str | None,
    timeout: int,
) -> int:
    """Update functions, or return them to what they ran. approve: a stack. timeout: seconds for each."""
    from lamina.deploy.deploy import DeployOptions, plan_deployment
    from lamina.deploy.rollback import plan_rollback
    from lamina.deploy.run import options_of_run
    from lamina.deploy.stack import require_approval

    _check_rollback(rollback=rollback, to=to, others={"--smoke": smoke, "--publish": publish})
    if not dry_run:
        require_approval(session, approve)
    given = DeployOptions(
        alias=alias, publish=publish, smoke=smoke, take_over=take_over, atomic=atomic, timeout=timeout
    )
    options = options_of_run(session, given)
    found = plan_rollback(session, options, to) if rollback else plan_deployment(session, options)
    return _carry_out(session, "rollback" if rollback else "deploy", found, options, dry_run=dry_run)


def _check_rollback(*, rollback: bool, to: str | None, others: dict[str, bool]) -> None:
    ConfigError.check(
        Problem(what=f"{flag} has no meaning with --rollback", where=flag)
        for flag, given in others.items()
        if rollback and given
    )
    if to and not rollback:
        raise ConfigError.of("--to belongs to --rollback", where="--to", hint=f"deploy --rollback --to {to}")


def _carry_out(
    session: Session, command: str, found: Deployment, options: DeployOptions, *, dry_run: bool
) -> int:
    """Carry out a plan of functions, record it and report it. Return the exit code."""
    from lamina.deploy.rollout import apply
    from lamina.deploy.run import record_run
    from lamina.deploy.show import move_document, show_moves, summary

    show_moves(session.screen, found.moves)
    done = apply(found, options, say=session.screen.say, dry_run=dry_run)
    if not dry_run:
        record_run(session, command, options, found, done)
    line = summary((str(each.move.wanted.function), each.status) for each in done.results)
    session.screen.say(line)
    problems = [each.problem for each in done.results if each.problem]
    error: LaminaError | None = AwsError(*problems) if problems else None
    if done.interrupted:
        hint = "run it again: functions that are up to date are left alone"
        error = Interrupted(Problem(what=f"stopped: {line}", hint=hint), *problems)
    if error:
        session.screen.error(error)
    documents = [move_document(each.move, status=each.status, version=each.version) for each in done.results]
    session.screen.finish(
        "deploy", ok=error is None, images=[], functions=documents, dry_run=dry_run, run=options.run
    )
    return error.exit_code if error else 0


def status(session: Session, *, check: bool, every: bool) -> int:
    """Compare what runs with the worktree; with ``check`` end with `NOT_EMPTY` if they differ."""
    from lamina.deploy.show import show_status, status_documents
    from lamina.deploy.status import check_status, read_status

    rows = read_status(session, every=every)
    show_status(session.screen, rows)
    behind = check_status(rows)
    session.screen.say(f"{len(behind)} not live" if behind else "everything that gets calls is live")
    session.screen.finish("status", ok=not (check and behind), images=[], functions=status_documents(rows))
    return NOT_EMPTY if check and behind else 0
