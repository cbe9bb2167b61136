"""The sample's lock."""

from __future__ import annotations

import re
from pathlib import Path

from bench.locks import LOCK

ROOT = Path(__file__).parents[3]


def test_the_lock_names_no_index() -> None:
    """Whoever builds the sample has an index of their own."""
    hosts = re.findall(r"https?://([^/\"]+)", (ROOT / LOCK).read_text("utf-8"))
    assert {*hosts} == {"index.invalid"}
