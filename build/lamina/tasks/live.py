"""Commands about Lambda functions: deploy, status."""

from __future__ import annotations

from lamina.errors import AwsError, Interrupted, LaminaError, Problem
from lamina.flow.session import Session
from lamina.tasks.command import NOT_EMPTY


def deploy(
    session: Session,
    *,
    dry_run: bool,
    alias: str | None,
    publish: bool,
    smoke: bool,
    take_over: bool,
    approve: str | None,
    timeout: int,
) -> int:
    """Update functions. approve: a stack. timeout: seconds for each."""
    from lamina.deploy.deploy import DeployOptions, plan_deployment
    from lamina.deploy.rollout import apply
    from lamina.deploy.show import move_document, show_moves, summary
    from lamina.deploy.stack import require_approval

    if not dry_run:
        require_approval(session, approve)
    alias = alias or session.project.stack.alias
    options = DeployOptions(alias=alias, publish=publish, smoke=smoke, timeout=timeout, take_over=take_over)
    found = plan_deployment(session, options)
    show_moves(session.screen, found.moves)
    done = apply(found, options, say=session.screen.say, dry_run=dry_run)
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
    session.screen.finish("deploy", ok=error is None, images=[], functions=documents, dry_run=dry_run)
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
