from __future__ import annotations

from pathlib import Path

import pytest

from lamina.files import read_json, write_atomic, write_json


def test_a_file_and_its_folders_appear_at_once(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "state.txt"

    write_atomic(file, "naïve\n")

    assert file.read_bytes() == "naïve\n".encode()
    assert file.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in file.parent.iterdir()] == ["state.txt"]


def test_secrets_get_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    write_atomic(tmp_path / "config.json", b"{}", mode=0o600)

    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600


def test_readers_keep_what_they_opened(tmp_path: Path) -> None:
    file = tmp_path / "state"
    write_atomic(file, "old")
    with file.open() as reader:
        write_atomic(file, "new and longer")
        assert reader.read() == "old"
    assert file.read_text() == "new and longer"


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir()
    (place / "inside").write_text("kept")

    with pytest.raises(OSError, match="state"):
        write_atomic(place, "a folder cannot be replaced by a file")

    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    assert (place / "inside").read_text() == "kept"


def test_json_goes_there_and_back(tmp_path: Path) -> None:
    document = {"name": "naïve", "files": {"bad\udcff name": 1}}

    write_json(tmp_path / "a.json", document)

    assert "naïve" in (tmp_path / "a.json").read_text("utf-8")
    assert read_json(tmp_path / "a.json") == document


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1}}'])
def test_damaged_state_is_no_state(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)

    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "missing.json") is None
