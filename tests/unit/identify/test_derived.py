"""What is derived from files is kept by content, and only while it is certain."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lamina.identify.derived import Derived
from lamina.json_data import Json
from lamina.masks import Mask

CONTENT = b"boto3\nrequests\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


def lines(content: bytes) -> Json:
    return tuple(content.decode().split())


def unread() -> bytes:
    raise AssertionError("a known value needs no file")


def kept(file: Path, mask: Mask | None = None) -> Derived:
    derived = Derived(file, mask)
    assert derived.value("lines", SHA, lambda: CONTENT, lines) == ["boto3", "requests"]
    derived.save()
    return derived


def test_a_value_is_computed_once_for_all_commands(tmp_path: Path) -> None:
    first = kept(tmp_path / "derived.json")
    assert first.value("lines", SHA, unread, lines) == ["boto3", "requests"]

    later = Derived(tmp_path / "derived.json")

    assert later.value("lines", SHA, unread, lines) == ["boto3", "requests"]
    assert (first.made, later.made) == (1, 0)


def test_nothing_is_a_value_too(tmp_path: Path) -> None:
    first = Derived(tmp_path / "derived.json")
    assert first.value("lines", SHA, lambda: CONTENT, lambda _: None) is None
    first.save()

    assert Derived(tmp_path / "derived.json").value("lines", SHA, unread, lines) is None


def test_another_derivation_of_the_same_content_is_another_value(tmp_path: Path) -> None:
    derived = kept(tmp_path / "derived.json")

    assert derived.value("length", SHA, lambda: CONTENT, len) == len(CONTENT)


def test_a_file_that_changed_meanwhile_is_not_kept(tmp_path: Path) -> None:
    derived = Derived(tmp_path / "derived.json")
    assert derived.value("lines", SHA, lambda: b"flask\n", lines) == ["flask"]
    derived.save()

    assert derived.value("lines", SHA, lambda: CONTENT, lines) == ["boto3", "requests"]
    assert not (tmp_path / "derived.json").exists()


@pytest.mark.parametrize("damage", ["content", "proof", "cut", "empty"])
def test_a_damaged_file_counts_as_empty(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "derived.json"
    kept(file)
    proof, body = file.read_bytes().split(b"\n")
    damaged = {
        "content": proof + b"\n" + body.replace(b"boto3", b"boto2"),
        "proof": b"0" * len(proof) + b"\n" + body,
        "cut": proof + b"\n" + body[:-1],
        "empty": b"",
    }
    file.write_bytes(damaged[damage])

    derived = Derived(file)

    assert derived.value("lines", SHA, lambda: CONTENT, lines) == ["boto3", "requests"]
    assert derived.made == 1


def test_nothing_is_kept_when_it_has_a_secret_in_it(tmp_path: Path) -> None:
    mask = Mask()
    mask.learn("requests")

    kept(tmp_path / "derived.json", mask)

    assert not (tmp_path / "derived.json").exists()


def test_values_of_other_commands_stay(tmp_path: Path) -> None:
    file = tmp_path / "derived.json"
    kept(file)
    other = Derived(file)
    other.value("length", SHA, lambda: CONTENT, len)
    other.save()

    values = json.loads(file.read_bytes().partition(b"\n")[2])

    assert values == {f"{SHA} lines": ["boto3", "requests"], f"{SHA} length": len(CONTENT)}
