"""The script that an ENTRYPOINT starts: its mode, its line ends, its interpreter."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, Start

SCRIPT = Rule(
    id="LAM613",
    slug="entry-script",
    summary="an entry script that is not executable, has CRLF line ends, no interpreter or no COPY",
    why="the kernel cannot execute it, so the runtime never starts",
    logs=(
        r"exec format error",
        r"fork/exec \S+: (?:no such file or directory|permission denied|exec format error)",
        r"exec:? \S+: permission denied",
        r"/bin/\w+\^M: bad interpreter",
        r"env: \W?\w+\\r",
    ),
    advice="check the script's first line, its line ends (LF) and its executable bit",
)
RULES = (SCRIPT,)
_SHELLS = frozenset({"sh", "bash", "ash", "dash"})
_ELF = b"\x7fELF"
_FIXES_ENDS = regex(r"dos2unix|\\r|\btr\b.*-d")


def script_faults(view: ImageView) -> Iterator[Fault]:
    """Yield what keeps the entry script of a function from running."""
    start = view.entrypoint or (view.command if view.base.language is None else None)
    words = _words(start)
    if not view.is_lambda or start is None or not words:
        return
    direct = posixpath.basename(words[0]) not in _SHELLS
    script = words[0] if direct else next((word for word in words[1:] if not word.startswith("-")), "")
    if "/" not in script or "$" in script:
        return
    place = posixpath.normpath(posixpath.join(view.layout.workdir, script))
    origin = view.layout.files.get(place)
    if origin is None:
        yield from _missing(view, start, place)
        return
    content = view.content(origin)
    if content is None or content.startswith(_ELF):
        return
    later = [each.text for each in view.runs if each.in_image]
    yield from _line_ends(view, origin, content, changed=any(map(_FIXES_ENDS.search, later)))
    if direct:
        modes = any("chmod" in each or "install -m" in each for each in later) or _copied_with_mode(view)
        yield from _mode(view, origin, changed=modes)
        yield from _interpreter(view, origin, content)


def _words(start: Start | None) -> tuple[str, ...]:
    """Return the words that are executed: of the JSON form, or of a plain line in shell form."""
    if start is None:
        return ()
    words = start.instruction.words
    if start.instruction.json:
        return words
    split = words[0].split() if len(words) == 1 else list(words)
    return tuple(split[1:] if split[:1] == ["exec"] else split)


def _copied_with_mode(view: ImageView) -> bool:
    """Whether any COPY sets a mode."""
    for stage in view.image.node.recipe.stages:
        for each in stage.stage.instructions:
            if each.name in {"COPY", "ADD"} and each.flag("chmod"):
                return True
    return False


def _line_ends(view: ImageView, origin: str, content: bytes, *, changed: bool) -> Iterator[Fault]:
    head, _, _ = content.partition(b"\n")
    if changed or not head.endswith(b"\r") or b"\0" in content[:200]:
        return
    seen = (
        "its first line names an interpreter that does not exist"
        if head.startswith(b"#!")
        else "its commands end in \\r"
    )
    yield view.fault(
        SCRIPT,
        file=view.shown(origin),
        message=f"{view.shown(origin)} has CRLF line ends, so {seen}, and it starts {view.name}",
        hint="save it with LF line ends, and add `*.sh text eol=lf` to .gitattributes",
        unless="the image is built from a checkout with other line ends",
    )


def _mode(view: ImageView, origin: str, *, changed: bool) -> Iterator[Fault]:
    file = view.kinds.get(origin)
    if changed or file is None or file.kind != "file":
        return
    yield view.fault(
        SCRIPT,
        file=view.shown(origin),
        message=f"{view.shown(origin)} is not executable, and {view.name} starts it as a program",
        hint=f"git update-index --chmod=+x {view.shown(origin)}, or COPY --chmod=755",
        unless="the function sets its own entry point",
    )


def _interpreter(view: ImageView, origin: str, content: bytes) -> Iterator[Fault]:
    first = content.split(b"\n", 1)[0].strip().decode("utf-8", "replace")
    shown = view.shown(origin)
    if not first.startswith("#!"):
        yield view.fault(
            SCRIPT,
            file=shown,
            message=f"{shown} does not begin with #!, so the kernel cannot execute it: {view.name} starts it",
            hint="#!/bin/sh as its first line, without a byte order mark",
            unless="the function sets its own entry point",
        )
        return
    words = first[2:].split()
    program = (
        posixpath.basename(words[1] if len(words) > 1 and words[0].endswith("/env") else words[0])
        if words
        else ""
    )
    if program == "bash" and view.base.system == "alpine" and "bash" not in view.final.text:
        yield view.fault(
            SCRIPT,
            file=shown,
            message=f"{shown} is a script of bash, which {view.base.name} does not have",
            hint="#!/bin/sh, or RUN apk add --no-cache bash",
            certainty="likely",
            unless="a step installs bash under another name",
        )


def _missing(view: ImageView, start: Start, place: str) -> Iterator[Fault]:
    """Yield a script that no COPY makes, if a file of that name is in the context."""
    name = posixpath.basename(place)
    if not name.endswith((".sh", ".py")) or view.base.system is None or view.layout.gaps:
        return
    if name == "lambda-entrypoint.sh" or any(name in each.text for each in view.runs):
        return
    if any(each.flag("from") for each in view.image.node.recipe.instructions if each.name == "COPY"):
        return
    other = next((path for path in view.layout.files if posixpath.basename(path) == name), None)
    yield view.fault(
        SCRIPT,
        file=start.file,
        line=start.instruction.line,
        message=f"{view.name} starts {place}, which no COPY puts there"
        + (f": {name} is {other}" if other else ""),
        hint=f"COPY {name} {place}" if not other else f"start {other}",
        certainty="likely",
        unless="a step makes it",
    )
