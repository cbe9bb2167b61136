"""Commands about Lambda functions: deploy, status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.errors import AwsError, ConfigError, Interrupted, LaminaError, Problem
from lamina.flow.session import Session
from lamina.json_data import JsonDocument
from lamina.refs import Reference
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
    canary: str | None,
    linear: str | None,
    alarm: tuple[str, ...],
    approve: str | None,
    timeout: int,
) -> int:
    """Update functions, or return them to what they ran. approve: a stack. timeout: seconds for each."""
    from lamina.deploy.deploy import DeployOptions, plan_deployment
    from lamina.deploy.record import ROLLBACK
    from lamina.deploy.rollback import plan_rollback
    from lamina.deploy.run import options_of_run, with_shift
    from lamina.deploy.stack import require_approval

    others = {
        "--smoke": smoke,
        "--publish": publish,
        "--canary": canary,
        "--linear": linear,
        "--alarm": alarm,
    }
    _check_rollback(rollback=rollback, to=to, others=others)
    if not dry_run:
        require_approval(session, approve)
    given = DeployOptions(
        alias=alias,
        publish=publish,
        smoke=smoke,
        take_over=take_over,
        atomic=atomic,
        rollback=rollback,
        timeout=timeout,
    )
    options = options_of_run(session, given, of_worktree=not rollback)
    if not rollback:
        options = with_shift(options, session.project.stack, canary=canary, linear=linear, alarms=alarm)
    found = plan_rollback(session, options, to) if rollback else plan_deployment(session, options)
    if not rollback:
        _check_severity(session, found, session.project.settings.max_severity, timeout)
    return _carry_out(session, ROLLBACK if rollback else "deploy", found, options, dry_run=dry_run)


def _check_severity(
    session: Session,
    found: Deployment,
    most: str,
    timeout: int,
    images: Mapping[str, Reference] | None = None,
) -> None:
    """Raise BuildError if an image that functions are to get has findings above a severity.

    images: as the session's registry has them, if functions get them from another one.
    """
    from lamina.deploy.findings import require_severity

    sources = {str(each.target): each.source for each in found.copies}
    moved = {
        each.wanted.image: sources.get(each.wanted.uri) or Reference.parse(each.wanted.uri)
        for each in found.moves
        if each.action != "skip"
    }
    known = moved if images is None else {name: images[name] for name in moved}
    require_severity(session, known, most, timeout)


def _check_rollback(*, rollback: bool, to: str | None, others: Mapping[str, object]) -> None:
    ConfigError.check(
        Problem(what=f"{flag} has no meaning with --rollback", where=flag)
        for flag, given in others.items()
        if rollback and given
    )
    if to and not rollback:
        raise ConfigError.of("--to belongs to --rollback", where="--to", hint=f"deploy --rollback --to {to}")


def promote(
    session: Session,
    *,
    source: str,
    target: str,
    dry_run: bool,
    alias: str | None,
    smoke: bool,
    take_over: bool,
    atomic: bool,
    canary: str | None,
    linear: str | None,
    alarm: tuple[str, ...],
    approve: str | None,
    timeout: int,
) -> int:
    """Give a stack what another one runs. approve: the stack that gets it. timeout: seconds for each."""
    from lamina.deploy.deploy import DeployOptions
    from lamina.deploy.promote import copy_images, plan_promotion
    from lamina.deploy.run import options_of_run, with_shift
    from lamina.deploy.stack import require_approval

    first, other = session.of_stack(source), session.of_stack(target)
    if not dry_run:
        require_approval(other, approve)
    given = DeployOptions(alias=alias, smoke=smoke, take_over=take_over, atomic=atomic, timeout=timeout)
    options = options_of_run(other, given, of_worktree=False)
    options = with_shift(options, other.project.stack, canary=canary, linear=linear, alarms=alarm)
    found = plan_promotion(first, other, options)
    stored = {each.name: each.source.with_digest(each.digest) for each in found.images}
    _check_severity(first, found.deployment, other.project.settings.max_severity, timeout, stored)
    if not dry_run:
        copy_images(first, other, found.images)
    images: list[JsonDocument] = [
        {"name": each.name, "from": str(each.source), "to": str(each.target), "digest": each.digest}
        for each in found.images
    ]
    return _carry_out(other, "promote", found.deployment, options, dry_run=dry_run, images=images)


def _carry_out(
    session: Session,
    command: str,
    found: Deployment,
    options: DeployOptions,
    *,
    dry_run: bool,
    images: Sequence[JsonDocument] = (),
) -> int:
    """Carry out a plan of functions, record it and report it. Return the exit code."""
    from lamina.deploy.regions import bring
    from lamina.deploy.rollout import apply
    from lamina.deploy.run import record_run, task_runs
    from lamina.deploy.show import canary_document, move_document, show_moves, show_shift, summary

    show_moves(session.screen, found.moves)
    if found.placement:
        bring(session, found.placement, found.copies, dry_run=dry_run)
    if any(each.pointed for each in found.moves):
        show_shift(session.screen, options)
    done = apply(found, options, say=session.screen.say, dry_run=dry_run)
    if not dry_run:
        record_run(session, command, options, found, done)
        for each in task_runs(done):
            session.did(each)
    line = summary((str(each.move.wanted.function), each.status) for each in done.results)
    session.screen.say(line)
    problems = done.all_problems
    error: LaminaError | None = AwsError(*problems) if problems else None
    if done.interrupted:
        hint = "run it again: functions that are up to date are left alone"
        error = Interrupted(Problem(what=f"stopped: {line}", hint=hint), *problems)
    if error:
        session.screen.error(error)
    documents = [move_document(each.move, status=each.status, version=each.version) for each in done.results]
    session.screen.finish(
        command,
        ok=error is None,
        images=[*images, *(each.document for each in found.copies)],
        functions=documents,
        dry_run=dry_run,
        run=options.run,
        canary=canary_document(options, done),
    )
    return error.exit_code if error else 0


def status(session: Session, *, check: bool, every: bool, stacks: bool) -> int:
    """Compare what runs with the worktree; with ``check`` end with `NOT_EMPTY` if they differ."""
    if stacks:
        return _status_of_stacks(session, check=check)
    from lamina.deploy.show import show_status, status_documents
    from lamina.deploy.status import check_status, read_status

    rows = read_status(session, every=every)
    show_status(session.screen, rows)
    behind = check_status(rows)
    session.screen.say(f"{len(behind)} not live" if behind else "everything that gets calls is live")
    session.screen.finish("status", ok=not (check and behind), images=[], functions=status_documents(rows))
    return NOT_EMPTY if check and behind else 0


def _status_of_stacks(session: Session, *, check: bool) -> int:
    """Show what all stacks run; with ``check`` end with `NOT_EMPTY` if they differ."""
    from lamina.deploy.show import show_stacks, stacks_documents
    from lamina.deploy.stacks import differ, read_stacks

    found = read_stacks(session)
    show_stacks(session.screen, found)
    errors = [each.error for each in found if each.error]
    for error in errors:
        session.screen.error(error)
    behind = differ(found)
    session.screen.finish(
        "status", ok=not (errors or (check and behind)), images=[], stacks=stacks_documents(found)
    )
    return errors[0].exit_code if errors else NOT_EMPTY if check and behind else 0
