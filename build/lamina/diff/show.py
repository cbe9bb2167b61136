"""Show what changed in images: as tables, as Markdown for a comment, as JSON documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.diff.changes import FileChange, LayerChange, PackageChange
from lamina.diff.diff import Diff, ImageDiff
from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen, shown_reasons
from lamina.report.document import change_documents
from lamina.report.github import markdown_cell
from lamina.report.table import TextTable

MARKDOWN = "markdown"
FORMATS = ("table", MARKDOWN)
_SHOWN = 10
_DIGEST = 19


def show_diff(screen: Screen, found: Diff) -> None:
    """Show each image: its packages, layers and files, and the inputs that changed."""
    for each in found.images:
        screen.say(f"{each.name}: {_headline(each)}")
        if each.changes:
            screen.changes("  ", each.changes)
        _table(screen, ("package", "before", "after", "size"), map(_package, each.packages))
        if each.stored:
            _table(screen, ("layer", "before", "after", "change"), map(_layer, each.stored.layers))
            _table(screen, ("file", "before", "after", "change"), map(_file, each.stored.files or ()))
    screen.say(f"{len(found.images)} of {figures.counted(found.of, 'image')} changed since {found.revision}")


def _headline(image: ImageDiff) -> str:
    if image.how != "changed":
        return f"{image.how}: {shown_reasons(image.reasons)}"
    pair = image.stored
    if pair is None:
        return f"by its build inputs: {image.unknown}"
    before, after = pair.before, pair.after
    digests = f"{before.digest[:_DIGEST]} -> {after.digest[:_DIGEST]}"
    return f"{_moved(before.size, after.size)} in the registry, {digests}"


def _table(screen: Screen, headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    cells = list(rows)
    table = TextTable(headings, wide=headings[0])
    for each in cells[:_SHOWN]:
        table.add_row(*each)
    if cells:
        screen.table(table)
    if len(cells) > _SHOWN:
        screen.say(f"and {len(cells) - _SHOWN} more: --json has them all")


def _package(change: PackageChange) -> tuple[str, ...]:
    return (
        change.name,
        change.before or "",
        change.after or "",
        _change(change.bytes_before, change.bytes_after),
    )


def _layer(change: LayerChange) -> tuple[str, ...]:
    name = change.made_by if change.is_own else change.made_by or "runtime"
    return name, _size(change.before), _size(change.after), _change(change.before, change.after)


def _file(change: FileChange) -> tuple[str, ...]:
    return change.path, _size(change.before), _size(change.after), _change(change.before, change.after)


def _size(count: int | None) -> str:
    return "" if count is None else figures.size(count)


def _change(before: int | None, after: int | None) -> str:
    """Return the difference of two sizes; empty if both are unknown."""
    moved = (after or 0) - (before or 0)
    if before is None and after is None:
        return ""
    return f"{'+' if moved >= 0 else '-'}{figures.size(abs(moved))}"


def _moved(before: int, after: int) -> str:
    return f"{figures.size(before)} -> {figures.size(after)} ({_change(before, after)})"


def as_markdown(found: Diff) -> str:
    """Return a table of the images, and what changed in each, folded, for a comment."""
    if not found.images:
        return "No image changes.\n"
    count = len(found.images)
    head = f"**{count} {'image changes' if count == 1 else 'images change'}** since `{found.revision}`\n\n"
    headings = ("image", "", "why", "functions", "size", "seconds", "digest")
    rows = [headings, ("---",) * len(headings), *map(_markdown_row, found.images)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return head + table + "".join(_details(each) for each in found.images)


def _markdown_row(image: ImageDiff) -> tuple[str, ...]:
    pair, found = image.stored, image.found
    size = _moved(pair.before.size, pair.after.size) if pair else figures.size(found.size) if found else ""
    took = (f"{figures.seconds(each)} {word}" for each, word in _seconds(image) if each is not None)
    return (
        markdown_cell(image.name),
        image.how,
        markdown_cell(shown_reasons(image.reasons)),
        "<br>".join(map(markdown_cell, image.functions)),
        size,
        "<br>".join(took),
        f"`{found.digest[:_DIGEST]}`" if found else "",
    )


def _seconds(image: ImageDiff) -> tuple[tuple[float | None, str], ...]:
    return ((image.spent, "spent"), (image.predicted, "predicted"))


def _details(image: ImageDiff) -> str:
    """Return the packages and layers of an image as tables that are folded; empty without any."""
    parts = [
        _markdown_table(("package", "before", "after", "size"), [*map(_package, image.packages)]),
        _markdown_table(
            ("layer", "before", "after", "change"),
            [*map(_layer, image.stored.layers if image.stored else ())],
        ),
    ]
    inside = "\n".join(each for each in parts if each)
    name = markdown_cell(image.name)
    return f"\n<details><summary>{name}</summary>\n\n{inside}\n</details>\n" if inside else ""


def _markdown_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    more = [(f"and {len(rows) - _SHOWN} more", "", "", "")] if len(rows) > _SHOWN else []
    cells = (tuple(map(markdown_cell, row)) for row in (*rows[:_SHOWN], *more))
    lines = [headings, ("---",) * len(headings), *cells]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def diff_documents(found: Diff) -> list[JsonDocument]:
    """Return the images. Sizes in bytes, of images and layers as stored; null if unknown."""
    return [_document(each) for each in found.images]


def _document(image: ImageDiff) -> JsonDocument:
    pair = image.stored
    files = None if pair is None or pair.files is None else [_pair(each.path, each) for each in pair.files]
    return {
        "name": image.name,
        "how": image.how,
        "reasons": list(image.reasons),
        "functions": list(image.functions),
        "digest": image.found.digest if image.found else None,
        "digest_before": pair.before.digest if pair else None,
        "bytes": image.found.size if image.found else None,
        "bytes_before": pair.before.size if pair else None,
        "layers": [_pair(each.made_by, each) for each in pair.layers] if pair else None,
        "packages": [
            {
                "name": each.name,
                "before": each.before,
                "after": each.after,
                "bytes_before": each.bytes_before,
                "bytes": each.bytes_after,
            }
            for each in image.packages
        ],
        "files": files,
        "changes": change_documents(image.changes),
        "predicted_seconds": image.predicted,
        "seconds": image.spent,
    }


def _pair(name: str, change: LayerChange | FileChange) -> JsonDocument:
    return {"name": name, "bytes_before": change.before, "bytes": change.after}
