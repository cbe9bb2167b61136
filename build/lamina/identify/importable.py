"""The modules that Python can import in an image, and other sources that may provide them."""

from __future__ import annotations

import posixpath
import re

from lamina.identify.layout import SITE, TASK_ROOT, Layout

_ROOTS = (TASK_ROOT, "/opt/python", "/var/runtime")
_PACKAGES = re.compile(r"(.*/(?:site|dist)-packages)/")
_BINARY = (".so", ".pyd", ".pyc")
_RUNTIME = frozenset(
    {
        *("awslambdaric", "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"),
        *("simplejson", "snapshot_restore_py", "pip", "setuptools", "pkg_resources", "wheel"),
    }
)
"""Modules that an image of Lambda's runtime provides besides the standard library."""
_IMPORTED_AS = {
    "yaml": "pyyaml",
    "pil": "pillow",
    "cv2": "opencv",
    "sklearn": "scikit-learn",
    "bs4": "beautifulsoup4",
    "jwt": "pyjwt",
    "dotenv": "python-dotenv",
    "dateutil": "python-dateutil",
    "attr": "attrs",
    "git": "gitpython",
    "jose": "python-jose",
    "docx": "python-docx",
    "pptx": "python-pptx",
    "crypto": "pycryptodome",
    "magic": "python-magic",
    "slugify": "python-slugify",
    "fitz": "pymupdf",
    "openssl": "pyopenssl",
    "mysqldb": "mysqlclient",
    "multipart": "python-multipart",
    "serial": "pyserial",
    "telegram": "python-telegram-bot",
    "faiss": "faiss-cpu",
    "skimage": "scikit-image",
}
"""Module -> the distribution that provides it, where the names differ."""


class Importable:
    """The files of an image as Python's import system sees them.

    Attributes:
        roots: The folders in which it starts to search.
        inside: Folder -> the names in it.
        held: The repository files that are in the image.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.inside: dict[str, set[str]] = {}
        for place in self._layout.files:
            folder, name = posixpath.split(place)
            while name and name not in self.inside.setdefault(folder, set()):
                self.inside[folder].add(name)
                folder, name = posixpath.split(folder)
        sites = {found[1] for place in self._layout.files if (found := _PACKAGES.match(place))}
        self.roots = tuple(
            dict.fromkeys((self._layout.workdir, *_ROOTS, *self._layout.paths, *sorted(sites), SITE))
        )
        self.held = frozenset(self._layout.files.values())

    def enter(self, folders: tuple[str, ...], name: str) -> tuple[str, tuple[str, ...]] | None:
        """Resolve a name as Python does: its file, and the folders of its submodules. None if not found."""
        portions: list[str] = []
        for folder in folders:
            inside = self.inside.get(folder, set())
            target = f"{folder}/{name}"
            if name in inside and "__init__.py" in self.inside.get(target, ()):
                return f"{target}/__init__.py", (target,)
            if f"{name}.py" in inside:
                return f"{target}.py", ()
            if any(each.startswith(f"{name}.") and each.endswith(_BINARY) for each in inside):
                return "", ()
            if name in inside and target in self.inside:
                portions.append(target)
        return ("", tuple(portions)) if portions else None

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
        known = {name, f"python-{name}", f"py{name}", _IMPORTED_AS.get(top.lower(), name)}
        return top in _RUNTIME or any(
            each in known or each.startswith(f"{name}-") or each.replace("-", "") == name.replace("-", "")
            for each in self._layout.required
        )

    def mentioned(self, name: str) -> bool:
        """Whether a gap mentions the name. If so, its cause probably provides it."""
        return any(re.search(rf"\b{re.escape(name)}\b", gap.text) for gap in self._layout.gaps)
