"""The members of a uv workspace: what each requires, its code, and its handler."""

from __future__ import annotations

import ast
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lamina.declare.lockfile import UV_LOCK
from lamina.declare.uv_lock import Selection, UnusualLockError, UvLock, read_uv_lock
from lamina.errors import ConfigError

PYPROJECT = "pyproject.toml"
_ASIDE = frozenset(
    {"tests", "test", "docs", "doc", "scripts", "examples", "build", "dist", "node_modules", "venv", "infra"}
)
_NOT_CODE = re.compile(r"(?:test_.*|.*_test|setup|conftest|noxfile|tasks|fabfile)\.py")
_NAMES = ("lambda_handler", "handler")
_MODULES = ("lambda_function", "handler", "app", "main", "index")
_DEFINES = re.compile(rb"^(?:async )?def (?:lambda_)?handler\(", re.MULTILINE)
_EVENT_AND_CONTEXT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedCode:
    """Files or one folder of a member, and where they belong below the task root. Both end as COPY needs."""

    sources: tuple[str, ...]
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a workspace. folder: relative to the workspace. handler: ``module.function``."""

    name: str
    folder: str
    code: tuple[CopiedCode, ...]
    handler: str | None


@dataclass(frozen=True, kw_only=True)
class UvWorkspace:
    """A workspace. root: its folder."""

    root: Path
    lock: UvLock

    @cached_property
    def members(self) -> Mapping[str, Member]:
        """The members by their normalised names."""
        folders = self.lock.folders
        names = self.lock.members or frozenset(folders)
        return {name: _member(self.root, name, folders[name]) for name in sorted(names & folders.keys())}

    def closure(self, name: str) -> tuple[Member, ...]:
        """Return the members that a member requires, by name, and then itself. Raises ConfigError."""
        needed = self.lock.local_closure(Selection(members=frozenset({name}), groups="none"))
        others = tuple(self.members[each] for each in sorted(needed) if each in self.members and each != name)
        return (*others, self.members[name])


def read_workspace(root: Path) -> UvWorkspace | None:
    """Read the workspace of a folder; None if there is none. Raises ConfigError if it has no usable lock."""
    if not isinstance(_table(root / PYPROJECT, "tool", "uv", "workspace"), dict):
        return None
    try:
        lock = read_uv_lock((root / UV_LOCK).read_text("utf-8"))
        return UvWorkspace(root=root, lock=lock)
    except FileNotFoundError:
        raise ConfigError.of("the workspace has no lock", where=UV_LOCK, hint="run uv lock") from None
    except (OSError, UnicodeDecodeError, UnusualLockError):
        raise ConfigError.of(
            "cannot be read as a lock of uv",
            where=UV_LOCK,
            hint="run uv lock; git may have changed line ends",
        ) from None


def _table(file: Path, *keys: str) -> Any:
    """Return a table of a TOML file; None if there is none, or the file cannot be read."""
    try:
        found: Any = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _member(root: Path, name: str, folder: str) -> Member:
    place = root / folder
    packages = tuple(_packages(place, folder))
    modules = tuple(sorted(file.name for file in place.glob("*.py") if not _NOT_CODE.fullmatch(file.name)))
    code = [CopiedCode(sources=(f"{path}/",), target=f"{posixpath.basename(path)}/") for path in packages]
    if modules and folder != ".":
        code.append(CopiedCode(sources=tuple(posixpath.join(folder, each) for each in modules), target=""))
    return Member(
        name=name, folder=folder, code=tuple(code), handler=_handler(place, modules, packages, root)
    )


def _packages(place: Path, folder: str) -> Iterator[str]:
    """Yield the packages of a member: as its build backend is told, else as backends find them."""
    named = _table(place / PYPROJECT, "tool", "hatch", "build", "targets", "wheel", "packages")
    if isinstance(named, list):
        yield from (posixpath.join(folder, str(each).strip("/")) for each in named)
        return
    base = "src" if (place / "src").is_dir() else ""
    module_root = _table(place / PYPROJECT, "tool", "uv", "build-backend", "module-root")
    base = module_root if isinstance(module_root, str) else base
    for each in sorted((place / base).iterdir()) if (place / base).is_dir() else ():
        if each.is_dir() and each.name not in _ASIDE and (each / "__init__.py").is_file():
            yield posixpath.normpath(posixpath.join(folder, base, each.name))


def _handler(place: Path, modules: tuple[str, ...], packages: tuple[str, ...], root: Path) -> str | None:
    """Return the handler of a member, if it is certain which one."""
    found = list(_handlers_in(place, modules, ""))
    for package in packages if not found else ():
        folder = root / package
        files = tuple(sorted(file.name for file in folder.glob("*.py")))
        found += _handlers_in(folder, files, f"{folder.name}.")
    usual = [each for each in found if each.rpartition(".")[0].rpartition(".")[2] in _MODULES]
    chosen = found if len(found) == 1 else usual
    return chosen[0] if len(chosen) == 1 else None


def _handlers_in(folder: Path, files: tuple[str, ...], prefix: str) -> Iterator[str]:
    for name in files:
        try:
            content = (folder / name).read_bytes()
            tree = ast.parse(content) if _DEFINES.search(content) else None
        except (OSError, SyntaxError, ValueError):
            continue
        functions = {
            each.name
            for each in (tree.body if tree else ())
            if isinstance(each, ast.FunctionDef) and _takes_event(each)
        }
        function = next((each for each in _NAMES if each in functions), None)
        if function:
            module = f"{prefix}{name.removesuffix('.py')}".removesuffix(".__init__")
            yield f"{module}.{function}"


def _takes_event(function: ast.FunctionDef) -> bool:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) == _EVENT_AND_CONTEXT
