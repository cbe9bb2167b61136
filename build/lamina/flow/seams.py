"""What a session is given: what it may do on this machine, and objects to use instead of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from lamina.flow.registries import AwsSeam
from lamina.provider import EngineProvider, NoProvider
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.execute.engine import Builder, Engine
    from lamina.execute.outcome import Outcome
    from lamina.execute.task_run import TaskRun
    from lamina.registries.http import Transport
    from lamina.registries.local import LocalStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a command may do on this machine.

    starts_engine: whether it starts a private engine if no other answers. builds_here: whether this machine
    builds the images; False if a remote machine of the right platform does. engine: the private engine to
    use; None for the user's choice.
    """

    starts_engine: bool = True
    builds_here: bool = True
    engine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """Objects to use instead of those that a session would make; None: it makes its own."""

    provider: EngineProvider = field(default_factory=NoProvider)
    """Supplies a private engine and stand-ins."""
    engine: Engine | None = None
    builder: Builder | None = None
    local_store: LocalStore | None = None
    transport: Transport | None = None
    """Sends the requests to registries."""
    aws: AwsSeam = field(default_factory=AwsSeam)
    """Makes AWS' clients, of all sessions of a command."""
    observe: Callable[[str, Outcome], None] = lambda *_: None
    """Gets the name and the outcome of each build that is kept."""
    did: Callable[[TaskRun], None] = lambda _: None
    """Gets each push, deployment and smoke, once it has ended."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variables for buildx beside those of the environment."""
