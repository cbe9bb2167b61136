"""The task that checks images against Lambda's rules: check."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.errors import BuildError
from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session


@task(
    iterable=["image", "ref"],
    help={
        **helps("image", "registry", "stack", "platform", "static", "json"),
        "ref": "check this image of any registry instead, by tag or digest (may be given several times)",
    },
)
def check(
    _: Context,
    image: list[str],
    ref: list[str],
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
    json: bool = False,
) -> None:
    """Check whether Lambda accepts the pushed images: media types, architecture, layers, size, region."""
    flags = Flags(
        images=tuple(image), registry=registry, stack=stack, platform=platform, static=static or None
    )
    with open_session("check", flags, json=json) as session:
        from lamina.deploy.check import check_images
        from lamina.deploy.show_check import CHECK_HEADINGS, check_documents, check_rows

        found = check_images(session, tuple(ref))
        session.screen.rows(CHECK_HEADINGS, check_rows(found), wide="digest")
        refused = [each.problem for each in found if each.refusals]
        if refused:
            session.screen.error(BuildError(*refused))
        session.screen.finish("check", ok=not refused, images=check_documents(found))
        if refused:
            raise Exit(code=BuildError.exit_code)
