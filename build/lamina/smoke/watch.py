"""Watch: after every save, build the images that changed and, if asked, smoke them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from lamina.errors import BuildError, LaminaError
from lamina.execute.outcome import Outcome
from lamina.flow.build import build_images
from lamina.flow.session import Session
from lamina.identify.context import CHANGED
from lamina.identify.image import Image
from lamina.smoke.file_events import bursts
from lamina.smoke.quick import QuickAnswers, quick_answers
from lamina.smoke.show import show_smoke
from lamina.smoke.smoke import SmokeOptions, failed, smoke_images
from lamina.smoke.syntax import check_syntax, named

_WAITING = "waiting for the next save"


def watch_images(session: Session, options: SmokeOptions | None = None) -> None:
    """Build changed images, now and after every save, until Ctrl-C. options: how to try them, if at all.

    Every round reads the project again, because its configuration may have changed.
    """

    with quick_answers(session, options) if options else nullcontext() as quick:

        def attempt(changed: frozenset[Path]) -> bool:
            fresh = session.again()
            try:
                return build_and_try(fresh, changed, quick)
            finally:
                fresh.close()

        try:
            while True:
                roots = find_roots(session)
                with bursts(roots, quick.answer if quick else None) as found:
                    for _ in rounds(found, attempt):
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


def build_and_try(session: Session, changed: frozenset[Path], quick: QuickAnswers | None = None) -> bool:
    """Run one round, report its errors, and return whether it reached a build.

    quick: what tries images, and may have answered already; None to build only.
    """
    started = time.monotonic()
    pending = quick.pending if quick else {}
    screen = session.screen
    try:
        check_syntax(session, changed)
        outcome = build_images(session, "watch")
        _tell(session, changed, outcome, seconds=time.monotonic() - started)
        if quick and outcome.ok:
            _try(session, outcome, quick)
    except (LaminaError, OSError) as error:
        if is_overtaken(error):
            screen.aside("a file was saved again while it was read: another round follows")
            return False
        screen.error(error if isinstance(error, LaminaError) else LaminaError.of_system(error))
        if quick:
            quick.give_up(pending)
        screen.aside(_WAITING)
        return isinstance(error, BuildError)
    return True


def is_overtaken(error: Exception) -> bool:
    """Whether a round failed only because files were saved again, which starts the next one."""
    return isinstance(error, BuildError) and {each.what for each in error.problems} == {CHANGED}


def _try(session: Session, outcome: Outcome, quick: QuickAnswers) -> None:
    """Try the Lambda images that were built, or that answered before they were.

    Raises BuildError for those that fail, or do something else than the running container.
    """
    tags = {
        name: result.image.tag
        for name, result in outcome.results.items()
        if session.graph.nodes[name].kind == "lambda"
    }
    tried = [
        name
        for name, tag in tags.items()
        if not quick.is_newer(name, tag)
        and (outcome.results[name].status == "built" or quick.awaits(name, tag))
    ]
    if tried:
        found, problems = quick.confirm(smoke_images(session, quick.options, tried, quick.keep))
        if found:
            show_smoke(session.screen, found)
        error = failed(found)
        BuildError.check((*problems, *(error.problems if error else ())))


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
        built = f"{'are' if len(reaches) > 1 else 'is'} built already"
        why = built if reaches else f"reach{'' if len(changed) > 1 else 'es'} no image"
        session.screen.aside(f"nothing to build: {named(session, reaches or changed)} {why}")
    outcome.kind.check(outcome.problems)


def _reaching(images: Iterable[Image]) -> frozenset[Path]:
    """Return the files that images are built from, with Dockerfiles and ignore files."""
    found: set[Path] = set()
    for image in images:
        dockerfile = image.node.spec.dockerfile
        found |= {dockerfile.resolve(), dockerfile.resolve().with_name(dockerfile.name + ".dockerignore")}
        for name, context in image.contexts.items():
            found |= {image.root(name) / file.path for file in context.files}
    return frozenset(found)
