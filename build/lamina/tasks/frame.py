"""The frame around every command's one call: flags in, errors reported once, an exit code out."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lamina.declare.config import find_root
from lamina.declare.document import LAMINA_TOML, config_file
from lamina.declare.settings import SETTINGS, SettingValue, Value, is_metrics
from lamina.errors import Interrupted, LaminaError, Problem, SelectionError
from lamina.flow.flags import Flags
from lamina.flow.registries import AwsSeam
from lamina.flow.seams import Seams
from lamina.flow.session import Session
from lamina.json_data import Json
from lamina.report.console import Screen
from lamina.report.document import outcome_documents, saved_document
from lamina.tasks.command import CliCommand, Flag, Given
from lamina.tasks.commands import COMMANDS
from lamina.tasks.output import close_stdout
from lamina.wiring import sandbox

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome
    from lamina.execute.task_run import TaskRun
    from lamina.telemetry.tracing import CommandTrace

_MANY_VALUES = 200_000
"""Allocations between two garbage collections. A plan of many files makes many values and no cycles, and
searching them for cycles took a sixth of its time."""
_INVOKE, _LAMINA = "invoke", "lamina"
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_TRACES = "OTEL_TRACES_EXPORTER"
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NO_SDK = "OTEL_SDK_DISABLED"
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

    def work(session: Session) -> int:
        try:
            code: int = function(session, **of("command"))
        except SelectionError as error:
            raise _one_at_a_time(error, command.name, given.get("image")) from None
        return code

    return run_in_session(
        command.name,
        Flags(**fields),
        work,
        json=command.prints_json(given),
        plain=bool(of("screen").get("plain")),
        stream=sys.stderr if command.only_result(given) else None,
        measured=any(flag.name == "metrics" for flag in command.flags),
    )


def _one_at_a_time(error: SelectionError, command: str, images: object) -> SelectionError:
    """Return the error, with the next step for each unknown image that is a command's name."""
    named = images if isinstance(images, tuple) else (images,)
    unknown = {f"there is no image {each!r}": each for each in named if each in COMMANDS}

    def advised(problem: Problem) -> Problem:
        name = unknown.get(problem.what.partition(";")[0])
        once = f"lamina runs one command at a time: invoke {command}, then invoke {name}"
        return replace(problem, hint=once) if name else problem

    return SelectionError(*map(advised, error.problems))


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
    measured: bool = False,
) -> int:
    """Do the work of a command in a session; report an error once. Return the exit code.

    Args:
        stream: the one for messages to people; see `Screen`.
        measured: whether it writes the metrics of its builds.
    """
    gc.set_threshold(_MANY_VALUES)
    gc.enable()
    started = time.time()
    screen = Screen(as_json=json, plain=plain, stream=stream, rewrite=_rewrite(command))
    trace = _start_trace(command, screen, started)
    runs: list[tuple[str, Outcome]] = []
    tasks: list[TaskRun] = []
    seams = Seams(provider=sandbox(), aws=AwsSeam(command))
    if trace:
        seams = replace(seams, variables=trace.variables)
    if measured or (trace and trace.records):
        seams = replace(seams, observe=lambda *run: runs.append(run), did=tasks.append)
    session = Session(flags, screen, seams=seams)
    code = LaminaError.exit_code
    try:
        code = _do(session, command, work)
        return code
    finally:
        try:
            metrics = _metrics(session) if measured else None
            if trace or metrics:
                _tell(session, command, code, started, runs, tasks, trace=trace, metrics=metrics)
        finally:
            session.close()


def _do(session: Session, command: str, work: Callable[[Session], int]) -> int:
    """Do the work; report an error once. Return the exit code."""
    screen = session.screen
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


def _start_trace(command: str, screen: Screen, started: float) -> CommandTrace | None:
    """Begin a trace if the variables of OpenTelemetry ask for one."""
    chosen = os.environ.get(_TRACES)
    asked = bool(chosen or any(map(os.environ.get, _COLLECTORS))) and chosen != "none"
    if not asked or os.environ.get(_NO_SDK, "").lower() == "true":
        return None
    from lamina import __version__
    from lamina.telemetry.tracing import start_trace

    return start_trace(command, screen, env=os.environ, version=__version__, started=started)


def _metrics(session: Session) -> Value[SettingValue] | None:
    """Return where metrics go, also if the configuration cannot be read; None for nowhere."""
    try:
        found = session.project.settings.sourced("metrics")
    except (LaminaError, OSError):
        given = session.flags.metrics or os.environ.get(SETTINGS["metrics"].env[0], "")
        found = Value(value=given, source="--metrics")
    return found if found.value and is_metrics(str(found.value)) else None


def _tell(
    session: Session,
    command: str,
    code: int,
    started: float,
    runs: Sequence[tuple[str, Outcome]],
    tasks: Sequence[TaskRun],
    *,
    trace: CommandTrace | None,
    metrics: Value[SettingValue] | None,
) -> None:
    """Write the metrics of a finished command and send its trace. Ctrl-C ends that too."""
    from lamina.telemetry.command_run import CommandRun

    run = CommandRun(
        command=command,
        code=code,
        started=started,
        finished=time.time(),
        runs=tuple(runs),
        tasks=tuple(tasks),
        errors=session.screen.errors,
    )
    try:
        with suppress(KeyboardInterrupt), _signals_as_interrupts([]):
            if metrics:
                from lamina.telemetry.write import write_metrics

                write_metrics(session, str(metrics.value), metrics.source, run)
            if trace:
                trace.end(session, run)
            sys.stdout.flush()
    except OSError:  # the output was closed
        close_stdout()


def _rewrite(command: str) -> Callable[[str], str]:
    """Return a function that names commands as they were called, and tables as the configuration has them.

    Texts say ``invoke plan``, and are shown with `program_name`. With a lamina.toml, or if ``init`` would
    write one, they say ``[images.x]``, not ``[tool.lamina.images.x]``.
    """
    program = program_name()

    @cache
    def is_own_file() -> bool:
        return config_file(find_root(Path.cwd()), new=command == "init") == LAMINA_TOML

    def rewritten(text: str) -> str:
        if program != _INVOKE and "invoke " in text:
            text = _called(program, text)
        if "[tool.lamina" in text and is_own_file():
            text = text.replace("[tool.lamina.", "[").replace("[tool.lamina]", LAMINA_TOML)
        return text

    return rewritten


def program_name(otherwise: str = _INVOKE) -> str:
    """Return how the program was called: ``lamina``, ``python -m lamina``, or otherwise ``invoke``.

    There may be no tasks.py, so that ``invoke`` would not run.
    """
    called = Path(sys.argv[0])
    if called.stem == _LAMINA:
        return _LAMINA
    by_module = called.name == "__main__.py" and called.parent.name == _LAMINA
    return f"python -m {_LAMINA}" if by_module else otherwise


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


def report(
    session: Session,
    command: str,
    work: Callable[[], Outcome],
    *,
    also: Callable[[Outcome], Mapping[str, Json]] = lambda _: {},
) -> int:
    """Do the work and show its outcome. Return the exit code: the error's if the work is incomplete.

    also: shows what belongs to it, and returns that for JSON.
    """
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
        **also(outcome),
    )
    return error.exit_code if error else 0
