"""The sandbox as Lamina's core sees it, and as the tasks for it do; each part is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.process import Runner

if TYPE_CHECKING:
    from lamina.provider import EngineAddress, Say
    from lamina.sandbox.registry import LocalRegistry
    from lamina.sandbox.running import PrivateEngine
    from lamina.sandbox.runtime import StandIn


class Sandbox:
    """See `EngineProvider`; also the local registry."""

    def unsupported(self) -> str | None:
        """See `engine.unsupported`."""
        from lamina.sandbox import engine

        return engine.unsupported()

    def find_engine(self, runner: Runner, name: str, *, say: Say) -> PrivateEngine | None:
        """See `running.recovered`."""
        from lamina.sandbox import running

        return running.recovered(runner, name, say=say)

    def start_engine(self, runner: Runner, name: str, *, say: Say) -> PrivateEngine:
        """See `engine.up`."""
        from lamina.sandbox import engine

        return engine.up(runner, name=name, say=say)

    def stop_engine(self, runner: Runner, name: str, *, purge: bool) -> None:
        """See `engine.down`."""
        from lamina.sandbox import engine

        engine.down(runner, name, purge=purge)

    def remove_engine(self, runner: Runner, name: str) -> None:
        """Stop an engine and delete its images and caches."""
        self.stop_engine(runner, name, purge=True)

    def find_stand_in(self, python: str, architecture: str) -> StandIn | None:
        """See `runtime.recorded`."""
        from lamina.sandbox import runtime

        return runtime.recorded(python, architecture)

    def check_stand_in(self, python: str, architecture: str) -> None:
        """See `runtime.check`."""
        from lamina.sandbox import runtime

        runtime.check(python, architecture)

    def load_stand_in(
        self, runner: Runner, engine: EngineAddress, python: str, architecture: str, say: Say
    ) -> StandIn:
        """See `runtime.ensure`."""
        from lamina.sandbox import runtime

        return runtime.ensure(runner, engine, python, architecture, say)

    def start_registry(self, runner: Runner, *, port: int, say: Say) -> LocalRegistry:
        """See `registry.up`."""
        from lamina.sandbox import registry

        return registry.up(runner, port=port, say=say)

    def stop_registry(self, runner: Runner, *, purge: bool) -> None:
        """See `registry.down`."""
        from lamina.sandbox import registry

        registry.down(runner, purge=purge)
