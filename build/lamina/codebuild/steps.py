"""Split a build into calls of bake on CodeBuild, and collect their results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.codebuild.buildspec import BuildspecStep, events_file, unknown_digest
from lamina.decide.plan import Decision, FoundImage
from lamina.errors import Problem
from lamina.execute.attempt import Installs, doubtful, next_batch, with_installs
from lamina.execute.bake import Bake, BuildRequest, make_bake
from lamina.execute.baked import Baked
from lamina.execute.cache_gaps import cache_gaps
from lamina.execute.failure import broken_images, explain, lost_result
from lamina.execute.image_store import ImageStore
from lamina.execute.outcome import Outcome, Result, cancelled
from lamina.execute.progress import Trace
from lamina.execute.run import confirm, read_announced
from lamina.identify.image import Image
from lamina.identify.stage import StagedContext

CONTEXTS = Path("contexts")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStep:
    """One call of bake on CodeBuild, with its images and bake file."""

    step: BuildspecStep
    request: BuildRequest
    bake: Bake

    @property
    def number(self) -> int:
        """The step's number, from 1."""
        return self.step.number

    @property
    def images(self) -> tuple[str, ...]:
        """The names of the images it builds."""
        return tuple(decision.image.name for decision in self.request.decisions)

    def trace(self) -> Trace:
        """Return an empty trace for its bake's events."""
        return Trace(self.bake.targets)

    def render(self) -> str:
        """Return its bake file, with paths relative to the source."""
        return self.bake.render(self.step.variables)


def remote_stage(image: str) -> StagedContext:
    """Return an image's staged context on the machine, relative to the source."""
    return StagedContext(folder=CONTEXTS / image)


def split(request: BuildRequest, jobs: int, *, first: int = 1) -> tuple[RemoteStep, ...]:
    """Split a request into the calls of bake that a local run would make.

    A base image built by an earlier call is known by its tag only; its digest is read when bake runs.
    first: the number of the first step.
    """
    images = {decision.image.name: decision.image for decision in request.decisions}
    numbers = {decision.image.name: at for at, decision in enumerate(request.decisions, start=1)}
    made: set[str] = set()
    steps: list[RemoteStep] = []
    waiting = request
    while waiting.decisions:
        chosen = next_batch(waiting, jobs)
        awaited = _awaited(chosen, images, made)
        found = {
            name: FoundImage(ref=image.ref, digest=unknown_digest(numbers[name]))
            for name, image in awaited.items()
        }
        batch = replace(
            waiting,
            decisions=chosen,
            stages={name: remote_stage(name) for name in request.stages},
            found={**request.found, **found},
        )
        step = BuildspecStep(
            number=first + len(steps),
            bases={numbers[name]: str(image.ref) for name, image in awaited.items()},
        )
        steps.append(RemoteStep(step=step, request=batch, bake=make_bake(batch)))
        made |= {decision.image.name for decision in chosen}
        waiting = replace(
            waiting, decisions=tuple(each for each in waiting.decisions if each.image.name not in made)
        )
    return tuple(steps)


def _awaited(
    chosen: tuple[Decision, ...], images: Mapping[str, Image], made: Collection[str]
) -> Mapping[str, Image]:
    """Return the base images of a call that earlier calls build."""
    return {name: images[name] for each in chosen for name in each.image.node.parents if name in made}


def collect_results(
    steps: tuple[RemoteStep, ...], folder: Path, store: ImageStore, clock: Callable[[], float]
) -> Outcome:
    """Return the outcome of a successful build; its images are confirmed as after a local build.

    Args:
        folder: with the events and metadata of each step.
        clock: seconds since the epoch.
    """
    results: dict[str, Result] = {}
    problems: list[Problem] = []
    uncached: dict[str, str] = {}
    installs: Installs = {}
    for each in steps:
        trace = read_trace(each, folder)
        installs = with_installs(installs, each.request, trace)
        uncached |= cache_gaps(each.request, trace)
        announced = read_announced(folder, each.number)
        confirmed, doubts = confirm(each.request, store, announced, Baked(trace=trace), now=clock())
        results |= {**confirmed, **doubtful(each.request, doubts)}
        problems += doubts.values()
    return Outcome(results=results, installs=installs, problems=tuple(problems), uncached=uncached)


def explain_failure(steps: tuple[RemoteStep, ...], folder: Path) -> Outcome:
    """Return the outcome of a failed build, with the reasons in its events; none of its images count.

    A bake with events but without metadata has failed. folder: see `collect_results`.
    """
    results: dict[str, Result] = {}
    problems: list[Problem] = []
    for each in steps:
        broken: Mapping[str, str] = {}
        if (folder / events_file(each.number)).exists() and not read_announced(folder, each.number):
            trace = read_trace(each, folder)
            broken = broken_images(each.request, trace)
            if broken or trace.messages:
                problems += explain(each.request, trace, broken, "\n".join(trace.messages))
            results |= {name: lost_result(each.request, name, trace, what) for name, what in broken.items()}
    return Outcome(
        results={**cancel(steps, "the remote build failed").results, **results}, problems=tuple(problems)
    )


def join_outcomes(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of several builds together."""
    known = tuple(outcomes)
    return Outcome(
        results={name: result for each in known for name, result in each.results.items()},
        installs={name: steps for each in known for name, steps in each.installs.items()},
        problems=tuple(problem for each in known for problem in each.problems),
        uncached={name: gap for each in known for name, gap in each.uncached.items()},
    )


def cancel(steps: tuple[RemoteStep, ...], reason: str) -> Outcome:
    """Return the outcome of a build whose images are all cancelled."""
    decisions = [decision for each in steps for decision in each.request.decisions]
    return Outcome(results={each.image.name: cancelled(each, f"cancelled: {reason}") for each in decisions})


def read_trace(step: RemoteStep, folder: Path) -> Trace:
    """Read the trace of a step from its event file; an empty one without a file."""
    trace = step.trace()
    file = folder / events_file(step.number)
    if file.exists():
        for line in file.read_text("utf-8", errors="replace").splitlines():
            trace.feed(line)
    return trace
