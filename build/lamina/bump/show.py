"""Show what ``bump`` changes and which images it moves, and as JSON documents."""

from __future__ import annotations

from lamina.bump.bump import Bump
from lamina.errors import Problem
from lamina.json_data import JsonDocument
from lamina.lint.edits import diff
from lamina.report.console import Screen, shown_reasons
from lamina.report.figures import counted


def show_bump(screen: Screen, found: Bump, *, check: bool) -> None:
    """Show the changes of files as a diff, the images that they rebuild, and wheels that are missing.

    check: whether a missing wheel is an error, which the caller shows.
    """
    for each in found.rewrites:
        if each.path in found.generated:
            screen.say(f"{each.path}: made again by uv")
        else:
            screen.diff(diff(each.path, each.before, each.after))
    rows = (
        (each.name, shown_reasons(tuple(one.text for one in each.changes)), each.before, each.after)
        for each in found.moved
    )
    if found.moved:
        screen.rows(("image", "why", "tag", "new tag"), rows, wide="why")
    screen.notes((*found.notes, *(() if check else missing_problems(found))))
    files = counted(len(found.rewrites), "file")
    screen.say(f"{found.to}: {files} to change, {len(found.moved)} of {found.images} images to build again")


def missing_problems(found: Bump) -> tuple[Problem, ...]:
    """Return a problem for each pinned package without a wheel."""
    return tuple(
        Problem(what=f"{each} ({', '.join(each.images)})", where=each.file) for each in found.missing
    )


def bump_documents(found: Bump) -> list[JsonDocument]:
    """Return the images that are rebuilt, one document each."""
    return [
        {
            "name": each.name,
            "tag_before": each.before,
            "tag": each.after,
            "reasons": [one.text for one in each.changes],
        }
        for each in found.moved
    ]


def missing_documents(found: Bump) -> list[JsonDocument]:
    """Return the pinned packages without a wheel."""
    return [
        {
            "requirement": each.pin,
            "file": each.file,
            "python": each.python,
            "platform": each.platform,
            "images": list(each.images),
            "source": each.source,
        }
        for each in found.missing
    ]
