"""Frozen values behave as those of `dataclasses.dataclass`."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest

from lamina import values

Decorator = Callable[..., Callable[[type], type]]


def both(**options: Any) -> list[Any]:
    """The same class, made by either decorator."""

    def make(decorator: Decorator) -> Any:
        @decorator(frozen=True, **options)
        class Point:
            """A point."""

            x: int
            y: int = 2
            names: list[str] = dataclasses.field(default_factory=list, compare=False)
            hidden: int = dataclasses.field(default=0, repr=False)

        return Point

    return [make(values.dataclass), make(dataclasses.dataclass)]


OPTIONS = [{"slots": True, "kw_only": True}, {"slots": True}, {"kw_only": True}, {}]


@pytest.mark.parametrize("options", OPTIONS)
def test_values_are_made_shown_compared_and_hashed_alike(options: dict[str, bool]) -> None:
    ours, theirs = both(**options)

    assert repr(ours(x=1)) == repr(theirs(x=1))
    assert ours(x=1) == ours(x=1, names=["a"])
    assert ours(x=1) != ours(x=1, hidden=1)
    assert ours(x=1) != theirs(x=1)
    assert hash(ours(x=1, names=["a"])) == hash(ours(x=1)) == hash(theirs(x=1))
    assert ours(x=1).names is not ours(x=1).names
    assert dataclasses.replace(ours(x=1), y=5) == ours(x=1, y=5)
    assert dataclasses.asdict(ours(x=1)) == dataclasses.asdict(theirs(x=1))
    assert ours.__doc__ == theirs.__doc__
    assert hasattr(ours(x=1), "__dict__") is hasattr(theirs(x=1), "__dict__")


@pytest.mark.parametrize("options", OPTIONS)
def test_what_one_refuses_the_other_refuses(options: dict[str, bool]) -> None:
    for point in both(**options):
        for wrong in ({}, {"x": 1, "z": 2}):
            with pytest.raises(TypeError, match="__init__"):
                point(**wrong)
        made = point(x=1)
        for name in ("x", "z"):
            with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
                setattr(made, name, 3)
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            del made.x
        if options.get("kw_only"):
            with pytest.raises(TypeError, match="positional"):
                point(1)
        else:
            assert point(1, 3) == point(x=1, y=3)


@values.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A value in a module, as pickle needs it."""

    text: str
    size: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.text))


@values.dataclass(frozen=True, kw_only=True)
class Counted:
    """A value with something that is computed once."""

    text: str

    @cached_property
    def parts(self) -> list[str]:
        """Its words."""
        return self.text.split()

    def __repr__(self) -> str:
        return "own"


def test_values_are_copied_and_pickled() -> None:
    kept = Kept(text="four")

    assert kept.size == 4
    for again in (copy.copy(kept), copy.deepcopy(kept), pickle.loads(pickle.dumps(kept))):
        assert again == kept
        assert again.size == 4


def test_own_methods_stay_and_properties_are_cached() -> None:
    counted = Counted(text="a b")

    assert counted.parts is counted.parts
    assert repr(counted) == "own"
    assert {counted: 1}[Counted(text="a b")] == 1
