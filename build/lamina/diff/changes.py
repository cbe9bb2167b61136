"""How two images differ in packages and layers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamina.identify.explain import InputChange
from lamina.size.layers import LayerFiles
from lamina.size.packages import SizedLayer, owner, owners, partners

_PIN = re.compile(r"===?\s*([^\s,;]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package that was added, removed, moved to another version, or has another size.

    Attributes:
        before, after: versions, or requirements that pin none; None where there is no such package.
        bytes_before, bytes_after: unpacked; None if the layers were not read, or without the package.
    """

    name: str
    before: str | None
    after: str | None
    bytes_before: int | None = None
    bytes_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChange:
    """A layer that one of the images lacks. Sizes in bytes, as the registry stores it; None without it."""

    made_by: str
    is_own: bool
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file outside of packages that has another size. Bytes; None where there is no such file."""

    path: str
    before: int | None
    after: int | None


def packages_of_inputs(changes: Iterable[InputChange]) -> tuple[PackageChange, ...]:
    """Return the packages whose requirements changed, by name."""
    found = (
        PackageChange(name=each.subject, before=_version(each.before), after=_version(each.after))
        for each in changes
        if each.kind == "requirement"
    )
    unique = {each.name: each for each in found if each.before != each.after}
    return tuple(unique[name] for name in sorted(unique))


def _version(requirement: str | None) -> str | None:
    pinned = _PIN.search(requirement.partition(";")[0]) if requirement else None
    return pinned[1] if pinned else requirement


def layer_changes(
    before: tuple[SizedLayer, ...],
    after: tuple[SizedLayer, ...],
    sizes_before: tuple[int, ...],
    sizes_after: tuple[int, ...],
) -> tuple[LayerChange, ...]:
    """Return the layers that are not equal, lowest first, those that are gone last.

    Args:
        sizes_before, sizes_after: of each layer in the registry.
    """
    same = {each.layer.diff_id for each in before} & {each.layer.diff_id for each in after}
    pairs = dict(partners(after, before))
    rest = {each.layer.number for each in before} - {each.layer.number for each in pairs.values()}
    found = [
        LayerChange(
            made_by=each.layer.made_by,
            is_own=each.layer.is_own,
            before=sizes_before[pairs[each.layer.number].layer.number - 1]
            if each.layer.number in pairs
            else None,
            after=sizes_after[each.layer.number - 1],
        )
        for each in after
        if each.layer.diff_id not in same
    ]
    found += (
        LayerChange(
            made_by=each.layer.made_by,
            is_own=each.layer.is_own,
            before=sizes_before[each.layer.number - 1],
            after=None,
        )
        for each in before
        if each.layer.number in rest
    )
    return tuple(found)


def package_changes(
    before: tuple[SizedLayer, ...], after: tuple[SizedLayer, ...]
) -> tuple[PackageChange, ...]:
    """Return the packages that differ in the layers that were read, the largest change first."""
    old, new = _packages(before), _packages(after)
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    found = [
        PackageChange(
            name=name,
            before=old[name][0] if name in old else None,
            after=new[name][0] if name in new else None,
            bytes_before=old[name][1] if name in old else None,
            bytes_after=new[name][1] if name in new else None,
        )
        for name in names
    ]
    return tuple(sorted(found, key=lambda each: -abs((each.bytes_after or 0) - (each.bytes_before or 0))))


def _packages(layers: Iterable[SizedLayer]) -> Mapping[str, tuple[str, int]]:
    """Return distribution -> version and bytes, of all layers that were read."""
    found: dict[str, tuple[str, int]] = {}
    for layer in layers:
        for each in layer.packages:
            if each.version:
                found[each.name] = (each.version, found.get(each.name, ("", 0))[1] + each.bytes)
    return found


def file_changes(before: tuple[SizedLayer, ...], after: tuple[SizedLayer, ...]) -> tuple[FileChange, ...]:
    """Return the files outside of packages that one image lacks, or that have another size, by path."""
    old, new = _files(before), _files(after)
    return tuple(
        FileChange(path=f"/{path}", before=old.get(path), after=new.get(path))
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    )


def _files(layers: tuple[SizedLayer, ...]) -> Mapping[str, int]:
    owned = owners(each.layer for each in layers)
    found: dict[str, int] = {}
    for each in layers:
        files = each.layer.files or LayerFiles()
        found.update({path: size for path, size in files.sizes.items() if owner(path, owned) is None})
    return found
