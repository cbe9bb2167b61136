"""What the handler of an image imports from the repository, and what of that the image lacks.

Findings are only those that are certain: a module that is in the repository beside its importer, or in a
package that the image holds in part, and nowhere in the image. Imports under ``try`` or ``TYPE_CHECKING``
may fail and are left out.
"""

from __future__ import annotations

import ast
import posixpath
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lamina.errors import nearest
from lamina.identify.layout import SITE, TASK_ROOT, Layout

_ROOTS = (TASK_ROOT, "/opt/python", SITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFault:
    """Something that would fail when Lambda starts the function.

    importer: path in the context, None for the CMD itself. line: of the import. missing: the module or
    function. local: where it is in the repository. nearest: a module of the image with a name like it, or a
    name of the handler's module.
    """

    importer: str | None
    line: int
    missing: str
    local: str | None = None
    nearest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Import:
    line: int
    level: int
    module: str
    names: tuple[str, ...]


class ImportWalk:
    """Follows imports through first-party code. read: path -> source; exists: whether it is a file."""

    def __init__(
        self, layout: Layout, read: Callable[[str], str | None], exists: Callable[[str], bool]
    ) -> None:
        self._layout = layout
        self._read = read
        self._exists = exists
        self._folders = {path.rpartition("/")[0] for path in layout.files}
        for folder in tuple(self._folders):
            while folder not in {"/", ""}:
                folder = posixpath.dirname(folder)
                self._folders.add(folder)
        self._roots = tuple(dict.fromkeys((layout.workdir, *_ROOTS)))
        self._seen: set[str] = set()
        self._held = frozenset(layout.files.values())

    def run(self, command: tuple[str, ...]) -> tuple[ImportFault, ...]:
        """The faults behind a CMD of the form ``module.function`` or ``folder/module.function``."""
        if len(command) != 1 or not self._layout.complete or not self._layout.files:
            return ()
        module, _, function = command[0].rpartition(".")
        if not module:
            return ()
        place = self._find(module.replace("/", "."))
        if place is None:
            return tuple(self._no_handler(module))
        tree = self._parse(place)
        if tree is not None and not _defines(tree, function):
            near = nearest(function, _functions(tree), cutoff=0.6)
            file = self._layout.files[place]
            return (ImportFault(importer=file, line=0, missing=f"function {function}", nearest=near),)
        return tuple(self._walk(place))

    def origin(self, command: tuple[str, ...]) -> str | None:
        """The path in the context of the module that a CMD names."""
        module = command[-1].rpartition(".")[0] if command else ""
        place = self._find(module.replace("/", ".")) if module else None
        return self._layout.files[place] if place else None

    def _no_handler(self, module: str) -> Iterator[ImportFault]:
        """A handler that is not ours may come with a wheel; a misspelt or forgotten one does not."""
        local = next((path for path in self._beside(module) if self._exists(path)), None)
        if local in self._held:
            return
        prefix = f"{self._layout.workdir}/"
        ours = [place.removeprefix(prefix) for place in self._layout.files if place.startswith(prefix)]
        modules = [place.removesuffix(".py").replace("/", ".") for place in ours if place.endswith(".py")]
        near = nearest(module.replace("/", "."), modules, cutoff=0.8)
        if local or near:
            yield ImportFault(importer=None, line=0, missing=module, local=local, nearest=near)

    def _beside(self, module: str) -> Iterator[str]:
        """Where in the repository a handler's module could be: beside what is in the image."""
        folders = {posixpath.dirname(path) for path in self._layout.files.values()}
        for folder in sorted(folders):
            yield posixpath.join(folder, module.replace(".", "/") + ".py")

    def _find(self, module: str) -> str | None:
        """The image path of a module's file."""
        stem = module.replace(".", "/")
        for root in self._roots:
            for name in (f"{stem}.py", f"{stem}/__init__.py"):
                if (place := posixpath.join(root, name)) in self._layout.files:
                    return place
        return None

    def _parse(self, place: str) -> ast.Module | None:
        source = self._read(self._layout.files[place])
        try:
            return ast.parse(source) if source is not None else None
        except (SyntaxError, ValueError):
            return None

    def _walk(self, place: str) -> Iterator[ImportFault]:
        if place in self._seen:
            return
        self._seen.add(place)
        tree = self._parse(place)
        for found in _imports(tree) if tree is not None else ():
            yield from self._follow(place, found)

    def _follow(self, place: str, found: _Import) -> Iterator[ImportFault]:
        if found.level:
            folder = place
            for _ in range(found.level):
                folder = posixpath.dirname(folder)
            yield from self._step(place, found, folder)
            return
        top = found.module.partition(".")[0]
        if top in sys.stdlib_module_names:
            return
        for root in self._roots:
            if f"{root}/{top}.py" in self._layout.files or f"{root}/{top}" in self._folders:
                yield from self._step(place, found, root)
                return
        importer = self._layout.files[place]
        for candidate in (f"{top}.py", f"{top}/__init__.py"):
            local = posixpath.join(posixpath.dirname(importer), candidate)
            if local not in self._held and self._exists(local):
                yield ImportFault(importer=importer, line=found.line, missing=top, local=local)

    def _step(self, place: str, found: _Import, folder: str) -> Iterator[ImportFault]:
        """Go down a dotted name from a folder of the image, then into the names that are modules."""
        parts = found.module.split(".") if found.module else []
        for part in parts:
            target = f"{folder}/{part}"
            if f"{target}.py" in self._layout.files:
                yield from self._walk(f"{target}.py")
                return
            if f"{target}/__init__.py" in self._layout.files:
                yield from self._walk(f"{target}/__init__.py")
            elif target not in self._folders:
                yield from self._lost(place, found, folder, part)
                return
            folder = target
        for name in found.names:
            if f"{folder}/{name}.py" in self._layout.files:
                yield from self._walk(f"{folder}/{name}.py")
            elif f"{folder}/{name}/__init__.py" in self._layout.files:
                yield from self._walk(f"{folder}/{name}/__init__.py")
            elif not self._defined_in_package(folder, name):
                yield from self._lost(place, found, folder, name)

    def _defined_in_package(self, folder: str, name: str) -> bool:
        """Whether ``from package import name`` finds the name in the package's own file."""
        init = f"{folder}/__init__.py"
        tree = self._parse(init) if init in self._layout.files else None
        return tree is not None and _defines(tree, name)

    def _lost(self, place: str, found: _Import, folder: str, name: str) -> Iterator[ImportFault]:
        """A module that is not in the image but is in the repository where the image's package comes from."""
        origins = {
            posixpath.dirname(origin)
            for path, origin in self._layout.files.items()
            if posixpath.dirname(path) == folder
        }
        for origin in sorted(origins):
            for candidate in (f"{name}.py", f"{name}/__init__.py"):
                local = posixpath.join(origin, candidate)
                if local not in self._held and self._exists(local):
                    importer = self._layout.files[place]
                    yield ImportFault(importer=importer, line=found.line, missing=name, local=local)
                    return


def _imports(tree: ast.Module) -> Iterator[_Import]:
    """The imports of a module that must succeed, also those inside functions."""
    stack: list[ast.AST] = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Try | ast.TryStar) or _is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Import(line=node.lineno, level=0, module=alias.name, names=())
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield _Import(line=node.lineno, level=node.level, module=node.module or "", names=names)
        else:
            stack.extend(ast.iter_child_nodes(node))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _functions(tree: ast.Module) -> list[str]:
    """What a module calls its functions."""
    return [each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def _defines(tree: ast.Module, name: str) -> bool:
    """Whether a module has a name at its top level; a star import may bring any."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) in {name, "*"}:
            return True
    return False
