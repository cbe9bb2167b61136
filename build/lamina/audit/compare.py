"""Rebuild an image and compare it with the existing one; only BuildKit's cache is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

from lamina.audit.layers import AuditVerdict, Entries, Makeup, Pair, align, judge
from lamina.decide.layers import LayerStep
from lamina.decide.plan import Decision, FoundImage
from lamina.errors import BuildError
from lamina.execute.bake import DIGESTS, BuildRequest, csv_field, target_name
from lamina.execute.failure import broken_images, explain
from lamina.execute.progress import Trace
from lamina.execute.run import Announced, BuildEnv, call_bake, read_announced
from lamina.identify.image import Image
from lamina.registries.content import Content, open_archive, read_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An image and the result of its audit.

    Attributes:
        cached, total: steps of this build.
        ran: the instructions that were not cache hits.
    """

    image: Image
    found: FoundImage
    verdict: AuditVerdict
    cached: int
    total: int
    ran: tuple[str, ...]


def audit(
    request: BuildRequest, env: BuildEnv, attempts: count[int], made_by: tuple[LayerStep, ...]
) -> Audited:
    """Rebuild the one skipped image of a request and compare it with the image that the skip found.

    attempts: numbers for calls of bake. Raises RegistryError or EngineError if the existing image cannot be
    read, and KeyboardInterrupt if the user stops it.
    """
    (decision,) = request.decisions
    found = _found(decision)
    digests, trace, broken = _solve(replace(request, output=DIGESTS), env, next(attempts))
    if broken:
        verdict = _unknown(f"it cannot be built now: {broken}")
    elif found.config is not None and found.config == digests.get("containerimage.config.digest"):
        verdict = AuditVerdict(
            conclusion="confirmed", reasons=(f"the same configuration {found.config[:19]}",)
        )
    else:
        verdict = _compare_files(request, env, next(attempts), found, made_by)
    progress = trace.progress(decision.image.name, now=env.clock())
    return Audited(
        image=decision.image,
        found=found,
        verdict=verdict,
        cached=progress.cached,
        total=progress.total,
        ran=tuple(
            step.name
            for step in trace.of(decision.image.name)
            if step.is_instruction and step.started is not None and not step.cached
        ),
    )


def compare(built: Content, found: Content, made_by: tuple[LayerStep, ...]) -> AuditVerdict:
    """Return the verdict on two images; only layers that differ are unpacked."""
    ours, theirs = Makeup.of(built.config), Makeup.of(found.config)
    files: dict[Pair, tuple[Entries, Entries] | None] = {}
    for pair in align(made_by, ours, theirs):
        if not pair.same and pair.built is not None and pair.found is not None:
            left = _entries(built, ours.layers.index(pair.built))
            right = _entries(found, theirs.layers.index(pair.found))
            files[pair] = None if left is None or right is None else (left, right)
    return judge(made_by, ours, theirs, files)


def _compare_files(
    request: BuildRequest, env: BuildEnv, attempt: int, found: FoundImage, made_by: tuple[LayerStep, ...]
) -> AuditVerdict:
    try:
        with _archive(request, env, attempt) as built, env.store.open(found) as existing:
            return compare(built, existing, made_by)
    except BuildError as error:
        return _unknown(error.problems[0].what)


def _entries(content: Content, index: int) -> Entries | None:
    with content.layers[index]() as layer:
        return read_entries(layer)


def _solve(request: BuildRequest, env: BuildEnv, attempt: int) -> tuple[Announced, Trace, str | None]:
    """Return the digests that bake reports of the image, its trace, and the failure, if any."""
    (decision,) = request.decisions
    baked = call_bake(request, env, attempt)
    if baked.interrupted:
        raise KeyboardInterrupt
    if baked.stalled:
        raise baked.stalled
    if baked.spoilt:
        return {}, baked.trace, "its staged files changed while they were sent"
    if baked.error is None:
        return (
            read_announced(env.folder, attempt).get(target_name(decision.image.name)) or {},
            baked.trace,
            None,
        )
    problem = next(explain(request, baked.trace, broken_images(request, baked.trace), baked.error))
    return {}, baked.trace, problem.what


@contextmanager
def _archive(request: BuildRequest, env: BuildEnv, attempt: int) -> Iterator[Content]:
    """Open the rebuilt image from a file that is deleted afterwards."""
    (decision,) = request.decisions
    file = env.folder / f"image-{attempt}.tar"
    try:
        output = f"type=docker,{csv_field(f'dest={file}')}"
        _, _, broken = _solve(replace(request, output=output), env, attempt)
        if broken:
            raise BuildError.of(f"{decision.image.name} cannot be built now: {broken}")
        with open_archive(file) as content:
            yield content
    finally:
        file.unlink(missing_ok=True)


def _unknown(reason: str) -> AuditVerdict:
    return AuditVerdict(conclusion="not comparable", reasons=(reason,))


def _found(decision: Decision) -> FoundImage:
    if decision.source is None:
        raise ValueError("a skip that found nothing")
    return decision.source
