"""Watch: after every save, build the images that changed and, if asked, smoke them."""

from __future__ import annotations

import ast
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from lamina.errors import BuildError, ConfigError, LaminaError, Problem
from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.identify.stage import StagedContext
from lamina.smoke.file_events import saves
from lamina.smoke.show import show_smoke
from lamina.smoke.smoke import SmokeOptions, failed, smoke_images

_WAITING = "waiting for the next save"
_NAMED = 3


def watch_images(session: Session, options: SmokeOptions | None = None) -> None:
    """Build changed images, now and after every save, until Ctrl-C. options: how to try them, if at all.

    Every round reads the project again, because its configuration may have changed.
    """

    def attempt(changed: frozenset[Path]) -> bool:
        fresh = session.again()
        try:
            return build_and_try(fresh, changed, options)
        finally:
            fresh.close()

    try:
        while True:
            roots = find_roots(session)
            for _ in rounds(saves(roots), attempt):
                if find_roots(session) != roots:
                    break
    except KeyboardInterrupt:
        session.screen.say("stopped watching")


def rounds(
    bursts: Iterable[frozenset[Path]], attempt: Callable[[frozenset[Path]], bool]
) -> Iterator[frozenset[Path]]:
    """Make one attempt at the start and one after each burst of saves; yield the files that still wait.

    attempt: gets the files changed since the last attempt that reached a build; returns whether this one did.
    """
    waiting: frozenset[Path] = frozenset()
    for number, changed in enumerate(bursts):
        if changed or number == 0:
            waiting |= changed
            if attempt(waiting):
                waiting = frozenset()
            yield waiting


def find_roots(session: Session) -> frozenset[Path]:
    """Return the folders to watch: the project's and outside contexts; only the project's if it is broken."""
    fresh = session.again()
    try:
        specs = fresh.project.images.values()
        folders = {folder for spec in specs for folder in (spec.context, *spec.contexts.values())}
    except LaminaError:
        folders = set()
    finally:
        fresh.close()
    folders.add(fresh.root.resolve())
    return frozenset(each for each in folders if not any(above in folders for above in each.parents))


def build_and_try(session: Session, changed: frozenset[Path], options: SmokeOptions | None) -> bool:
    """Run one round, report its errors, and return whether it reached a build."""
    started = time.monotonic()
    screen = session.screen
    try:
        _check_syntax(session, changed)
        outcome = build_images(session, "watch")
        _tell(session, changed, outcome, seconds=time.monotonic() - started)
        built = [name for name, result in outcome.results.items() if result.status == "built"]
        tried = [name for name in built if session.graph.nodes[name].kind == "lambda"]
        if options and tried and outcome.ok:
            found = smoke_images(session, options, tried)
            show_smoke(screen, found)
            if error := failed(found):
                raise error
    except BuildError as error:
        screen.error(error)
        screen.aside(_WAITING)
    except (LaminaError, OSError) as error:
        screen.error(error if isinstance(error, LaminaError) else LaminaError.of_system(error))
        screen.aside(_WAITING)
        return False
    return True


def _tell(session: Session, changed: frozenset[Path], outcome: Outcome, *, seconds: float) -> None:
    """Report a build in a few lines. Raises BuildError if it failed."""
    if outcome.interrupted:
        raise KeyboardInterrupt
    images = [result.image for result in outcome.results.values()]
    if any(result.status != "skipped" for result in outcome.results.values()):
        session.screen.outcome(outcome, seconds=seconds, brief=True)
    elif not changed:
        session.screen.say(f"{len(images)} images are up to date; {_WAITING}")
    else:
        reaches = changed & _reaching(images)
        why = "changed no build input" if reaches else f"reach{'' if len(changed) > 1 else 'es'} no image"
        session.screen.aside(f"nothing to build: {_named(session, reaches or changed)} {why}")
    outcome.kind.check(outcome.problems)


def _named(session: Session, files: Collection[Path]) -> str:
    """Join the first files, relative to the project, and count the rest."""
    root = session.root.resolve()
    names = sorted(str(file.relative_to(root) if file.is_relative_to(root) else file) for file in files)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _reaching(images: Iterable[Image]) -> frozenset[Path]:
    """Return the files that images are built from, with Dockerfiles and ignore files."""
    found: set[Path] = set()
    for image in images:
        dockerfile = image.node.spec.dockerfile
        found |= {dockerfile.resolve(), dockerfile.resolve().with_name(dockerfile.name + ".dockerignore")}
        for name, context in image.contexts.items():
            found |= {image.root(name) / file.path for file in context.files}
    return frozenset(found)


def _check_syntax(session: Session, changed: Iterable[Path]) -> None:
    """Raise ConfigError for changed Python files of images that do not parse."""
    broken = {file: fault for file in changed if file.suffix == ".py" and (fault := syntax_fault(file))}
    if not broken:
        return
    images = take_snapshot(session).images
    inside = {
        image.root(name) / file.path: _last_built(session, image, name, file.path)
        for image in images.values()
        for name, context in image.contexts.items()
        for file in context.files
        if image.root(name) / file.path in broken
    }
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    ConfigError.check(
        Problem(
            what=broken[file].msg,
            where=f"{_named(session, [file])}:{broken[file].lineno or 1}",
            hint=f"fix it; if only Python {ours} cannot parse it, but the image's can: invoke build-all",
        )
        for file, before in inside.items()
        if before is None or not syntax_fault(before)
    )


def _last_built(session: Session, image: Image, context: str, path: str) -> Path | None:
    """Return a file as it was last staged: if it did not parse then either, it is for a newer Python."""
    stages = session.project.state.joinpath("context", image.name).glob("[!.]*")
    newest = max(stages, key=lambda each: each.stat().st_mtime_ns, default=None)
    if newest is None:
        return None
    file = StagedContext(folder=newest).context(context) / path
    return file if file.is_file() else None


def syntax_fault(file: Path) -> SyntaxError | None:
    """Return why a Python file does not parse; None if it does, or does not exist."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        return error
    except OSError:
        return None
    return None
