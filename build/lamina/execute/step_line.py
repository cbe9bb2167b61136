"""Format a step of a build for people."""

from __future__ import annotations

import re

_LONGEST = 100
_FLAGS = re.compile(r" --(?:mount|network|security)=\S+")


def step_line(name: str) -> str:
    """Return a step in one line, without mount, network and security flags, cut to 100 characters."""
    line = " ".join(_FLAGS.sub("", name).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
