"""Parse a Python module's imports and definitions. It is slow: `lamina.identify.facts` keeps the result.

Imports that must succeed are distinguished from those that may fail: in a ``try``, a branch or a function.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from lamina.identify.opened import Opened, opened
from lamina.identify.scan import names_files
from lamina.identify.traits import Trait, read_traits, unparsable
from lamina.values import dataclass

_CATCHES = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_OTHERS = frozenset({"ValueError", "KeyError", "AttributeError", "TypeError", "OSError", "RuntimeError"})
"""Exceptions that importing a missing module does not raise."""
_DYNAMIC = ("__getattr__", "globals()", "setattr(", "exec(", "vars()", "__path__", "sys.modules")
"""Code that can create names without a statement that defines them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One ``import``. level: number of dots of a relative import. names: those of ``from … import``."""

    line: int
    level: int
    module: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Imports that may not be executed: in a function, under ``if`` or in a loop."""

    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """Imports in a ``try`` that handles their failure.

    Attributes:
        instead: What the handler imports; None if it raises.
    """

    needs: tuple[Need, ...]
    instead: tuple[Need, ...] | None


Need = Import | Branch | Guarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The imports and definitions of a module.

    Attributes:
        needs: In the order of the file.
        names: All names it defines, at any depth.
        functions: Those of the top level.
        handlers: Function -> what it imports on every call.
        dynamic: Whether it may define any name.
        opened: Files it refers to, beside itself or in a package.
        traits: What else matters on Lambda: syntax, files that it reads or writes when it is imported.
    """

    needs: tuple[Need, ...] = ()
    names: frozenset[str] = frozenset()
    functions: tuple[str, ...] = ()
    handlers: dict[str, tuple[Need, ...]]
    dynamic: bool = False
    opened: tuple[Opened, ...] = ()
    traits: tuple[Trait, ...] = ()

    def defines(self, name: str) -> bool:
        """Whether the module may have this name once it is imported."""
        return self.dynamic or name in self.names


def every_import(needs: Iterable[Need]) -> Iterator[Import]:
    """Yield all imports among needs, whether they must succeed or not."""
    for need in needs:
        if isinstance(need, Import):
            yield need
        else:
            yield from every_import(need.needs)
            yield from every_import(need.instead or ()) if isinstance(need, Guarded) else ()


def read_module(source: bytes) -> Module | None:
    """Parse a source; None if it is too deep. One that is not Python of this version may define any name."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return Module(handlers={}, dynamic=True, traits=(unparsable(error),))
    except (ValueError, RecursionError, MemoryError):
        return None
    try:
        text = source.decode("utf-8", "replace")
        names = _Names(walrus=":=" in text)
        names.of(tree.body)
        return Module(
            needs=tuple(_needs(tree.body)),
            names=frozenset(names.found),
            functions=tuple(each.name for each in tree.body if isinstance(each, _FUNCTION)),
            handlers={
                each.name: tuple(_called(each.body)) for each in tree.body if isinstance(each, _FUNCTION)
            },
            dynamic="*" in names.found or any(word in text for word in _DYNAMIC),
            opened=tuple(opened(tree)) if names_files(source) else (),
            traits=tuple(read_traits(tree, text)),
        )
    except (ValueError, RecursionError, MemoryError):
        return None


_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def _needs(body: Iterable[ast.stmt]) -> Iterator[Need]:
    """Yield the imports of statements that are executed in sequence."""
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(line=node.lineno, level=0, module=alias.name, names=())
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(line=node.lineno, level=node.level, module=node.module or "", names=names)
        elif isinstance(node, ast.Try | ast.TryStar):
            yield from _tried(node)
        elif isinstance(node, ast.If):
            yield from _chosen(node)
        elif isinstance(node, ast.With | ast.AsyncWith):
            inner = tuple(_needs(node.body))
            suppressed = any("suppress" in ast.unparse(each.context_expr) for each in node.items)
            yield from () if suppressed and inner else inner
        elif isinstance(node, ast.ClassDef):
            yield from _needs(node.body)
        else:
            yield from _branch(_needs(_inside(node)))


def _inside(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yield the statements in a function, a loop or a ``match``."""
    for field in ("body", "orelse"):
        yield from (each for each in getattr(node, field, ()) if isinstance(each, ast.stmt))
    for case in getattr(node, "cases", ()):
        yield from case.body


def _branch(needs: Iterable[Need]) -> Iterator[Need]:
    if found := tuple(needs):
        yield Branch(needs=found)


def _tried(node: ast.Try | ast.TryStar) -> Iterator[Need]:
    body, final = tuple(_needs(node.body)), tuple(_needs(node.finalbody))
    catching = next((each for each in node.handlers if _catches(each)), None)
    others = [each for each in node.handlers if each is not catching]
    if catching is None:
        yield from body
    elif body:
        instead = None if _raises(catching) else tuple(_needs(catching.body))
        yield Guarded(needs=body, instead=instead)
    else:
        others.append(catching)
    yield from _branch(_needs(node.orelse))
    yield from _branch(need for each in others for need in _needs(each.body))
    yield from final


def _catches(handler: ast.ExceptHandler) -> bool:
    """Whether a handler may catch a failing import. A handler of an unknown exception may."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {each.id for each in kinds if isinstance(each, ast.Name)}
    return len(names) < len(kinds) or not names.isdisjoint(_CATCHES) or not names <= _OTHERS


def _raises(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only raises again."""
    plain = all(isinstance(each, ast.Expr | ast.Raise | ast.Assign) for each in handler.body)
    return plain and isinstance(handler.body[-1], ast.Raise)


def _chosen(node: ast.If) -> Iterator[Need]:
    test = ast.unparse(node.test)
    if "TYPE_CHECKING" in test:  # only type checkers take this branch; at run time it is always the other
        yield from _needs(node.orelse) if test.endswith("TYPE_CHECKING") and "not " not in test else ()
    elif "__name__" not in test:
        yield from _branch((*_needs(node.body), *_needs(node.orelse)))


def _called(body: list[ast.stmt]) -> Iterator[Need]:
    """Yield imports that run on every call: those at the function's own level, before any return or raise."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Try | ast.With):
            yield from _needs([node])
        if any(isinstance(each, ast.Return | ast.Raise) for each in ast.walk(node)):
            return


class _Names:
    """Collects every name that statements define, in any scope. Other names do not exist."""

    def __init__(self, *, walrus: bool) -> None:
        self.found: set[str] = set()
        self._walrus = walrus

    def of(self, body: Iterable[ast.AST]) -> None:
        for node in body:
            self._add(node)
            if self._walrus:
                self.found.update(
                    each.target.id for each in ast.walk(node) if isinstance(each, ast.NamedExpr)
                )
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, field, None)
                if isinstance(inner, list):
                    self.of(inner)

    def _add(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.found.update((each.asname or each.name).partition(".")[0] for each in node.names)
        elif isinstance(node, ast.Global):
            self.found.update(node.names)
        elif isinstance(node, ast.Match):
            self._targets(*(case.pattern for case in node.cases))
        elif isinstance(node, ast.With | ast.AsyncWith):
            self._targets(*(each.optional_vars for each in node.items))
        else:
            name = getattr(node, "name", None)
            self.found.update([name] if isinstance(name, str) else [])
            self._targets(*getattr(node, "targets", ()), getattr(node, "target", None))

    def _targets(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            for each in ast.walk(node) if node is not None else ():
                name = getattr(each, "id", None) or getattr(each, "name", None)
                self.found.update([name] if isinstance(name, str) else [])
