"""Find what an image holds and does not need at run time, and what it holds twice. Pure.

Only layers that the project makes are judged: the runtime's are AWS's. Nothing is deleted: each finding says
which files it means, and its owner decides.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from lamina.size.layers import ImageLayer
from lamina.size.packages import TASK_ROOT, Distribution, distributions, owner, owners, place, source_of

_TESTS = re.compile(r"/(?:tests?|testing/tests|conftest\.py$|test_[^/]*\.py$)(?:/|$)|/conftest\.py$")
_DOCS = frozenset({"doc", "docs", "example", "examples", "benchmarks"})
_STUBS = re.compile(r"\.pyi$|/[^/]+-stubs/")
_SOURCES = re.compile(r"\.(?:c|cc|cpp|cxx|h|hh|hpp|pyx|pxd|pxi|f|f90|cu|cuh|a)$")
_RECORDS = re.compile(r"\.dist-info/RECORD$|\.lock$")
_METADATA = re.compile(r"\.(?:dist|egg)-info/")
_INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv", "poetry", "pipenv"})
AWS_HAS = frozenset({"boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"})
"""Distributions in AWS's runtimes for Python, of versions that AWS moves."""
_LEAST_UNOPENED = 100_000
"""Bytes below which a package that was not opened is not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unneeded:
    """Files of one kind that an image may not need.

    Attributes:
        kind: ``tests``, ``two versions``…
        bytes: of all of them, unpacked.
        parts: the packages or folders they are in, with bytes; the largest first.
        note: why it counts, and what to keep in mind.
    """

    kind: str
    bytes: int
    parts: tuple[tuple[str, int], ...]
    note: str


Owned = Mapping[str, tuple[int, int]]
"""Path of a file that the image shows -> the number of its layer, its bytes."""


def find_unneeded(layers: tuple[ImageLayer, ...], opened: Collection[str] | None) -> tuple[Unneeded, ...]:
    """Return what an image does not need; the largest first.

    opened: the files that the starts of its functions opened in the last smoke of this image, absolute paths;
    None if it was not smoked.
    """
    shown = visible(layers)
    own = {each.number for each in layers if each.is_own}
    ours = {path: each for path, each in shown.items() if each[0] in own}
    owned = owners(layers)
    found = [
        *_by_path(ours, owned),
        *_installers(ours, owned),
        *_hidden(layers, shown),
        *_twice(layers, owned),
        *_runtime_has(layers, ours, owned),
        *(_not_opened(ours, owned, opened) if opened is not None else ()),
    ]
    return tuple(sorted(found, key=lambda each: (-each.bytes, each.kind)))


def visible(layers: tuple[ImageLayer, ...]) -> dict[str, tuple[int, int]]:
    """Return the files that a container sees: path -> number of the layer, bytes."""
    shown: dict[str, tuple[int, int]] = {}
    for layer in layers:
        files = layer.files
        if files is None:
            continue
        if files.removed or files.emptied:
            gone = files.removed | files.emptied
            shown = {path: each for path, each in shown.items() if not _is_below(path, gone)}
        shown.update({path: (layer.number, size) for path, size in files.sizes.items()})
    return shown


def _is_below(path: str, gone: Collection[str]) -> bool:
    while path:
        if path in gone:
            return True
        path = posixpath.dirname(path)
    return "" in gone


def _by_path(ours: Owned, owned: Mapping[str, Distribution]) -> Iterator[Unneeded]:
    kinds: tuple[tuple[str, Callable[[str], bool], str], ...] = (
        ("tests", lambda path: bool(_TESTS.search(path)), "tests of packages; a few packages import theirs"),
        ("docs", lambda path: not _DOCS.isdisjoint(path.split("/")[:-1]), "documentation and examples"),
        ("stubs", lambda path: bool(_STUBS.search(path)), "type stubs, which only type checkers read"),
        (
            "sources",
            lambda path: bool(_SOURCES.search(path)),
            "sources, headers and static libraries, which only compilers read",
        ),
        (
            "records",
            lambda path: bool(_RECORDS.search(path)),
            "lists of installed files, which only uninstalling reads",
        ),
    )  # fmt: skip
    taken: set[str] = set()
    for kind, matches, note in kinds:
        found = {path: ours[path][1] for path in ours if path not in taken and matches("/" + source_of(path))}
        taken |= found.keys()
        if found:
            yield _unneeded(kind, _parts(found, owned), note)


def _installers(ours: Owned, owned: Mapping[str, Distribution]) -> Iterator[Unneeded]:
    found = {path: size for path, (_, size) in ours.items() if _name(path, owned) in _INSTALLERS}
    if found:
        yield _unneeded("installers", _parts(found, owned), "nothing is installed on Lambda")


def _hidden(layers: tuple[ImageLayer, ...], shown: Owned) -> Iterator[Unneeded]:
    """Yield the files of the project's layers that a higher layer replaces or deletes: both are stored."""
    lost: Counter[str] = Counter()
    for layer in layers:
        for path, size in (layer.files.sizes if layer.is_own and layer.files else {}).items():
            if shown.get(path, (0, 0))[0] != layer.number:
                lost[f"layer {layer.number} {place(path)}"] += size
    if sum(lost.values()):
        yield _unneeded(
            "hidden", lost, "replaced or deleted by a higher layer: stored and pulled, never seen"
        )


def _twice(layers: tuple[ImageLayer, ...], owned: Mapping[str, Distribution]) -> Iterator[Unneeded]:
    """Yield distributions that the project installs more than once; bytes: of all copies but the largest."""
    copies: defaultdict[str, set[tuple[int, str, str]]] = defaultdict(set)
    for layer in layers:
        if layer.is_own and layer.files:
            for folder, each in distributions(layer.files).items():
                copies[each.name].add((layer.number, posixpath.dirname(folder), each.version))
    parts: dict[str, int] = {}
    for name, installs in copies.items():
        if len(installs) > 1:
            versions = " and ".join(sorted({version for _, _, version in installs}))
            numbers = sorted({number for number, _, _ in installs})
            sizes = [_bytes_of(layers[number - 1], name, owned) for number in numbers]
            label = f"{name} {versions} (layer {', '.join(map(str, numbers))})"
            parts[label] = sum(sizes) - max(sizes)
    if parts:
        yield _unneeded("twice", parts, "installed by a base and again above it, or in two versions")


def _bytes_of(layer: ImageLayer, name: str, owned: Mapping[str, Distribution]) -> int:
    files = layer.files.sizes if layer.files else {}
    return sum(size for path, size in files.items() if _name(path, owned) == name)


def _runtime_has(
    layers: tuple[ImageLayer, ...], ours: Owned, owned: Mapping[str, Distribution]
) -> Iterator[Unneeded]:
    theirs = {
        each.name
        for layer in layers
        if not layer.is_own and layer.files
        for each in distributions(layer.files).values()
    }
    found = {path: size for path, (_, size) in ours.items() if _name(path, owned) in theirs | AWS_HAS}
    if found:
        note = "the runtime has its own, of a version that AWS moves: an own copy fixes it"
        yield _unneeded("in the runtime", _parts(found, owned), note)


def _not_opened(
    ours: Owned, owned: Mapping[str, Distribution], opened: Collection[str]
) -> Iterator[Unneeded]:
    """Yield the packages of which the start of no function opened a file."""
    # A search for plug-ins opens the metadata of all.
    used = {_label(path.lstrip("/"), owned) for path in opened if not _METADATA.search(path)}
    weights: Counter[str] = Counter()
    for path, (_, size) in ours.items():
        if path.startswith(f"{TASK_ROOT}/"):
            weights[_label(path, owned)] += size
    parts = {name: size for name, size in weights.items() if name not in used and size >= _LEAST_UNOPENED}
    if parts:
        note = "the last smoke's start opened none of their files; what an event imports later is not seen"
        yield _unneeded("not opened", parts, note)


def _name(path: str, owned: Mapping[str, Distribution]) -> str | None:
    found = owner(path, owned)
    return found.name if found else None


def _label(path: str, owned: Mapping[str, Distribution]) -> str:
    return _name(path, owned) or place(path)


def _parts(found: Mapping[str, int], owned: Mapping[str, Distribution]) -> Mapping[str, int]:
    parts: Counter[str] = Counter()
    for path, size in found.items():
        parts[_label(path, owned)] += size
    return parts


def _unneeded(kind: str, parts: Mapping[str, int], note: str) -> Unneeded:
    ordered = tuple(sorted(parts.items(), key=lambda each: (-each[1], each[0])))
    return Unneeded(kind=kind, bytes=sum(parts.values()), parts=ordered, note=note)
