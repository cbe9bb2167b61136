from __future__ import annotations

import pytest

from lamina.errors import (
    BuildError,
    ConfigError,
    EngineError,
    Interrupted,
    LaminaError,
    Problem,
    RegistryError,
    SelectionError,
    did_you_mean,
    meant,
    nearest,
)


def test_a_problem_says_where_what_is_allowed_and_what_next() -> None:
    problem = Problem(what="is odd", where="pyproject.toml:3", allowed="even", hint="add one")

    assert str(problem) == "pyproject.toml:3: is odd\n  allowed: even\n  next: add one"
    assert str(Problem(what="is odd")) == "is odd"


def test_an_error_tells_all_its_problems() -> None:
    with pytest.raises(ConfigError) as caught:
        ConfigError.check(Problem(what=f"fault {number}") for number in (1, 2))

    assert str(caught.value) == "fault 1\nfault 2"
    assert len(caught.value.problems) == 2


def test_no_problems_are_no_error() -> None:
    ConfigError.check([])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BuildError, 1),
        (ConfigError, 2),
        (SelectionError, 3),
        (EngineError, 4),
        (RegistryError, 5),
        (Interrupted, 130),
    ],
)
def test_exit_codes_are_part_of_the_interface(error: type[LaminaError], code: int) -> None:
    raised = error.of("x", where="here")

    assert isinstance(raised, LaminaError)
    assert raised.exit_code == code
    assert raised.problems == (Problem(what="x", where="here"),)


def test_the_nearest_word_is_asked_for() -> None:
    known = ("registry", "regions")

    assert nearest("registri", known) == "registry"
    assert nearest("", known) is did_you_mean(None) is None
    assert did_you_mean("a") == "did you mean a?"
    assert meant("registri", known, prefix="--") == "; did you mean --registry?"
    assert meant("xyz", known) == ""
