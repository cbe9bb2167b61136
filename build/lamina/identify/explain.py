"""Compare build inputs. Only names, digests and instructions are shown, never contents or argument values."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from lamina.identify.fingerprint import NOT_USED, BuildInputs, distribution
from lamina.identify.ignore import Ignore, IgnoreRule
from lamina.identify.instruction import instruction_diff
from lamina.identify.tree import shown
from lamina.values import dataclass

FileChange = Literal["added", "removed", "modified", "mode", "type", "retargeted"]
PartChange = Literal[
    "ignore", "instruction", "argument", "base", "parent", "platform", "target", "requirement", "secrets"
]
Kind = FileChange | PartChange | Literal["unknown"]
FOLDER = "folder"
_LETTER = {"f": "file", "x": "executable", "l": "link", "d": FOLDER}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputChange:
    """One difference between two sets of build inputs.

    Attributes:
        kind: How a file changed, else which part changed. ``unknown``: one side has no build inputs.
        subject: The path; the name of the image, argument or requirement; the file of an ignore rule.
        text: The whole change in one line that any terminal can print. It never holds an argument's value or
            a file's content.
        context: The named context of a file; empty for the main one.
        place: What a path of the file's context begins with where it is shown: ``services/api/`` from the
            project to the main context, ``assets:`` for a named one.
        before: Digest, fingerprint or requirement; for a file, its kind. The same for `after`.
        diff: Of instructions: lines that begin with ``- ``, ``+ `` or two spaces.
    """

    kind: Kind
    subject: str
    text: str
    context: str = ""
    place: str = ""
    before: str | None = None
    after: str | None = None
    diff: tuple[str, ...] = ()


def differences(
    before: BuildInputs,
    after: BuildInputs,
    ignores: Mapping[str, Ignore] | None = None,
    *,
    folder: str = "",
) -> tuple[InputChange, ...]:
    """Return every reason why ``after`` differs from ``before``; empty when they are equal.

    Args:
        ignores: Context -> the rules behind ``after``, if known. Used to name rules that hide files.
        folder: The main context, relative to the project; empty for the project itself.
    """
    return tuple(_differences(before, after, ignores or {}, folder))


def _differences(
    before: BuildInputs, after: BuildInputs, ignores: Mapping[str, Ignore], folder: str
) -> Iterator[InputChange]:
    if before.platform != after.platform:
        yield _moved("platform", before.platform, after.platform)
    if before.target != after.target:
        yield _moved("target", before.target, after.target)
    yield from _requirements(before, after)
    for name in sorted({*before.files, *after.files}):
        place = f"{name}:" if name else posixpath.join(folder, "")
        changes = list(_files(name, place, before.files.get(name, {}), after.files.get(name, {})))
        if name in ignores:
            yield from _hidden(ignores[name], changes)
        yield from changes
    yield from _instructions(before.instructions, after.instructions)
    for name in _changed(before.args, after.args):
        yield InputChange(kind="argument", subject=name, text=f"build argument {name} changed")
    for name in _changed(before.bases, after.bases):
        old, new = before.bases.get(name), after.bases.get(name)
        text = f"{shown(name)} {_short(old)} -> {_short(new)}"
        yield InputChange(kind="base", subject=name, before=old, after=new, text=text)
    for name in _changed(before.parents, after.parents):
        old, new = before.parents.get(name), after.parents.get(name)
        yield InputChange(kind="parent", subject=name, before=old, after=new, text=f"parent {name}")
    if before.secrets != after.secrets:
        yield InputChange(
            kind="secrets",
            subject="secrets",
            before=", ".join(before.secrets),
            after=", ".join(after.secrets),
            text="the set of secrets changed",
        )


def _moved(kind: Literal["platform", "target"], old: str | None, new: str | None) -> InputChange:
    return InputChange(kind=kind, subject=kind, before=old, after=new, text=f"{kind} {old} -> {new}")


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    missing = object()
    names = {*before, *after}
    return sorted(name for name in names if before.get(name, missing) != after.get(name, missing))


def _files(
    context: str, place: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[InputChange]:
    for path in _changed(before, after):
        old, new = before.get(path), after.get(path)
        kind, words = _how(old, new)
        yield InputChange(
            kind=kind,
            subject=path,
            context=context,
            place=place,
            before=_LETTER.get(old[0]) if old else None,
            after=_LETTER.get(new[0]) if new else None,
            text=f"{shown(place + path)} {words}",
        )


def _how(old: str | None, new: str | None) -> tuple[FileChange, str]:
    """Describe what happened to a file, from its entries in the build inputs."""
    if old is None or new is None:
        return ("added", "added") if old is None else ("removed", "removed")
    if old[0] == new[0]:
        return ("retargeted", "links to another target") if old[0] == "l" else ("modified", "modified")
    if {old[0], new[0]} == {"f", "x"} and old[1:] == new[1:]:
        return "mode", f"is now {'executable' if new[0] == 'x' else 'not executable'}"
    return "type", "modified (another kind of file)"


def _hidden(ignore: Ignore, changes: Iterable[InputChange]) -> Iterator[InputChange]:
    """Yield the rules that now hide removed files: a rule was added, or a ``!`` line was removed."""
    gone = [each.subject for each in changes if each.kind == "removed" and each.before != FOLDER]
    found = [rule for path in gone if (rule := ignore.hides(path))]
    for rule, count in Counter[IgnoreRule](found).items():
        files = "1 removed file is" if count == 1 else f"{count} removed files are"
        yield InputChange(kind="ignore", subject=rule.source, text=shown(f"{files} hidden by {rule}"))


def _requirements(before: BuildInputs, after: BuildInputs) -> Iterator[InputChange]:
    """Yield added, removed and changed requirements, by name."""
    for path in sorted({*before.requirements, *after.requirements}):
        before_by_name = {distribution(line): line for line in before.requirements.get(path, ())}
        after_by_name = {distribution(line): line for line in after.requirements.get(path, ())}
        for name in _changed(before_by_name, after_by_name):
            old, new = before_by_name.get(name), after_by_name.get(name)
            was = old and (old.removesuffix(NOT_USED) if new and new.endswith(NOT_USED) else old)
            change = f"{new} added" if old is None else f"{old} removed" if new is None else f"{was} -> {new}"
            text = shown(f"requirement {change}")
            yield InputChange(kind="requirement", subject=name, before=old, after=new, text=text)


def _instructions(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[InputChange]:
    """Yield added, removed and changed instructions: their names in the text, their lines in the diff."""
    if before == after:
        return
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    words = {"replace": "changed", "delete": "removed", "insert": "added"}
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        if operation in words:
            heads = _heads(after[j1:j2] or before[i1:i2])
            yield InputChange(
                kind="instruction",
                subject=heads,
                text=f"Dockerfile: {heads} {words[operation]}",
                diff=instruction_diff(before[i1:i2], after[j1:j2]),
            )


def _heads(lines: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(line.split(" ", 1)[0] for line in lines))


def _short(digest: str | None) -> str:
    if digest is None:
        return "none"
    return digest[: len("sha256:") + 12] if digest.startswith("sha256:") else digest
