"""Sum up the files of an image by layer and package, and compare two images. Pure."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.size.layers import ImageLayer, LayerFiles

_DISTRIBUTION = re.compile(r"(?:^|/)(?P<name>[^/]+?)-(?P<version>[^/-]+)(?:-py[^/]*)?\.(?:dist|egg)-info$")
_BYTECODE = re.compile(r"^(?P<folder>.*/|)__pycache__/(?P<module>[^/]+)\.[\w-]+(?:\.opt-\d)?\.pyc$")
TASK_ROOT = "var/task"
_DEPTH = 2


@dataclass(frozen=True, slots=True, order=True)
class Distribution:
    """An installed distribution. name: normalized as PyPI does."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSize:
    """The files of a distribution, or of a folder that no distribution owns, in one layer.

    Attributes:
        name: of the distribution, or the folder with a leading slash.
        version: empty for a folder.
        before: bytes in the earlier image; None if it is not compared, or was not there.
        version_before: in the earlier image, if that is another one.
    """

    name: str
    version: str
    bytes: int
    files: int
    before: int | None = None
    version_before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedLayer:
    """A layer and its packages, the largest first. bytes: of all files; None if the layer is unreadable.

    before: bytes of the layer that the same instruction made in the earlier image; None without one. gone:
    packages that only that one has.
    """

    layer: ImageLayer
    bytes: int | None
    packages: tuple[PackageSize, ...] = ()
    before: int | None = None
    gone: tuple[PackageSize, ...] = ()


def distribution_of(folder: str) -> Distribution | None:
    """Return the distribution whose metadata a folder (or an egg-info file) has; None if it has none."""
    found = _DISTRIBUTION.search(folder)
    if found is None:
        return None
    return Distribution(re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"])


def distributions(files: LayerFiles) -> Mapping[str, Distribution]:
    """Return the metadata folders of a layer and whose they are."""
    found: dict[str, Distribution] = {}
    for path in files.sizes:
        for folder in (posixpath.dirname(path), path):
            if folder not in found and (distribution := distribution_of(folder)):
                found[folder] = distribution
    return found


def owners(layers: Iterable[ImageLayer]) -> Mapping[str, Distribution]:
    """Return path -> the distribution whose RECORD lists it; that of the highest layer wins."""
    found: dict[str, Distribution] = {}
    for layer in layers:
        for record, paths in (layer.files or LayerFiles()).records.items():
            if distribution := distribution_of(posixpath.dirname(record)):
                found.update(dict.fromkeys(paths, distribution))
    return found


def source_of(path: str) -> str:
    """Return the source of a bytecode file, which no RECORD lists; other paths as they are."""
    found = _BYTECODE.match(path)
    return f"{found['folder']}{found['module']}.py" if found else path


def owner(path: str, owned: Mapping[str, Distribution]) -> Distribution | None:
    """Return the distribution of a file, its bytecode and metadata included; None if it has none."""
    return owned.get(path) or owned.get(source_of(path)) or distribution_of(posixpath.dirname(path))


def place(path: str) -> str:
    """Return the folder that stands for a file without a distribution: ``/usr/lib``, ``/var/task/app``."""
    parts = path.split("/")
    depth = _DEPTH + 1 if path.startswith(f"{TASK_ROOT}/") else _DEPTH
    return "/" + "/".join(parts[: min(depth, max(1, len(parts) - 1))]) if len(parts) > 1 else "/"


def size_layers(layers: Iterable[ImageLayer]) -> tuple[SizedLayer, ...]:
    """Return the layers of an image with their packages."""
    all_layers = tuple(layers)
    everywhere = owners(all_layers)
    return tuple(_sized(each, everywhere) for each in all_layers)


def _sized(layer: ImageLayer, everywhere: Mapping[str, Distribution]) -> SizedLayer:
    if layer.files is None:
        return SizedLayer(layer=layer, bytes=None)
    owned = {**everywhere, **owners([layer])}
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for path, size in layer.files.sizes.items():
        distribution = owner(path, owned)
        key = (distribution.name, distribution.version) if distribution else (place(path), "")
        sums[key].append(size)
    packages = (
        PackageSize(name=name, version=version, bytes=sum(each), files=len(each))
        for (name, version), each in sums.items()
    )
    return SizedLayer(
        layer=layer,
        bytes=sum(layer.files.sizes.values()),
        packages=tuple(sorted(packages, key=lambda each: (-each.bytes, each.name, each.version))),
    )


def compare(now: tuple[SizedLayer, ...], earlier: tuple[SizedLayer, ...]) -> tuple[SizedLayer, ...]:
    """Return the layers with the sizes that they and their packages had in an earlier image."""
    earlier_of = dict(partners(now, earlier))
    return tuple(_compared(each, earlier_of.get(each.layer.number)) for each in now)


def partners(
    now: tuple[SizedLayer, ...], earlier: tuple[SizedLayer, ...]
) -> Iterator[tuple[int, SizedLayer]]:
    """Yield a layer's number and the earlier one: an equal one, else the next by the same instruction."""
    waiting = list(earlier)
    same = {each.layer.diff_id: each for each in earlier}
    for sized in now:
        if (partner := same.get(sized.layer.diff_id)) in waiting:
            waiting.remove(partner)
            yield sized.layer.number, partner
    taken = {each.layer.diff_id for each in earlier} & {each.layer.diff_id for each in now}
    for sized in now:
        if sized.layer.diff_id in taken:
            continue
        named = (each for each in waiting if each.layer.made_by == sized.layer.made_by)
        if partner := next(named, None):
            waiting.remove(partner)
            yield sized.layer.number, partner


def _compared(sized: SizedLayer, earlier: SizedLayer | None) -> SizedLayer:
    if earlier is None:
        return sized
    had = {each.name: each for each in earlier.packages}
    packages = tuple(_with_before(each, had.get(each.name)) for each in sized.packages)
    names = {each.name for each in sized.packages}
    gone = tuple(each for each in earlier.packages if each.name not in names)
    return SizedLayer(
        layer=sized.layer, bytes=sized.bytes, packages=packages, before=earlier.bytes, gone=gone
    )


def _with_before(package: PackageSize, earlier: PackageSize | None) -> PackageSize:
    if earlier is None:
        return package
    return PackageSize(
        name=package.name,
        version=package.version,
        bytes=package.bytes,
        files=package.files,
        before=earlier.bytes,
        version_before=earlier.version if earlier.version != package.version else "",
    )
