"""Commands that run built images: smoke, watch."""

from __future__ import annotations

from pathlib import Path

from lamina.flow.session import Session
from lamina.report.inits import keep_inits, keep_opened, last_inits
from lamina.smoke.show import measured_runs, opened_by_image, show_smoke, smoke_documents
from lamina.tasks.table.every_day import SMOKE_MEMORY, SMOKE_TIMEOUT


def smoke(
    session: Session,
    *,
    command: tuple[str, ...],
    env: tuple[str, ...],
    event: str | None,
    timeout: int,
    memory: int,
    aws_credentials: bool,
    init: bool,
) -> int:
    """Run Lambda images. timeout: seconds; memory: MB."""
    from lamina.smoke.show_init import show_inits
    from lamina.smoke.smoke import SmokeOptions, conditions, failed, smoke_images

    options = SmokeOptions(
        event=Path(event) if event else None,
        commands=command,
        conditions=conditions(memory=memory, timeout=timeout, variables=env),
        credentials=aws_credentials,
        explain=init,
    )
    found = smoke_images(session, options)
    state, documents = session.project.state, smoke_documents(found)
    show_smoke(session.screen, found)
    show_inits(session.screen, found, last_inits(state))
    keep_inits(state, measured_runs(found, documents))
    for (name, tag), opened in opened_by_image(found).items():
        keep_opened(state, name, tag, opened)
    error = failed(found)
    if error:
        session.screen.error(error)
    session.screen.finish("smoke", ok=error is None, images=documents)
    return error.exit_code if error else 0


def watch(session: Session, *, smoke: bool) -> int:
    """Build after every save."""
    from lamina.smoke.smoke import SmokeOptions, conditions
    from lamina.smoke.watch import watch_images

    options = (
        SmokeOptions(conditions=conditions(memory=SMOKE_MEMORY, timeout=SMOKE_TIMEOUT)) if smoke else None
    )
    watch_images(session, options)
    return 0
