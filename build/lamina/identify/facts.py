"""A cache of what Python sources import and define: facts of their bytes, kept by content for all commands.

A plan needs most sources only for what they may import, which a search finds; the few that decide a finding
are parsed. Neither is done twice for the same content.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from lamina.files import write_atomic
from lamina.identify.modules import Branch, Guarded, Import, Module, Need, every_import, read_module
from lamina.identify.opened import Opened
from lamina.identify.scan import Mention, Scanned, UnusualError, is_notable, names_files, scan
from lamina.identify.traits import Trait

SCHEMA = 3
"""A new one is needed when the same bytes give other facts."""
_MOST = 200_000
"""Sources. Up to this number, those that were not requested stay in the cache for other commands."""

_Row: TypeAlias = list[Any]
"""Facts in JSON. Values have their place and not a name, since there are a hundred thousand."""
Load = Callable[[], bytes]


class Facts:
    """What sources import and define, by the sha256 of their content. A damaged file counts as empty.

    Args:
        file: The cache file; None disables saving.

    Attributes:
        read: How often a source was searched or parsed, by its digest.
        moved: Whether a source changed after its digest was taken. Nothing is kept about it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._before: Mapping[str, _Row] = _read(file) if file else {}
        self._now: dict[str, _Row] = {}
        """Digest -> what a search found, and the module; null: not needed so far, []: it is not Python."""
        self._scanned: dict[str, Scanned] = {}
        self._modules: dict[str, Module | None] = {}
        self.read: dict[str, int] = {}
        self.moved = False

    def scanned(self, sha256: str, load: Load) -> Scanned:
        """Return all imports that a source may have; it may have fewer. Empty if it cannot be read."""
        if sha256 not in self._scanned:
            known = self._known(sha256)[0]
            self._scanned[sha256] = self._scan(sha256, load) if known is None else _scanned(known)
        return self._scanned[sha256]

    def module(self, sha256: str, load: Load) -> Module | None:
        """Return a parsed source; None if it cannot be read or is not Python of this version."""
        if sha256 not in self._modules:
            known = self._known(sha256)[1]
            self._modules[sha256] = self._parse(sha256, load) if known is None else _module(known)
        return self._modules[sha256]

    def save(self) -> None:
        """Write new facts for the next command. If the disk refuses, only speed is lost."""
        if self._file is None or not self.read:
            return
        facts = {**self._before, **self._now}
        try:
            write_atomic(self._file, render(facts if len(facts) < _MOST else self._now))
        except OSError:
            return

    def _known(self, sha256: str) -> _Row:
        if sha256 not in self._now:
            self._now[sha256] = self._before.get(sha256, [None, None])
        return self._now[sha256]

    def _scan(self, sha256: str, load: Load) -> Scanned:
        try:
            found = scan(source := load())
        except UnusualError:
            module = self.module(sha256, lambda: source)
            imports = every_import(module.needs) if module is not None else ()
            found = Scanned(tuple(_mentioned(imports)), names_files(source), is_notable(source))
        except OSError:
            return Scanned()
        self._learn(sha256, source, 0, found)
        return found

    def _parse(self, sha256: str, load: Load) -> Module | None:
        try:
            module = read_module(source := load())
        except OSError:
            return None
        self._learn(sha256, source, 1, [] if module is None else _encoded(module))
        return module

    def _learn(self, sha256: str, source: bytes, index: int, fact: object) -> None:
        if hashlib.sha256(source).hexdigest() != sha256:
            self.moved = True
            return
        known = list(self._known(sha256))
        known[index] = fact
        self._now[sha256] = known
        self.read[sha256] = self.read.get(sha256, 0) + 1


def render(facts: Mapping[str, _Row]) -> bytes:
    """Return the content of a cache file: a line that proves the rest, and the facts by digest."""
    body = json.dumps(facts, separators=(",", ":")).encode("ascii")
    return _proof(body) + b"\n" + body


def _proof(body: bytes) -> bytes:
    """Return the schema and the Python version that parsed, which decide what facts mean, and a checksum."""
    version = "{}.{}".format(*sys.version_info)
    return f"{SCHEMA} {version} {hashlib.sha256(body).hexdigest()}".encode("ascii")


def _read(file: Path) -> Mapping[str, _Row]:
    try:
        proof, _, body = file.read_bytes().partition(b"\n")
    except OSError:
        return {}
    facts: Mapping[str, _Row] = json.loads(body) if proof == _proof(body) else {}
    return facts


# Facts as JSON. Import: [line, level, module, names]. Branch: {"if": needs}. Guarded: {"try": …, "else": …}


def _mentioned(imports: Iterable[Import]) -> Iterator[Mention]:
    for each in imports:
        if each.level or each.module.partition(".")[0] not in sys.stdlib_module_names:
            yield Mention(each.level, each.module, each.names)


def _scanned(row: _Row) -> Scanned:
    imports, opens, notable = row
    return Scanned(
        tuple(Mention(level, module, tuple(names)) for level, module, names in imports), opens, notable
    )


def _encoded(module: Module) -> _Row:
    return [
        _rows(module.needs),
        sorted(module.names),
        module.functions,
        {name: _rows(needs) for name, needs in module.handlers.items()},
        module.dynamic,
        [[each.line, each.package, each.parts] for each in module.opened],
        [list(each) for each in module.traits],
    ]


def _module(fact: _Row) -> Module | None:
    if not fact:
        return None
    needs, names, functions, handlers, dynamic, opened, traits = fact
    return Module(
        needs=_needs(needs),
        names=frozenset(names),
        functions=tuple(functions),
        handlers={name: _needs(rows) for name, rows in handlers.items()},
        dynamic=dynamic,
        opened=tuple(
            Opened(line=line, package=package, parts=tuple(parts)) for line, package, parts in opened
        ),
        traits=tuple(Trait(*each) for each in traits),
    )


def _rows(needs: Iterable[Need]) -> _Row:
    rows: _Row = []
    for need in needs:
        if isinstance(need, Import):
            rows.append([need.line, need.level, need.module, need.names])
        elif isinstance(need, Branch):
            rows.append({"if": _rows(need.needs)})
        else:
            instead = None if need.instead is None else _rows(need.instead)
            rows.append({"try": _rows(need.needs), "else": instead})
    return rows


def _needs(rows: _Row) -> tuple[Need, ...]:
    return tuple(map(_need, rows))


def _need(row: Any) -> Need:
    if isinstance(row, list):
        line, level, module, names = row
        return Import(line=line, level=level, module=module, names=tuple(names))
    if "if" in row:
        return Branch(needs=_needs(row["if"]))
    return Guarded(needs=_needs(row["try"]), instead=None if row["else"] is None else _needs(row["else"]))
