"""The command bump: another Python, or another version of a requirement, everywhere."""

from __future__ import annotations

from lamina.errors import LaminaError
from lamina.flow.session import Session
from lamina.tasks.command import FINDINGS


def bump(session: Session, *, requirement: str, to: str | None, write: bool, check: bool) -> int:
    """Show the new files and what they rebuild; with ``write`` write them, unless a check found something."""
    from lamina.bump.bump import bump as find
    from lamina.bump.bump import write_bump
    from lamina.bump.show import bump_documents, missing_documents, missing_problems, show_bump

    found = find(session, requirement, to, check=check)
    show_bump(session.screen, found, check=check)
    failed = check and bool(found.missing)
    if failed:
        session.screen.error(LaminaError(*missing_problems(found)))
    written = write_bump(session, found) if write and not failed else ()
    unwritten = "nothing is written" + ("" if write or not found.rewrites else ": --write writes the files")
    session.screen.say(f"written: {', '.join(written)}" if written else unwritten)
    session.screen.finish(
        "bump",
        ok=not failed,
        images=bump_documents(found),
        to=found.to,
        files=[each.path for each in found.rewrites],
        missing=missing_documents(found),
        written=list(written),
    )
    return FINDINGS if failed else 0
