"""Find changed Python files that do not parse, before they are built or run."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

from lamina.errors import ConfigError, Problem
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.identify.stage import StagedContext

_NAMED = 3


def check_syntax(session: Session, changed: Iterable[Path]) -> None:
    """Raise ConfigError for changed Python files of images that do not parse."""
    broken = {file: fault for file in changed if file.suffix == ".py" and (fault := syntax_fault(file))}
    if not broken:
        return
    images = take_snapshot(session).images
    inside = {
        image.root(name) / file.path: _last_built(session, image, name, file.path)
        for image in images.values()
        for name, context in image.contexts.items()
        for file in context.files
        if image.root(name) / file.path in broken
    }
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    ConfigError.check(
        Problem(
            what=broken[file].msg,
            where=f"{named(session, [file])}:{broken[file].lineno or 1}",
            hint=f"fix it; if only Python {ours} cannot parse it, but the image's can: invoke build-all",
        )
        for file, before in inside.items()
        if before is None or not syntax_fault(before)
    )


def _last_built(session: Session, image: Image, context: str, path: str) -> Path | None:
    """Return a file as it was last staged: if it did not parse then either, it is for a newer Python."""
    stages = session.project.state.joinpath("context", image.name).glob("[!.]*")
    newest = max(stages, key=lambda each: each.stat().st_mtime_ns, default=None)
    if newest is None:
        return None
    file = StagedContext(folder=newest).context(context) / path
    return file if file.is_file() else None


def syntax_fault(file: Path) -> SyntaxError | None:
    """Return why a Python file does not parse; None if it does, or does not exist."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        return error
    except OSError:
        return None
    return None


def named(session: Session, files: Collection[Path]) -> str:
    """Join the first files, relative to the project, and count the rest."""
    root = session.root.resolve()
    names = sorted(str(file.relative_to(root) if file.is_relative_to(root) else file) for file in files)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
