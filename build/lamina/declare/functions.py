"""The Lambda functions that an image is for: ``functions`` of ``[tool.lamina.images.<name>]``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lamina.declare.document import Document

_KEYS: Mapping[str, type] = {"name": str, "command": list}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ARN = re.compile(
    r"arn:(?P<partition>[a-z-]+):lambda:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):function:"
    r"(?P<name>[A-Za-z0-9_-]{1,64})"
)
_ALLOWED = (
    'a name, an ARN without version, or { name = "<name or ARN>", command = ["module.handler"] }; '
    "of a name: up to 64 letters, digits, '-', '_'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that runs an image.

    name: its name. arn: where it was declared by one, for another region or account than the caller's.
    command: what it runs instead of the image's CMD; empty for the image's own.
    """

    name: str
    arn: str | None = None
    command: tuple[str, ...] = ()

    @property
    def region(self) -> str | None:
        """The region it is in; None where AWS' own configuration says so."""
        return self.arn.split(":")[3] if self.arn else None

    def __str__(self) -> str:
        return self.arn or self.name


def read_functions(given: Any, document: Document, image: str) -> Iterator[Function]:
    """Those of an image, in order. Faults go to the document."""
    seen: set[str] = set()
    where = document.where("images", image, "functions")
    for item in given:
        if not isinstance(item, (str, dict)):
            document.problem(f"{item!r} is no Lambda function", where=where, allowed=_ALLOWED)
            continue
        table = {"name": item} if isinstance(item, str) else item
        entry = document.known(table, _KEYS, "images", image, "functions")
        name = entry.get("name", "")
        arn = _ARN.fullmatch(name)
        if not arn and not _NAME.fullmatch(name):
            document.problem(f"{name!r} is no Lambda function", where=where, allowed=_ALLOWED)
        elif name in seen:
            document.problem(f"the function {name} is named twice", where=where)
        else:
            seen.add(name)
            yield Function(
                name=arn["name"] if arn else name,
                arn=name if arn else None,
                command=tuple(str(word) for word in entry.get("command", ())),
            )
