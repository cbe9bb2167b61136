"""Commands that adopt a repository: init, ignore, sync, phases."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.errors import LaminaError
from lamina.flow.session import Session
from lamina.tasks.command import FINDINGS


def init(session: Session, *, write: bool) -> int:
    """Propose a configuration; with ``write`` add it to the configuration file."""
    from lamina.adopt.init import adopt, missing_dockerfiles, write_configuration, write_dockerfiles
    from lamina.adopt.show import (
        adoption_documents,
        dockerfile_documents,
        gain_documents,
        show_adoption,
        show_dockerfiles,
    )

    proposed = missing_dockerfiles(session)
    show_dockerfiles(session.screen, proposed.dockerfiles)
    if write:
        write_dockerfiles(session, proposed.dockerfiles)
    found = adopt(session, proposed)
    above = None if session.root == Path.cwd() else os.path.relpath(session.root)
    show_adoption(session.screen, found, above)
    written = write and found.text is not None
    if found.text is not None and write:
        session.screen.say(f"written: {os.path.relpath(write_configuration(session, found.text))}")
    documents = adoption_documents(found)
    extra = {"findings": [str(each) for each in found.findings], **gain_documents(found)}
    extra["dockerfiles"] = dockerfile_documents(proposed.dockerfiles)
    session.screen.finish("init", ok=True, images=documents, toml=found.toml, written=written, **extra)
    return 0


def ignore(session: Session, *, write: bool, check: bool) -> int:
    """Show, write or check ignore files; a check that fails ends with `FINDINGS`."""
    from lamina.adopt.ignore import read_ignore_files, write_ignore_files
    from lamina.adopt.show import ignore_documents, show_ignores
    from lamina.report.figures import counted

    found = read_ignore_files(session)
    rotten = tuple(problem for each in found for problem in each.problems) if check else ()
    if not check:
        show_ignores(session.screen, found)
    elif rotten:
        session.screen.error(LaminaError(*rotten))
    written = write_ignore_files(found) if write else ()
    counts = f"{counted(len(found), 'ignore file')}, {counted(len(rotten), 'fault')}"
    session.screen.say(counts if check else _written(written))
    documents = ignore_documents(found)
    session.screen.finish("ignore", ok=not rotten, images=documents, written=list(written))
    return FINDINGS if rotten else 0


def sync(session: Session, *, check: bool, dry_run: bool) -> int:
    """Write or check the marked lines of Dockerfiles; a check that fails ends with `FINDINGS`."""
    from lamina.report.figures import counted
    from lamina.workspace.show import dockerfile_documents, show_changes
    from lamina.workspace.sync import stale_problems, sync_dockerfiles, write_dockerfiles

    found = sync_dockerfiles(session)
    stale = stale_problems(found) if check else ()
    if check:
        session.screen.error(LaminaError(*stale))
        session.screen.say(f"{counted(len(found), 'Dockerfile')}, {len(stale)} out of date")
    else:
        show_changes(session.screen, found)
    written = () if check or dry_run else write_dockerfiles(found)
    if not check:
        session.screen.say(_written(written))
    documents = dockerfile_documents(found)
    session.screen.finish("sync", ok=not stale, images=documents, written=list(written))
    return FINDINGS if stale else 0


def phases(session: Session) -> int:
    """Show which steps of the phases are done."""
    from lamina.adopt.checklist import read_phases
    from lamina.adopt.show import check_documents, show_checks

    found = read_phases(session)
    show_checks(session.screen, found)
    session.screen.finish("phases", ok=True, images=[], checks=check_documents(found))
    return 0


def _written(paths: tuple[str, ...]) -> str:
    return f"written: {', '.join(paths)}" if paths else "nothing is written"
