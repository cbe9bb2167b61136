"""Whether a builder has ever built, and that it is asked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.execute.engine import Engine
from lamina.execute.fresh import is_fresh
from lamina.process import Command, Completed


@dataclass(slots=True)
class Buildx:
    """Answers `buildx history ls`. answer: None if it does not run."""

    answer: Completed | None
    asked: list[str] = field(default_factory=list)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        assert command.argv[:3] == ("buildx", "history", "ls")
        self.asked.append(command.argv[-1])
        if self.answer is None:
            raise EngineError.of("it takes too long")
        return self.answer

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        raise AssertionError("not planned")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError("not planned")


def engine(name: str = "engine-1") -> Engine:
    return Engine(
        host="unix:///none", docker=Path("docker"), buildx=("buildx",), version="28",
        architecture="amd64", containerd=True, private=False, id=name,
    )  # fmt: skip


def test_a_builder_without_records_is_fresh_and_is_asked_each_time(tmp_path: Path) -> None:
    buildx = Buildx(Completed(code=0, stdout="\n"))

    assert [is_fresh(buildx, engine(), "default", tmp_path) for _ in range(2)] == [True, True]
    assert buildx.asked == ["--builder=default"] * 2


def test_one_that_has_built_is_asked_once_and_others_still_are(tmp_path: Path) -> None:
    buildx = Buildx(Completed(code=0, stdout='{"ref":"x"}\n'))
    assert [is_fresh(buildx, engine(), "default", tmp_path) for _ in range(3)] == [False] * 3
    assert len(buildx.asked) == 1

    is_fresh(buildx, engine("engine-2"), "default", tmp_path)
    (tmp_path / "builders.json").write_text("[7]")
    is_fresh(buildx, engine(), "default", tmp_path)

    assert len(buildx.asked) == 3


def test_a_new_builder_of_the_name_of_an_earlier_one_is_asked(tmp_path: Path) -> None:
    buildx = Buildx(Completed(code=0, stdout='{"ref":"x"}\n'))
    assert is_fresh(buildx, engine(), "ci", tmp_path) is False

    buildx.answer = Completed(code=0, stdout="\n")

    assert is_fresh(buildx, engine(), "ci", tmp_path) is True


def test_an_engine_without_an_id_is_asked_each_time(tmp_path: Path) -> None:
    buildx = Buildx(Completed(code=0, stdout='{"ref":"x"}\n'))

    assert [is_fresh(buildx, engine(""), "default", tmp_path) for _ in range(2)] == [False, False]
    assert len(buildx.asked) == 2


@pytest.mark.parametrize("answer", [None, Completed(code=1, stderr="unknown command")])
def test_a_builder_that_does_not_say_is_unknown(tmp_path: Path, answer: Completed | None) -> None:
    assert is_fresh(Buildx(answer), engine(), "default", tmp_path) is None
    assert not list(tmp_path.iterdir())
