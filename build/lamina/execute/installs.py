"""Read which versions a step installed from the output of pip and uv. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.identify.fingerprint import distribution

_UV = re.compile(r" (?P<sign>[+~-]) (?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s()]+)(?: \(from .+\))?")
_PIP = re.compile(r"\s*Successfully (?P<what>installed|uninstalled) (?P<names>\S+-\S+(?: \S+-\S+)*)")
_LONGEST = 1 << 18
"""Characters kept of an unfinished line: enough for hundreds of packages, limited for binary output."""


class InstallLog:
    """The log of one step, fed in pieces of any size. versions: normalised name -> version, so far."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self._rest: dict[int, str] = {}

    def feed(self, stream: int, text: str) -> None:
        """Take a piece of standard output (1) or standard error (2); pieces of the two may alternate."""
        *lines, rest = (self._rest.get(stream, "") + text).split("\n")
        self._rest[stream] = rest[-_LONGEST:]
        for line in lines:
            for name, version in read_line(line):
                if version is None:
                    self.versions.pop(name, None)
                else:
                    self.versions[name] = version


def read_line(line: str) -> Iterator[tuple[str, str | None]]:
    """Yield the names and versions that a line reports as installed; version None for removed packages.

    uv: `` + boto3==1.44.5``, for a folder or URL with `` (from …)`` behind it. pip: ``Successfully
    installed boto3-1.44.5 six-1.17.0``; a version has no hyphen.
    """
    line = line.rstrip()
    if found := _UV.fullmatch(line):
        yield distribution(found["name"]), None if found["sign"] == "-" else found["version"]
    elif found := _PIP.fullmatch(line):
        for each in found["names"].split(" "):
            name, _, version = each.rpartition("-")
            yield distribution(name), version if found["what"] == "installed" else None
