"""The frame around every task's one call: flags in, errors reported once, an exit code out."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from invoke.exceptions import Exit

from lamina.errors import Interrupted, LaminaError
from lamina.flow.session import Flags, Session
from lamina.report.console import Screen
from lamina.report.document import outcome_documents, saved_document

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome

HELP = {
    "image": "only this image (may be given several times)",
    "registry": "where images live: local, ecr, or host[:port][/prefix]",
    "push": "push to the registry, and confirm every digest",
    "platform": "linux/amd64 or linux/arm64",
    "stack": "part of the repository name: dev, prod, ...",
    "builder": "a buildx builder instead of the engine's own",
    "static": "build Lambda images on <base>:stable and leave the bases alone",
    "force": "build even what is up to date",
    "refresh": "build even what is up to date, without BuildKit's cache, to pick up new versions of unpinned "
    "inputs; the content tag moves to the new image, which a registry with immutable tags refuses",
    "jobs": "how many images to build at once (0: all)",
    "reproducible": "fix every timestamp in the image: cold builds anywhere give the same digest (slower)",
    "keep-going": "after a failure, build the images that are not based on the failed one",
    "create": "create missing repositories",
    "allow-stand-in": "push images that are based on a stand-in runtime",
    "stall": "seconds without progress after which a registry transfer fails (0: no limit; default 120)",
    "cache": "remote cache: max, min, inline or off",
    "cache-read-only": "read the remote cache, but do not write it",
    "provenance": "attest how each pushed image was built, under its own tag: min, or max with all steps",
    "sbom": "attest the packages of each pushed image, under the same tag",
    "sbom-generator": "the image that lists the packages of an image",
    "json": "print one JSON object and nothing else",
    "plain": "print plain lines instead of the live view",
    "offline": "contact neither engine nor registry",
}

_MANY_VALUES = 200_000
"""Allocations between two garbage collections. A plan of many files makes many values and no cycles, and
searching them for cycles took a sixth of its time."""
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_AGAIN = "fix that and run again; nothing unfinished is recorded"


def helps(*names: str) -> dict[str, str]:
    """Return the help of these flags, by dashed name as Invoke expects."""
    return {name: HELP[name] for name in names}


@contextmanager
def open_session(
    command: str, flags: Flags, *, json: bool = False, plain: bool = False, stream: IO[str] | None = None
) -> Iterator[Session]:
    """Open a session for a task's flags; report an error once and end with its exit code.

    Args:
        stream: the one for messages to people; see `Screen`.

    Raises:
        Exit: with the code of the error or signal that ended the command.
    """
    gc.set_threshold(_MANY_VALUES)
    screen = Screen(as_json=json, plain=plain, stream=stream, rewrite=_rewrite())
    session = Session(flags, screen)
    caught: list[int] = []
    try:
        with _signals_as_interrupts(caught):
            yield session
            sys.stdout.flush()
    except KeyboardInterrupt:
        _fail(screen, command, Interrupted.of("stopped; nothing unfinished is recorded"), caught)
    except Exit as ended:
        if ended.code == Interrupted.exit_code and caught:
            raise Exit(code=128 + caught[0]) from None
        raise
    except LaminaError as error:
        _fail(screen, command, error)
    except BrokenPipeError:
        raise Exit(code=close_stdout()) from None
    except OSError as error:
        _fail(screen, command, LaminaError.of_system(error, hint=_AGAIN))
    finally:
        session.close()


def close_stdout() -> int:
    """Send further output to /dev/null, as after ``| head``; return the code that shells give SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def flush_output() -> int:
    """Flush standard output. Return 0, or the exit code if it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return output_refused(error)
    return 0


def output_refused(error: OSError) -> int:
    """Report that standard output cannot be written, write no more to it, and return the exit code."""
    code = close_stdout()
    if isinstance(error, BrokenPipeError):
        return code
    with suppress(OSError):
        sys.stderr.write(f"error: standard output cannot be written: {error.strerror or error}\n")
    return LaminaError.exit_code


def _rewrite() -> Callable[[str], str]:
    """Return a function that names commands as they were called.

    After ``lamina plan`` hints say ``lamina`` instead of ``invoke``: there may be no tasks.py.
    """
    if Path(sys.argv[0]).name != "lamina":
        return str
    from lamina.tasks import ns

    tasks = "|".join(re.escape(name) for name in ns.task_names)
    called = re.compile(rf"\binvoke (?=(?:{tasks})\b)")
    return lambda text: called.sub("lamina ", text) if "invoke " in text else text


def _fail(screen: Screen, command: str, error: LaminaError, signals: Sequence[int] = ()) -> NoReturn:
    """Report an error and exit with its code, or with the code of the signal that caused it."""
    screen.error(error)
    try:
        screen.finish(command, ok=False, images=[])
        sys.stdout.flush()
    except OSError:  # the error may be that standard output is full
        close_stdout()
    raise Exit(code=128 + signals[0] if signals else error.exit_code)


@contextmanager
def _signals_as_interrupts(caught: list[int]) -> Iterator[None]:
    """Make SIGTERM and SIGHUP end a run as Ctrl-C does: children stopped, nothing half written.

    Signals that were ignored from the start, as under ``nohup``, stay ignored.

    Args:
        caught: filled with the numbers of the signals that arrived.
    """

    def stop(number: int, _: object) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    handled = [each for each in (signal.SIGINT, *_ENDING) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, stop) for each in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(session: Session, command: str, work: Callable[[], Outcome]) -> None:
    """Do the work and show its outcome. Raise Exit with the error's code if the work is incomplete."""
    started = time.monotonic()
    outcome = work()
    session.screen.outcome(outcome, seconds=time.monotonic() - started)
    error: LaminaError | None = None
    if outcome.interrupted:
        error = Interrupted.of("stopped; what was confirmed before is recorded")
    elif outcome.problems:
        error = outcome.kind(*outcome.problems)
    if error:
        session.screen.error(error)
    session.screen.finish(
        command,
        ok=outcome.ok,
        images=outcome_documents(outcome),
        saved=saved_document(outcome.saved_in_all),
        **({"builds": list(outcome.remote)} if outcome.remote else {}),
    )
    if error:
        raise Exit(code=error.exit_code)
