"""Tasks that run built images: smoke, watch."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.report.inits import keep_inits, last_inits
from lamina.smoke.show import measured_runs, show_smoke, smoke_documents
from lamina.tasks.frame import helps, open_session

MEMORY, TIMEOUT = 1024, 30
"""Default memory (MB) and timeout (seconds) of a function. Lambda's own defaults are 128 and 3."""


@task(
    iterable=["image", "command", "env"],
    help={
        **helps("image", "registry", "stack", "platform", "static", "json"),
        "event": "a JSON file (default: event.json beside the handler, else an empty object)",
        "command": "run this CMD instead of the image's own (may be given several times)",
        "env": "a variable for the functions, NAME=value (may be given several times)",
        "timeout": "seconds each function may take, its init included",
        "memory": "memory of each function, in MB",
        "aws-credentials": "pass the environment's AWS credentials to the functions (default: none)",
        "init": "explain init: its phases, slowest imports and bytecode, by starting the functions again",
    },
)
def smoke(
    _: Context,
    image: list[str],
    command: list[str],
    env: list[str],
    event: str | None = None,
    timeout: int = TIMEOUT,
    memory: int = MEMORY,
    aws_credentials: bool = False,
    init: bool = True,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
    json: bool = False,
) -> None:
    """Run the built Lambda images as Lambda would, each with an event, and report whether they answer."""
    flags = Flags(
        images=tuple(image), registry=registry, stack=stack, platform=platform, static=static or None
    )
    with open_session("smoke", flags, json=json) as session:
        from lamina.smoke.show_init import show_inits
        from lamina.smoke.smoke import SmokeOptions, conditions, failed, smoke_images

        options = SmokeOptions(
            event=Path(event) if event else None,
            commands=tuple(command),
            conditions=conditions(memory=memory, timeout=timeout, variables=tuple(env)),
            credentials=aws_credentials,
            explain=init,
        )
        found = smoke_images(session, options)
        state, documents = session.project.state, smoke_documents(found)
        show_smoke(session.screen, found)
        show_inits(session.screen, found, last_inits(state))
        keep_inits(state, measured_runs(found, documents))
        error = failed(found)
        if error:
            session.screen.error(error)
        session.screen.finish("smoke", ok=error is None, images=documents)
        if error:
            raise Exit(code=error.exit_code)


@task(
    iterable=["image"],
    help={
        **helps(
            *("image", "registry", "push", "create", "platform", "stack", "builder", "static", "jobs"),
            *("allow-stand-in", "cache", "cache-read-only", "stall", "plain"),
        ),
        "smoke": "test each Lambda image that was built, as the task smoke does",
    },
)
def watch(
    _: Context,
    image: list[str],
    smoke: bool = False,
    registry: str | None = None,
    push: bool = False,
    create: bool = False,
    platform: str | None = None,
    stack: str | None = None,
    builder: str | None = None,
    static: bool = False,
    jobs: int | None = None,
    allow_stand_in: bool = False,
    cache: str | None = None,
    cache_read_only: bool = False,
    stall: int | None = None,
    plain: bool = False,
) -> None:
    """Build the images that changed after every save, until Ctrl-C; with --smoke, test them too."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        push=push,
        create=create,
        platform=platform,
        stack=stack,
        builder=builder,
        static=static or None,
        jobs=jobs,
        allow_stand_in=allow_stand_in,
        cache=cache,
        cache_read_only=cache_read_only or None,
        stall=stall,
    )
    with open_session("watch", flags, plain=plain) as session:
        from lamina.smoke.smoke import SmokeOptions, conditions
        from lamina.smoke.watch import watch_images

        options = SmokeOptions(conditions=conditions(memory=MEMORY, timeout=TIMEOUT)) if smoke else None
        watch_images(session, options)
