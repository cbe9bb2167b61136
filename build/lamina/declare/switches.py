"""Comments that switch lint rules off: ``# lamina: ignore[LAM106, not-lazy]``, or with ``=`` as before."""

from __future__ import annotations

from collections.abc import Collection

from lamina.patterns import regex

_COMMENT = regex(r"\s*#\s*lamina:\s*ignore(?:=([\w, -]+)|\[([^]]*)\])")


def switched_off(line: str) -> tuple[str, ...]:
    """Return the rules that a line of a file switches off, as written; none for other lines."""
    found = _COMMENT.match(line)
    named = (found[1] or found[2] or "") if found else ""
    return tuple(each.strip() for each in named.split(",") if each.strip())


def is_off(names: Collection[str], line: int, text: str) -> bool:
    """Whether a comment at or above a line, or above its instruction, switches a rule off.

    names: id and name of the rule.
    """
    lines = text.split("\n")
    for number in range(min(line, len(lines)), 0, -1):
        written = lines[number - 1].strip()
        if off := switched_off(written):
            if not set(names).isdisjoint(off):
                return True
        elif number < line and not written.startswith("#") and not written.endswith(("\\", "`")):
            return False
    return False
