"""Find violations in the results of a case, a sentence for each. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DONE = {"built", "retagged", "pushed", "skipped"}
_TAIL_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command that ended. code: negative if a signal ended it, None if it had to be killed."""

    words: tuple[str, ...]
    code: int | None
    seconds: float
    stdout: str = ""
    stderr: str = ""

    @property
    def report(self) -> dict[str, Any] | None:
        """The output of ``--json``; None if it is not a JSON object."""
        try:
            found = json.loads(self.stdout)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @property
    def shown(self) -> str:
        """The command and the end of its output."""
        texts = [each["text"] for each in (self.report or {}).get("messages", ())]
        lines = "\n".join([*texts, self.stderr] if texts else [self.stdout, self.stderr]).splitlines()
        tail = [line for line in lines if line.strip()][-_TAIL_LINES:]
        return "\n".join((" ".join(("lamina", *self.words)), *(f"    | {line[:300]}" for line in tail)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTag:
    """A content tag, read back from a registry or an engine.

    fingerprint: in the image's label. made: the fingerprint of the tree that its files give. broken: why the
    image cannot be read, None if it can.
    """

    image: str
    tag: str
    digest: str = ""
    fingerprint: str | None = None
    made: str | None = None
    broken: str | None = None


def judge_run(run: Run, allowed: Collection[int]) -> Iterator[str]:
    """Check that a command ended with an allowed code, and gave a reason if it failed."""
    if _has_our_traceback(run.stdout + run.stderr):
        yield f"a traceback: {run.shown}"
    if run.code is None:
        yield f"did not end within {run.seconds:.0f} s: {run.shown}"
        return
    if run.code not in allowed:
        yield f"ended with {run.code}, allowed {sorted(allowed)}: {run.shown}"
    if run.code < 0 or "--json" not in run.words:
        return
    report = run.report
    if report is None:
        if run.code == 0 or not run.stderr.strip():
            yield f"ended with {run.code} and printed no report: {run.shown}"
        return
    if report.get("ok") != (run.code == 0):
        yield f"ended with {run.code}, and its report says ok: {report.get('ok')}"
    if run.code and not any(each["text"].strip() for each in report.get("messages", ())):
        yield f"ended with {run.code} without a word: {run.shown}"


def judge_success(
    run: Run,
    tags: Iterable[StoredTag],
    expected: Mapping[str, str] | None = None,
    *,
    same_digest: bool = True,
) -> Iterator[str]:
    """Check that the images exist that a command with exit code 0 reports.

    Args:
        expected: image -> fingerprint of the tree of the run; None if the tree was edited meanwhile.
        same_digest: whether to compare digests; of several runs at once only the last one's digest stays.
    """
    stored = {(each.image, each.tag): each for each in tags}
    images = {each["name"]: each for each in (run.report or {}).get("images", ())}
    for name in sorted((expected or {}).keys() - images.keys()):
        yield f"ended with 0 and does not report {name}"
    for name, image in images.items():
        if image["action"] not in DONE:
            yield f"ended with 0, and {name} was {image['action']}"
        if expected is not None and image["fingerprint"] != expected.get(name):
            yield f"reports {name} as {image['fingerprint']}, the tree is {expected.get(name)}"
        found = stored.get((name, image["tag"]))
        if found is None:
            yield f"ended with 0 ({image['action']}), and {name}:{image['tag']} is not there"
        elif same_digest and found.digest and found.digest != image["digest"]:
            yield f"reports {name}:{image['tag']} as {image['digest']}, it is {found.digest}"


def judge_tags(tags: Iterable[StoredTag]) -> Iterator[str]:
    """Check that the content of each tag fits its fingerprint."""
    for each in tags:
        name = f"{each.image}:{each.tag}"
        if each.broken:
            yield f"{name} cannot be read back: {each.broken}"
        elif each.fingerprint is None:
            yield f"{name} carries no fingerprint"
        elif each.tag != f"sha-{each.fingerprint.removeprefix('sha256:')[:12]}":
            yield f"{name} carries the fingerprint {each.fingerprint}"
        elif each.made != each.fingerprint:
            yield f"{name} holds other content: its files make {each.made}, its label says {each.fingerprint}"


def judge_manifest(text: str | None, tags: Iterable[StoredTag], *, same_digest: bool = True) -> Iterator[str]:
    """Check that ``.lamina/manifest.json`` names only existing images. text: None if there is no file."""
    if text is None:
        return
    try:
        entries = json.loads(text)["images"]
        named = [(each["image"], each["tags"][0], each["digest"]) for each in entries]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        yield f"manifest.json is half written: {error!r}"
        return
    stored = {(each.image, each.tag): each for each in tags}
    for image, tag, digest in named:
        found = stored.get((image, tag))
        if found is None:
            yield f"manifest.json records {image}:{tag}, which is not there"
        elif same_digest and found.digest and found.digest != digest:
            yield f"manifest.json records {image}:{tag} as {digest}, it is {found.digest}"


def judge_left(processes: Iterable[str], locks: Iterable[str]) -> Iterator[str]:
    """Check that a command left no process and no lock."""
    yield from (f"left a process: {each}" for each in processes)
    yield from (f"left a lock: {each}" for each in locks)


def _has_our_traceback(text: str) -> bool:
    """Whether a traceback leads through Lamina; one from Python's own start does not count."""
    head, begins, rest = text.partition("Traceback (most recent call last)")
    del head
    return bool(begins) and "/lamina/" in rest
