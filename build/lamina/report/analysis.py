"""Analyse runs: why a step ran, how many steps were cache hits, where the time went. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.reachable import reachable
from lamina.report.builders import BusyBuilder, busy_builders
from lamina.report.calls import KeptCall
from lamina.report.history import ImageRun, Run, StepRecord
from lamina.report.inits import MeasuredInit

_NUMBER = re.compile(r"(?:(?P<stage>.+) )?(?P<at>\d+)/\d+$")
_CLOCKS = 0.05
"""Seconds by which the clocks of two targets of one call of bake may differ."""
_WORTH = 0.001
"""Seconds: shorter steps are left out of the critical path."""
_DONE = ("ran", "failed", "stopped")
_COPY = re.compile(r"(?:COPY|ADD)((?: --[\w-]+(?:=\S+)?)*)((?: [^\s\[<]\S*)+) \S+$")
_FILE = re.compile(r"(\S+) (?:added|removed|modified)$")
_NOT_CACHED = "its result was not in the builder's cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedStep:
    """An instruction of an image in a run. why: why it ran, or which image ran it; empty for a cache hit."""

    step: StepRecord
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStep:
    """A step over several runs.

    Attributes:
        longest, total: seconds.
        run: the run with the longest time.
    """

    image: str
    instruction: str
    times: int
    longest: float
    total: float
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The report of a run.

    Attributes:
        steps: its instructions.
        around: BuildKit's other steps.
        path: the critical path, first step to last.
        slowest: the slowest steps of the last runs.
        runs: those runs, the latest first.
        cached, asked: the number of cache hits, and of instructions BuildKit looked up.
        inits: of the functions of its images, as `invoke smoke` measured them last.
        builders: of a run that was spread over several.
    """

    run: Run
    steps: tuple[ExplainedStep, ...]
    around: tuple[StepRecord, ...]
    path: tuple[StepRecord, ...]
    slowest: tuple[SlowStep, ...]
    runs: tuple[Run, ...]
    cached: int
    asked: int
    inits: tuple[MeasuredInit, ...] = ()
    builders: tuple[BusyBuilder, ...] = ()
    calls: tuple[KeptCall, ...] = ()

    def of(self, image: str) -> tuple[ExplainedStep, ...]:
        """Return the instructions of one image, in the order of its Dockerfile."""
        return tuple(each for each in self.steps if each.step.image == image)


def analyse(
    run: Run,
    steps: Iterable[StepRecord],
    history: Mapping[Run, Iterable[StepRecord]],
    inits: tuple[MeasuredInit, ...] = (),
) -> RunReport:
    """Make the report of a run. history: the last runs, the latest first -> their steps."""
    known = tuple(steps)
    explained = tuple(explain_steps(run, known))
    return RunReport(
        run=run,
        steps=explained,
        around=tuple(step for step in known if not step.is_instruction and step.seconds),
        path=critical_path(run, known),
        slowest=tuple(slowest(history)),
        runs=tuple(history),
        cached=sum(each.step.state == "cached" for each in explained),
        asked=sum(each.step.state in {"cached", "ran", "failed"} for each in explained),
        inits=inits,
        builders=busy_builders(run, known),
    )


def explain_steps(run: Run, steps: Iterable[StepRecord]) -> Iterator[ExplainedStep]:
    """Yield the instructions image by image, each with why it ran.

    A step that uses the result of a step that ran, ran because of that step. Any other step that ran has the
    plan's reason, but a COPY whose files the plan does not name.
    """
    known = tuple(steps)
    by_digest = _by_digest(known)
    depths = _depths(by_digest)
    for image in run.images:
        own = [step for step in known if step.image == image.name and step.is_instruction]
        stages: dict[str, int] = {}
        for step in own:
            stage, _ = _numbered(step)
            stages[stage] = max(stages.get(stage, 0), depths[step.digest])
        for step in sorted(own, key=lambda each: (stages[_numbered(each)[0]], *_numbered(each))):
            yield ExplainedStep(step=step, why=_why(step, image, by_digest))


def critical_path(run: Run, steps: Iterable[StepRecord]) -> tuple[StepRecord, ...]:
    """Return the critical path: from the step that ended last, back over the steps it waited for."""
    timed = [step for step in steps if step.state in _DONE and step.seconds >= _WORTH]
    if not timed:
        return ()
    by_digest = _by_digest(steps)
    bases = {image.name: {image.name, *_ancestors(run, image)} for image in run.images}
    path = [max(timed, key=lambda step: step.finished or 0.0)]
    while True:
        current = path[-1]
        needed = [step for step in _needed(current, by_digest) if step not in path]
        if not needed:
            own = bases.get(current.image, {current.image})
            start = (current.started or 0.0) + _CLOCKS
            needed = [step for step in timed if step.image in own and (step.finished or 0.0) <= start]
            needed = [step for step in needed if step not in path]
        if not needed:
            return tuple(reversed(path))
        path.append(max(needed, key=lambda step: step.finished or 0.0))


def slowest(history: Mapping[Run, Iterable[StepRecord]], count: int = 10) -> list[SlowStep]:
    """Return the slowest instructions over some runs, slowest first."""
    found: dict[tuple[str, str], SlowStep] = {}
    for run, steps in history.items():
        for step in steps:
            if step.is_instruction and step.state in {"ran", "failed"} and step.seconds >= _WORTH:
                before = found.get((step.image, step.instruction))
                longer = before is None or step.seconds > before.longest
                found[step.image, step.instruction] = SlowStep(
                    image=step.image,
                    instruction=step.instruction,
                    times=(before.times if before else 0) + 1,
                    longest=step.seconds if longer or before is None else before.longest,
                    total=(before.total if before else 0.0) + step.seconds,
                    run=run.id if longer or before is None else before.run,
                )
    return sorted(found.values(), key=lambda each: -each.longest)[:count]


def _why(step: StepRecord, image: ImageRun, by_digest: Mapping[str, StepRecord]) -> str:
    if step.by is not None:
        return f"the same step of {step.by}"
    if step.state == "shared":
        return "an equal step of another image did it"
    if step.state not in _DONE:
        return ""
    ran = [each for each in _nearest(step, by_digest) if each.state in {"ran", "failed"}]
    if not ran and _copies_others(step.instruction, image.planned):
        return _NOT_CACHED
    if not ran:
        return "; ".join(image.planned[:1]) + (
            f" and {len(image.planned) - 1} more" if len(image.planned) > 1 else ""
        )
    cause = max(ran, key=lambda each: (each.image == step.image, each.finished or 0.0))
    return f"after {cause.place}" if cause.image == step.image else f"after {cause.place} of {cause.image}"


def _copies_others(instruction: str, reasons: Iterable[str]) -> bool:
    """Whether an instruction copies files of a context, and all reasons are about other files."""
    copy = _COPY.match(instruction)
    if not copy or "--from=" in copy[1]:
        return False
    sources = [each.removeprefix("./").strip("/") for each in copy[2].split()]
    changed = [_FILE.match(each) for each in reasons if not each.startswith("requirement ")]
    return bool(changed) and not any(
        found is None or source in {"", "."} or "*" in source or f"/{source}/" in f"/{found[1]}/"
        for found in changed
        for source in sources
    )


def _nearest(step: StepRecord, by_digest: Mapping[str, StepRecord]) -> Iterator[StepRecord]:
    """Yield the nearest instructions whose results a step uses, directly or through other steps."""
    return _search(step, by_digest, lambda each: each.is_instruction)


def _needed(step: StepRecord, by_digest: Mapping[str, StepRecord]) -> Iterator[StepRecord]:
    """Yield the nearest steps that took time and whose results a step uses."""
    return _search(step, by_digest, lambda each: each.state in _DONE and each.seconds >= _WORTH)


def _search(
    step: StepRecord, by_digest: Mapping[str, StepRecord], wanted: Callable[[StepRecord], bool]
) -> Iterator[StepRecord]:
    seen: set[str] = set()
    waiting = [*step.inputs]
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        found = by_digest.get(digest)
        if found is not None and wanted(found):
            yield found
        elif found is not None:
            waiting += found.inputs


def _by_digest(steps: Iterable[StepRecord]) -> Mapping[str, StepRecord]:
    """Return digest -> the step, of the image that ran it."""
    found: dict[str, StepRecord] = {}
    for step in steps:
        if step.by is None:
            found.setdefault(step.digest, step)
    return found


def _depths(by_digest: Mapping[str, StepRecord]) -> Mapping[str, int]:
    """Return digest -> the length of the longest chain of inputs that ends in the step."""
    depths: dict[str, int] = {}

    def depth(digest: str) -> int:
        if digest not in depths:
            depths[digest] = 0  # damaged events may form a cycle
            step = by_digest.get(digest)
            depths[digest] = 1 + max(map(depth, step.inputs), default=0) if step else 0
        return depths[digest]

    for digest in by_digest:
        depth(digest)
    return depths


def _numbered(step: StepRecord) -> tuple[str, int]:
    """Return the stage and the number of an instruction."""
    found = _NUMBER.match(step.place)
    return (found["stage"] or "", int(found["at"])) if found else ("", 0)


def _ancestors(run: Run, image: ImageRun) -> set[str]:
    by_name = {each.name: each for each in run.images}
    return reachable(image.parents, lambda name: by_name[name].parents if name in by_name else ())
