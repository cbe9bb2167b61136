"""Read ``uv.lock``: what it pins for some members of a workspace, and an excerpt with that alone.

uv has resolved everything; only the edges that it wrote are followed. The excerpt consists of lines of the
lock and is checked by parsing it. A lock that uv would not write like this has no excerpt.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

from lamina.patterns import regex
from lamina.values import dataclass

Groups = Literal["none", "all but dev", "all", "all, and of the root"]
"""Dependency groups of the installed members. A group that is asked for by name may be one of the root."""
_ORDER: tuple[Groups, ...] = ("none", "all but dev", "all", "all, and of the root")
_PACKAGE = regex(r"^\[\[package\]\]\n", re.MULTILINE)
_SECTION = regex(r"^(?=\[package\.)", re.MULTILINE)
_NAME = regex(r'name = "([^"\\]+)"\n')
_LOCAL = regex(r'^source = \{ (?:editable|virtual|directory) = "([^"\\]+)" \}\n', re.MULTILINE)
_ARTIFACTS = regex(r"^(?:sdist = \{ .* \}|    \{ (?:url|path|filename) = .* \},)\n", re.MULTILINE)
"""The long lines: archives with their hashes. No edge is in them."""
_FILE = regex(r'(?:url|path|filename) = "(?:[^"]*/)?([^"/#]+)')
_SIZE = regex(_FILE.pattern + r".*\bsize = (\d+)")
_MEMBERS = regex(r'^members = \[\n(?:    "[^"\\]+",\n)*\]\n', re.MULTILINE)
_TOP = 2_000
"""Characters at the beginning of a package, which have its version and source."""
_KEY = regex(r'^(?:"([^"\\]+)"|([\w-]+)) = \[(?:\n(?:    .*\n)*\]|.*\])\n', re.MULTILINE)
_VERSION = regex(r'^version = "(.*)"\n', re.MULTILINE)
_DIRECT = regex(r'^source = \{ (?:git|url|path) = "([^"\\]+)"', re.MULTILINE)
_HEADER = {
    *("version", "revision", "requires-python", "resolution-markers", "supported-markers"),
    *("required-markers", "options", "manifest"),
}
_MANIFEST = {"members", "constraints", "overrides", "excludes", "build-constraints", "dependency-metadata"}
"""Other tables, such as groups of a workspace without a project, may be installed with any member."""


class UnusualLockError(Exception):
    """A lock from which no excerpt can be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a step may install from a lock. It may be more than it does install, and is never less.

    Attributes:
        members: Their names; empty: the project beside the lock.
        extras: Whether their extras count.
        folders: Members whose project files the step may see, relative to the lock. uv insists that the lock
            has them.
    """

    members: frozenset[str] = frozenset()
    groups: Groups = "all"
    extras: bool = False
    folders: frozenset[str] = frozenset()

    @property
    def how(self) -> str:
        """A text that is equal for equal selections, in every process."""
        return repr((sorted(self.members), self.groups, self.extras, sorted(self.folders)))

    def plus(self, other: Selection) -> Selection:
        """Return a selection for both."""
        return Selection(
            members=self.members | other.members,
            groups=max(self.groups, other.groups, key=_ORDER.index),
            extras=self.extras or other.extras,
            folders=self.folders | other.folders,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """A package of a lock. folder: of a local project, relative to the lock. data: without archives."""

    name: str
    text: str
    folder: str | None
    data: Mapping[str, Any]


@dataclass(slots=True)
class _Reached:
    """What of a package is needed. edges: False if it only has to be named."""

    extras: set[str]
    edges: bool = True


class UvLock:
    """A lock of uv. Raises UnusualLockError, as its methods do, if it has another form than uv gives it."""

    def __init__(self, text: str) -> None:
        self._header, *blocks = _PACKAGE.split(text)
        self._blocks: list[str] = blocks
        self._named: dict[str, list[int]] = {}
        self._folders: dict[int, str] = {}
        for index, block in enumerate(blocks):
            name = _NAME.match(block)
            if name is None:
                raise UnusualLockError
            self._named.setdefault(name[1], []).append(index)
            if local := _LOCAL.search(block, 0, _TOP):
                self._folders[index] = local[1]
        self._packages: dict[int, _Package] = {}
        self._leads: dict[tuple[int, str | None], tuple[tuple[int, str | None], ...]] = {}
        """Package and extra -> the packages and extras that its edges lead to."""
        header = _parsed(self._header)
        if header.get("version") != 1 or not header.keys() <= _HEADER:
            raise UnusualLockError
        if not header.get("manifest", {}).keys() <= _MANIFEST:
            raise UnusualLockError
        self.members = frozenset(header.get("manifest", {}).get("members", ()))
        """Names of the members of a workspace; empty for a single project."""

    @property
    def folders(self) -> Mapping[str, str]:
        """Local projects: name -> folder relative to the lock."""
        return {self._package(index).name: folder for index, folder in self._folders.items()}

    def is_package(self, name: str) -> bool:
        """Whether a local project is a package that can be installed, and not only a list of requirements."""
        found = [self._package(index) for index in self._named.get(name, ()) if index in self._folders]
        return any("virtual" not in each.data["source"] for each in found)

    def excerpt(self, selection: Selection) -> str:
        """Return a lock from which uv installs the same for a selection."""
        reached = self._reach(selection)
        for index, folder in self._folders.items():
            if index not in reached and folder in {".", *selection.folders}:
                reached[index] = _Reached(extras=set(), edges=False)
        owners = self._group_owners(selection)
        blocks = (
            self._block(index, reached[index], selection.groups if index in owners else "none")
            for index in sorted(reached)
        )
        names = {self._package(index).name for index in reached}
        return self._header_for(self.members & names) + "\n".join(f"[[package]]\n{each}" for each in blocks)

    def pinned(self, selection: Selection) -> tuple[str, ...]:
        """Return what a selection installs from elsewhere, as requirements: ``boto3==1.34.0``."""
        return self._requirements(self._reach(selection))

    def archives(self, selection: Selection | None) -> Mapping[str, tuple[str, ...]]:
        """Return the archives of what a selection installs from elsewhere: ``boto3==1.34.0`` -> file names.

        None selects all.
        Packages with several versions, for several platforms, are left out.
        """
        reached = range(len(self._blocks)) if selection is None else self._reach(selection)
        found = (each for each in reached if each not in self._folders)
        return {
            f"{self._package(index).name}{_pin(self._blocks[index])}": tuple(
                _FILE.findall("".join(_ARTIFACTS.findall(self._blocks[index])))
            )
            for index in found
            if len(self._named[self._package(index).name]) == 1
        }

    def sizes(self, selection: Selection) -> Mapping[str, Mapping[str, int]]:
        """Return what `archives` does, each archive with its bytes; those of an unknown size are left out."""
        found: dict[str, dict[str, int]] = {}
        for index in self._reach(selection):
            if index not in self._folders:
                pin = f"{self._package(index).name}{_pin(self._blocks[index])}"
                text = "".join(_ARTIFACTS.findall(self._blocks[index]))
                found[pin] = {name: int(size) for name, size in _SIZE.findall(text)}
        return found

    def without_markers(self, selection: Selection) -> frozenset[str]:
        """Return the names that a selection installs on every system: no edge to them has a marker."""
        found: set[int] = set()
        todo = list(self._roots(selection))
        while todo:
            if (index := todo.pop()) not in found:
                found.add(index)
                edges = self._package(index).data.get("dependencies", ())
                todo += (end for end, extra in self._ends(each for each in edges if "marker" not in each))
        return frozenset(self._package(index).name for index in found)

    def all_pinned(self) -> tuple[str, ...]:
        """Return everything that the lock pins from elsewhere, as requirements."""
        return self._requirements(range(len(self._blocks)))

    def local_closure(self, selection: Selection) -> Mapping[str, str]:
        """Return the local projects that a selection needs: name -> folder relative to the lock."""
        found = (self._package(index) for index in sorted(self._reach(selection)))
        return {each.name: each.folder for each in found if each.folder is not None}

    def _requirements(self, indices: Iterable[int]) -> tuple[str, ...]:
        """Return one requirement for each name that is not local. Several versions: for several platforms."""
        chosen = set(indices) - self._folders.keys()
        pins = {
            name: sorted(_pin(self._blocks[index]) for index in found if index in chosen)
            for name, found in sorted(self._named.items())
        }
        return tuple(f"{name}{' or '.join(found)}" for name, found in pins.items() if found)

    def _roots(self, selection: Selection) -> list[int]:
        if not selection.members:
            roots = [index for index, folder in self._folders.items() if folder == "."]
            if len(roots) != 1:
                raise UnusualLockError
            return roots
        roots = [index for name in sorted(selection.members) for index in self._named.get(name, ())]
        if len(roots) != len(selection.members) or not self._folders.keys() >= set(roots):
            raise UnusualLockError
        return roots

    def _group_owners(self, selection: Selection) -> set[int]:
        """Return the packages whose dependency groups may be installed."""
        owners = set(self._roots(selection))
        if selection.groups == "all, and of the root":
            owners |= {index for index, folder in self._folders.items() if folder == "."}
        return owners

    def _reach(self, selection: Selection) -> dict[int, _Reached]:
        """Return everything that the edges from a selection lead to, and the extras of it that they name."""
        reached: dict[int, _Reached] = {}
        todo: list[tuple[int, str | None]] = []
        for root in self._roots(selection):
            package = self._package(root)
            reached[root] = _Reached(extras=set())
            todo.append((root, None))
            if selection.extras:
                todo += ((root, extra) for extra in package.data.get("optional-dependencies", {}))
        for owner in self._group_owners(selection):
            for group, edges in self._package(owner).data.get("dev-dependencies", {}).items():
                if _counts(group, selection.groups):
                    todo += self._ends(edges)
        done: set[tuple[int, str | None]] = set()
        while todo:
            step = todo.pop()
            if step in done:
                continue
            done.add(step)
            index, extra = step
            found = reached.setdefault(index, _Reached(extras=set()))
            if extra is not None and extra in self._package(index).data.get("optional-dependencies", {}):
                found.extras.add(extra)
            todo += self._next(step)
        return reached

    def _next(self, step: tuple[int, str | None]) -> tuple[tuple[int, str | None], ...]:
        if step not in self._leads:
            index, extra = step
            data = self._package(index).data
            table = data if extra is None else data.get("optional-dependencies", {})
            self._leads[step] = tuple(self._ends(table.get("dependencies" if extra is None else extra, ())))
        return self._leads[step]

    def _ends(self, edges: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str | None]]:
        """Yield the package of each edge, and then each of its extras that the edge names."""
        for edge in edges:
            ends = [
                index
                for index in self._named.get(edge["name"], ())
                if _agrees(edge, self._package(index).data)
            ]
            if not ends:
                raise UnusualLockError
            for index in ends:
                yield index, None
                yield from ((index, extra) for extra in edge.get("extra", ()))

    def _package(self, index: int) -> _Package:
        if index not in self._packages:
            text = self._blocks[index].rstrip("\n") + "\n"
            data = _parsed_package(text)
            self._packages[index] = _Package(
                name=str(data["name"]), text=text, folder=self._folders.get(index), data=data
            )
        return self._packages[index]

    def _header_for(self, members: Iterable[str]) -> str:
        if not self.members:
            return self._header
        lines = "".join(f'    "{name}",\n' for name in sorted(members))
        header, count = _MEMBERS.subn(f"members = [\n{lines}]\n", self._header)
        if count != 1 or set(_parsed(header)["manifest"]["members"]) != set(members):
            raise UnusualLockError
        return header

    def _block(self, index: int, reached: _Reached, groups: Groups) -> str:
        """Return the text of a package with the needed edges only. A local one has no version in it."""
        package = self._package(index)
        if package.folder is None and "optional-dependencies" not in package.data:
            return package.text
        local = package.folder is not None and len(self._named[package.name]) == 1
        expected = {key: value for key, value in package.data.items() if not (local and key == "version")}
        main, *sections = _SECTION.split(package.text)
        if local:
            main = _VERSION.sub("", main, count=1)
        if not reached.edges:
            main = _only_named(main)
            expected = {
                key: expected[key] for key in ("name", "source", "dev-dependencies") if key in expected
            }
        kept = [main.rstrip("\n") + "\n"]
        for section in sections:
            table = section.partition("\n")[0].removeprefix("[package.").removesuffix("]")
            if table == "optional-dependencies" and reached.edges:
                kept += _filtered(section, reached.extras, expected, table)
            elif table == "dev-dependencies":
                chosen = {each for each in expected[table] if _counts(each, groups)}
                kept += _filtered(section, chosen, expected, table)
            elif not local:
                kept.append(section.rstrip("\n") + "\n")
        if local:
            expected.pop("metadata", None)
        text = "\n".join(kept)
        if text != package.text and _parsed_package(text) != expected:
            raise UnusualLockError
        return text


def _agrees(edge: Mapping[str, Any], package: Mapping[str, Any]) -> bool:
    """Whether an edge leads to a package: it has a version and a source only if its name is not unique."""
    return all(edge[key] == package.get(key) for key in ("version", "source") if key in edge)


def _counts(group: str, groups: Groups) -> bool:
    return groups != "none" and (groups != "all but dev" or group != "dev")


def _only_named(main: str) -> str:
    name, source = _NAME.match(main), _LOCAL.search(main)
    if name is None or source is None:
        raise UnusualLockError
    return name.group() + source.group()


def _filtered(section: str, chosen: set[str], expected: dict[str, Any], table: str) -> list[str]:
    """Return a table with the chosen keys only, and note that; none without any."""
    expected[table] = {key: value for key, value in expected[table].items() if key in chosen}
    if not expected[table]:
        del expected[table]
        return []
    lines = (each.group() for each in _KEY.finditer(section) if (each[1] or each[2]) in chosen)
    return [f"[package.{table}]\n{''.join(lines)}"]


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise UnusualLockError from None


def _parsed_package(text: str) -> dict[str, Any]:
    """Return a package's table without its archives, which take most of the time to parse."""
    parsed = _parsed("[[package]]\n" + _ARTIFACTS.sub("", text))
    if parsed.keys() != {"package"} or len(parsed["package"]) != 1:
        raise UnusualLockError
    found: dict[str, Any] = parsed["package"][0]
    return found


def _pin(block: str) -> str:
    direct, version = _DIRECT.search(block, 0, _TOP), _VERSION.search(block, 0, _TOP)
    return f" @ {direct[1]}" if direct else f"=={version[1] if version else '?'}"


@lru_cache(maxsize=8)
def read_uv_lock(text: str) -> UvLock:
    """Read a lock, each text once. Raises UnusualLockError."""
    return UvLock(text)
