"""The ``[tool.lamina]`` table as written, the line of each key, and the problems found while reading."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lamina.errors import ConfigError, Problem, meant

CONFIG_FILE = "pyproject.toml"
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
        """Read the table from the configuration file under ``root``, or from ``text`` when it is given."""
        self._text = ""
        self.problems: list[Problem] = []
        self.table = self._read(root / CONFIG_FILE, text)
        self._lines = dict(reversed([*_lines(self._text)]))
        """Dotted key or table -> its first line."""

    def _read(self, file: Path, text: str | None) -> Entries:
        try:
            self._text = file.read_text("utf-8") if text is None else text
            table = tomllib.loads(self._text).get("tool", {}).get("lamina", {})
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError.of(f"cannot be read: {error}", where=CONFIG_FILE) from None
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            where = f"{CONFIG_FILE}:{found.group(1)}" if found else CONFIG_FILE
            raise ConfigError.of(f"not valid TOML: {error}", where=where) from None
        if not isinstance(table, dict):
            raise ConfigError.of("[tool.lamina] is not a table", where=CONFIG_FILE)
        return table

    def problem(self, what: str, *, where: str, allowed: str | None = None, hint: str | None = None) -> None:
        """Record a problem and continue."""
        self.problems.append(Problem(what=what, where=where, allowed=allowed, hint=hint))

    def check(self) -> None:
        """Raise ConfigError with all problems recorded so far, if any."""
        ConfigError.check(self.problems)

    def where(self, *keys: str) -> str:
        """Return ``pyproject.toml:line`` of a key below [tool.lamina], or of its nearest table."""
        path = ("tool", "lamina", *keys)
        above = (path[:length] for length in range(len(path), 0, -1))
        return f"{CONFIG_FILE}:{next((self._lines[each] for each in above if each in self._lines), 1)}"

    def known(self, table: object, allowed: Mapping[str, Key], *path: str) -> Entries:
        """Return the entries with a known key and the right type. Record a problem for each other entry."""
        if not isinstance(table, dict):
            self.problem(f"{_dotted(*path)} must be a table", where=self.where(*path))
            return {}
        good = {}
        for key, value in table.items():
            where = self.where(*path, key)
            if key not in allowed:
                self.problem(
                    f"unknown key {_dotted(*path, key)}{meant(key, allowed)}",
                    where=where,
                    allowed=", ".join(sorted(allowed)),
                )
            elif not _is_a(allowed[key].kind, value):
                self.problem(
                    f"{_dotted(*path, key)} is {value!r}", where=where, allowed=TYPES[allowed[key].kind]
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
                self.problem(f"{_dotted(*path, key)} must be a string", where=where)
            elif isinstance(value, float):  # 3.10 would become 3.1
                self.problem(f"{_dotted(*path, key)} is a decimal number", where=where, hint="quote it")
            else:
                result[key] = str(value).lower() if isinstance(value, bool) else str(value)
        return result


def _is_a(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _dotted(*path: str) -> str:
    return ".".join(("tool", "lamina", *(part if part.isprintable() else repr(part) for part in path)))


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
