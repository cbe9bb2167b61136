"""The configuration as written: ``[tool.lamina]`` of pyproject.toml, or lamina.toml with the same tables.

Each key has a line, and problems found while reading are collected.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from lamina.errors import ConfigError, Problem, meant
from lamina.values import dataclass

PYPROJECT = "pyproject.toml"
LAMINA_TOML = "lamina.toml"
"""The configuration of a project without a pyproject.toml. Its tables are not below ``tool.lamina``."""
TYPES: Mapping[type, str] = {
    str: "a string",
    int: "a whole number, 0 or more",
    bool: "true or false",
    list: "an array",
    dict: "a table",
}
"""TOML's names for the types of keys."""
Entries: TypeAlias = Mapping[str, Any]
"""Entries of a table. `Document.known` checked that each value is of the type of its `Key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a table, for its reader and for the JSON schema.

    Attributes:
        kind: The type of its value in TOML.
        choices: All texts it may hold; empty if others are possible.
        pattern: A regular expression that the whole text matches.
        least: The least number; `most` the greatest.
        table: The keys of the table it holds; None if users name them.
        names: As `pattern`, for the keys that users name.
        values: The kinds of values in its array, or in its table if users name the keys.
    """

    kind: type
    help: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    least: int | None = None
    most: int | None = None
    table: Mapping[str, Key] | None = None
    names: str = ""
    values: tuple[Key, ...] = ()


TEXTS = (Key(kind=str), Key(kind=int), Key(kind=bool))
"""The values of a table that `Document.strings` reads."""


class Document:
    """Reads the configuration file and collects the problems that its readers find."""

    def __init__(self, root: Path, text: str | None = None) -> None:
        """Read the table from the configuration file under ``root``, or from ``text`` when it is given.

        Raises ConfigError if it cannot be read, or if there are two.
        """
        self._text = ""
        self._file = config_file(root, new=text is not None)
        self._prefix = () if self._file == LAMINA_TOML else ("tool", "lamina")
        self.problems: list[Problem] = []
        if self._file == LAMINA_TOML and has_table(root / PYPROJECT):
            raise ConfigError.of(
                f"two configurations: {LAMINA_TOML}, and tool.lamina in {PYPROJECT}",
                where=LAMINA_TOML,
                allowed="one of them",
                hint=f"move the tables of one to the other; in {LAMINA_TOML} they have no tool.lamina",
            )
        self._overlay: tuple[str, ...] = ()
        """The table that `overlay` put in place of the document's own entries."""
        self.table = self._read(root / self._file, text)
        self._lines = dict(reversed([*_lines(self._text)]))
        """Dotted key or table -> its first line."""

    def _read(self, file: Path, text: str | None) -> Entries:
        try:
            self._text = file.read_text("utf-8") if text is None else text
            table = tomllib.loads(self._text)
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError.of(f"cannot be read: {error}", where=self._file) from None
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            where = f"{self._file}:{found.group(1)}" if found else self._file
            raise ConfigError.of(f"not valid TOML: {error}", where=where) from None
        if self._file == LAMINA_TOML:
            if "tool" in table:
                raise ConfigError.of(
                    f"tool.lamina in {LAMINA_TOML}",
                    where=LAMINA_TOML,
                    hint="write its tables without tool.lamina: [images.<name>]",
                )
            return table
        table = table.get("tool", {}).get("lamina", {})
        if not isinstance(table, dict):
            raise ConfigError.of("[tool.lamina] is not a table", where=self._file)
        return table

    def problem(self, what: str, *, where: str, allowed: str | None = None, hint: str | None = None) -> None:
        """Record a problem and continue."""
        self.problems.append(Problem(what=what, where=where, allowed=allowed, hint=hint))

    def overlay(self, table: Entries, *path: str) -> None:
        """Put the entries of a table at a path in place of the document's own; tables are merged."""
        self._overlay = path
        self.table = _merged(self.table, table)

    def check(self) -> None:
        """Raise ConfigError with all problems recorded so far, if any."""
        ConfigError.check(self.problems)

    def where(self, *keys: str) -> str:
        """Return ``pyproject.toml:line`` of a key below [tool.lamina], or of its nearest table."""
        own, over = self._nearest(*keys), self._nearest(*self._overlay, *keys)
        shared = len(self._overlay)
        path = over if shared and len(over) - shared >= max(len(own), len(self._prefix) + 1) else own
        return f"{self._file}:{self._lines.get(path, 1)}"

    def _nearest(self, *keys: str) -> tuple[str, ...]:
        """Return the path of a key, or of its nearest table."""
        path = (*self._prefix, *keys)
        above = (path[:length] for length in range(len(path), 0, -1))
        return next((each for each in above if each in self._lines), ())

    def known(self, table: object, allowed: Mapping[str, Key], *path: str) -> Entries:
        """Return the entries with a known key and the right type. Record a problem for each other entry."""
        if not isinstance(table, dict):
            self.problem(f"{self._dotted(*path)} must be a table", where=self.where(*path))
            return {}
        good = {}
        for key, value in table.items():
            where = self.where(*path, key)
            if key not in allowed:
                self.problem(
                    f"unknown key {self._dotted(*path, key)}{meant(key, allowed)}",
                    where=where,
                    allowed=", ".join(sorted(allowed)),
                )
            elif not _is_a(allowed[key].kind, value):
                self.problem(
                    f"{self._dotted(*path, key)} is {value!r}", where=where, allowed=TYPES[allowed[key].kind]
                )
            else:
                good[key] = value
        return good

    def strings(self, table: Entries, *path: str) -> dict[str, str]:
        """Return a table of strings. Whole numbers and booleans become strings as TOML writes them."""
        result: dict[str, str] = {}
        for key, value in table.items():
            where = self.where(*path, key)
            if isinstance(value, (dict, list)):
                self.problem(f"{self._dotted(*path, key)} must be a string", where=where)
            elif isinstance(value, float):  # 3.10 would become 3.1
                self.problem(f"{self._dotted(*path, key)} is a decimal number", where=where, hint="quote it")
            else:
                result[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return result

    def _dotted(self, *path: str) -> str:
        return ".".join((*self._prefix, *(part if part.isprintable() else repr(part) for part in path)))


def config_file(root: Path, *, new: bool = False) -> str:
    """Return the name of the file that has, or would have, the configuration of a project.

    Args:
        new: whether it is to be written: without a pyproject.toml none is made.
    """
    own = (root / LAMINA_TOML).is_file() or (new and not (root / PYPROJECT).is_file())
    return LAMINA_TOML if own else PYPROJECT


def has_table(file: Path) -> bool:
    """Whether a pyproject.toml has ``[tool.lamina]``, as far as its text tells."""
    return file.is_file() and "[tool.lamina" in file.read_text("utf-8", errors="replace")


def _merged(own: Entries, over: Entries) -> Entries:
    both = {
        name: _merged(own[name], value) for name, value in over.items() if _are_tables(own.get(name), value)
    }
    return {**own, **over, **both}


def _are_tables(*values: object) -> bool:
    return all(isinstance(each, dict) for each in values)


def _is_a(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield each table and dotted key of a TOML text, with its line."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if header := re.match(r"\[\[?([^\[\]]+)\]\]?", stripped):
            table = tuple(part.strip().strip("\"'") for part in header.group(1).split("."))
            yield table, number
        elif assigned := re.match(r"([\w.\"'-]+)\s*=", stripped):
            yield (*table, *(part.strip("\"'") for part in assigned.group(1).split("."))), number
