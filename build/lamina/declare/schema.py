"""The JSON schema of ``[tool.lamina]`` and lamina.toml, for editors and checks, made from the declared keys.

``python -m lamina.declare.schema`` prints it; ``lamina/lamina.schema.json`` is what it printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from lamina.declare.config import KEYS
from lamina.declare.document import Key
from lamina.declare.settings import SETTINGS

SCHEMA_FILE = Path(__file__).parents[1] / "lamina.schema.json"
_TYPES = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
Schema = dict[str, object]


def make_schema() -> Schema:
    """Return the schema of the table."""
    made = _of(Key(kind=dict, table=KEYS))
    properties = {name: _of(key) for name, key in KEYS.items()}
    for name, setting in SETTINGS.items():
        properties[name]["default"] = setting.default
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "[tool.lamina] of pyproject.toml, and lamina.toml",
        **made,
        "properties": properties,
    }


def render() -> str:
    """Return the text of the schema's file."""
    return json.dumps(make_schema(), indent=2) + "\n"


def _of(key: Key) -> Schema:
    """Return the schema of a key's value."""
    made: Schema = {"description": key.help} if key.help else {}
    made["type"] = _TYPES[key.kind]
    limits = {"minimum": key.least, "maximum": key.most, "enum": [*key.choices] or None}
    made |= {name: limit for name, limit in limits.items() if limit is not None}
    if key.pattern:
        made["pattern"] = _whole(key.pattern)
    if key.kind is list:
        made["items"] = _any_of(key.values)
    if key.table is not None:
        made |= {"properties": _all(key.table), "additionalProperties": False}
    elif key.kind is dict:
        made["additionalProperties"] = _any_of(key.values)
    if key.names:
        made["propertyNames"] = {"pattern": _whole(key.names)}
    return made


def _all(keys: Mapping[str, Key]) -> Schema:
    return {name: _of(key) for name, key in keys.items()}


def _any_of(keys: Iterable[Key]) -> Schema:
    made = [_of(key) for key in keys]
    return made[0] if len(made) == 1 else {"anyOf": made}


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


if __name__ == "__main__":
    sys.stdout.write(render())
