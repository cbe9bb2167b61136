"""Where the cache is, and how two processes share it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from lamina.sandbox.cache import cache_home, locked


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LAMINA_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/lamina"),
        ({"LAMINA_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/lamina"),
        ({"LAMINA_CACHE": "~/x", "HOME": "/c"}, "/c/x"),
    ],
)
def test_the_cache_home_follows_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAMINA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_home() == Path(expected)


def test_a_lock_keeps_others_out_until_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    with locked(path), path.open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
