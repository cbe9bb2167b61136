"""Only changed files are read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from lamina.identify.stat_cache import StatCache, render
from lamina.identify.tree import DiskFiles

LONG_AGO = time.time() - 3600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a").write_text("one")
    return folder


def digest(cache: StatCache, root: Path, path: str = "a") -> str:
    files = cache.files(root)
    entry = files.entry(path)
    assert entry is not None
    return files.sha256(entry)


def aged(root: Path, cache_file: Path) -> None:
    """Let the cache trust the present content of ``a``, as if an hour had passed."""
    entry = DiskFiles(root).entry("a")
    assert entry is not None
    assert entry.stamp is not None
    known = " ".join([*map(str, entry.stamp), "remembered"])
    cache_file.write_text(render({str(root): {"a": known}}))


def test_a_known_file_is_not_read(root: Path, tmp_path: Path) -> None:
    aged(root, tmp_path / "cache")

    assert digest(StatCache(tmp_path / "cache"), root) == "remembered"


@pytest.mark.parametrize("change", ["content", "time", "inode", "size"])
def test_a_changed_file_is_read(root: Path, tmp_path: Path, change: str) -> None:
    aged(root, tmp_path / "cache")
    if change == "content":
        (root / "a").write_text("two")
    elif change == "time":
        os.utime(root / "a", (LONG_AGO, LONG_AGO))
    elif change == "inode":
        (tmp_path / "new").write_text("one")
        (tmp_path / "new").rename(root / "a")
    else:
        (root / "a").write_text("longer than before")

    expected = hashlib.sha256((root / "a").read_bytes()).hexdigest()
    assert digest(StatCache(tmp_path / "cache"), root) == expected


def test_a_file_touched_just_now_is_not_remembered(root: Path, tmp_path: Path) -> None:
    soon = time.time() + 60  # a busy machine may need the two seconds before it looks
    os.utime(root / "a", (soon, soon))
    cache = StatCache(tmp_path / "cache")
    digest(cache, root)
    cache.save()

    assert not (tmp_path / "cache").exists()


def test_a_file_touched_just_now_is_read_once_for_all_images_of_a_run(root: Path, tmp_path: Path) -> None:
    files = StatCache(tmp_path / "cache").files(root)
    entry = files.entry("a")
    assert entry is not None
    digest = files.sha256(entry)
    (root / "a").unlink()

    assert files.sha256(entry) == digest


def test_a_damaged_cache_is_an_empty_one(root: Path, tmp_path: Path) -> None:
    aged(root, tmp_path / "cache")
    good = (tmp_path / "cache").read_text()
    shape = json.dumps({**json.loads(good), "roots": [3]})
    for content in ("{", "[]", '{"schema": 99}', good.replace("remembered", "remembereD"), shape):
        (tmp_path / "cache").write_text(content)

        assert digest(StatCache(tmp_path / "cache"), root) == hashlib.sha256(b"one").hexdigest()


def test_folders_are_listed_once(root: Path, tmp_path: Path) -> None:
    files = StatCache(tmp_path / "cache").files(root)
    before = [entry.path for entry in files.children("")]
    (root / "b").write_text("")

    assert [entry.path for entry in files.children("")] == before == ["a"]
