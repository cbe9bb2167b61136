from __future__ import annotations

import pytest

from lamina.preflight.pythons import allows


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        (">=3.11", "11 12 13"),
        (">=3.12,<3.13", "12"),
        (">=3.12 <3.13", "12"),
        (">3.11", "12 13"),
        (">3.11.2", "11 12 13"),
        ("<3.12", "11"),
        ("<3.12.4", "11 12"),
        ("<=3.12", "11 12"),
        ("==3.12.*", "12"),
        ("3.12.*", "12"),
        ("!=3.12.*", "11 13"),
        ("!=3.12.1", "11 12 13"),
        ("~=3.12", "12 13"),
        ("~=3.12.1", "12"),
        ("^3.12", "12 13"),
        ("~3.12", "12"),
        (">=3.12.7", "12 13"),
        ("^2.7 || ^3.13", "13"),
        ("*", "11 12 13"),
        ("", "11 12 13"),
    ],
)
def test_a_limit_allows_the_releases_of_a_python(limit: str, allowed: str) -> None:
    assert [str(minor) for minor in (11, 12, 13) if allows(limit, (3, minor))] == allowed.split()


@pytest.mark.parametrize("limit", ["soon", ">=3.x", ">=three"])
def test_a_limit_that_is_not_understood_decides_nothing(limit: str) -> None:
    assert allows(limit, (3, 12)) is None
