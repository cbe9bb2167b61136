"""Traits of a Python module that decide whether it runs on Lambda, from its parsed source.

A text search decides first whether the tree has to be looked at, since most modules have none.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Literal, NamedTuple

from lamina.identify.opened import Opened, PathReader
from lamina.patterns import regex

TraitKind = Literal["unparsable", "syntax", "reads", "reads-beside", "writes", "semaphores"]


class Trait(NamedTuple):
    """One trait.

    Attributes:
        kind: ``unparsable``: not Python of Lamina's own version · ``syntax``: needs at least that version ·
            ``reads``, ``writes``: a literal path · ``reads-beside``: a path relative to the module's folder ·
            ``semaphores``: a call that needs ``/dev/shm``.
        text: A version and its feature (``3.10 match``), a path, or a call.
        sure: Whether importing the module always executes it.
    """

    kind: TraitKind
    line: int
    text: str
    sure: bool


_NEWER = regex(
    r"^[ \t]*(?:match\b.*:|except\s*\*|type\s+\w+)|\b(?:def|class)\s+\w+\s*\[|\bwith\s*\(", re.MULTILINE
)
_NESTED = regex(r"""f"[^"\n{]*\{[^"\n}]*["\\]|f'[^'\n{]*\{[^'\n}]*['\\]""")
_FILES = regex(r"\bopen\s*\(|read_text|read_bytes|FileSystemLoader|mkdir|makedirs|write_|FileHandler")
_SHARED = regex(r"multiprocessing|ProcessPoolExecutor")
_NEEDS_SHM = frozenset(
    {
        *("Pool", "Queue", "JoinableQueue", "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event"),
        *("Condition", "Barrier", "Value", "Array", "ProcessPoolExecutor"),
    }
)
_OPENERS = frozenset({"open", "FileSystemLoader"})
_READERS = frozenset({"read_text", "read_bytes"})
_MAKERS = frozenset({"makedirs", "mkdir", "write_text", "write_bytes", "FileHandler", "RotatingFileHandler"})


def unparsable(error: SyntaxError) -> Trait:
    """Return the trait that a source does not parse."""
    return Trait("unparsable", error.lineno or 1, error.msg, sure=True)


def read_traits(tree: ast.Module, text: str) -> Iterator[Trait]:
    """Yield the traits of a module."""
    if _NEWER.search(text):
        yield from _syntax(tree)
    if _NESTED.search(text):
        yield from _nested_strings(text)
    if _SHARED.search(text):
        yield from _semaphores(tree)
    if _FILES.search(text):
        yield from _files(tree)


def _syntax(tree: ast.Module) -> Iterator[Trait]:
    """Yield the first use of each syntax that older versions do not have."""
    seen: set[str] = set()
    for node in ast.walk(tree):
        needs = None
        if isinstance(node, ast.Match):
            needs = "3.10 match"
        elif isinstance(node, ast.TryStar):
            needs = "3.11 except*"
        elif type(node).__name__ == "TypeAlias":
            needs = "3.12 type statement"
        elif getattr(node, "type_params", None):
            needs = "3.12 type parameters"
        if needs and needs not in seen:
            seen.add(needs)
            yield Trait("syntax", getattr(node, "lineno", 1), needs, sure=True)


def _nested_strings(text: str) -> Iterator[Trait]:
    """Yield the first f-string whose expressions hold its own quotes, or a backslash.

    Only Python 3.12 and newer have these tokens; older versions cannot parse such a module.
    """
    quotes: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        inside = kind not in {"FSTRING_MIDDLE", "FSTRING_END"}
        if quotes and inside and (quotes[-1] in token.string or "\\" in token.string):
            subject = "3.12 f-string with its own quotes or a backslash inside"
            yield Trait("syntax", token.start[0], subject, sure=True)
            return
        if kind == "FSTRING_START":
            quotes.append(token.string.lstrip("fFrR"))
        elif kind == "FSTRING_END":
            quotes.pop()


def _semaphores(tree: ast.Module) -> Iterator[Trait]:
    """Yield calls of multiprocessing that make a semaphore."""
    modules: set[str] = set()
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update(
                each.asname or each.name
                for each in node.names
                if each.name in {"multiprocessing", "concurrent.futures"}
            )
        elif isinstance(node, ast.ImportFrom) and node.module in {"multiprocessing", "concurrent.futures"}:
            names.update({each.asname or each.name: each.name for each in node.names})
    surely = {id(each) for each in evaluated_at_import(tree.body)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in modules:
            called = node.func.attr
        else:
            called = names.get(getattr(node.func, "id", ""), "")
        if called in _NEEDS_SHM:
            yield Trait("semaphores", node.lineno, called, sure=id(node) in surely)


def evaluated_at_import(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """Yield the expressions that are always evaluated when a module is imported."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from evaluated_at_import(node.body)
        elif isinstance(node, ast.With):
            for item in node.items:
                yield from _evaluated(item.context_expr)
            yield from evaluated_at_import(node.body)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr) and node.value:
            yield from _evaluated(node.value)


def _evaluated(node: ast.expr) -> Iterator[ast.expr]:
    yield node
    if isinstance(node, ast.IfExp | ast.BoolOp | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        inner = child.value if isinstance(child, ast.keyword) else child
        if isinstance(inner, ast.expr):
            yield from _evaluated(inner)


def _files(tree: ast.Module) -> Iterator[Trait]:
    """Yield the files that importing the module certainly opens or makes."""
    paths, texts = PathReader(), dict[str, str | None]()
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            paths.assign(name, node.value)
            texts[name] = None if name in texts else _literal(node.value, {})
    for each in evaluated_at_import(tree.body):
        if isinstance(each, ast.Call):
            yield from _file(each, paths, texts)


def _file(call: ast.Call, paths: PathReader, texts: dict[str, str | None]) -> Iterator[Trait]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    named = (
        owner is not None and isinstance(owner, ast.Name) and owner.id in {"os", "io", "codecs", "logging"}
    )
    of_path = (
        owner is not None and not named and name in {*_READERS, "open", "mkdir", "write_text", "write_bytes"}
    )
    subject = owner if of_path else (call.args[0] if call.args else None)
    if subject is None or name not in _OPENERS | _READERS | _MAKERS or (name in _READERS and not of_path):
        return
    writes = name in _MAKERS or (name == "open" and _mode(call, 0 if of_path else 1)[:1] in {"w", "a", "x"})
    beside, literal = paths.path(subject), _literal(subject, texts)
    if beside is not None and beside.package is None and not writes:
        if (path := _beside(beside)) is not None:
            yield Trait("reads-beside", call.lineno, path, sure=True)
    elif literal:
        yield Trait("writes" if writes else "reads", call.lineno, literal, sure=True)


def _mode(call: ast.Call, at: int) -> str:
    given = [each.value for each in call.keywords if each.arg == "mode"] or call.args[at : at + 1]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else "r"


def _beside(path: Opened) -> str | None:
    return "/".join(path.parts) if path.parts and path.parts[-1] not in {"..", "<file>"} else None


def _literal(node: ast.expr, texts: dict[str, str | None]) -> str | None:
    """Return a path that is written as a text, in ``Path("…")`` or under a name that is assigned once."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return texts.get(node.id)
    if (
        isinstance(node, ast.Call)
        and len(node.args) == 1
        and ast.unparse(node.func) in {"Path", "pathlib.Path"}
    ):
        return _literal(node.args[0], texts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _literal(node.left, texts), _literal(node.right, texts)
        return f"{left.rstrip('/')}/{right}" if left and right else None
    return None
