"""A step of a build as people read it."""

from __future__ import annotations

import re

_LONGEST = 100
_FLAGS = re.compile(r" --(?:mount|network|security)=\S+")


def step_line(name: str) -> str:
    """A step in one line: without its mounts, which say little and take much, and not too long."""
    line = " ".join(_FLAGS.sub("", name).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
