"""Tasks that answer questions: why."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from lamina.report.document import change_documents
from lamina.tasks.frame import helps, workspace
from lamina.workflow.workspace import Flags


@task(
    positional=["image"],
    help={
        **helps("registry", "stack", "json"),
        "image": "the image that is asked about",
        "from": "a state: last (built here), worktree, a git revision, a tag or digest, host/repository:tag",
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
            made.screen.changes(f"{'  ' * (each.depth + 1)}{each.image}: ", each.changes)
        documents = [
            {"name": each.image, "depth": each.depth, "changes": change_documents(each.changes)}
            for each in found
        ]
        made.screen.finish("why", ok=True, images=documents)
