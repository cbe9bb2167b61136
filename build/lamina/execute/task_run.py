"""Parts of a command that a trace shows beside builds: a push or a smoke of an image, an updated function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from lamina.errors import LaminaError
from lamina.refs import Reference
from lamina.values import dataclass

TaskKind = Literal["push", "deploy", "smoke"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """A part of a command that has ended.

    Attributes:
        name: of the image or the function.
        image: its image, as the project names it.
        status: as the command shows it, for example ``pushed``; ``failed`` or ``stopped`` if it was not done.
        started, finished: seconds since the epoch.
        ref: of the image, with a tag or a digest; None if unknown.
        error: why it failed: the class of the error, and its first line.
    """

    kind: TaskKind
    name: str
    image: str
    status: str
    started: float
    finished: float
    ref: Reference | None = None
    error: tuple[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class TaskNotes:
    """What becomes known of a task while it runs; see `TaskRun`."""

    status: str
    ref: Reference | None = None
    error: tuple[str, str] | None = None


@contextmanager
def timed(
    did: Callable[[TaskRun], None], kind: TaskKind, image: str, *, status: str, ref: Reference
) -> Iterator[TaskNotes]:
    """Report a task of an image at its end. status: if it succeeds."""
    notes, started = TaskNotes(status=status, ref=ref), time.time()
    try:
        yield notes
    except LaminaError as error:
        notes.status, notes.error = "failed", first_error(error)
        raise
    except BaseException:
        notes.status = "stopped"
        raise
    finally:
        did(
            TaskRun(
                kind=kind,
                name=image,
                image=image,
                status=notes.status,
                started=started,
                finished=time.time(),
                ref=notes.ref,
                error=notes.error,
            )
        )


def skipped(kind: TaskKind, image: str, ref: Reference) -> TaskRun:
    """Return a task of an image that was not necessary, or not possible here."""
    now = time.time()
    return TaskRun(kind=kind, name=image, image=image, status="skipped", started=now, finished=now, ref=ref)


def first_error(error: LaminaError) -> tuple[str, str]:
    """Return the class of an error and the first line of its first problem."""
    return type(error).__name__, error.problems[0].what.partition("\n")[0]
