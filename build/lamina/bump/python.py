"""Where files name a Python version, and their text with another one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from lamina.declare.dockerfile import Dockerfile
from lamina.errors import Problem
from lamina.preflight.pythons import allows

Version = tuple[int, int]
VERSION = re.compile(r"(\d+)\.(\d+)")
_OLD = r"(?P<old>{old})(?:\.\d+)*"
_NAMED = (
    r"(?<=python:)" + _OLD + r"(?![\d.])(?P<tail>(?:-[\w-]+)?)(?P<digest>@sha256:\w+)?",
    r"(?<=python)" + _OLD + r"(?![\d])",
    r"(?<=--python-version[= ])" + _OLD + r"(?![\d])",
    r"(?<=--python[= ])" + _OLD + r"(?![\d])",
    r"""(?<![\w])(?P<name>(?i:\w*PY\w*)\s*[= ]\s*["']?|\w+:-)""" + _OLD + r"(?![\w.])",
)
"""Images, programs and folders, options, arguments and variables."""
_VARIABLE = re.compile(r"\$\{?(\w+)")
_ABI = r"(?<=\bcp){packed}\b"
_CLAUSE = re.compile(
    r"(?P<operator>~=|===?|!=|<=?|>=?)(?P<gap>\s*)(?P<major>\d+)\.(?P<minor>\d+)(?P<rest>[\d.*]*)"
)
_REQUIRES = re.compile(r"""^(\s*requires-python\s*=\s*["'])([^"'\n]+)(["'])""", re.MULTILINE)
_PINNED = re.compile(r"^((?:cpython-|python-)?)\d+\.\d+(?:\.\d+)*", re.MULTILINE)
_LINE = re.compile(r"""^((?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^"'#\n])*)(?=#|$)""", re.MULTILINE)
"""A line of TOML up to its comment."""
_LAMINA = re.compile(r"^\[tool\.lamina[\].].*?(?=^\[(?!tool\.lamina)|\Z)", re.MULTILINE | re.DOTALL)


def text_of(version: Version) -> str:
    """Return a version as it is written: ``3.14``."""
    return ".".join(map(str, version))


def in_dockerfile(dockerfile: Dockerfile, olds: Collection[Version], new: Version) -> str:
    """Return the text of a Dockerfile with a new Python in its instructions; comments stay."""
    lines = dockerfile.text.split("\n")
    named = {name for stage in dockerfile.stages for name in _VARIABLE.findall(stage.base)}
    tags = [rf"(?P<name>\bARG\s+{name}=[\"']?){_OLD}(?![\w.])" for name in sorted(named)]
    spans = [(each.line, each.end) for each in dockerfile.header]
    for stage in dockerfile.stages:
        spans.append((stage.line, stage.line))
        spans += ((each.line, each.end) for each in stage.instructions)
    for number in sorted({line for start, end in spans for line in range(start, end + 1)}):
        if not lines[number - 1].lstrip().startswith("#"):
            lines[number - 1] = renamed(lines[number - 1], olds, new, more=tags)
    return "\n".join(lines)


def renamed(text: str, olds: Collection[Version], new: Version, *, more: Iterable[str] = ()) -> str:
    """Return a text in which images, programs, options and arguments name the new version."""
    patterns = (*_NAMED, *more)
    for old in sorted(set(olds) - {new}):
        for pattern in patterns:
            made = re.compile(pattern.replace("{old}", re.escape(text_of(old))))
            text = made.sub(lambda found: _replaced(found, new), text)
        text = re.sub(_ABI.replace("{packed}", f"{old[0]}{old[1]}"), f"{new[0]}{new[1]}", text)
    return text


def _replaced(found: re.Match[str], new: Version) -> str:
    groups = found.groupdict()
    return f"{groups.get('name') or ''}{text_of(new)}{groups.get('tail') or ''}"


def digests(dockerfile: Dockerfile, olds: Collection[Version]) -> Iterator[Problem]:
    """Yield the images of an old Python that a Dockerfile pins by digest: the new digest is not known."""
    for old in olds:
        pattern = re.compile(_NAMED[0].replace("{old}", re.escape(text_of(old))))
        for number, line in enumerate(dockerfile.text.split("\n"), start=1):
            if any(each["digest"] for each in pattern.finditer(line.partition("#")[0])):
                yield Problem(
                    what=f"an image of Python {text_of(old)} is pinned by its digest",
                    where=dockerfile.where(number),
                    hint="remove @sha256:…; lamina.lock pins it as well: invoke lock",
                )


def in_settings(text: str, olds: Collection[Version], new: Version) -> str:
    """Return the text of ``pyproject.toml`` with the new version in the tables of Lamina."""
    return _LAMINA.sub(lambda table: in_tables(table.group(), olds, new), text)


def in_tables(text: str, olds: Collection[Version], new: Version) -> str:
    """Return a text in TOML with the new version; comments stay."""
    return _LINE.sub(lambda line: renamed(line.group(), olds, new), text)


def in_version_file(text: str, new: Version) -> str:
    """Return the text of a ``.python-version`` for the new version."""
    return _PINNED.sub(lambda found: f"{found[1]}{text_of(new)}", text, count=1)


def in_limit(text: str, olds: Collection[Version], new: Version) -> str:
    """Return the text of ``pyproject.toml`` with a ``requires-python`` that allows the new version.

    A lower bound that is an old version is raised, since no image has that Python any more.
    """
    return _REQUIRES.sub(lambda found: f"{found[1]}{_limit(found[2], olds, new)}{found[3]}", text)


def forbids(text: str, new: Version) -> str | None:
    """Return the ``requires-python`` of ``pyproject.toml`` if it does not allow a version."""
    found = _REQUIRES.search(text)
    return found[2] if found and allows(found[2], new) is False else None


def _limit(limit: str, olds: Collection[Version], new: Version) -> str:
    def moved(clause: re.Match[str]) -> str:
        operator, bound = clause["operator"], (int(clause["major"]), int(clause["minor"]))
        fits = allows(clause.group(), new) is not False
        if operator in {">=", ">"}:
            keep, bound, rest = fits and not (bound in olds and bound < new), new, ""
            operator = ">="
        elif operator == "<":
            keep, bound, rest = fits, (new[0], new[1] + 1), ""
        else:
            keep, bound = fits or operator == "!=", new
            rest = {"==": ".*", "~=": ".0"}.get(operator, "")
        return clause.group() if keep else f"{operator}{clause['gap']}{text_of(bound)}{rest}"

    return _CLAUSE.sub(moved, limit)
