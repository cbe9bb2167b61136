"""Tasks about what runs: deploy, status."""

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
        "alias": "publish a version of what changed and point this alias at it: of all functions, or of none",
        "publish": "publish a version of what changed",
        "smoke": "call what was deployed with its event.json; no alias moves if one does not answer",
        "take-over": "deploy also to functions that run an image of another stack",
        "timeout": f"seconds that one function may take to be updated ({TIMEOUT})",
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
    """Give the functions of images what was pushed, by digest: only those that run something else."""
    flags = Flags(
        images=tuple(image), registry=registry, stack=stack, platform=platform, static=static or None
    )
    with open_session("deploy", flags, json=json) as session:
        from lamina.deploy.deploy import DeployOptions, plan_deployment
        from lamina.deploy.rollout import apply
        from lamina.deploy.show import move_document, show_moves, summary

        wish = DeployOptions(alias=alias, publish=publish, smoke=smoke, timeout=timeout, take_over=take_over)
        found = plan_deployment(session, wish)
        show_moves(session.screen, found.moves)
        done = apply(found, wish, say=session.screen.say, dry_run=dry_run)
        told = summary((str(each.move.wanted.function), each.status) for each in done.results)
        session.screen.say(told)
        problems = [each.problem for each in done.results if each.problem]
        error: LaminaError | None = AwsError(*problems) if problems else None
        if done.interrupted:
            hint = "run it again: what is up to date is left alone"
            error = Interrupted(Problem(what=f"stopped: {told}", hint=hint), *problems)
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
        "check": f"exit {NOT_LIVE} when calls come to anything but what the worktree has",
        "all": "also the versions that no alias names",
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
    """Say whether a change is live: what each function and alias runs, beside the worktree."""
    flags = Flags(
        images=tuple(image), registry=registry, stack=stack, platform=platform, static=static or None
    )
    with open_session("status", flags, json=json) as session:
        from lamina.deploy.show import show_status, status_documents
        from lamina.deploy.status import check_status, read_status

        rows = read_status(session, every=all)
        show_status(session.screen, rows)
        behind = check_status(rows)
        session.screen.say(f"{len(behind)} not live" if behind else "all that is called is live")
        session.screen.finish(
            "status", ok=not (check and behind), images=[], functions=status_documents(rows)
        )
        if check and behind:
            raise Exit(code=NOT_LIVE)
