from __future__ import annotations

import re

import pytest

from lamina.patterns import regex


def test_an_expression_is_that_of_re() -> None:
    late, made = regex(r"(a)(\d)?", re.IGNORECASE), re.compile(r"(a)(\d)?", re.IGNORECASE)

    for _ in range(2):  # compiled, and then kept
        assert late.pattern == made.pattern
        assert late.findall("a1 A b") == made.findall("a1 A b")
        assert late.sub("-", "A1b") == made.sub("-", "A1b")
        assert late.flags == made.flags
        assert (found := late.fullmatch("A2")) is not None
        assert found.groups() == ("A", "2")


def test_a_mistake_is_raised_on_use() -> None:
    late = regex(rb"(")

    with pytest.raises(re.error):
        late.match(b"")
