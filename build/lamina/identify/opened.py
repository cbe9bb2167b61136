"""Find files that a module opens beside itself or in a package: ``__file__``, ``importlib.resources``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace

from lamina.values import dataclass

_SAME = frozenset(
    {"Path", "PurePath", "resolve", "absolute", "abspath", "realpath", "fspath", "str", "as_file"}
)
_READERS = frozenset(
    {
        *("read_text", "read_binary", "open_text", "open_binary", "path", "is_resource", "get_data"),
        *("resource_filename", "resource_string", "resource_stream"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A path that a module refers to.

    Attributes:
        package: The package that contains it; None if it is relative to the module's own file.
        parts: Names and ``..``, starting in the folder of the file or the package.
    """

    line: int
    package: str | None
    parts: tuple[str, ...] = ()


def opened(tree: ast.Module) -> Iterator[Opened]:
    """Yield every path of literal parts, in one expression or through names that are assigned once."""
    reader = PathReader()
    found: dict[tuple[str | None, tuple[str, ...]], Opened] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            reader.assign(node.targets[0].id, node.value)
    for node in ast.walk(tree):
        path = reader.path(node) if isinstance(node, ast.expr) else None
        if path is not None and path.parts and path.parts[-1] not in {"..", "<file>"}:
            found.setdefault((path.package, path.parts), path)
    begun = {(package, parts[:length]) for package, parts in found for length in range(1, len(parts))}
    yield from (path for key, path in found.items() if key not in begun)


class PathReader:
    """Reads expressions as paths. A file's own path ends with ``<file>``, which ``parent`` removes."""

    def __init__(self) -> None:
        self._known: dict[str, Opened | None] = {}

    def assign(self, name: str, value: ast.expr) -> None:
        """Remember the path that a name is assigned."""
        path = self.path(value)
        self._known[name] = None if name in self._known and self._known[name] != path else path

    def path(self, node: ast.expr) -> Opened | None:
        """Return the path that an expression means; None if its parts are not literal."""
        if isinstance(node, ast.Name):
            own = Opened(line=node.lineno, package=None, parts=("<file>",))
            return own if node.id == "__file__" else self._at(node, self._known.get(node.id))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self._joined(node, self.path(node.left), [node.right])
        if isinstance(node, ast.Attribute) and node.attr == "parent":
            return self._up(node, self.path(node.value), 1)
        if isinstance(node, ast.Subscript):
            return self._ancestor(node)
        return self._call(node) if isinstance(node, ast.Call) else None

    def _ancestor(self, node: ast.Subscript) -> Opened | None:
        inner, index = node.value, node.slice
        if not (isinstance(inner, ast.Attribute) and inner.attr == "parents"):
            return None
        if not (isinstance(index, ast.Constant) and isinstance(index.value, int) and index.value >= 0):
            return None
        return self._up(node, self.path(inner.value), index.value + 1)

    def _call(self, node: ast.Call) -> Opened | None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        of_owner = self.path(owner) if owner is not None else None
        first = node.args[0] if node.args else None
        if name == "files" and first is not None:
            return self._package(node, first)
        if name in _READERS and first is not None and len(node.args) > 1:
            return self._joined(node, self._package(node, first), node.args[1:2])
        if of_owner is not None:
            if name == "joinpath":
                return self._joined(node, of_owner, node.args)
            if name == "with_name":
                return self._joined(node, self._up(node, of_owner, 1), node.args)
            return self._at(node, of_owner) if name in _SAME else None
        if name == "join" and first is not None:
            return self._joined(node, self.path(first), node.args[1:])
        if name in {"dirname", *_SAME} and first is not None:
            inner = self.path(first)
            return self._up(node, inner, 1) if name == "dirname" else self._at(node, inner)
        return None

    def _package(self, node: ast.expr, named: ast.expr) -> Opened | None:
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            return Opened(line=node.lineno, package=named.value)
        own = isinstance(named, ast.Name) and named.id in {"__package__", "__name__", "__spec__"}
        return Opened(line=node.lineno, package=None) if own else None

    def _joined(self, node: ast.expr, start: Opened | None, more: list[ast.expr]) -> Opened | None:
        words = [each.value if isinstance(each, ast.Constant) else None for each in more]
        if start is None or not all(isinstance(each, str) and each for each in words):
            return None
        parts = [part for word in words for part in str(word).split("/") if part not in {"", "."}]
        return replace(start, line=node.lineno, parts=(*start.parts, *parts))

    def _up(self, node: ast.expr, path: Opened | None, levels: int) -> Opened | None:
        if path is None:
            return None
        parts = list(path.parts)
        for _ in range(levels):
            if parts and parts[-1] != "..":
                parts.pop()
            else:
                parts.append("..")
        return replace(path, line=node.lineno, parts=tuple(parts))

    def _at(self, node: ast.expr, path: Opened | None) -> Opened | None:
        return replace(path, line=node.lineno) if path is not None else None
