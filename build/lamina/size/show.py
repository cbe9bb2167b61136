"""Show what an image consists of, as a table and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen
from lamina.report.table import TextTable, cell
from lamina.size.packages import PackageSize, SizedLayer
from lamina.size.size import Measured
from lamina.size.unneeded import Unneeded

_HEADINGS = ("layer or package", "version", "files", "size", "before", "change")
_SHARE = 200
"""A package below one part in this many of the image is not shown in the table, unless it changed."""
_FEW = 4
_LEAST_CHANGE = 1000


def show_size(screen: Screen, found: Measured) -> None:
    """Show the layers with their larger packages, and what the image may not need."""
    table = TextTable(_HEADINGS, wide="layer or package")
    least = max(found.bytes // _SHARE, 1)
    for at, sized in enumerate(found.layers):
        _add_layer(table, sized, found.stored[at] if found.stored else None)
        for row in _packages(sized, least):
            table.add_row(*row)
    total = figures.size(found.bytes)
    table.add_row(cell(f"{found.image.name}", "bold"), "", "", total, *_against(found.bytes, found.before))
    screen.table(table)
    screen.say(
        f"{found.found.ref} in {found.store}" + (f", before: {found.earlier.ref}" if found.earlier else "")
    )
    if unread := [str(each.layer.number) for each in found.layers if each.bytes is None]:
        screen.say(f"not read, in a compression that Python lacks: layer {', '.join(unread)}")
    for each in found.unneeded:
        screen.say(_line(each))
    if not found.smoked:
        screen.aside(f"to see what its start never opens: invoke smoke --image {found.image.name}")


def _add_layer(table: TextTable, sized: SizedLayer, stored: int | None) -> None:
    whose = "" if sized.layer.is_own else "runtime: "
    name = f"{sized.layer.number} {whose}{sized.layer.made_by or sized.layer.diff_id[:19]}"
    size = figures.size(sized.bytes if sized.bytes is not None else stored)
    files = str(sum(each.files for each in sized.packages))
    table.add_row(cell(name, "bold"), "", files, size, *_against(sized.bytes, sized.before))


def _packages(sized: SizedLayer, least: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a layer's packages: the large and changed ones, then how many are left."""
    compared = sized.before is not None
    most = sized.packages[0] if sized.packages else None
    shown = [
        each
        for each in sized.packages
        if each is most or each.bytes >= least or (compared and _changed(each))
    ]
    for each in shown:
        version = f"{each.version_before} -> {each.version}" if each.version_before else each.version
        change = _against(each.bytes, each.before) if compared else ("", "")
        if compared and each.before is None:
            change = ("", "new")
        yield (f"    {each.name}", version, str(each.files), figures.size(each.bytes), *change)
    for each in sized.gone:
        yield (f"    {each.name}", each.version, "", "", figures.size(each.bytes), "gone")
    rest = [each for each in sized.packages if each not in shown]
    if rest:
        files, size = sum(each.files for each in rest), sum(each.bytes for each in rest)
        yield (f"    {len(rest)} more", "", str(files), figures.size(size), "", "")


def _changed(package: PackageSize) -> bool:
    return (
        package.before is None
        or bool(package.version_before)
        or abs(package.bytes - package.before) >= _LEAST_CHANGE
    )


def _against(now: int | None, before: int | None) -> tuple[str, str]:
    """Return the earlier size and the change; empty if either is unknown."""
    if now is None or before is None:
        return "", ""
    moved = now - before
    if not moved:
        return figures.size(before), ""
    return figures.size(before), f"{'+' if moved > 0 else '-'}{figures.size(abs(moved))}"


def _line(unneeded: Unneeded) -> str:
    named = ", ".join(f"{name} {figures.size(size)}" for name, size in unneeded.parts[:_FEW])
    more = f" and {len(unneeded.parts) - _FEW} more" if len(unneeded.parts) > _FEW else ""
    return f"{unneeded.kind}: {figures.size(unneeded.bytes)} in {named}{more} ({unneeded.note})"


def size_document(found: Measured) -> JsonDocument:
    """Return the image. Sizes in bytes, unpacked; stored_bytes: as the store keeps the layer.

    Unknown ones are null. before: null if the image was not compared, or had no such layer or package.
    """
    return {
        "name": found.image.name,
        "ref": str(found.found.ref),
        "digest": found.found.digest,
        "bytes": found.bytes,
        "before": found.before,
        "earlier": None
        if found.earlier is None
        else {"ref": str(found.earlier.ref), "digest": found.earlier.digest},
        "layers": [
            {
                "number": each.layer.number,
                "diff_id": each.layer.diff_id,
                "instruction": each.layer.made_by,
                "own": each.layer.is_own,
                "bytes": each.bytes,
                "stored_bytes": found.stored[at] if found.stored else None,
                "before": each.before,
                "packages": [_package(package) for package in each.packages],
                "gone": [_package(package) for package in each.gone],
            }
            for at, each in enumerate(found.layers)
        ],
        "unneeded": [
            {
                "kind": each.kind,
                "bytes": each.bytes,
                "note": each.note,
                "parts": [{"name": name, "bytes": size} for name, size in each.parts],
            }
            for each in found.unneeded
        ],
        "smoked": found.smoked,
    }


def _package(package: PackageSize) -> JsonDocument:
    return {
        "name": package.name,
        "version": package.version,
        "files": package.files,
        "bytes": package.bytes,
        "before": package.before,
        "version_before": package.version_before,
    }
