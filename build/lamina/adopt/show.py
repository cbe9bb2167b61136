"""Show the results of ``ignore``, ``init`` and ``phases``, as tables and as JSON documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lamina.adopt.adoption import Adoption
from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.phases import TITLES, Check
from lamina.adopt.proposal import ImageProposal
from lamina.decide.unfiltered import ContextFiles
from lamina.decide.weight import amount
from lamina.identify.tree import shown
from lamina.json_data import Json, JsonDocument
from lamina.lint.edits import diff
from lamina.report.console import Screen
from lamina.workspace.dockerfiles import ProposedDockerfile

_SHOWN = 3
_MARKS = {"done": "[x]", "not yet": "[ ]", "not applicable": "[-]"}


def show_ignores(screen: Screen, files: Sequence[IgnoreFile]) -> None:
    """Show the context with each ignore file, now and as generated, and the lines to be written."""
    rows = (
        (
            "\n".join(each.images),
            each.state,
            each.before.summary,
            each.after.summary,
            "\n".join(f"{shown(path)} {amount(size)}" for path, size in each.before.without(each.after)),
        )
        for each in files
    )
    screen.rows(("image", "ignore file", "context now", "would be", "excluded"), rows)
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


def ignore_documents(files: Iterable[IgnoreFile]) -> list[JsonDocument]:
    """Return the ignore files, one per image. bytes: of the context; drops: the heaviest new exclusions."""
    return [
        {
            "name": image,
            "ignore": each.path,
            "state": each.state,
            "before": _context_document(each.before),
            "after": _context_document(each.after),
            "drops": [{"path": path, "bytes": size} for path, size in each.before.without(each.after)],
            "strays": list(each.made.dropped),
            "text": each.made.text,
        }
        for each in files
        for image in each.images
    ]


def _context_document(context: ContextFiles) -> dict[str, int]:
    return {"bytes": context.size, "files": len(context.files)}


def show_dockerfiles(screen: Screen, found: Iterable[ProposedDockerfile]) -> None:
    """Show the Dockerfiles for members of a workspace that have none."""
    for each in found:
        screen.say(f"{each.path} is proposed, because {each.member} has {each.handler} with two parameters:")
        screen.diff(diff(each.path, None, each.text))


def dockerfile_documents(found: Iterable[ProposedDockerfile]) -> list[dict[str, str]]:
    """Return the proposed Dockerfiles."""
    return [{"path": each.path, "member": each.member, "text": each.text} for each in found]


def show_adoption(screen: Screen, found: Adoption, above: str | None = None) -> None:
    """Show the proposal, its plan or its problems, and possible savings.

    above: the folder of the configuration, if it is not the current one.
    """
    if found.configured:
        rest = "" if found.toml else "; nothing to write"
        place = f" in {above}" if above else ""
        screen.say(f"already configured{place}: {', '.join(found.configured)}{rest}")
    screen.notes(found.proposal.notes)
    if found.toml:
        screen.say(f"{found.toml}\n")
    elif not found.configured:
        screen.say("no image is proposed")
    if found.plan:
        screen.plan(found.plan)
    if found.findings:
        screen.say("to fix before a build:")
        screen.notes(found.findings)
    for each in found.installs:
        where = ", ".join(f"{name} ({path})" for name, path in each.images.items())
        screen.say(f"installed by several images: {each.package}: {where}")
    if found.ignores:
        before, after = (sum(each.size for each in contexts) for contexts in _contexts(found.ignores))
        screen.say(f"contexts: {amount(before)} now, {amount(after)} with `invoke ignore --write`")


def _contexts(files: Sequence[IgnoreFile]) -> tuple[list[ContextFiles], list[ContextFiles]]:
    """Return the contexts as they are, and with each ignore file that would be written."""
    return [each.before for each in files], [each.after if each.writable else each.before for each in files]


def adoption_documents(found: Adoption) -> list[JsonDocument]:
    """Return the proposed images, with the keys of ``[tool.lamina.images.<name>]``."""
    return [
        {
            "name": each.name,
            "dockerfile": each.dockerfile,
            "context": each.context,
            "platform": each.platform,
            "target": each.target,
            "args": dict(each.args),
            "functions": list(_function_documents(each)),
        }
        for each in found.proposal.images
    ]


def _function_documents(image: ImageProposal) -> Iterator[Json]:
    for name in image.functions:
        yield {"name": name, **_command_of(image, name)} if name in image.commands else name
    for stack, name in image.stacked:
        yield {"stack": stack, "id": name, **_command_of(image, name)}


def _command_of(image: ImageProposal, function: str) -> dict[str, list[str]]:
    words = image.commands.get(function)
    return {"command": list(words)} if words else {}


def gain_documents(found: Adoption) -> JsonDocument:
    """Return possible savings: bytes of contexts, and repeated installs."""
    before, after = (sum(each.size for each in contexts) for contexts in _contexts(found.ignores))
    installs: list[Json] = [{"what": each.package, "images": each.images} for each in found.installs]
    return {"context_bytes": {"before": before, "after": after}, "repeated_installs": installs}


def show_checks(screen: Screen, checks: Iterable[Check]) -> None:
    """Show the checklist: a mark, the evidence, and the next command."""
    rows = (
        (_MARKS[each.state], f"{each.phase} {TITLES[each.phase]}", each.name, each.detail, each.next or "")
        for each in checks
    )
    screen.rows(("", "phase", "step", "seen", "next"), rows, wide="seen")


def check_documents(checks: Iterable[Check]) -> list[JsonDocument]:
    """Return the checklist. state: done, not yet, not applicable."""
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
