"""Smoke: run the functions of built images under Lambda's conditions, each with one event."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.declare.functions import Function
from lamina.declare.machine import SET_UP_QEMU, family, this_machine
from lamina.errors import BuildError, ConfigError, Problem, SelectionError
from lamina.execute.image_store import find_images
from lamina.execute.task_run import first_error, skipped, timed
from lamina.flow.credentials import credentials
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.identify.runnable import handler_file
from lamina.masks import environment_values
from lamina.refs import Reference
from lamina.smoke.container import Conditions, Smoked, SmokeEngine, Trial, TriedImage
from lamina.smoke.emulator import emulator

EVENT = "event.json"
_REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SOME_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeOptions:
    """How to try functions.

    Attributes:
        event: a file; by default the one next to the handler.
        commands: replace those of each image, see `commands_of`.
        credentials: whether functions get the user's AWS credentials from the environment.
        explain: whether to measure what the init of a function consists of, in a second container.
    """

    conditions: Conditions
    event: Path | None = None
    commands: tuple[str, ...] = ()
    credentials: bool = False
    explain: bool = False


def conditions(
    *, memory: int, timeout: int, variables: tuple[str, ...] = (), env: Mapping[str, str] = os.environ
) -> Conditions:
    """Check the flags. variables: ``NAME=value``. Raises ConfigError with all problems."""
    ConfigError.check(
        Problem(what=f"{number} is not a valid {unit}", where=f"--{flag}", allowed=f"{least} to {most}")
        for flag, unit, number, least, most in (
            ("memory", "number of MB", memory, 128, 10240),
            ("timeout", "number of seconds", timeout, 1, 900),
        )
        if not least <= number <= most
    )
    ConfigError.check(
        Problem(what=f"{each!r} does not set a variable", where="--env", allowed="NAME=value")
        for each in variables
        if not each.partition("=")[1] or each.startswith("=")
    )
    given = dict(each.split("=", 1) for each in variables)
    region = next((env[name] for name in _REGION if env.get(name)), _SOME_REGION)
    return Conditions(memory=memory, timeout=timeout, environment=dict.fromkeys(_REGION, region) | given)


def with_credentials(given: Conditions, env: Mapping[str, str] = os.environ) -> Conditions:
    """Return the conditions with AWS credentials of the environment. Raises ConfigError if there are none."""
    found = {name: env[name] for name in _CREDENTIALS if env.get(name)}
    ConfigError.check(
        Problem(
            what=f"{name} is not set",
            where="--aws-credentials",
            hint='eval "$(aws configure export-credentials --format env)"',
        )
        for name in _CREDENTIALS[:2]
        if name not in found
    )
    return replace(given, environment={**given.environment, **found})


def smoke_images(
    session: Session,
    options: SmokeOptions,
    names: Iterable[str] = (),
    keep: Callable[[TriedImage], None] | None = None,
) -> tuple[Smoked, ...]:
    """Try the built images of the selected Lambda images, as of the current worktree.

    Args:
        names: Images to try in place of those that the flags select.
        keep: Gets each image that was tried.

    Raises:
        SelectionError: An image is not built, or none of them can run on the engine.
        ConfigError: An event cannot be read.
        EngineError: The engine failed.
    """
    selected = session.graph.select(tuple(names) or session.flags.images, kind="lambda")
    snapshot = take_snapshot(session, selected)
    images = snapshot.images
    session.screen.headline(snapshot.externals.headline)
    elsewhere = {name: _elsewhere(session, images[name]) for name in selected}
    refs = _built(session, [images[name] for name in selected if not elsewhere[name]])
    if not refs:
        SelectionError.check(_foreign(elsewhere, f"linux/{session.engine.architecture}"))
    left_out = tuple(Smoked(image=name, function="", skipped=why) for name, why in elsewhere.items() if why)
    for each in left_out:
        session.did(skipped("smoke", each.image, images[each.image].ref))
    given = options.conditions
    session.mask.learn(*environment_values(given.environment))
    with SmokeEngine(session.engine, with_credentials(given) if options.credentials else given) as engine:
        found: list[Smoked] = []
        for name in refs:
            with timed(session.did, "smoke", name, status="ok", ref=images[name].ref) as notes:
                tried = _tried(session, engine, images, refs[name], name, options)
                answers = tuple(_smoke(session, engine, tried, options))
                if error := failed(answers):
                    notes.status, notes.error = "failed", first_error(error)
            found += answers
            if keep:
                keep(tried)
        return (*found, *left_out)


def _tried(
    session: Session,
    engine: SmokeEngine,
    images: Mapping[str, Image],
    ref: Reference,
    name: str,
    options: SmokeOptions,
) -> TriedImage:
    """Return an image with the events that its functions get."""
    start = engine.start_of(ref)
    architecture = images[name].node.spec.platform.split("/")[1]
    return TriedImage(
        name=name,
        images=images,
        engine=session.engine,
        own=start.command,
        trials=tuple(
            Trial(
                name=name,
                ref=ref,
                start=replace(start, command=command),
                event=_read_event(file),
                file=file,
            )
            for command in commands_of(options.commands, images[name].node.spec.functions, start.command)
            for file in [options.event or _beside(handler_file(images, name, command))]
        ),
        emulator=emulator(session.runner, architecture, session.screen.say),
    )


def _smoke(
    session: Session, engine: SmokeEngine, tried: TriedImage, options: SmokeOptions
) -> Iterator[Smoked]:
    """Try the functions of one image, one at a time."""
    image = tried.images[tried.name]
    for trial in tried.trials:
        with session.screen.working() as show:
            gets = _shown(session, trial.file) if trial.file else "an empty event"
            show(f"{tried.name}: {trial.function} gets {gets}")
            answer = engine.run(trial, tried.emulator)
            init = None
            if options.explain and answer.failure is None:
                show(f"{tried.name}: {trial.function} is started again to explain its init")
                init = engine.explain(trial)
        yield Smoked(
            image=tried.name,
            function=trial.function,
            answer=answer,
            tag=image.tag,
            size=trial.start.size,
            layers=trial.start.layers,
            init=init,
            max_init=image.node.spec.max_init,
        )


def commands_of(
    given: Iterable[str], functions: Iterable[Function], own: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    """Return the commands to try: those given, else those of the image's functions, else its own CMD."""
    asked = tuple((each,) for each in given)
    return asked or tuple(dict.fromkeys(each.command or own for each in functions)) or (own,)


def _shown(session: Session, file: Path) -> str:
    root = session.project.root
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def _elsewhere(session: Session, image: Image) -> str | None:
    """Return why the engine cannot run an image; None if it can."""
    own = f"linux/{session.engine.architecture}"
    platform = family(image.node.spec.platform)
    if platform in {own, *this_machine().emulates}:
        return None
    return f"built for {platform}; the engine is {own}, and QEMU is not set up"


def _foreign(elsewhere: Mapping[str, str | None], own: str) -> Iterator[Problem]:
    """Yield a problem for each reason why the engine cannot run images. own: the engine's platform."""
    for why in dict.fromkeys(each for each in elsewhere.values() if each):
        yield Problem(
            what=why,
            where=", ".join(name for name, reason in elsewhere.items() if reason == why),
            hint=f"try them as images for this engine: invoke build-all --platform {own} and invoke smoke "
            f"--platform {own}; or, as they are, on a machine of that platform or after: {SET_UP_QEMU}",
        )


def _built(session: Session, images: list[Image]) -> Mapping[str, Reference]:
    """Return the images in the engine; pull those that only the registry has. Raises SelectionError."""
    existing = find_images(session.engine_store, images)
    missing = [image for image in images if image.name not in existing]
    if missing and session.remote:
        find = credentials(session)
        for found in find_images(session.image_store, missing).values():
            ref = found.ref
            session.screen.say(f"{ref}: {session.local_store.pull(ref, find(ref.pull_host))}")
        existing = find_images(session.engine_store, images)
    if lacking := [image for image in images if image.name not in existing]:
        names = ", ".join(f"{image.name} ({image.tag})" for image in lacking)
        raise SelectionError.of(
            f"not built from the current worktree: {names}",
            where=session.image_store.name,
            hint=" --image ".join(("invoke build-all", *(image.name for image in lacking)))
            + session.flags.repeated,
        )
    return {image.name: image.ref for image in images}


def _beside(handler: Path | None) -> Path | None:
    """Return the event file next to a handler, if there is one."""
    file = handler.parent / EVENT if handler else None
    return file if file and file.is_file() else None


def event_of(images: Mapping[str, Image], name: str, command: tuple[str, ...] = ()) -> bytes:
    """Return the event next to the handler of the image's CMD or another command; else an empty object."""
    recipe = images[name].node.recipe
    return _read_event(_beside(handler_file(images, name, command or recipe.command)))


def _read_event(file: Path | None) -> bytes:
    if file is None:
        return b"{}"
    try:
        content = file.read_bytes()
        json.loads(content)
    except OSError as error:
        raise ConfigError.of(f"cannot be read: {error.strerror}", where=str(file)) from None
    except ValueError as error:
        raise ConfigError.of(f"an event must be JSON: {error}", where=str(file)) from None
    return content


def failed(found: tuple[Smoked, ...]) -> BuildError | None:
    """Return the failures as an error; None if there are none."""
    problems = [each.problem for each in found if each.problem]
    return BuildError(*problems) if problems else None
