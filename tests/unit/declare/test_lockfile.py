from __future__ import annotations

import tomllib
from dataclasses import replace
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


def test_a_missing_file_is_an_empty_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path) is None


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


def test_pins_can_be_dropped() -> None:
    assert Lock().with_pin(PLAIN).with_pin(PIN).without([PLAIN.name]).pins == {PIN.name: PIN}


@pytest.mark.parametrize(
    ("platform", "digest"),
    [
        ("linux/amd64", "c"),
        ("linux/arm64", "b"),
        ("linux/arm64/v8", "b"),
        ("linux/aarch64", "b"),
        ("linux/x86_64", "c"),
        ("linux/riscv64", "a"),
        (None, "a"),
    ],
)
def test_a_platform_uses_its_own_digest_where_that_is_known(platform: str | None, digest: str) -> None:
    assert PIN.of(platform) == "sha256:" + digest * 64


def test_a_variant_that_goes_without_saying_may_be_said() -> None:
    said = replace(PIN, platforms={"linux/arm64/v8": "sha256:" + "e" * 64})

    assert said.of("linux/arm64") == "sha256:" + "e" * 64


IMAGE = 'schema = 1\n\n[[image]]\nname = "busybox"\ndigest = "sha256:' + "d" * 64 + '"\n'
SECOND = IMAGE.removeprefix("schema = 1\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 2\n", "lamina.lock: schema 2 is not known to this version\n  allowed: schema = 1"),
        ("schema = true\n", "lamina.lock: schema True is not known"),
        ("schema = \n", "lamina.lock:1: is damaged: Invalid value"),
        ("schema = 1\n<<<<<<< HEAD\n", "lamina.lock:2: is damaged: "),
        ("", "lamina.lock: schema is missing"),
        ("schema = 1\nimages = []\n", "lamina.lock: unknown key images"),
        ('schema = 1\n[[image]]\nname = "x"\n', "lamina.lock:2: an image without digest"),
        ('schema = 1\nimage = ["x"]\n', "lamina.lock: image is not a list of tables"),
        ("schema = 1\nimage = 3\n", "lamina.lock: image is not a list of tables"),
        (IMAGE.replace("ddd", "xyz"), "lamina.lock:5: 'sha256:xyz"),
        (IMAGE.replace('"busybox"', "7"), "lamina.lock:4: image.name is 7"),
        (IMAGE.replace("busybox", "Busy Box"), "lamina.lock:4: 'Busy Box'"),
        (IMAGE.replace("busybox", f"busybox@{PIN.digest}"), "lamina.lock:4: busybox@sha256:aaa"),
        (IMAGE + "digst = 1\n", "lamina.lock:6: unknown key image.digst"),
        (IMAGE + "platforms = 3\n", "lamina.lock:6: image.platforms is 3"),
        (IMAGE + '[image.platforms]\n"linux/amd64" = "c"\n', "lamina.lock:7: 'c' is not a digest"),
        (IMAGE + '[image.platforms]\n"linux" = 4\n', "lamina.lock:7: 'linux' is not a platform"),
        (IMAGE + SECOND, "lamina.lock:8: busybox is listed twice, also at lamina.lock:4"),
        ('schema = 1\nimage = [{name = "x"}]\n', "lamina.lock: an image without digest"),
    ],
)
def test_a_damaged_lock_is_never_taken_for_an_empty_one(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / LOCK_FILE).write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_lock(tmp_path)

    assert str(caught.value).startswith(says)
    assert "next: " in str(caught.value)


def test_everything_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text(IMAGE.replace("ddd", "xyz") + SECOND.replace('"busybox"', "7"))

    with pytest.raises(ConfigError) as caught:
        read_lock(tmp_path)

    assert [each.where for each in caught.value.problems] == ["lamina.lock:5", "lamina.lock:8"]


def test_a_lock_that_is_not_text_is_damaged(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=r"^lamina.lock: is damaged"):
        read_lock(tmp_path)
