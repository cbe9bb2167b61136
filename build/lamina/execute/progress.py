"""Fold BuildKit's progress events into a trace: which steps of which image ran, and for how long."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lamina.execute.installs import InstallLog
from lamina.execute.solve_status import Vertex, VertexStatus
from lamina.execute.spans import join_spans

_NAME = re.compile(r"\[(?P<inside>[^\]]+)\] (?P<what>.*)", re.DOTALL)
_COUNT = re.compile(r"(?:(?P<stage>\S+) +)?(?P<at>\d+)/(?P<of>\d+)$")
_EXPORT = "exporting to"
_CACHE_EXPORT, _CACHE_IMPORT = "exporting cache", "importing cache"
_LOG_LINES = 40
_CANCELLED = "context canceled"
_LAYER = "sha256:"
_TRANSFERRING = "transferring "


@dataclass(slots=True, kw_only=True)
class BakeStep:
    """One step (vertex) of the build. started, finished: seconds since the epoch."""

    digest: str
    image: str
    name: str
    is_instruction: bool
    """Whether it is an instruction of the Dockerfile, not loading or exporting around it."""
    started: float | None = None
    finished: float | None = None
    cached: bool = False
    error: str | None = None
    log: list[str] = field(default_factory=list)
    images: set[str] = field(default_factory=set)
    """All images that contain the step."""
    inputs: tuple[str, ...] = ()
    """The digests of the steps whose results it uses."""
    transfers: dict[str, int] = field(default_factory=dict)
    """Name of a transfer -> bytes so far."""
    installs: InstallLog = field(default_factory=InstallLog)

    @property
    def instruction(self) -> str:
        """The instruction without its step number."""
        return self.name.partition("] ")[2]

    @property
    def is_work(self) -> bool:
        """Whether it makes something: a FROM only names the base."""
        return self.is_instruction and not self.instruction.startswith("FROM ")

    @property
    def exports_cache(self) -> bool:
        """Whether it exports a remote cache."""
        return self.name.startswith(_CACHE_EXPORT)

    @property
    def optional(self) -> bool:
        """Whether it reads or writes a remote cache; its failure does not fail the build."""
        return self.name.startswith((_CACHE_EXPORT, _CACHE_IMPORT))

    @property
    def cancelled(self) -> bool:
        """Whether it was stopped because another step failed."""
        return self.error is not None and _CANCELLED in self.error

    @property
    def ran(self) -> bool:
        """Whether it ran to its end and was not a cache hit."""
        return self.started is not None and self.finished is not None and not self.cached and not self.error

    @property
    def seconds(self) -> float:
        """How long it ran, in seconds; 0 if it did not."""
        if self.started is None or self.finished is None or self.cached:
            return 0.0
        return max(0.0, self.finished - self.started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of one image: steps done, cached and known so far, and the current step.

    Attributes:
        seconds: during which any of its own steps ran, without waiting for its base.
        exported: whether it was stored or pushed.
        cold: whether none of its own steps was a cache hit.
        moved: bytes that BuildKit fetched for it: contexts and base layers.
        spans: when its own steps ran: start and end in seconds since the epoch, disjoint.
    """

    done: int
    cached: int
    total: int
    current: str
    seconds: float
    failed: bool
    exported: bool = False
    cold: bool = False
    moved: int = 0
    spans: tuple[tuple[float, float], ...] = ()


class Trace:
    """The state of a build, updated by the lines of ``--progress=rawjson``.

    targets: bake's target name -> image, bases first. BuildKit reports a step that several images share once
    for each of them; it is assigned to the first, which is their common base.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets
        self._rank = {image: rank for rank, image in enumerate(targets.values())}
        self._steps: dict[str, BakeStep] = {}
        self.messages: list[str] = []
        """Lines that are not events: the error output of buildx."""

    def feed(self, line: str) -> tuple[BakeStep, ...]:
        """Take one line; return the steps that it changed."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            if line.strip():
                self.messages.append(line)
            return ()
        changed = [self._vertex(vertex) for vertex in event.get("vertexes") or ()]
        for status in event.get("statuses") or ():
            if step := self._steps.get(status.get("vertex", "")):
                _note_transfer(step, status)
        for log in event.get("logs") or ():
            if step := self._steps.get(log.get("vertex", "")):
                text = base64.b64decode(log.get("data", "")).decode("utf-8", "replace")
                step.installs.feed(log.get("stream", 1), text)
                step.log += text.splitlines()
                del step.log[:-_LOG_LINES]
        return tuple(step for step in changed if step is not None)

    @property
    def images(self) -> tuple[str, ...]:
        """The images of this call of bake."""
        return tuple(self._rank)

    @property
    def steps(self) -> tuple[BakeStep, ...]:
        """All steps, in the order of their first event."""
        return tuple(self._steps.values())

    def of(self, image: str) -> tuple[BakeStep, ...]:
        """Return the steps assigned to one image."""
        return tuple(step for step in self._steps.values() if step.image == image)

    def installs(self, image: str, below: Collection[str]) -> Mapping[str, Mapping[str, str] | None]:
        """Return what the image's own RUN steps installed: instruction -> name -> version.

        None for a step that was a cache hit. below: the image's bases, whose steps are not its own.
        """
        runs = [
            step
            for step in self._steps.values()
            if step.is_instruction and step.instruction.startswith("RUN ")
        ]
        found: dict[str, Mapping[str, str] | None] = {}
        for step in runs:
            if image in step.images and step.images.isdisjoint(below):
                twins = [each for each in runs if each.ran and each.instruction == step.instruction]
                if step.ran:
                    found[step.instruction] = step.installs.versions
                elif step.cached or len({tuple(each.installs.versions.items()) for each in twins}) != 1:
                    found.setdefault(step.instruction, None)
                else:  # BuildKit ran only one of two images' equal steps
                    found[step.instruction] = twins[0].installs.versions
        return found

    def progress(self, image: str, *, now: float) -> Progress:
        """Return the progress of an image. now: seconds since the epoch."""
        steps = self.of(image)
        exported = any(step.finished and step.name.startswith(_EXPORT) for step in steps)
        # BuildKit runs only one of two images' equal steps; the other gets no further event.
        instructions = [step for step in steps if step.is_instruction and (step.started or not exported)]
        running = [step for step in steps if step.started is not None and step.finished is None]
        spans = join_spans((step.started, step.finished or now) for step in steps if step.started is not None)
        return Progress(
            done=sum(step.finished is not None for step in instructions),
            cached=sum(step.cached for step in instructions),
            total=len(instructions),
            current=running[-1].name if running else "",
            seconds=sum(stop - start for start, stop in spans),
            spans=spans,
            failed=any(step.error for step in steps if not step.optional),
            exported=exported,
            cold=_is_cold(instructions),
            moved=sum(sum(step.transfers.values()) for step in steps),
        )

    def _vertex(self, vertex: Vertex) -> BakeStep | None:
        image, name, is_instruction = self._read_name(str(vertex.get("name", "")))
        if image is None:
            return None
        digest = str(vertex.get("digest", ""))
        step = self._steps.get(digest)
        if step is None:
            step = BakeStep(digest=digest, image=image, name=name, is_instruction=is_instruction)
            self._steps[digest] = step
        step.images.add(image)
        if self._rank[image] < self._rank[step.image]:
            step.image, step.name = image, name
        step.started = _seconds(vertex.get("started")) or step.started
        step.finished = _seconds(vertex.get("completed")) or step.finished
        step.cached = step.cached or bool(vertex.get("cached"))
        step.error = vertex.get("error") or step.error
        step.inputs = tuple(vertex.get("inputs") or step.inputs)
        return step

    def _read_name(self, name: str) -> tuple[str | None, str, bool]:
        """Split a vertex's name into the image, the step's name, and whether it is an instruction.

        Names are ``[<target> <stage> 2/5] RUN ...``; with a single target bake leaves the target out.
        """
        found = _NAME.match(name)
        if found is None:
            return (self._only(), name, False)
        inside, what = found.group("inside"), found.group("what")
        head, _, rest = inside.partition(" ")
        if head in self._targets and len(self._targets) > 1:
            image: str | None = self._targets[head]
            inside = rest
        else:
            image = self._only()
        count = _COUNT.search(inside)
        merges = what.startswith("LINK ")  # the second half of a linked COPY
        return (image, f"[{inside}] {what}" if count else what, count is not None and not merges)

    def _only(self) -> str | None:
        return next(iter(self._targets.values())) if len(self._targets) == 1 else None


def _note_transfer(step: BakeStep, status: VertexStatus) -> None:
    """Record moved bytes. A layer that exists already ends at the moment it starts, and is not counted."""
    name = str(status.get("id", ""))
    fetched = name.startswith(_LAYER) and status.get("started") != status.get("completed")
    if fetched or name.startswith(_TRANSFERRING):
        step.transfers[name] = int(status.get("current") or 0)


def _is_cold(instructions: Iterable[BakeStep]) -> bool:
    work = [step for step in instructions if step.is_work]
    return bool(work) and all(step.ran for step in work)


def _seconds(timestamp: str | None) -> float | None:
    """Convert an RFC 3339 time with nanoseconds to seconds since the epoch."""
    if not timestamp:
        return None
    cut = re.sub(r"(\.\d{6})\d*", r"\1", timestamp)
    return datetime.fromisoformat(cut).timestamp()
