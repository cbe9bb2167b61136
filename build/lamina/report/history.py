"""Read the runs of a project from ``.lamina/runs/``, also those that failed or were killed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from lamina.execute.bake import image_name
from lamina.execute.outcome import CacheUse, Saved
from lamina.execute.progress import BakeStep as Vertex
from lamina.execute.progress import Trace
from lamina.files import read_json
from lamina.reachable import reachable
from lamina.report.document import SCHEMA
from lamina.report.runs import RUN_FILE

State = Literal["cached", "ran", "shared", "failed", "stopped", "waiting"]
"""shared: an equal step of another image ran. stopped: it was running. waiting: it was not reached."""
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
_ATTEMPT = re.compile(r"bake-(\d+)\.json")
_TARGET = "target:"
_RANK: tuple[State, ...] = ("ran", "failed", "cached", "shared", "stopped", "waiting")


class SavedDocument(TypedDict):
    """See `Saved`."""

    seconds: float
    bytes: int | None


class CacheUseDocument(TypedDict):
    """See `CacheUse`."""

    imports: bool
    fresh: bool | None
    export: str
    bytes: int | None
    off: NotRequired[str]


class ImageRunDocument(TypedDict):
    """An image in run.json: see `ImageRun`."""

    name: str
    kind: str
    status: str
    reasons: list[str]
    planned: list[str]
    tag: str
    ref: str | None
    digest: str | None
    size: int
    seconds: float
    cached: int
    total: int
    parents: list[str]
    builder: NotRequired[str]
    appended: NotRequired[str]
    saved: SavedDocument | None
    remote_cache: NotRequired[CacheUseDocument]


class ProblemDocument(TypedDict):
    """A problem in run.json."""

    what: str
    where: str | None
    hint: str | None


class RunDocument(TypedDict):
    """The content of run.json: see `Run`. started: ISO 8601."""

    schema: int
    command: str
    started: str
    seconds: float
    ok: bool
    interrupted: bool
    static: bool
    push: bool
    platform: str
    registry: str
    builder: str
    images: list[ImageRunDocument]
    saved: SavedDocument | None
    problems: list[ProblemDocument]


class BakeTarget(TypedDict, total=False):
    """A target of a bake file. contexts: name -> ``target:x`` for a base that the same call builds."""

    contexts: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step of one image in a run.

    Attributes:
        started, finished: seconds since the epoch.
        name: with its number, ``[deps 2/3] RUN …``.
        by: the image that ran a shared step.
        inputs: the digests of the steps whose results it uses.
    """

    image: str
    name: str
    is_instruction: bool
    state: State
    digest: str
    inputs: tuple[str, ...] = ()
    started: float | None = None
    finished: float | None = None
    by: str | None = None

    @property
    def seconds(self) -> float:
        """How long it ran, in seconds; 0 if it did not."""
        if self.started is None or self.finished is None or self.state == "cached":
            return 0.0
        return max(0.0, self.finished - self.started)

    @property
    def place(self) -> str:
        """The stage and number, ``deps 2/3``; empty for a step that is not an instruction."""
        return self.name[1:].partition("] ")[0] if self.is_instruction else ""

    @property
    def instruction(self) -> str:
        """The step without its number."""
        return self.name.partition("] ")[2] if self.is_instruction else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRun:
    """The result of one image in a run, from run.json.

    Attributes:
        status: ``unknown`` if it was not recorded.
        reasons: of the status.
        planned: the plan's reasons, whatever the result.
        builder: which of several built it; empty if there was one.
        appended: whether it was made without a builder.
        remote_cache: None if it has none, or the run did not record it.
    """

    name: str
    kind: str = ""
    status: str = "unknown"
    reasons: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    tag: str = ""
    ref: str | None = None
    digest: str | None = None
    size: int = 0
    seconds: float = 0.0
    cached: int = 0
    total: int = 0
    parents: tuple[str, ...] = ()
    builder: str = ""
    appended: bool = False
    saved: Saved | None = None
    remote_cache: CacheUse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run.

    Unknown fields of a run that was killed are empty or None.

    Attributes:
        started: seconds since the epoch.
        seconds: its duration.
        complete: whether run.json was written.
        calls: how many calls changed something in AWS, once they are counted.
    """

    id: str
    started: float
    command: str = ""
    seconds: float | None = None
    complete: bool = False
    ok: bool = False
    interrupted: bool = False
    static: bool = False
    push: bool = False
    platform: str = ""
    registry: str = ""
    builder: str = ""
    images: tuple[ImageRun, ...] = ()
    saved: Saved | None = None
    problems: tuple[str, ...] = ()
    calls: int = 0

    def count(self, status: str) -> int:
        """Return the number of images with a status."""
        return sum(image.status == status for image in self.images)


def run_ids(state: Path) -> tuple[str, ...]:
    """Return the names of the kept runs, the latest first."""
    try:
        names = [each.name for each in (state / "runs").iterdir() if _ID.fullmatch(each.name)]
    except OSError:
        return ()
    return tuple(sorted(names, reverse=True))


def read_run(state: Path, run: str) -> Run:
    """Read a run from its run.json; if that is missing or damaged, read image names from the bake files."""
    folder = state / "runs" / run
    document = read_json(folder / RUN_FILE)
    try:
        return _parse_run(run, document)
    except (KeyError, TypeError, ValueError, AttributeError):
        names = dict.fromkeys(name for targets in _attempts(folder).values() for name in targets.values())
        return Run(id=run, started=start_of(run), images=tuple(ImageRun(name=name) for name in names))


def read_steps(state: Path, run: Run) -> tuple[StepRecord, ...]:
    """Read all steps of a run, bases first; of a step in several attempts, the most informative one."""
    folder = state / "runs" / run.id
    found: dict[tuple[str, str], StepRecord] = {}
    for attempt, targets in _attempts(folder).items():
        trace = Trace(targets)
        for line in _lines(folder / f"events-{attempt}.jsonl"):
            with contextlib.suppress(TypeError, ValueError, AttributeError):  # a damaged line
                trace.feed(line)
        for step in _freeze(trace, _ancestors(run, folder, attempt)):
            before = found.get((step.image, step.name))
            if before is None or _RANK.index(step.state) <= _RANK.index(before.state):
                found[step.image, step.name] = step
    return tuple(found.values())


def _parse_run(run: str, document: RunDocument) -> Run:
    if document["schema"] != SCHEMA:
        raise ValueError(document["schema"])
    return Run(
        id=run,
        started=datetime.fromisoformat(document["started"]).timestamp(),
        command=str(document["command"]),
        seconds=float(document["seconds"]),
        complete=True,
        ok=bool(document["ok"]),
        interrupted=bool(document["interrupted"]),
        static=bool(document["static"]),
        push=bool(document["push"]),
        platform=str(document["platform"]),
        registry=str(document["registry"]),
        builder=str(document["builder"]),
        images=tuple(map(_parse_image, document["images"])),
        saved=_parse_saved(document["saved"]),
        problems=tuple(str(each["what"]) for each in document["problems"]),
    )


def _parse_image(document: ImageRunDocument) -> ImageRun:
    return ImageRun(
        name=str(document["name"]),
        kind=str(document["kind"]),
        status=str(document["status"]),
        reasons=tuple(map(str, document["reasons"])),
        planned=tuple(map(str, document["planned"])),
        tag=str(document["tag"]),
        ref=document["ref"],
        digest=document["digest"],
        size=int(document["size"]),
        seconds=float(document["seconds"]),
        cached=int(document["cached"]),
        total=int(document["total"]),
        parents=tuple(map(str, document["parents"])),
        builder=str(document.get("builder", "")),
        appended="appended" in document,
        saved=_parse_saved(document["saved"]),
        remote_cache=_parse_use(document.get("remote_cache")),
    )


def _parse_use(document: CacheUseDocument | None) -> CacheUse | None:
    if not document:
        return None
    fresh, count = document["fresh"], document["bytes"]
    return CacheUse(
        imports=bool(document["imports"]),
        fresh=None if fresh is None else bool(fresh),
        export=str(document["export"]),
        bytes=None if count is None else int(count),
        off=str(document.get("off", "")),
    )


def _parse_saved(document: SavedDocument | None) -> Saved | None:
    return Saved(seconds=float(document["seconds"]), bytes=document["bytes"]) if document else None


def start_of(run: str) -> float:
    """Return the start of a run from its name, in seconds since the epoch."""
    try:
        return datetime.strptime(run.partition("-")[0], "%Y%m%dT%H%M%S").astimezone().timestamp()
    except ValueError:
        return 0.0


def _attempts(folder: Path) -> Mapping[int, Mapping[str, str]]:
    """Return number of the call of bake -> its targets and their images, bases first."""
    found = {}
    for file in folder.glob("bake-*.json"):
        if match := _ATTEMPT.fullmatch(file.name):
            found[int(match[1])] = {target: image_name(target) for target in _targets(file)}
    return dict(sorted(found.items()))


def _targets(file: Path) -> Mapping[str, BakeTarget]:
    """Return the targets of a bake file; empty if it is damaged."""
    document = read_json(file)
    targets = document.get("target") if isinstance(document, dict) else None
    return targets if isinstance(targets, dict) else {}


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines of a file; none if it cannot be read."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            yield from lines
    except OSError:
        return


def _ancestors(run: Run, folder: Path, attempt: int) -> Mapping[str, frozenset[str]]:
    """Return image -> all its bases, as far as the run or this call of bake names them."""
    parents = {image.name: set(image.parents) for image in run.images}
    for target, each in _targets(folder / f"bake-{attempt}.json").items():
        links = (str(where) for where in (each.get("contexts") or {}).values())
        above = {image_name(link.removeprefix(_TARGET)) for link in links if link.startswith(_TARGET)}
        parents.setdefault(image_name(target), set()).update(above)
    return {name: _above(name, parents) for name in parents}


def _above(name: str, parents: Mapping[str, set[str]]) -> frozenset[str]:
    return frozenset(reachable(parents[name], lambda each: parents.get(each, ())))


def _freeze(trace: Trace, ancestors: Mapping[str, frozenset[str]]) -> Iterator[StepRecord]:
    """Yield the steps of a trace for each image that owns them, not for images that inherit them."""
    exported = {image for image in trace.images if trace.progress(image, now=0.0).exported}
    for step in trace.steps:
        for image in trace.images:
            if image == step.image or (
                step.is_instruction and image in step.images and step.image not in ancestors.get(image, ())
            ):
                yield _frozen(step, image, exported=image in exported)


def _frozen(step: Vertex, image: str, *, exported: bool) -> StepRecord:
    state = _state(step, exported=exported)
    by = None
    if image != step.image:
        state, by = "shared", step.image
    return StepRecord(
        image=image,
        name=step.name,
        is_instruction=step.is_instruction,
        state=state,
        digest=step.digest,
        inputs=step.inputs,
        started=step.started,
        finished=step.finished,
        by=by,
    )


def _state(step: Vertex, *, exported: bool) -> State:
    if step.error is not None:
        return "stopped" if step.cancelled else "failed"
    if step.cached:
        return "cached"
    if step.ran:
        return "ran"
    if step.started is not None:
        return "stopped"
    return "shared" if exported else "waiting"
