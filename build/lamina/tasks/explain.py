"""Tasks that answer questions: why, audit."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.errors import BuildError
from lamina.report.document import audit_documents
from lamina.tasks.frame import helps, workspace
from lamina.workflow.workspace import Flags


@task(
    positional=["image"],
    help={
        **helps("registry", "stack", "json"),
        "image": "the image that is asked about",
        "from": "a state: last (built here), worktree, a git revision, a tag or digest in the registry",
        "to": "the other state",
    },
)
def why(
    _: Context,
    image: str,
    from_: str = "last",
    to: str = "worktree",
    registry: str | None = None,
    stack: str | None = None,
    json: bool = False,
) -> None:
    """Say what makes an image another one than it was, down to the file that started it."""
    with workspace("why", Flags(registry=registry, stack=stack), json=json) as made:
        from lamina.workflow.explaining import explain

        found = explain(made, image, from_, to)
        made.screen.say(f"{image}: {from_} -> {to}")
        for each in found:
            for line in each.changes or ("nothing differs",):
                made.screen.say(f"{'  ' * (each.depth + 1)}{each.image}: {line}")
        documents = [
            {"name": each.image, "depth": each.depth, "changes": list(each.changes)} for each in found
        ]
        made.screen.finish("why", ok=True, images=documents)


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "stack", "platform", "builder", "static", "json", "plain"),
        "sample": "audit only so many images, chosen at random (0: all)",
        "seed": "choose the sample that this number chose before (0: any)",
    },
)
def audit(
    _: Context,
    image: list[str],
    sample: int = 0,
    seed: int = 0,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    builder: str | None = None,
    static: bool = False,
    json: bool = False,
    plain: bool = False,
) -> None:
    """Prove that skips are right: solve what a plan skips, and compare each layer with what is there."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        stack=stack,
        platform=platform,
        builder=builder,
        static=static or None,
    )
    with workspace("audit", flags, json=json, plain=plain) as made:
        from lamina.workflow.auditing import audit_skips

        found = audit_skips(made, sample=sample, seed=seed)
        made.screen.audit(found.images, skipped=found.skipped, seed=found.seed)
        if found.problems:
            made.screen.error(BuildError(*found.problems))
        documents = audit_documents(found.images)
        made.screen.finish(
            "audit", ok=not found.problems, images=documents, skipped=found.skipped, seed=found.seed
        )
        if found.problems:
            raise Exit(code=BuildError.exit_code)
