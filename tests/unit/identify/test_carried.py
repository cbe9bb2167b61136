"""The build inputs in the annotations of an image."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from lamina.identify.carried import carried_inputs, carry_inputs
from lamina.identify.fingerprint import INPUTS_KEY

from ..conftest import Repo

D = "base-receipt-dynamo"


@pytest.mark.parametrize("plain", [False, True])
def test_what_an_image_carries_is_read_again(receipts: Repo, plain: bool) -> None:
    inputs = receipts.images()[D].inputs

    assert carried_inputs({INPUTS_KEY: carry_inputs(inputs, plain=plain)}) == inputs


def test_inputs_as_the_first_version_wrote_them_are_read(receipts: Repo) -> None:
    inputs = receipts.images()[D].inputs

    assert carried_inputs({INPUTS_KEY: json.dumps(inputs.document())}) == inputs


def test_compressed_inputs_take_less(receipts: Repo) -> None:
    inputs = receipts.images()[D].inputs

    assert len(carry_inputs(inputs)) < len(carry_inputs(inputs, plain=True)) * 0.7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{",
        "not base64",
        "eNq",
        base64.b64encode(zlib.compress(b"{}")[:-6]).decode(),
        base64.b64encode(zlib.compress(b"[]")).decode(),
        base64.b64encode(zlib.compress(b'{"schema": 2}')).decode(),
        base64.b64encode(zlib.compress(b"[" * 200_000)).decode(),
        '{"schema":' + "[" * 200_000,
    ],
)
def test_damaged_inputs_count_as_missing(text: str) -> None:
    assert carried_inputs({INPUTS_KEY: text}) is None
    assert carried_inputs({}) is None


def test_inputs_that_would_fill_the_memory_are_not_unpacked() -> None:
    bomb = base64.b64encode(zlib.compress(b" " * (65 << 20) + b"{}", 9)).decode()

    assert carried_inputs({INPUTS_KEY: bomb}) is None
