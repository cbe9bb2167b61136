"""Make HTML and SVG: text is escaped unless it is already markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "hr", "meta"})


class Html(str):
    """Markup, which is not escaped again."""

    __slots__ = ()


def tag(name: str, *children: str | None, **attributes: str | float | bool | None) -> Html:
    """Make an element. ``class_``: ``class``; ``aria_label``: ``aria-label``; None, False: no attribute."""
    given = "".join(
        f" {_named(key)}" if value is True else f' {_named(key)}="{escape(_shown(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str | None], between: str = "") -> Html:
    """Join pieces of text or markup."""
    return Html(escape(between).join(_inside(part) for part in parts if part is not None))


def table(
    headings: Iterable[str],
    rows: Iterable[Iterable[str]],
    *,
    label: str,
    numbers: Iterable[str] = (),
    tight: Iterable[str] = (),
) -> Html:
    """Make a table that narrow screens can show row by row: each cell carries its heading.

    numbers: headings of right-aligned columns. tight: headings of columns that never fold.
    """
    names = tuple(headings)
    looks = dict.fromkeys(numbers, "number") | dict.fromkeys(tight, "tight")
    head = (tag("th", name, scope="col", role="columnheader", class_=looks.get(name)) for name in names)
    body = (
        tag(
            "tr",
            *(
                _cell(name, cell, looks.get(name), first=at == 0)
                for at, (name, cell) in enumerate(zip(names, row, strict=True))
            ),
            role="row",
        )
        for row in rows
    )
    return tag(
        "table",
        tag("thead", tag("tr", *head, role="row"), role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
        aria_label=label,
    )


def _cell(heading: str, content: str, look: str | None, *, first: bool) -> Html:
    looks = " ".join(filter(None, (look, None if content else "empty"))) or None
    if first:
        return tag("th", content, scope="row", role="rowheader", data_label=heading, class_=looks)
    return tag("td", content, role="cell", data_label=heading, class_=looks)


def _inside(part: str) -> str:
    return part if isinstance(part, Html) else escape(part)


def _named(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
