"""Run what makes the sources of images, before a command looks at them."""

from __future__ import annotations

from lamina.errors import BuildError
from lamina.flow.session import Session
from lamina.flow.snapshot import select
from lamina.process import Command
from lamina.reachable import reachable


def prepare(session: Session, kind: str | None = None) -> None:
    """Run ``before`` of the selected images and their bases, if asked to; equal commands run once.

    Raises BuildError if a command fails.
    """
    if not session.flags.prepare:
        return
    nodes = session.graph.nodes
    selected = reachable(select(session, kind), lambda name: () if session.static else nodes[name].parents)
    images = [node.spec for name, node in nodes.items() if name in selected]
    for before in dict.fromkeys(each.before for each in images if each.before):
        image = next(each for each in images if each.before == before)
        session.screen.say(f"{image.name}: {before}")
        # Runner.stream passes on standard error only.
        command = Command(argv=("sh", "-c", f"exec 1>&2\n{before}"), cwd=session.project.root)
        done = session.runner.stream(command, session.screen.say)
        if not done.ok:
            raise BuildError.of(
                f"the command before {image.name} failed with exit code {done.code}: {before}",
                where=image.source,
            )
