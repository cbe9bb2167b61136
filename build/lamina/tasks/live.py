"""Tasks about Lambda functions: deploy, status."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.errors import AwsError, Interrupted, LaminaError, Problem
from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session

TIMEOUT = 300
NOT_LIVE = 7


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "stack", "platform", "static", "json"),
        "dry-run": "show what would change, and change nothing",
        "alias": "publish a version of each changed function and move this alias to it, of all functions or "
        "of none",
        "publish": "publish a version of each changed function",
        "smoke": "call each deployed function with its event.json; if one call fails, no alias moves",
        "take-over": "also deploy to functions that run an image of another stack",
        "timeout": f"seconds the update of one function may take (default: {TIMEOUT})",
    },
)
def deploy(
    _: Context,
    image: list[str],
    dry_run: bool = False,
    alias: str | None = None,
    publish: bool = False,
    smoke: bool = False,
    take_over: bool = False,
    timeout: int = TIMEOUT,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
    json: bool = False,
) -> None:
    """Update functions to the pushed digests; functions that already run them are left alone."""
    flags = Flags(
        images=tuple(image), registry=registry, stack=stack, platform=platform, static=static or None
    )
    with open_session("deploy", flags, json=json) as session:
        from lamina.deploy.deploy import DeployOptions, plan_deployment
        from lamina.deploy.rollout import apply
        from lamina.deploy.show import move_document, show_moves, summary

        options = DeployOptions(
            alias=alias, publish=publish, smoke=smoke, timeout=timeout, take_over=take_over
        )
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
        documents = [
            move_document(each.move, status=each.status, version=each.version) for each in done.results
        ]
        session.screen.finish("deploy", ok=error is None, images=[], functions=documents, dry_run=dry_run)
        if error:
            raise Exit(code=error.exit_code)


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "stack", "platform", "static", "json"),
        "check": f"exit {NOT_LIVE} when calls reach anything but the worktree's images",
        "all": "also show the versions that no alias uses",
    },
)
def status(
    _: Context,
    image: list[str],
    check: bool = False,
    all: bool = False,  # noqa: A002 - the flag's name
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
    json: bool = False,
) -> None:
    """Show whether a change is live: compare what each function and alias runs with the worktree."""
    flags = Flags(
        images=tuple(image), registry=registry, stack=stack, platform=platform, static=static or None
    )
    with open_session("status", flags, json=json) as session:
        from lamina.deploy.show import show_status, status_documents
        from lamina.deploy.status import check_status, read_status

        rows = read_status(session, every=all)
        show_status(session.screen, rows)
        behind = check_status(rows)
        session.screen.say(f"{len(behind)} not live" if behind else "everything that gets calls is live")
        session.screen.finish(
            "status", ok=not (check and behind), images=[], functions=status_documents(rows)
        )
        if check and behind:
            raise Exit(code=NOT_LIVE)
