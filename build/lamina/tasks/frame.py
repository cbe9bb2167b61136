"""What every task does around its one call: flags in, errors told once, an exit code out."""

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
    "push": "push to the registry and confirm every digest",
    "platform": "linux/amd64 or linux/arm64",
    "stack": "part of the repository name: dev, prod, ...",
    "builder": "a buildx builder instead of the engine's own",
    "static": "build Lambda images on <base>:stable and leave the bases alone",
    "force": "build even what is up to date",
    "refresh": "build even what is up to date, without BuildKit's cache: what is not pinned may have moved; "
    "the content tag moves to the new image, which a registry with immutable tags refuses",
    "jobs": "how many images are built at once (0: all)",
    "reproducible": "fix every time in the image: cold builds anywhere give the same digest (slower)",
    "keep-going": "build what does not stand on a failed image",
    "create": "create repositories that are missing",
    "allow-stand-in": "push images that stand on a stand-in runtime",
    "stall": "seconds in which an exchange with a registry must move (0: no limit; default 120)",
    "cache": "remote cache: max, min, inline or off",
    "cache-read-only": "read the remote cache but write none",
    "provenance": "attest how each pushed image was made, under its own tag: min, or max with all steps",
    "sbom": "attest what each pushed image holds, under the same tag",
    "sbom-generator": "the image that finds out what an image holds",
    "json": "print one JSON object and nothing else",
    "plain": "plain lines instead of the live view",
    "offline": "ask neither engine nor registry",
}

_MANY_VALUES = 200_000
"""A plan of very many files makes that many values and no cycles: looking for them is a sixth of its time."""
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_AGAIN = "mend that and run again; nothing unfinished is recorded"


def helps(*names: str) -> dict[str, str]:
    """The help of these flags; invoke wants each by its dashed name."""
    return {name: HELP[name] for name in names}


@contextmanager
def open_session(
    command: str, flags: Flags, *, json: bool = False, plain: bool = False, told: IO[str] | None = None
) -> Iterator[Session]:
    """A session for a task's flags. Errors end the command here, told once, with their exit code.

    told: see `Screen`.
    """
    gc.set_threshold(_MANY_VALUES)
    screen = Screen(as_json=json, plain=plain, told=told, spoken=_spoken())
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
        raise Exit(code=nobody_reads()) from None
    except OSError as error:
        _fail(screen, command, LaminaError.of_system(error, hint=_AGAIN))
    finally:
        session.close()


def nobody_reads() -> int:
    """Write no more to an output that was closed, as by ``head``; the exit code that shells give SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def flush_output() -> int:
    """Write what is still to be written; the exit code when that cannot be done, else 0."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return output_refused(error)
    return 0


def output_refused(error: OSError) -> int:
    """Tell that standard output cannot be written, and write no more to it; the exit code."""
    code = nobody_reads()
    if isinstance(error, BrokenPipeError):
        return code
    with suppress(OSError):
        sys.stderr.write(f"error: standard output cannot be written: {error.strerror or error}\n")
    return LaminaError.exit_code


def _spoken() -> Callable[[str], str]:
    """Names tasks as they were called: ``lamina`` works where there is no tasks.py for ``invoke``."""
    if Path(sys.argv[0]).name != "lamina":
        return str
    from lamina.tasks import ns

    tasks = "|".join(re.escape(name) for name in ns.task_names)
    called = re.compile(rf"\binvoke (?=(?:{tasks})\b)")
    return lambda text: called.sub("lamina ", text) if "invoke " in text else text


def _fail(screen: Screen, command: str, error: LaminaError, signals: Sequence[int] = ()) -> NoReturn:
    """End with an error's exit code, or that of the signal which it is about."""
    screen.error(error)
    try:
        screen.finish(command, ok=False, images=[])
        sys.stdout.flush()
    except OSError:  # it may be the very output that is full
        nobody_reads()
    raise Exit(code=128 + signals[0] if signals else error.exit_code)


@contextmanager
def _signals_as_interrupts(caught: list[int]) -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: children stopped, nothing half written.

    caught: which came. What was to be ignored from the start, as under ``nohup``, stays so.
    """

    def stop(number: int, _: object) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    heard = [each for each in (signal.SIGINT, *_ENDING) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, stop) for each in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(session: Session, command: str, work: Callable[[], Outcome]) -> None:
    """Do the work, show its outcome, and end with the code of what kept it from being complete."""
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
