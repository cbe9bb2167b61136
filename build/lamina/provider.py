"""The supply of what a machine lacks: a private Docker engine, and stand-ins for images it cannot pull."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, Protocol

from lamina.errors import EngineError
from lamina.process import Runner

_NONE = "this installation of Lamina has no private engines"

Say = Callable[[str], None]
"""Prints a line of progress."""


class EngineAddress(Protocol):
    """An engine to run docker commands on."""

    @property
    def host(self) -> str:
        """A value for DOCKER_HOST."""
        ...

    @property
    def docker(self) -> Path:
        """The docker program."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that make docker use the engine."""
        ...


class ProvidedEngine(EngineAddress, Protocol):
    """A running engine that nothing else uses."""

    @property
    def buildx(self) -> Path:
        """The buildx program, which runs without docker."""
        ...


class ProvidedStandIn(Protocol):
    """The replacement of an AWS runtime image on this machine."""

    @property
    def python(self) -> str:
        """The minor version of Python, ``3.13``."""
        ...

    @property
    def architecture(self) -> str:
        """As in a platform, ``amd64``."""
        ...

    @property
    def identity(self) -> str:
        """``sha256:<hex>`` over the recipe and the packages: its part of a fingerprint."""
        ...

    @property
    def ref(self) -> str:
        """An image name that no registry can serve."""
        ...

    @property
    def notice(self) -> str:
        """The warning to show whenever the stand-in is used."""
        ...


class EngineProvider(Protocol):
    """Supplies private engines and stand-ins. `wiring` names the one that commands use."""

    def unsupported(self) -> str | None:
        """Return why this machine cannot run a private engine; None if it can. Starts no process."""
        ...

    def find_engine(self, runner: Runner, name: str, *, say: Say) -> ProvidedEngine | None:
        """Return the engine of a name, waiting for one that may recover; None if none runs. Starts none."""
        ...

    def start_engine(self, runner: Runner, name: str, *, say: Say) -> ProvidedEngine:
        """Return the engine of a name, started or restarted if needed. Raises EngineError."""
        ...

    def remove_engine(self, runner: Runner, name: str) -> None:
        """Stop the engine of a name, if there is one, and delete its images and caches."""
        ...

    def find_stand_in(self, python: str, architecture: str) -> ProvidedStandIn | None:
        """Return the stand-in that this machine has made before; None if it has not."""
        ...

    def check_stand_in(self, python: str, architecture: str) -> None:
        """Raise EngineError if no stand-in can be made for a Python version. Starts no process."""
        ...

    def load_stand_in(
        self, runner: Runner, engine: EngineAddress, python: str, architecture: str, say: Say
    ) -> ProvidedStandIn:
        """Return the stand-in, made on first use, and loaded into the engine. Raises EngineError."""
        ...


class NoProvider:
    """Supplies nothing: see `EngineProvider`. For programs, and installations without a provider."""

    def unsupported(self) -> str:
        """See `EngineProvider.unsupported`."""
        return _NONE

    def find_engine(self, runner: Runner, name: str, *, say: Say) -> None:
        """See `EngineProvider.find_engine`."""
        del runner, name, say

    def start_engine(self, runner: Runner, name: str, *, say: Say) -> NoReturn:
        """See `EngineProvider.start_engine`."""
        del runner, name, say
        raise EngineError.of(_NONE)

    def remove_engine(self, runner: Runner, name: str) -> None:
        """See `EngineProvider.remove_engine`."""
        del runner, name

    def find_stand_in(self, python: str, architecture: str) -> None:
        """See `EngineProvider.find_stand_in`."""
        del python, architecture

    def load_stand_in(
        self, runner: Runner, engine: EngineAddress, python: str, architecture: str, say: Say
    ) -> NoReturn:
        """See `EngineProvider.load_stand_in`."""
        del runner, engine, say
        self.check_stand_in(python, architecture)

    def check_stand_in(self, python: str, architecture: str) -> NoReturn:
        """See `EngineProvider.check_stand_in`."""
        del architecture
        raise EngineError.of(f"{_NONE}, and no stand-in for the Lambda runtime python:{python}")
