"""Read images from CDK programs in TypeScript, as far as they are plain strings. Nothing is run."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from lamina.adopt.declared import Declared, Reading, first_inside, inside

_CALL = re.compile(r"\b(?:fromImageAsset|fromAssetImage|DockerImageAsset)\s*\(")
_TEXT = re.compile(r"""'([^'\\\n]*)'|"([^"\\\n]*)"|`([^`\\$]*)`""")
_FOLDER = re.compile(r"(?:path\.)?(?:join|resolve)\s*\(\s*__dirname\s*,([^()]*)\)")
_ENTRY = re.compile(
    r"""(?:([A-Za-z_]\w*)|'([^'\n]+)'|"([^"\n]+)")\s*:\s*(?:'([^'\\\n]*)'|"([^"\\\n]*)"|`([^`\\$]*)`)"""
)
_ARGUMENTS = re.compile(r"\bbuildArgs\s*:\s*\{([^{}]*)\}")
_NOTHING = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_PLATFORM = re.compile(r"Platform\.LINUX_(ARM64|AMD64)")


def read_typescript_infra(content: str, path: str, root: Path) -> Reading:
    """Return every image that a program builds from a Dockerfile. root: of the repository."""
    return Reading(declared=tuple(_images(content, path, root)))


def _images(content: str, path: str, root: Path) -> Iterator[Declared]:
    for call in _CALL.finditer(content):
        arguments = _NOTHING.sub("", _balanced(content, call.end()))
        given = _entries(_ARGUMENTS.sub("", arguments))
        context = _context(arguments, path, root)
        dockerfile = inside(context, given.get("file", "Dockerfile")) if context is not None else None
        if context is None or dockerfile is None or not (root / dockerfile).is_file():
            continue
        written = _ARGUMENTS.search(arguments)
        platform = _PLATFORM.search(arguments)
        yield Declared(
            dockerfile=dockerfile,
            context=context,
            platform=f"linux/{platform[1].lower()}" if platform else None,
            target=given.get("target"),
            args=_entries(written[1]) if written else {},
            where=f"{path}:{content.count(chr(10), 0, call.start()) + 1}",
        )


def _entries(text: str) -> dict[str, str]:
    """Return the entries of an object whose values are plain strings."""
    found = ([part for part in each.groups() if part is not None] for each in _ENTRY.finditer(text))
    return dict(found)


def _balanced(content: str, start: int) -> str:
    """Return the arguments of a call; strings do not count as parentheses."""
    depth, at = 1, start
    while at < len(content) and depth:
        if string := _TEXT.match(content, at):
            at = string.end()
            continue
        depth += {"(": 1, ")": -1}.get(content[at], 0)
        at += 1
    return content[start : at - 1]


def _context(arguments: str, path: str, root: Path) -> str | None:
    """Return the folder of an asset: beside the file, or a text relative to it or to a folder above."""
    folder = posixpath.dirname(path)
    above = ["/".join(folder.split("/")[:count]) for count in range(len(folder.split("/")), -1, -1)]
    beside = _FOLDER.search(arguments)
    plain = _TEXT.match(arguments.strip()) or re.search(rf"\bdirectory\s*:\s*({_TEXT.pattern})", arguments)
    if beside is not None:
        words = [
            next(text for text in each.groups() if text is not None) for each in _TEXT.finditer(beside[1])
        ]
        return first_inside(root, [folder], "/".join(words), folder=True) if words else None
    texts = [text for text in plain.groups() if text is not None] if plain else []
    return first_inside(root, above, texts[-1], folder=True) if texts else None
