"""Read the blocks of a Terraform file, by python-hcl2. Texts stay as written: `Template` or `Expression`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from lamina.errors import Problem

_HEAD = re.compile(r'^[ \t]*(\w+)((?:[ \t]+"[^"\n]*")*)[ \t]*\{', re.MULTILINE)
_LABEL = re.compile(r'"([^"\n]*)"')
_BLOCK = re.compile(
    r"^(?P<head>(?:resource|data|provider|check|import|moved|removed|terraform)\b[^{\n]*)\{[ \t]*\r?\n"
    r"(?:(?!\}).*\n)*?\}[ \t]*\r?$",
    re.MULTILINE,
)
"""A block that begins and ends at the beginning of a line."""
_MISSING = "Terraform files are not read: python-hcl2 is not installed"


@dataclass(frozen=True, slots=True)
class Template:
    """A quoted string, which may contain ``${expressions}``."""

    text: str


@dataclass(frozen=True, slots=True)
class Expression:
    """Any other expression, as written."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HclBlock:
    """A block: ``resource "docker_image" "worker" { … }``.

    Attributes:
        labels: the texts after its kind.
        values: of its attributes: templates, expressions, numbers, booleans, lists, dicts. A block inside is
            a dict in a list.
        where: ``file:line``.
    """

    kind: str
    labels: tuple[str, ...]
    values: Mapping[str, object]
    where: str


def read_blocks(
    text: str, path: str, resources: Collection[str] | None = None
) -> tuple[HclBlock, ...] | Problem:
    """Return the blocks of a file, or the problem. Attributes outside of blocks are one without a kind.

    resources: the kinds of resources to read, besides modules and values; all if None. Parsing takes long.
    """
    try:
        import hcl2
        from lark.exceptions import LarkError
    except ImportError:
        return Problem(what=_MISSING, hint="pip install python-hcl2")
    problem = Problem(what="cannot be read as HCL", where=path)
    shorter = text if resources is None else _without_others(text, resources)
    for each in dict.fromkeys((shorter, text)):  # the whole text if the shorter one is not HCL
        try:
            document = hcl2.loads(each, serialization_options=hcl2.SerializationOptions(with_comments=False))
        except (LarkError, ValueError, RecursionError) as error:
            line = getattr(error, "line", None)
            where = f"{path}:{line}" if isinstance(line, int) and line > 0 else path
            problem = replace(problem, where=where)
        else:
            return tuple(_blocks(document, _lines(text), path))
    return problem


def written(value: object) -> str:
    """Return a string or an expression as it is written; empty for any other value."""
    if isinstance(value, Template):
        return f'"{value.text}"'
    return value.code if isinstance(value, Expression) else ""


def _without_others(text: str, resources: Collection[str]) -> str:
    """Return a text with empty lines for the blocks that need not be read.

    One with a heredoc stays: in its text a line may begin with the closing brace.
    """

    def left(found: re.Match[str]) -> str:
        labels = _LABEL.findall(found["head"])
        needed = found["head"].startswith("resource") and labels[:1] != [] and labels[0] in resources
        return found[0] if needed or "<<" in found[0] else "\n" * found[0].count("\n")

    return _BLOCK.sub(left, text)


def _blocks(
    document: Mapping[str, object], lines: Mapping[tuple[str, ...], int], path: str
) -> Iterator[HclBlock]:
    loose = {key: _value(value) for key, value in document.items() if not _is_block_list(value)}
    yield HclBlock(kind="", labels=(), values=loose, where=path)
    for kind, value in document.items():
        for each in value if _is_block_list(value) and isinstance(value, list) else ():
            labels, body = _labelled(each)
            where = f"{path}:{lines.get((kind, *labels), 1)}"
            yield HclBlock(kind=kind, labels=labels, values=_table(body), where=where)


def _labelled(block: dict[str, object]) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return the labels of a block and its body: python-hcl2 nests the body in a dict for each label."""
    labels = []
    while "__is_block__" not in block:
        (label, inner), *_ = block.items()
        labels.append(label.strip('"'))
        if not isinstance(inner, dict):
            break
        block = inner
    return tuple(labels), block


def _is_block_list(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) and _has_body(each) for each in value)


def _has_body(block: dict[str, object]) -> bool:
    return "__is_block__" in block or any(
        isinstance(each, dict) and _has_body(each) for each in block.values()
    )


def _table(body: Mapping[str, object]) -> dict[str, object]:
    return {key.strip('"'): _value(value) for key, value in body.items() if not key.startswith("__")}


def _value(value: object) -> object:
    if isinstance(value, dict):
        return _table(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    if not isinstance(value, str):
        return value
    if len(value) > 1 and value[0] == value[-1] == '"':
        return Template(value[1:-1])
    code = value[2:-1] if value.startswith("${") and value.endswith("}") else value
    return Expression(code)


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return kind and labels of each block -> its line. python-hcl2 does not give lines."""
    found: dict[tuple[str, ...], int] = {}
    for match in _HEAD.finditer(text):
        key = (match[1], *_LABEL.findall(match[2]))
        found.setdefault(key, text.count("\n", 0, match.start()) + 1)
    return found
