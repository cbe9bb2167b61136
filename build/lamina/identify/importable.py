"""The modules that Python can import in an image, and other sources that may provide them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence, Set
from functools import cached_property

from lamina.identify.layout import SITE, TASK_ROOT, Layout
from lamina.identify.providers import providers
from lamina.patterns import regex

_ROOTS = (TASK_ROOT, "/opt/python", "/var/runtime")
_PACKAGES = regex(r"(.*/(?:site|dist)-packages)/")
_BINARY = (".so", ".pyd", ".pyc")
RUNTIME = frozenset(
    {
        *("awslambdaric", "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"),
        *("simplejson", "snapshot_restore_py", "pip", "setuptools", "pkg_resources", "wheel"),
    }
)
"""Modules that an image of Lambda's runtime provides besides the standard library."""


class Portion:
    """The files of one top-level name in one folder in which Python searches.

    Images with the same files share the object, so that what follows from them is found out once.

    Attributes:
        folder: The one in which Python searches.
        files: Image path -> origin.
        inside: Folder -> the names in it; in the one in which Python searches, only those of this name.
    """

    __slots__ = ("_origins", "files", "folder", "inside")

    def __init__(self, folder: str, files: Mapping[str, str]) -> None:
        self.folder = folder
        self.files = files
        self._origins: dict[str, frozenset[str]] = {}
        self.inside: dict[str, set[str]] = {}
        for place in files:
            above, name = posixpath.split(place)
            while name not in self.inside.setdefault(above, set()):
                self.inside[above].add(name)
                if above == folder:
                    break
                above, name = posixpath.split(above)

    def origins(self, folder: str) -> frozenset[str]:
        """Return the repository folders of the files that are directly in a folder."""
        if folder not in self._origins:
            files = (self.files.get(f"{folder}/{name}") for name in self.inside.get(folder, ()))
            self._origins[folder] = frozenset(posixpath.dirname(origin) for origin in files if origin)
        return self._origins[folder]


class Portions:
    """The portions of all images."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], Portion] = {}

    def get(self, folder: str, files: Mapping[str, str]) -> Portion:
        """Return the portion of these files, the same object for the same files."""
        key = (folder, tuple(files.items()))
        if key not in self._known:
            self._known[key] = Portion(folder, files)
        return self._known[key]


class Importable:
    """The files of an image as Python's import system sees them.

    Attributes:
        roots: The folders in which it starts to search.
        portions: Top-level name -> its portions, in the order of the search.
    """

    def __init__(self, layout: Layout, portions: Portions | None = None) -> None:
        self._layout = layout
        sites = {
            found[1]
            for place in self._layout.files
            if "-packages/" in place and (found := _PACKAGES.match(place))
        }
        self.roots = tuple(
            dict.fromkeys((self._layout.workdir, *_ROOTS, *self._layout.paths, *sorted(sites), SITE))
        )
        self.portions = self._split(portions or Portions())

    def _split(self, portions: Portions) -> Mapping[str, tuple[Portion, ...]]:
        found: dict[str, tuple[Portion, ...]] = {}
        folders: dict[str, list[tuple[str, str]]] = {}
        for place, origin in self._layout.files.items():
            folders.setdefault(place[: place.find("/", 1)], []).append((place, origin))
        for root in self.roots:
            prefix = f"{root.rstrip('/')}/"
            start = len(prefix)
            tops: dict[str, dict[str, str]] = {}
            above = prefix[: prefix.find("/", 1)]
            for place, origin in folders.get(above, ()) if above else self._layout.files.items():
                if place.startswith(prefix):
                    top = place[start:].partition("/")[0].partition(".")[0]
                    tops.setdefault(top, {})[place] = origin
            for top, files in tops.items():
                found[top] = (*found.get(top, ()), portions.get(root, files))
        return found

    @cached_property
    def inside(self) -> Mapping[str, Set[str]]:
        """Folder -> the names in it."""
        return inside_of([portion for each in self.portions.values() for portion in each])

    @cached_property
    def held(self) -> frozenset[str]:
        """The repository files that are in the image."""
        return frozenset(self._layout.files.values())

    def enter(self, folders: tuple[str, ...], name: str) -> tuple[str, tuple[str, ...]] | None:
        """Resolve a name as Python does: its file, and the folders of its submodules. None if not found."""
        return enter(self.inside, folders, name)

    def down(self, folders: tuple[str, ...], parts: list[str]) -> tuple[str, ...] | None:
        """Return the files of a dotted name and its parent packages; None if one is not found."""
        places: list[str] = []
        for part in parts:
            entered = self.enter(folders, part)
            if entered is None:
                return None
            file, folders = entered
            places += [file] if file else []
        return tuple(places)

    def origin_root(self, place: str) -> str | None:
        """Return the repository folder that corresponds to the image root in which a module is found."""
        folder = posixpath.dirname(self._layout.files[place])
        for root in self.roots:
            if place.startswith(f"{root}/"):
                depth = posixpath.dirname(place[len(root) + 1 :])
                if not depth:
                    return folder
                return folder[: -len(depth) - 1] if f"{folder}/".endswith(f"/{depth}/") else None
        return None

    def may_be_outside(self, top: str) -> bool:
        """Whether a distribution from elsewhere may provide a module of that name."""
        name = top.lower().replace("_", "-")
        known = {name, f"python-{name}", f"py{name}", *providers(top)}
        return top in RUNTIME or any(
            each in known or each.startswith(f"{name}-") or each.replace("-", "") == name.replace("-", "")
            for each in self._layout.required
        )

    def mentioned(self, name: str) -> bool:
        """Whether a gap mentions the name. If so, its cause probably provides it."""
        return any(gap.whole or re.search(rf"\b{re.escape(name)}\b", gap.text) for gap in self._layout.gaps)


def inside_of(portions: Sequence[Portion]) -> Mapping[str, Set[str]]:
    """Return the names in each folder of some portions."""
    if len(portions) == 1:
        return portions[0].inside
    found: dict[str, Set[str]] = {}
    for portion in portions:
        for folder, names in portion.inside.items():
            found[folder] = found[folder] | names if folder in found else names
    return found


def enter(
    inside: Mapping[str, Set[str]], folders: tuple[str, ...], name: str
) -> tuple[str, tuple[str, ...]] | None:
    """Resolve a name in folders as Python does; see `Importable.enter`. inside: folder -> names in it."""
    portions: list[str] = []
    for folder in folders:
        names = inside.get(folder, frozenset())
        target = f"{folder}/{name}"
        if name in names and "__init__.py" in inside.get(target, ()):
            return f"{target}/__init__.py", (target,)
        if f"{name}.py" in names:
            return f"{target}.py", ()
        if any(each.startswith(f"{name}.") and each.endswith(_BINARY) for each in names):
            return "", ()
        if name in names and target in inside:
            portions.append(target)
    return ("", tuple(portions)) if portions else None
