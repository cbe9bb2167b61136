from __future__ import annotations

import pytest

from lamina.declare.functions import Function
from lamina.errors import ConfigError
from lamina.smoke.smoke import commands_of, conditions, with_credentials

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_a_function_gets_a_region_and_the_given_variables() -> None:
    made = conditions(
        memory=1024, timeout=30, variables=("TABLE=a=b", "EMPTY="), env={"AWS_REGION": "eu-west-1"}
    )

    assert made.environment == {
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "TABLE": "a=b",
        "EMPTY": "",
    }


def test_credentials_are_handed_over_only_when_asked_for() -> None:
    plain = conditions(memory=1024, timeout=30, env=KEYS)

    assert plain.environment == {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    assert with_credentials(plain, KEYS).environment == {**plain.environment, **KEYS}
    assert "secret" not in repr(with_credentials(plain, KEYS))


def test_missing_credentials_are_named() -> None:
    with pytest.raises(ConfigError, match=r"AWS_SECRET_ACCESS_KEY is not set\n.*export-credentials"):
        with_credentials(conditions(memory=1024, timeout=30, env={}), {"AWS_ACCESS_KEY_ID": "id"})


def test_everything_that_is_wrong_with_a_size_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        conditions(memory=64, timeout=901, env={})

    assert [each.where for each in caught.value.problems] == ["--memory", "--timeout"]
    assert caught.value.problems[0].allowed == "128 to 10240"


@pytest.mark.parametrize("variable", ["TABLE", "=x", ""])
def test_a_variable_has_a_name_and_a_value(variable: str) -> None:
    with pytest.raises(ConfigError, match="NAME=value"):
        conditions(memory=128, timeout=1, variables=(variable,), env={})


def test_an_image_runs_once_for_each_command_of_its_functions() -> None:
    own, batch = ("app.handler",), ("batch.handler",)
    functions = [
        Function(name="app"),
        Function(name="batch", command=batch),
        Function(name="batch-eu", command=batch),
    ]

    assert commands_of((), functions, own) == (own, batch)
    assert commands_of((), functions[1:], own) == (batch,)
    assert commands_of((), (), own) == (own,)
    assert commands_of(("other.handler",), functions, own) == (("other.handler",),)
