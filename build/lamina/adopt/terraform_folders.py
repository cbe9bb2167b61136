"""Which folders of Terraform files are about images, by their text: reading a file takes long."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

_LOCAL = re.compile(r'^\s*source\s*=\s*"(\.[^"]*)"', re.MULTILINE)
_ABOUT_IMAGES = re.compile(r'"Image"|docker_image|docker_registry_image|docker-build|\bimage_uri\b')


def terraform_folders(texts: Mapping[str, str]) -> frozenset[str]:
    """Return the folders of modules that are about images, and of those that call them."""
    folders = {posixpath.dirname(path) for path, text in texts.items() if _ABOUT_IMAGES.search(text)}
    sources = {
        (posixpath.dirname(path), joined(posixpath.dirname(path), source))
        for path, text in texts.items()
        for source in _LOCAL.findall(text)
    }
    while more := {caller for caller, called in sources if called in folders} - folders:
        folders |= more
    return frozenset(folders)


def joined(folder: str, source: str) -> str:
    """Return the folder of a module that another names by a path."""
    found = posixpath.normpath(posixpath.join(folder, source))
    return "" if found == "." else found
