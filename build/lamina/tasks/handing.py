"""The task for those who deploy with something else: outputs."""

from __future__ import annotations

import sys

from invoke.context import Context
from invoke.tasks import task

from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session


@task(
    iterable=["image"],
    help={
        **helps("registry", "stack", "platform", "static"),
        "image": "only this image (may be given several times); without it the Lambda images",
        "format": "json, env (for sh), tfvars (Terraform) or cdk (a context object)",
        "plan-only": "by content tag, from the files alone, whether they are pushed or not",
        "allow-stale": "the digests of the last push although the files have changed since",
    },
)
def outputs(
    _: Context,
    image: list[str],
    format: str = "json",  # noqa: A002 - the flag is called so
    plan_only: bool = False,
    allow_stale: bool = False,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
) -> None:
    """Print what functions should run, by digest, for Terraform, CDK, a shell; asks nobody."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        stack=stack,
        platform=platform,
        static=static or None,
        offline=True,
    )
    with open_session("outputs", flags, told=sys.stderr) as session:
        from lamina.handoff.formats import render
        from lamina.handoff.outputs import resolve_outputs

        session.screen.text(
            render(format, resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale))
        )
