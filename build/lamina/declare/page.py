"""The page of all settings, made from the schema: ``python -m lamina.declare.page > docs/settings.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from lamina.declare.schema import render
from lamina.declare.settings import SETTINGS
from lamina.json_data import Json, JsonTable, as_list, as_table

_HEAD = """# Settings

Every key of `[tool.lamina]` in `pyproject.toml`. A repository without one has a `lamina.toml` with the same
keys and tables, without `tool.lamina`: `[images.<name>]`; both are an error. A command's flag wins over a
variable of the environment, which wins over the file; `lamina config` prints each setting, its value and
where it was set. `lamina.schema.json`, installed with the package, has the same for
[editors](daily.md#completion-in-the-editor). An unknown key is an error, with the nearest name.
"""
_NAME = "<name>"


def settings_page() -> str:
    """Return the page as Markdown: the top level, then a section for each table."""
    keys = _tables(as_table(json.loads(render()))["properties"])
    plain = {name: key for name, key in keys.items() if not _below(key)}
    parts = [_HEAD, "\n## `[tool.lamina]`\n\n", *_rows(plain, top=True)]
    for name, key in keys.items():
        if below := _below(key):
            suffix = "" if "properties" in key else f".{_NAME}"
            parts.append(f"\n## `[tool.lamina.{name}{suffix}]`\n")
            text = _text(key)
            parts += [f"\n{text[:1].upper()}{text[1:]}.\n"] if text else []
            parts += ["\n", *_rows(below, top=False)]
    return "".join(parts)


def _tables(value: Json) -> dict[str, JsonTable]:
    return {name: as_table(key) for name, key in as_table(value).items()}


def _below(key: JsonTable) -> dict[str, JsonTable]:
    """Return the keys of a table, or of each of a table's tables; none for a value."""
    return _tables(key.get("properties") or as_table(key.get("additionalProperties")).get("properties"))


def _rows(keys: dict[str, JsonTable], *, top: bool) -> Iterator[str]:
    yield f"| key | type | means |{' default | variable |' if top else ''}\n"
    yield f"|---|---|---|{'---|---|' if top else ''}\n"
    for name, key in keys.items():
        row = f"| `{name}` | {_type(key)} | {_text(key)} |"
        if top:
            setting = SETTINGS.get(name)
            variables = ", ".join(f"`{each}`" for each in setting.env) if setting else ""
            row += f" {_default(key)} | {variables} |"
        yield f"{row}\n"


def _type(key: JsonTable) -> str:
    if choices := as_list(key.get("enum")):
        return " \\| ".join(f"`{each}`" for each in choices)
    kind = str(key["type"])
    return {"array": "list", "object": "table"}.get(kind, kind)


def _default(key: JsonTable) -> str:
    default = key.get("default")
    if default in (None, ""):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _text(key: JsonTable) -> str:
    return str(key.get("description", "")).replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    sys.stdout.write(settings_page())
