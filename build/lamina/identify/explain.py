"""How two bills differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

from lamina.identify.fingerprint import Bill, distribution


def differences(before: Bill, after: Bill) -> tuple[str, ...]:
    """Every reason why ``after`` is another image than ``before``; empty when it is the same."""
    return tuple(_differences(before, after))


def _differences(before: Bill, after: Bill) -> Iterator[str]:
    for name, old, new in (
        ("platform", before.platform, after.platform),
        ("target", before.target, after.target),
    ):
        if old != new:
            yield f"{name} {old} -> {new}"
    yield from _requirements(before, after)
    for name in sorted({*before.files, *after.files}):
        yield from _files(name, before.files.get(name, {}), after.files.get(name, {}))
    yield from _instructions(before.instructions, after.instructions)
    for name in _changed(before.args, after.args):
        yield f"build argument {name} changed"
    for name in _changed(before.bases, after.bases):
        yield f"{name} {_short(before.bases.get(name))} -> {_short(after.bases.get(name))}"
    for name in _changed(before.parents, after.parents):
        yield f"parent {name}"
    if before.secrets != after.secrets:
        yield "the set of secrets changed"


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    missing = object()
    names = {*before, *after}
    return sorted(name for name in names if before.get(name, missing) != after.get(name, missing))


def _files(context: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    prefix = f"{context}:" if context else ""
    for path in _changed(before, after):
        shown = prefix + path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        old, new = before.get(path), after.get(path)
        if old is None:
            yield f"{shown} added"
        elif new is None:
            yield f"{shown} removed"
        elif old[0] == new[0]:
            yield f"{shown} modified"
        elif {old[0], new[0]} == {"f", "x"} and old[1:] == new[1:]:
            yield f"{shown} is now {'executable' if new[0] == 'x' else 'not executable'}"
        else:
            yield f"{shown} modified (another kind of file)"


def _requirements(before: Bill, after: Bill) -> Iterator[str]:
    """Requirements that came, went or moved, by name."""
    for path in sorted({*before.requirements, *after.requirements}):
        old = {distribution(line): line for line in before.requirements.get(path, ())}
        new = {distribution(line): line for line in after.requirements.get(path, ())}
        for name in _changed(old, new):
            if name not in old:
                yield f"requirement {new[name]} added"
            elif name not in new:
                yield f"requirement {old[name]} removed"
            else:
                yield f"requirement {old[name]} -> {new[name]}"


def _instructions(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    """Which instructions came, went or changed; their text stays out: it may be long."""
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        if operation == "replace":
            yield f"Dockerfile: {_heads(after[j1:j2])} changed"
        elif operation == "delete":
            yield f"Dockerfile: {_heads(before[i1:i2])} removed"
        elif operation == "insert":
            yield f"Dockerfile: {_heads(after[j1:j2])} added"


def _heads(lines: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(line.split(" ", 1)[0] for line in lines))


def _short(digest: str | None) -> str:
    if digest is None:
        return "none"
    return digest[: len("sha256:") + 12] if digest.startswith("sha256:") else digest
