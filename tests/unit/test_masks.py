from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from urllib.parse import quote

import pytest

from lamina.masks import (
    Mask,
    MaskedOutput,
    environment_values,
    is_secret,
    looks_secret,
    read_secret,
    secret_values,
)

SECRET = "s3cr3t/value+of@the build"


@pytest.mark.parametrize(
    "name",
    [
        "TOKEN",
        "GITHUB_TOKEN",
        "db_password",
        "API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "CREDENTIALS",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["MODEL", "TOKENIZER", "PASSWORD_FILE", "KEYBOARD", "SECRETARY", "PATH"])
def test_names_of_what_is_none(name: str) -> None:
    assert not looks_secret(name)


def test_a_value_is_a_secret_for_the_password_in_its_url() -> None:
    assert is_secret("PIP_INDEX_URL", "https://bob:hunter2@pypi.example.com/simple")
    assert not is_secret("PIP_INDEX_URL", "https://pypi.example.com/simple")
    assert not is_secret("API_TOKEN", "")
    assert not is_secret("BASE", "docker-image://busybox:1.36@sha256:0123")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("hunter2hunter2\n", {"hunter2hunter2"}),
        ("short\n", set()),
        ("one-of-two-lines\ntwo-of-two-lines\n", {"one-of-two-lines", "two-of-two-lines"}),
        (
            "[default]\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG\nregion = us-east-1\n",
            {"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG", "region = us-east-1"},
        ),
        (
            "machine pypi.example.com login bob password hunter2hunter2",
            {"machine pypi.example.com login bob password hunter2hunter2", "hunter2hunter2"},
        ),
        ("//npm/:_authToken=npm_abcdef", {"//npm/:_authToken=npm_abcdef", "npm_abcdef"}),
        ("export TOKEN='abcdefgh'", {"export TOKEN='abcdefgh'", "abcdefgh"}),
        ('{"auth": "YWJjOmRlZmc="}', {'{"auth": "YWJjOmRlZmc="}', "YWJjOmRlZmc="}),
        (
            "index-url = https://bob:p%40ssword@h/simple",
            {"index-url = https://bob:p%40ssword@h/simple", "p%40ssword", "p@ssword"},
        ),
    ],
)
def test_the_values_of_a_file_of_secrets_are_found(text: str, values: set[str]) -> None:
    assert secret_values(text) == values


def test_certificates_are_public_and_keys_are_not(tmp_path: Path) -> None:
    certificate = f"# a root\n-----BEGIN CERTIFICATE-----\n{'A' * 64}\n-----END CERTIFICATE-----\n"
    key = f"-----BEGIN PRIVATE KEY-----\n{'B' * 64}\n-----END PRIVATE KEY-----\n"
    (tmp_path / "both").write_text(certificate + key)

    assert secret_values(certificate * 3) == frozenset()
    assert "B" * 64 in read_secret(tmp_path / "both")
    assert "A" * 64 not in read_secret(tmp_path / "both")
    assert read_secret(tmp_path / "none") == frozenset()


def test_secrets_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "credentials-of-somebody"
    file.touch()
    found = environment_values(
        {
            "GITHUB_TOKEN": "ghp_0123456789",
            "HTTPS_PROXY": "http://bob:hunter2hunter2@proxy:3128",
            "GOOGLE_APPLICATION_CREDENTIALS": str(file),
            "HOME": "/home/somebody",
        }
    )
    assert found == {"ghp_0123456789", "hunter2hunter2"}


def test_a_secret_is_hidden_in_every_usual_form() -> None:
    mask = Mask([SECRET])
    forms = (SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), json.dumps(SECRET))
    for form in forms:
        told = mask.hide(f"before {form} after")
        assert "before " in told
        assert " after" in told
        assert "***" in told
        assert form.strip('"=') not in told


def test_the_longest_of_several_secrets_is_hidden() -> None:
    assert Mask(["hunter2hunter2", "hunter2hunter2-more"]).hide("hunter2hunter2-more!") == "***!"


def test_a_secret_learned_later_is_hidden_from_then_on() -> None:
    mask = Mask()
    assert mask.hide("hunter2hunter2") == "hunter2hunter2"
    mask.learn("hunter2hunter2")
    assert mask.hide("hunter2hunter2") == "***"


@pytest.mark.parametrize("text", ["x" * 400_000, "a.b-" * 100_000, "user@" * 80_000, "k=" * 200_000])
def test_long_lines_are_read_once(text: str) -> None:
    """A pattern that restarts at every letter would take too long."""
    assert Mask(secret_values(text)).hide(text) == "***"


def test_short_values_are_left() -> None:
    assert Mask(["abc", ""]).hide("abc abc") == "abc abc"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ('{"authorization": "Basic QVdTOng="}', '{"authorization": "Basic ***"}'),
        ("https://ghp_token@github.com/a/b", "https://***@github.com/a/b"),
        ("redis://:hunter2@db:6379", "redis://***@db:6379"),
        (
            "https://b.s3.amazonaws.com/x?X-Amz-Signature=ab12&y=1",
            "https://b.s3.amazonaws.com/x?X-Amz-Signature=***&y=1",
        ),
        ("docker-image://busybox:1.36@sha256:0123", "docker-image://busybox:1.36@sha256:0123"),
        ("ssh://git@example.com/a", "ssh://git@example.com/a"),
        ("https://example.com/a@b", "https://example.com/a@b"),
    ],
)
def test_secrets_by_their_shape(text: str, told: str) -> None:
    assert Mask().hide(text) == told


def test_a_document_keeps_its_form() -> None:
    document = {"a": ["hunter2hunter2", 1, None], "b": {"c": ("x", True)}}
    assert Mask(["hunter2hunter2"]).hide_in(document) == {"a": ["***", 1, None], "b": {"c": ["x", True]}}


def test_any_text_goes_through() -> None:
    for text in ("plain", "\udcff and hunter2hunter2", "\ud800 and hunter2hunter2", ""):
        assert Mask(["hunter2hunter2"]).hide(text) == text.replace("hunter2hunter2", "***")


def test_output_in_pieces_hides_what_is_cut_anywhere() -> None:
    text = f"one {SECRET} two\nthree {SECRET}\r{SECRET} without an end".encode()
    rng = random.Random(5)
    for _ in range(300):
        output = MaskedOutput(Mask([SECRET]))
        cuts = sorted(rng.choices(range(len(text)), k=rng.randint(0, 9)))
        pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        told = b"".join([*(output.feed(piece) for piece in pieces), output.close()])
        assert told == text.replace(SECRET.encode(), b"***")


def test_a_line_without_end_is_shown_except_for_possible_secrets() -> None:
    output = MaskedOutput(Mask([SECRET]))
    told = output.feed(b"x" * 100_000 + SECRET.encode()[:-1])
    assert len(told) > 90_000
    assert told + output.feed(SECRET.encode()[-1:]) + output.close() == b"x" * 100_000 + b"***"
