from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lamina.declare.lockfile import LOCK_FILE, Lock, Pin, read_lock
from lamina.errors import ConfigError

PIN = Pin(
    name="public.ecr.aws/lambda/python:3.13",
    digest="sha256:" + "a" * 64,
    platforms={"linux/arm64": "sha256:" + "b" * 64, "linux/amd64": "sha256:" + "c" * 64},
)
PLAIN = Pin(name="busybox", digest="sha256:" + "d" * 64)


def test_no_file_is_an_empty_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path) == Lock()


def test_a_lock_goes_there_and_back_in_a_stable_order(tmp_path: Path) -> None:
    lock = Lock().with_pin(PIN).with_pin(PLAIN)
    other = Lock().with_pin(PLAIN).with_pin(PIN)

    (tmp_path / LOCK_FILE).write_text(lock.render())

    assert lock.render() == other.render()
    assert read_lock(tmp_path) == lock
    assert [each["name"] for each in tomllib.loads(lock.render())["image"]] == sorted(lock.pins)


def test_a_pin_is_moved_not_doubled() -> None:
    moved = Pin(name=PLAIN.name, digest="sha256:" + "e" * 64)

    assert Lock().with_pin(PLAIN).with_pin(moved).pins == {PLAIN.name: moved}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 2\n", "lamina.lock: schema 2 is not known to this version\n  allowed: schema = 1"),
        ("schema = \n", "lamina.lock: is damaged: Invalid value"),
        ("", "lamina.lock: is damaged: 'schema'"),
        ('schema = 1\n[[image]]\nname = "x"\n', "lamina.lock: is damaged: 'digest'"),
        ('schema = 1\nimage = ["x"]\n', "lamina.lock: is damaged: "),
        ("schema = 1\nimage = 3\n", "lamina.lock: is damaged: "),
    ],
)
def test_a_damaged_lock_is_never_taken_for_an_empty_one(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / LOCK_FILE).write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_lock(tmp_path)

    assert str(caught.value).startswith(says)
    assert "next: " in str(caught.value)
