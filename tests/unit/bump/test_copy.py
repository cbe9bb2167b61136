"""All files are written or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.bump.copy import write_all
from lamina.errors import LaminaError
from lamina.lint.edits import Rewrite


class InterruptedText(str):
    """A text during whose writing the user presses Ctrl-C."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise KeyboardInterrupt


@pytest.fixture
def rewrites(tmp_path: Path) -> list[Rewrite]:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o755)
    (tmp_path / "z").write_text("old")
    return [
        Rewrite(path="a", before="old", after="new"),
        Rewrite(path="b", before=None, after="new"),
        Rewrite(path="z", before="old", after="new"),
    ]


def texts(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in folder.iterdir()}


def test_all_are_written_with_their_modes(tmp_path: Path, rewrites: list[Rewrite]) -> None:
    write_all(tmp_path, rewrites)

    assert texts(tmp_path) == {"a": "new", "b": "new", "z": "new"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_a_file_that_cannot_be_written_leaves_all_as_they_were(
    tmp_path: Path, rewrites: list[Rewrite]
) -> None:
    long = "x" * 250  # no room in the name for that of a temporary file
    (tmp_path / long).write_text("old")

    with pytest.raises(LaminaError, match="nothing is changed"):
        write_all(tmp_path, [*rewrites, Rewrite(path=long, before="old", after="new")])

    assert texts(tmp_path) == {"a": "old", "z": "old", long: "old"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_an_interrupt_between_two_files_leaves_all_as_they_were(
    tmp_path: Path, rewrites: list[Rewrite]
) -> None:
    rewrites[-1] = Rewrite(path="z", before="old", after=InterruptedText("new"))

    with pytest.raises(KeyboardInterrupt):
        write_all(tmp_path, rewrites)

    assert texts(tmp_path) == {"a": "old", "z": "old"}


@pytest.mark.parametrize("now", ["edited", None], ids=["edited", "removed"])
def test_a_file_that_was_edited_since_is_named_and_none_is_written(
    tmp_path: Path, rewrites: list[Rewrite], now: str | None
) -> None:
    (tmp_path / "z").write_text(now) if now else (tmp_path / "z").unlink()
    (tmp_path / "b").write_text("made by another")
    before = texts(tmp_path)

    with pytest.raises(LaminaError) as caught:
        write_all(tmp_path, rewrites)

    assert [each.where for each in caught.value.problems] == ["b", "z"]
    assert texts(tmp_path) == before
