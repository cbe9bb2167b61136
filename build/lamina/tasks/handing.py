"""The task that gives image references to other deployment tools: outputs."""

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
        "image": "only this image (may be given several times; default: all Lambda images)",
        "format": "json, env (for sh), tfvars (Terraform) or cdk (a context object)",
        "plan-only": "print content tags, computed from the files alone, pushed or not",
        "allow-stale": "print the digests of the last push even if the files have changed since",
    },
)
def outputs(
    _: Context,
    image: list[str],
    format: str = "json",  # noqa: A002 - the flag's name
    plan_only: bool = False,
    allow_stale: bool = False,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    static: bool = False,
) -> None:
    """Print the images that functions should run, by digest, for Terraform, CDK or a shell; works offline."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        stack=stack,
        platform=platform,
        static=static or None,
        offline=True,
    )
    with open_session("outputs", flags, stream=sys.stderr) as session:
        from lamina.handoff.formats import render
        from lamina.handoff.outputs import resolve_outputs

        session.screen.text(
            render(format, resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale))
        )
