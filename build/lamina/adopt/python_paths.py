"""Evaluate the paths and constants of a Python program, as far as they are plain. Nothing is run."""

from __future__ import annotations

import ast
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping

from lamina.adopt.declared import Located

_MOST_NESTED = 20
_SAME = frozenset({"abspath", "realpath", "normpath", "fspath", "str", "Path", "PurePath", "PosixPath"})
"""Functions that return the path which they are given."""
_SELF = frozenset({"resolve", "absolute", "as_posix", "expanduser"})
"""Methods that return their own path."""
_WHERE_IT_RUNS = frozenset({"getcwd", "cwd"})
_JOINS = frozenset({"join", "Path", "PurePath", "PosixPath"})


def with_plain_values(call: ast.Call, names: Mapping[str, ast.expr], path: str) -> None:
    """Replace the arguments of a call by their values, where those are known.

    Args:
        names: see `constants`.
        path: of the program, relative to the repository.
    """
    _Plain(names, path).generic_visit(call)


def constants(tree: ast.AST) -> dict[str, ast.expr]:
    """Return the names that have one value in a program, with its expression."""
    given: dict[str, ast.expr] = {}
    bound = Counter(_bound(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            given[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            given[node.target.id] = node.value
    return {name: value for name, value in given.items() if bound[name] == 1}


def _bound(tree: ast.AST) -> Iterator[str]:
    """Yield a name each time that something gives it a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


class _Plain(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, ast.expr], path: str) -> None:
        self._names, self._path = names, path

    def visit(self, node: ast.AST) -> ast.AST:
        """Return a constant for an expression whose value is known; else look inside."""
        value = None if isinstance(node, ast.Constant) else self._text(node, 0)
        return ast.copy_location(ast.Constant(value), node) if value is not None else self.generic_visit(node)

    def _text(self, node: ast.AST, depth: int) -> str | None:
        """Return the text of an expression, a `Located` for one that starts at the program's own path."""
        if depth > _MOST_NESTED:
            return None
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id="__file__"):
                return Located(self._path)
            case ast.Name(id=name) if name in self._names:
                return self._text(self._names[name], depth + 1)
            case ast.Attribute(value=owner, attr="parent"):
                return self._above(owner, 1, depth)
            case ast.Subscript(
                value=ast.Attribute(value=owner, attr="parents"), slice=ast.Constant(value=int(count))
            ):
                return self._above(owner, count + 1, depth)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self._joined((left, right), depth)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._added((left, right), depth)
            case ast.JoinedStr(values=parts):
                return self._added(parts, depth)
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return self._text(value, depth + 1)
            case ast.Call():
                return self._called(node, depth)
            case _:
                return None

    def _called(self, call: ast.Call, depth: int) -> str | None:
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if call.keywords:
            return None
        if not call.args and name in _WHERE_IT_RUNS:
            return "."
        if not call.args:
            return self._text(owner, depth + 1) if owner is not None and name in _SELF else None
        if name == "joinpath" and owner is not None:
            return self._joined((owner, *call.args), depth)
        if name == "dirname":
            return self._above(call.args[0], 1, depth)
        if name in _JOINS and (name != "join" or isinstance(owner, (ast.Attribute, ast.Name))):
            return self._joined(call.args, depth)
        return self._text(call.args[0], depth + 1) if name in _SAME and len(call.args) == 1 else None

    def _above(self, node: ast.AST, count: int, depth: int) -> str | None:
        text = self._text(node, depth + 1)
        return _as(text, posixpath.join(text, *[".."] * count)) if isinstance(text, Located) else None

    def _joined(self, nodes: list[ast.expr] | tuple[ast.expr, ...], depth: int) -> str | None:
        texts = [self._text(each, depth + 1) for each in nodes]
        known = [each for each in texts if each is not None]
        if len(known) < len(texts) or any(each.startswith("/") for each in known[1:]):
            return None
        return _as(known[0], posixpath.join(*known))

    def _added(self, nodes: list[ast.expr] | tuple[ast.expr, ...], depth: int) -> str | None:
        texts = [self._text(each, depth + 1) for each in nodes]
        known = [each for each in texts if each is not None]
        return _as(known[0], "".join(known)) if known and len(known) == len(texts) else None


def _as(first: str, text: str) -> str:
    """Return a text of the kind of its first part."""
    return Located(text) if isinstance(first, Located) else text
