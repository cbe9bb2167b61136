"""A runner that plays a script and refuses everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lamina.process import Command, Completed


@dataclass(slots=True)
class ScriptedRunner:
    """Answers a command by the first unused step whose words all stand in its argv."""

    steps: list[tuple[tuple[str, ...], Completed, Callable[[Command], None] | None]] = field(
        default_factory=list
    )
    seen: list[Command] = field(default_factory=list)

    def expect(
        self,
        *words: str,
        stdout: str = "",
        stderr: str = "",
        code: int = 0,
        effect: Callable[[Command], None] | None = None,
    ) -> None:
        self.steps.append((words, Completed(code=code, stdout=stdout, stderr=stderr), effect))

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        self.seen.append(command)
        for step in self.steps:
            words, answer, effect = step
            if all(word in command.argv for word in words):
                self.steps.remove(step)
                if effect:
                    effect(command)
                return answer
        raise AssertionError(f"unplanned command: {command}")

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        raise AssertionError(f"unplanned command: {command}")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"unplanned command: {command}")


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "cache"
    monkeypatch.setenv("LAMINA_CACHE", str(home))
    return home
