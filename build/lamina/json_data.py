"""JSON values, and reading one whose shape is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
JsonTable: TypeAlias = Mapping[str, Json]
JsonDocument: TypeAlias = dict[str, Json]
"""A table that is being written."""


def as_table(value: Json) -> JsonTable:
    """Return a table; an empty one for any other value."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Json) -> Sequence[Json]:
    """Return a list; an empty one for any other value."""
    return value if isinstance(value, (list, tuple)) else ()


def as_texts(value: Json) -> tuple[str, ...]:
    """Return the items of a list as texts; none for any other value."""
    return tuple(map(str, as_list(value)))
