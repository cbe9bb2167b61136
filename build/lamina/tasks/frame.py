"""The frame around every command's one call: flags in, errors reported once, an exit code out."""

from __future__ import annotations

import gc
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lamina.declare.config import find_root
from lamina.declare.document import LAMINA_TOML, config_file
from lamina.errors import Interrupted, LaminaError
from lamina.flow.flags import Flags
from lamina.flow.registries import AwsSeam
from lamina.flow.session import Seams, Session
from lamina.report.console import Screen
from lamina.report.document import outcome_documents, saved_document
from lamina.tasks.command import CliCommand, Flag, Given
from lamina.tasks.commands import COMMANDS
from lamina.tasks.output import close_stdout
from lamina.wiring import sandbox

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome

_MANY_VALUES = 200_000
"""Allocations between two garbage collections. A plan of many files makes many values and no cycles, and
searching them for cycles took a sixth of its time."""
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_AGAIN = "fix that and run again; nothing unfinished is recorded"


def run_command(command: CliCommand, values: Mapping[str, Given]) -> int:
    """Run a command, and return its exit code.

    Args:
        values: The values of flags, by flag name; a flag that is left out has its default.
    """
    found = {flag: _value(flag, values) for flag in command.flags}

    def of(*targets: str) -> dict[str, Given | tuple[str, ...]]:
        return {flag.parameter: value for flag, value in found.items() if flag.goes_to in targets}

    fields: dict[str, Any] = {**of("setting", "flags"), **command.fixed}
    given = {flag.name: value for flag, value in found.items()}
    module, _, name = command.runs.partition(":")
    function = getattr(import_module(f"lamina.tasks.{module}"), name)
    return run_in_session(
        command.name,
        Flags(**fields),
        lambda session: function(session, **of("command")),
        json=command.prints_json(given),
        plain=bool(of("screen").get("plain")),
        stream=sys.stderr if command.only_result(given) else None,
    )


def _value(flag: Flag, values: Mapping[str, Given]) -> Given | tuple[str, ...]:
    value = values.get(flag.name, flag.initial)
    if isinstance(value, list):
        return (",".join(value) or None) if flag.goes_to == "setting" else tuple(value)
    if flag.bare is not None and value is True:
        return flag.bare
    unset = flag.goes_to == "setting" and (flag.kind is bool or flag.bare is not None)
    return (value or None) if unset else value


def run_in_session(
    command: str,
    flags: Flags,
    work: Callable[[Session], int],
    *,
    json: bool = False,
    plain: bool = False,
    stream: IO[str] | None = None,
) -> int:
    """Do the work of a command in a session; report an error once. Return the exit code.

    Args:
        stream: the one for messages to people; see `Screen`.
    """
    gc.set_threshold(_MANY_VALUES)
    gc.enable()
    screen = Screen(as_json=json, plain=plain, stream=stream, rewrite=_rewrite(command))
    session = Session(flags, screen, seams=Seams(provider=sandbox(), aws=AwsSeam(command)))
    caught: list[int] = []
    try:
        with _signals_as_interrupts(caught):
            code = work(session)
            sys.stdout.flush()
        return 128 + caught[0] if code == Interrupted.exit_code and caught else code
    except KeyboardInterrupt:
        return _fail(screen, command, Interrupted.of("stopped; nothing unfinished is recorded"), caught)
    except LaminaError as error:
        return _fail(screen, command, error)
    except BrokenPipeError:
        return close_stdout()
    except OSError as error:
        return _fail(screen, command, LaminaError.of_system(error, hint=_AGAIN))
    finally:
        session.close()


def _rewrite(command: str) -> Callable[[str], str]:
    """Return a function that names commands as they were called, and tables as the configuration has them.

    After ``lamina plan`` hints say ``lamina`` instead of ``invoke``: there may be no tasks.py. With a
    lamina.toml, or if ``init`` would write one, they say ``[images.x]``, not ``[tool.lamina.images.x]``.
    """
    is_lamina = Path(sys.argv[0]).name == "lamina"

    @cache
    def is_own_file() -> bool:
        return config_file(find_root(Path.cwd()), new=command == "init") == LAMINA_TOML

    def rewritten(text: str) -> str:
        if is_lamina and "invoke " in text:
            text = _called("lamina", text)
        if "[tool.lamina" in text and is_own_file():
            text = text.replace("[tool.lamina.", "[").replace("[tool.lamina]", LAMINA_TOML)
        return text

    return rewritten


def _called(program: str, text: str) -> str:
    names = "|".join(map(re.escape, COMMANDS))
    return re.sub(rf"\binvoke (?=(?:{names})\b)", f"{program} ", text)


def _fail(screen: Screen, command: str, error: LaminaError, signals: Sequence[int] = ()) -> int:
    """Report an error; return its exit code, or that of the signal that caused it."""
    screen.error(error)
    try:
        screen.finish(command, ok=False, images=[])
        sys.stdout.flush()
    except OSError:  # the error may be that standard output is full
        close_stdout()
    return 128 + signals[0] if signals else error.exit_code


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


def report(session: Session, command: str, work: Callable[[], Outcome]) -> int:
    """Do the work and show its outcome. Return the exit code: the error's if the work is incomplete."""
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
    return error.exit_code if error else 0
