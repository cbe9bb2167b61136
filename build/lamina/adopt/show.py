"""What is said of a repository that is taken over, to people and to programs: ignore files, init, phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lamina.adopt.adoption import Adoption
from lamina.adopt.ignore_file import IgnoreFile, weighed
from lamina.adopt.phases import TITLES, Check
from lamina.adopt.unfiltered import ContextFiles
from lamina.decide.weight import amount
from lamina.identify.tree import shown
from lamina.report.console import Screen

_SHOWN = 3
_MARKS = {"done": "[x]", "not yet": "[ ]", "not applicable": "[-]"}


def show_ignores(screen: Screen, files: Sequence[IgnoreFile]) -> None:
    """What each ignore file leaves of the context and would leave, and line by line what is to be written."""
    rows = (
        (
            "\n".join(each.images),
            each.state,
            weighed(each.before),
            weighed(each.after),
            "\n".join(f"{shown(path)} {amount(size)}" for path, size in each.before.without(each.after)),
        )
        for each in files
    )
    screen.rows(("image", "ignore file", "context now", "would be", "what falls away"), rows)
    screen.notes(each.reason for each in files if each.reason)
    for each in files:
        if each.writable and each.text is not None:
            screen.say(f"{each.path}:")
            for line in each.diff:
                screen.say(f"    {line}")
        if each.writable and each.made.dropped:
            screen.say(f"{each.path}: no longer copied: {_counted(each.made.dropped)}")


def _counted(paths: tuple[str, ...]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(map(shown, paths[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def ignore_documents(files: Iterable[IgnoreFile]) -> list[dict[str, Any]]:
    """The ignore files, one for each image. bytes: of the context; drops: the heaviest that falls away."""
    return [
        {
            "name": image,
            "ignore": each.path,
            "state": each.state,
            "before": _offer_document(each.before),
            "after": _offer_document(each.after),
            "drops": [{"path": path, "bytes": size} for path, size in each.before.without(each.after)],
            "strays": list(each.made.dropped),
            "text": each.made.text,
        }
        for each in files
        for image in each.images
    ]


def _offer_document(offer: ContextFiles) -> dict[str, int]:
    return {"bytes": offer.size, "files": len(offer.files)}


def show_adoption(screen: Screen, found: Adoption) -> None:
    """What was found, what is proposed, what is wrong with it and what it would spare."""
    if found.configured:
        screen.say(f"configured already: {', '.join(found.configured)}; nothing need be written")
    screen.notes(found.proposal.notes)
    if found.toml:
        screen.say(f"{found.toml}\n")
    if found.plan:
        screen.plan(found.plan)
    if found.findings:
        screen.say("to be mended before a build:")
        screen.notes(found.findings)
    for each in found.installs:
        where = ", ".join(f"{name} ({place})" for name, place in each.images.items())
        screen.say(f"installed by several images: {each.what}: {where}")
    if found.ignores:
        before, after = (sum(each.size for each in offers) for offers in _offers(found.ignores))
        screen.say(f"contexts: {amount(before)} now, {amount(after)} with `invoke ignore --write`")


def _offers(files: Sequence[IgnoreFile]) -> tuple[list[ContextFiles], list[ContextFiles]]:
    return [each.before for each in files], [each.after for each in files]


def adoption_documents(found: Adoption) -> list[dict[str, Any]]:
    """The images that are proposed. Keys are those of ``[tool.lamina.images.<name>]``."""
    return [
        {
            "name": each.name,
            "dockerfile": each.dockerfile,
            "context": each.context,
            "platform": each.platform,
            "target": each.target,
            "args": dict(each.args),
            "functions": list(each.functions),
        }
        for each in found.proposal.images
    ]


def gain_documents(found: Adoption) -> dict[str, Any]:
    """What it would spare: bytes of contexts, and installs that are repeated."""
    before, after = (sum(each.size for each in offers) for offers in _offers(found.ignores))
    installs = [{"what": each.what, "images": each.images} for each in found.installs]
    return {"context_bytes": {"before": before, "after": after}, "repeated_installs": installs}


def show_checks(screen: Screen, checks: Iterable[Check]) -> None:
    """The list: a mark, what was seen, and the command that moves it on."""
    rows = (
        (_MARKS[each.state], f"{each.phase} {TITLES[each.phase]}", each.name, each.detail, each.next or "")
        for each in checks
    )
    screen.rows(("", "phase", "step", "what was seen", "next"), rows, wide="what was seen")


def check_documents(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """The list for programs. state: done, not yet, not applicable."""
    return [
        {
            "phase": each.phase,
            "name": each.name,
            "state": each.state,
            "detail": each.detail,
            "next": each.next,
        }
        for each in checks
    ]
