"""A finished command, as traces and metrics describe it."""

from __future__ import annotations

from lamina.errors import (
    AwsError,
    BuildError,
    ConfigError,
    EngineError,
    Interrupted,
    RegistryError,
    SelectionError,
)
from lamina.execute.outcome import Outcome
from lamina.execute.task_run import TaskRun
from lamina.values import dataclass

_KINDS = (BuildError, ConfigError, SelectionError, EngineError, RegistryError, AwsError)
_NAMES = {each.exit_code: each.__name__ for each in _KINDS}
_ANSWERS = {0, 7}
"""Exit codes that are answers and not failures: 7 says that a plan is not empty."""
_OTHER = "_OTHER"
"""The value for an error without a class: https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRun:
    """A finished command.

    Attributes:
        started, finished: seconds since the epoch.
        runs: the names of the builds it made and kept, with their outcomes.
        tasks: its pushes, deployments and smokes, in the order in which they ended.
        errors: the first lines of its errors, with secrets hidden.
    """

    command: str
    code: int
    started: float
    finished: float
    runs: tuple[tuple[str, Outcome], ...] = ()
    errors: tuple[str, ...] = ()
    tasks: tuple[TaskRun, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.0, self.finished - self.started)

    @property
    def stopped(self) -> bool:
        """Whether the user or a signal ended it."""
        return self.code > 128

    @property
    def error_type(self) -> str | None:
        """The class of its error; None if it did not fail."""
        if self.code in _ANSWERS:
            return None
        return Interrupted.__name__ if self.stopped else _NAMES.get(self.code, _OTHER)
