from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from lamina.files import cache_home, draft_beside, locked, read_json, write_atomic, write_json


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
def test_damaged_state_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)

    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "missing.json") is None
    (tmp_path / "deep.json").write_text("[" * 200_000)
    assert read_json(tmp_path / "deep.json") is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LAMINA_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/lamina"),
        ({"LAMINA_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/lamina"),
        ({"LAMINA_CACHE": "~/x", "HOME": "/c"}, "/c/x"),
        ({"LAMINA_CACHE": "~no-such-user/x", "HOME": "/c"}, "~no-such-user/x"),
    ],
)
def test_the_cache_home_follows_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])
    assert cache_home(environment) == Path(expected).absolute()


def test_a_lock_keeps_others_out_until_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    with locked(path), path.open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_folder_is_made_beside_its_place_and_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    final = tmp_path / "packages"
    left, other = tmp_path / ".packages.tmpold", tmp_path / ".packages-2.tmpold"
    for each in (left, other):
        (each / "etc").mkdir(parents=True)

    with draft_beside(final) as draft:
        (draft / "tree").mkdir()
        (draft / "tree").rename(final)

    assert sorted(each.name for each in tmp_path.iterdir()) == [".packages-2.tmpold", "packages"]


def test_a_leftover_that_cannot_be_removed_stops_nothing(tmp_path: Path) -> None:
    stuck = tmp_path / ".packages.tmpold"
    stuck.touch()  # removing it as a folder fails, as removing one does into which a program still writes

    with draft_beside(tmp_path / "packages") as draft:
        assert list(draft.iterdir()) == []

    assert list(tmp_path.iterdir()) == [stuck]
