"""Trace a command as the ``OTEL_*`` variables say. What goes wrong with that is a note and fails nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lamina.errors import LaminaError, Problem
from lamina.execute.remote_cache import branch_of_ci
from lamina.execute.revision import read_branch, read_commit
from lamina.flow.session import Session
from lamina.masks import Mask
from lamina.report.console import Screen
from lamina.report.history import StepRecord, read_run, read_steps
from lamina.telemetry.command_run import CommandRun
from lamina.telemetry.spans import Attribute, command_span

if TYPE_CHECKING:
    from lamina.telemetry.otel import Recorder

INSTALL = "pip install 'lamina[otel]'"
_EXPORTER = "OTEL_EXPORTER_OTLP_"
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", _PROTOCOL)
_HTTP = "http/protobuf"
_BUILDX_TIMEOUT = "OTEL_BSP_EXPORT_TIMEOUT"
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_MILLISECONDS = "2000"
"""How long a collector may take. buildx waits at its end too, by default up to 30 s."""
_ENDLESS = "watch"
"""A command that ends when its user goes; its spans would not be seen before."""


class CommandTrace:
    """The trace of one command; without a recorder only of what buildx sends itself."""

    def __init__(self, screen: Screen, env: Mapping[str, str], recorder: Recorder | None) -> None:
        self._screen = screen
        self._env = env
        self._recorder = recorder

    @property
    def records(self) -> bool:
        """Whether the command has a span of its own."""
        return self._recorder is not None

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables for buildx, which reads those of OpenTelemetry itself; none that the user set."""
        ours = {_BUILDX_TIMEOUT: _MILLISECONDS}
        if not any(self._env.get(name) for name in _PROTOCOLS):
            ours[_PROTOCOL] = _HTTP  # its own default is gRPC
        unset = {name: value for name, value in ours.items() if not self._env.get(name)}
        return {**unset, **(self._recorder.variables if self._recorder else {})}

    def end(self, session: Session, run: CommandRun) -> None:
        """Send the spans of the finished command. Never raises an error."""
        if self._recorder is None:
            return
        try:
            self._recorder.end(command_span(run, _steps(session, run), _project(session, self._env)))
            problem = self._recorder.send(_timeout(self._env))
        except Exception as error:  # a trace must not fail what it traces
            problem = str(error) or type(error).__name__
        if problem:
            hint = "check the collector of the OTEL_* variables; the command itself needs none"
            what = f"the trace was not sent: {_without_secrets(problem, self._env)}"
            self._screen.notes([Problem(what=what, hint=hint)])


def start_trace(
    command: str, screen: Screen, *, env: Mapping[str, str], version: str, started: float
) -> CommandTrace:
    """Begin the trace of a command. version: of Lamina. started: seconds since the epoch."""
    recorder: Recorder | None = None
    if problem := _unusable(env):
        screen.notes([problem])
    elif command != _ENDLESS:
        try:
            from lamina.telemetry.otel import Recorder

            hide = screen.mask.hide
            recorder = Recorder(command, env=env, version=version, started=started, hide=hide)
        except ImportError:
            what = "OTEL_* variables ask for traces, but OpenTelemetry's SDK is not installed"
            screen.notes([Problem(what=what, hint=INSTALL)])
        except Exception as error:  # a variable with a value that the SDK does not accept
            what = f"no trace: {_without_secrets(str(error), env)}"
            screen.notes([Problem(what=what, hint="check the OTEL_* variables")])
    return CommandTrace(screen, env, recorder)


def _unusable(env: Mapping[str, str]) -> Problem | None:
    """Return what the variables ask for and Lamina cannot do; None if it can."""
    exporters = env.get("OTEL_TRACES_EXPORTER", "")
    if exporters and "otlp" not in exporters.split(","):
        return Problem(
            what=f"no trace: {exporters!r} is not an exporter that Lamina has",
            where="$OTEL_TRACES_EXPORTER",
            allowed="otlp, none",
        )
    name, protocol = next(((name, env[name]) for name in _PROTOCOLS if env.get(name)), (_PROTOCOL, _HTTP))
    if protocol != _HTTP:
        return Problem(
            what=f"no trace of Lamina's own: it does not speak {protocol}", where=f"${name}", allowed=_HTTP
        )
    return None


def _without_secrets(text: str, env: Mapping[str, str]) -> str:
    """Return a text without what the variables hold: values of headers, passwords and queries of addresses.

    They are hidden here only: the value of a header may be the name of the project.
    """
    mask = Mask()
    for name, value in env.items():
        if name.startswith(_EXPORTER) and name.endswith("_HEADERS"):
            mask.learn(
                *(word for pair in value.split(",") for word in unquote(pair).split("=", 1)[-1].split())
            )
        elif name.startswith(_EXPORTER) and name.endswith("_ENDPOINT"):
            login = value.rpartition("@")[0].rpartition("//")[2]
            mask.learn(login, login.partition(":")[2], value.partition("?")[2])
    return mask.hide(text)


def _timeout(env: Mapping[str, str]) -> float:
    """Return the seconds that sending may take. The variables have milliseconds, as OpenTelemetry says."""
    given = next((env[name] for name in _TIMEOUTS if env.get(name)), _MILLISECONDS)
    return int(given if given.isdecimal() else _MILLISECONDS) / 1000


def _steps(session: Session, run: CommandRun) -> Mapping[str, Iterable[StepRecord]]:
    if not run.runs:
        return {}
    state = session.project.state
    return {name: read_steps(state, read_run(state, name)) for name, _ in run.runs}


def _project(session: Session, env: Mapping[str, str]) -> Mapping[str, Attribute]:
    """Return what is known of the project; a command that failed may not have been able to read it."""
    found: dict[str, Attribute] = {}
    with suppress(LaminaError, OSError):
        settings = session.project.settings
        found = {
            "cicd.pipeline.name": session.project.root.name,
            "lamina.stack": settings.stack,
            "lamina.registry": settings.registry,
            "lamina.push": session.flags.push,
        }
        commit = read_commit(session.runner, session.project.root)
        branch = branch_of_ci(env) or read_branch(session.runner, session.project.root)
        found |= {"vcs.ref.head.revision": commit} if commit else {}
        found |= {"vcs.ref.head.name": branch} if branch else {}
    return found
