"""Run a build: call bake, retry, confirm. An image counts as built only when its digest is confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from lamina.decide.plan import Decision, FoundImage
from lamina.errors import LaminaError, Problem
from lamina.execute.attempt import Attempt, BuildState, next_batch, next_state, with_installs
from lamina.execute.bake import Bake, BuildRequest, csv_field, make_bake, target_name
from lamina.execute.baked import Baked
from lamina.execute.engine import Engine
from lamina.execute.exchanges import StalledError, StallRules, StallWatch
from lamina.execute.image_store import ImageStore, split_layers
from lamina.execute.masked_events import MaskedEvents
from lamina.execute.nodes import BuilderLostError
from lamina.execute.outcome import Outcome, Result, cut_short
from lamina.execute.progress import Trace
from lamina.execute.publish import publish_attested
from lamina.execute.retry import RetryPolicy
from lamina.execute.staging import (
    find_spoilt,
    missed_files,
    sent_wrong,
    unknown_trigger,
    with_proved_stages,
)
from lamina.files import read_json, write_atomic
from lamina.identify.image import Image
from lamina.masks import Mask
from lamina.process import Command, Runner

_MOST_SENDS = 3
Announced = TypedDict(
    "Announced", {"containerimage.digest": str, "containerimage.config.digest": str}, total=False
)
"""What bake writes of a target into its metadata file, as far as it is read."""
Confirmed = tuple[Mapping[str, Result], Mapping[str, Problem]]
"""What a call of bake made: confirmed results, and problems of the others, by image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEnv:
    """The environment of a run. clock: seconds since the epoch. watch: called when the trace changes."""

    runner: Runner
    engine: Engine
    builder: str
    store: ImageStore
    state: Path
    folder: Path
    """The folder of this run, with its bake files, events and metadata."""
    clock: Callable[[], float]
    watch: Callable[[Trace], None] = field(default=lambda _: None)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for buildx: the docker configuration that holds credentials."""
    renew: Callable[[], None] | None = None
    """Writes new credentials into that configuration; None if they are the user's own."""
    mask: Mask = field(default_factory=Mask)
    """The secrets to hide in the output of steps."""
    stalls: StallRules = field(default_factory=StallRules)
    check: Callable[[float], None] = field(default=lambda _: None)
    """Called while bake runs, with the seconds since BuildKit's last event. An error ends the call."""
    sleep: Callable[[float], None] = time.sleep


def build(request: BuildRequest, build_env: BuildEnv, *, keep_going: bool = False, jobs: int = 0) -> Outcome:
    """Build the request. The outcome has both the failures and the confirmed images.

    keep_going: after a failure, still build the images that do not depend on it. jobs: how many images at
    once; 0: all. Raises an error that stops the run only if no image has a result yet.
    """
    state, retries = BuildState(waiting=request), RetryPolicy(build_env.renew, build_env.sleep)
    number, tried = 0, set[str]()
    while state.waiting.decisions:
        number += 1
        batch = replace(state.waiting, decisions=next_batch(state.waiting, jobs))
        try:
            baked = call_bake(batch, build_env, number)
            state = replace(state, installs=with_installs(state.installs, batch, baked.trace))
            confirmed = _without_hits(confirm_call(batch, build_env, baked, number), tried)
        except (LaminaError, OSError, KeyboardInterrupt) as error:
            if not state.results:
                raise
            return cut_short(state.outcome(retries.notes), state.waiting.decisions, error)
        tried |= {each.image.name for each in batch.decisions}
        attempt = judge(batch, baked, confirmed, retries, call=number, calls=number)
        state = next_state(state, attempt, keep_going=keep_going)
        if baked.stopped:
            return cut_short(state.outcome(retries.notes), state.waiting.decisions, baked.stopped)
    return state.outcome(retries.notes)


def confirm_call(request: BuildRequest, build_env: BuildEnv, baked: Baked, attempt: int) -> Confirmed:
    """Check the images of a call of bake in the store. See `confirm`; attempt: as for `call_bake`."""
    announced = read_announced(build_env.folder, attempt)
    return confirm(request, build_env.store, announced, baked, now=build_env.clock())


def _without_hits(confirmed: Confirmed, tried: Collection[str]) -> Confirmed:
    """Return results without the cache hits of images that an earlier call of the run may have made."""
    results, doubts = confirmed
    return {name: replace(each, hits=()) if name in tried else each for name, each in results.items()}, doubts


def judge(
    batch: BuildRequest, baked: Baked, confirmed: Confirmed, retries: RetryPolicy, *, call: int, calls: int
) -> Attempt:
    """Return what a call of bake achieved, and what of it is tried again.

    call: its number, of ``calls`` that have begun. Nothing that a lost builder left has failed for good.
    """
    results, doubts = confirmed
    broken = None
    if baked.error is not None and baked.lost is None:
        broken = retries.broken(batch, baked.trace, results, call=call, calls=calls)
    return Attempt(
        batch=batch,
        baked=baked,
        confirmed=results,
        doubts={} if baked.lost else doubts,
        broken=broken,
        problems=retries.take_problems(),
    )


def call_bake(request: BuildRequest, build_env: BuildEnv, attempt: int) -> Baked:
    """Call bake with verified contexts; call it again if they changed meanwhile. attempt: for file names."""
    for _ in range(_MOST_SENDS):
        request = with_proved_stages(request, build_env.state)
        baked = replace(_call_once(request, build_env, attempt), spoilt=find_spoilt(request))
        if baked.interrupted or baked.stalled or baked.lost or not baked.spoilt:
            break
    return baked


def _call_once(request: BuildRequest, build_env: BuildEnv, attempt: int) -> Baked:
    """Call bake once; write every event to disk as soon as it arrives."""
    # The engine's builder unpacks images it stores, and cannot unpack rewritten timestamps: load an archive.
    loads = request.reproducible and request.local_images and not request.push and request.output is None
    if loads:
        archive = csv_field(f"dest={build_env.folder}/{{target}}.tar")
        request = replace(request, output=f"type=docker,oci-mediatypes=true,{archive}")
    bake = make_bake(request)
    file = build_env.folder / f"bake-{attempt}.json"
    write_atomic(file, bake.render())
    trace, stalls = Trace(bake.targets), StallWatch(build_env.stalls)
    with (build_env.folder / f"events-{attempt}.jsonl").open("w", 1, encoding="utf-8") as events:
        masked, heard = MaskedEvents(build_env.mask), build_env.clock()

        def keep(lines: Iterable[str]) -> None:
            nonlocal heard
            heard = build_env.clock()
            for line in lines:
                events.write(line + "\n")
                stalls.feed(line)
                if trace.feed(line):
                    build_env.watch(trace)

        def tick() -> None:
            stalls.check()
            build_env.check(build_env.clock() - heard)

        try:
            command = bake_command(build_env, file, bake, attempt)
            done = build_env.runner.stream(command, lambda line: keep(masked.feed(line)), tick=tick)
        except KeyboardInterrupt:
            return Baked(trace=trace, interrupted=True)
        except StalledError as error:
            return Baked(trace=trace, stalled=error)
        except BuilderLostError as error:
            return Baked(trace=trace, lost=error.problems[0])
        finally:
            keep(masked.close())
    if done.ok:
        return Baked(trace=trace, error=_load(request, build_env) if loads else None)
    return Baked(trace=trace, error="\n".join(trace.messages) or f"buildx ended with exit code {done.code}")


def _load(request: BuildRequest, build_env: BuildEnv) -> str | None:
    """Load the archives of a call of bake into the engine. Return the error; None on success."""
    for decision in request.decisions:
        file = build_env.folder / f"{target_name(decision.image.name)}.tar"
        done = build_env.runner.run(
            Command(
                argv=(str(build_env.engine.docker), "load", "--quiet", f"--input={file}"),
                env=build_env.engine.environment,
            )
        )
        file.unlink(missing_ok=True)
        if not done.ok:
            return done.stderr.strip() or f"docker load ended with exit code {done.code}"
    return None


def bake_command(build_env: BuildEnv, file: Path, bake: Bake, attempt: int) -> Command:
    """Return the command of one call of bake."""
    allowed = (*(f"--allow=fs.read={path}" for path in bake.reads), *("--allow=ssh" for _ in range(bake.ssh)))
    return Command(
        argv=(
            *build_env.engine.buildx,
            "bake",
            f"--file={file}",
            f"--builder={build_env.builder}",
            "--progress=rawjson",
            f"--metadata-file={_metadata(build_env.folder, attempt)}",
            *allowed,
        ),
        env={
            **build_env.engine.environment,
            **build_env.environment,
            **bake.environment,
            "BUILDX_METADATA_PROVENANCE": "disabled",
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "SOURCE_DATE_EPOCH": "",  # buildx would pass it as a build argument outside the fingerprint
        },
        cwd=build_env.state.parent,
    )


def read_announced(folder: Path, attempt: int) -> Mapping[str, Announced]:
    """Return the metadata file of a call of bake: target -> ``containerimage.digest`` and other keys."""
    found: Mapping[str, Announced] | None = read_json(_metadata(folder, attempt))
    return found or {}


def _metadata(folder: Path, attempt: int) -> Path:
    return folder / f"metadata-{attempt}.json"


def confirm(
    request: BuildRequest, store: ImageStore, announced: Mapping[str, Announced], baked: Baked, *, now: float
) -> Confirmed:
    """Check the built images in the store.

    After a success every image must exist with the announced digest or fingerprint, complete, and acceptable
    to Lambda. announced: see `read_announced`. now: seconds since the epoch.
    """
    doubts, images = publish_attested(request, store, finished=baked.ok)
    existing = store.find([decision.image.ref for decision in request.decisions])
    results: dict[str, Result] = {}
    for decision in request.decisions:
        image = decision.image
        if image.name in doubts:
            continue
        if image.name in baked.spoilt:
            doubts[image.name] = sent_wrong(image)
            continue
        if (step := unknown_trigger(image, baked.trace)) is not None:
            doubts[image.name] = missed_files(image, step)
            continue
        metadata = announced.get(target_name(image.name)) or {}
        digests = {
            *(metadata.get("containerimage.digest"), metadata.get("containerimage.config.digest")),
            images.get(image.name),
        }
        found = existing.get(image.ref)
        same = found is not None and found.is_image(image)
        if not baked.ok and (not same or found is None or found.digest == _before(request, image)):
            continue
        # A run at the same time may have stored the same image.
        if found is None or found.lost or (found.digest not in digests and not same):
            doubts[image.name] = Problem(
                what=f"{store.name} does not confirm {image.ref}: announced "
                f"{metadata.get('containerimage.digest')}, found {_seen(found)}",
                hint="run it again; nothing was recorded of it",
            )
        elif reasons := store.refusals(found, image.node.spec.platform):
            doubts[image.name] = Problem(
                what="\n  ".join((f"Lambda would refuse {image.ref}:", *reasons)),
                where=image.node.spec.dockerfile_path,
                hint="fix the base or the builder that causes it; nothing was recorded of it",
            )
        else:
            results[image.name] = _built(decision, found, baked.trace, store, now)
    return results, doubts


def _seen(found: FoundImage | None) -> str:
    if found is None:
        return "nothing"
    return f"{found.digest} without {found.lacks}" if found.lost else found.digest


def _before(request: BuildRequest, image: Image) -> str | None:
    """Return the digest that the tag had before the run: finding it again does not prove a build."""
    found = request.found.get(image.name)
    return found.digest if found else None


def _built(decision: Decision, found: FoundImage, trace: Trace, store: ImageStore, now: float) -> Result:
    progress = trace.progress(decision.image.name, now=now)
    base_layers, layers = split_layers(decision.image, found, store)
    own = trace.of(decision.image.name)
    return Result(
        image=decision.image,
        status="built",
        reasons=decision.reasons,
        digest=found.digest,
        size=found.size,
        seconds=progress.seconds,
        spans=progress.spans,
        cached=progress.cached,
        total=progress.total,
        cold=progress.cold,
        moved=progress.moved,
        layers=layers,
        base_layers=base_layers,
        ran={step.instruction: step.seconds for step in own if step.is_work and step.ran},
        hits=tuple(step.instruction for step in own if step.is_work and step.cached),
        exported=sum(step.seconds for step in own if step.exports_cache),
    )
