"""How calls move to new versions: the forms that are accepted, and which of flags and stack counts."""

from __future__ import annotations

import pytest

from lamina.declare.stacks import Stack
from lamina.deploy.deploy import DeployOptions
from lamina.deploy.run import with_shift
from lamina.deploy.shift import Kind, read_shift
from lamina.errors import ConfigError

LIVE = DeployOptions(alias="live")


@pytest.mark.parametrize(
    ("kind", "text", "weights", "seconds"),
    [
        ("canary", "10%:5m", (0.1,), 300),
        ("canary", "1%:90s", (0.01,), 90),
        ("canary", "50%:2h", (0.5,), 7200),
        ("canary", "Canary10Percent30Minutes", (0.1,), 1800),
        ("canary", "LambdaCanary10Percent5Minutes", (0.1,), 300),
        ("linear", "25%:1m", (0.25, 0.5, 0.75), 60),
        ("linear", "30%:1m", (0.3, 0.6, 0.9), 60),
        ("linear", "60%:1m", (0.6,), 60),
        ("linear", "Linear50PercentEvery1Minute", (0.5,), 60),
    ],
)
def test_a_shift_is_read(kind: Kind, text: str, weights: tuple[float, ...], seconds: int) -> None:
    shift = read_shift(kind, text, "--canary")

    assert shift
    assert (shift.weights, shift.seconds, str(shift)) == (weights, seconds, f"{kind} {text}")


@pytest.mark.parametrize(
    "text", ["", "10", "10%", "10:5m", "0%:5m", "100%:5m", "10%:0m", "10%:5", "10%:5m ", "on"]
)
@pytest.mark.parametrize("kind", ["canary", "linear"])
def test_a_shift_that_is_not_one_is_refused(kind: Kind, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"{kind}: .* is not a {kind} shift"):
        read_shift(kind, text, f"--{kind}")


def shift_of(
    stack: Stack,
    *,
    canary: str | None = None,
    linear: str | None = None,
    alarms: tuple[str, ...] = (),
    options: DeployOptions = LIVE,
) -> tuple[str, tuple[str, ...]]:
    made = with_shift(options, stack, canary=canary, linear=linear, alarms=alarms)
    return str(made.shift), made.alarms


def test_flags_come_before_the_stack() -> None:
    stack = Stack(name="prod", canary="10%:5m", alarms=("errors",), source="pyproject.toml:4")

    assert shift_of(Stack(name="dev")) == ("None", ())
    assert shift_of(stack) == ("canary 10%:5m", ("errors",))
    assert shift_of(stack, canary="20%:1m") == ("canary 20%:1m", ("errors",))
    assert shift_of(stack, linear="20%:1m", alarms=("late",)) == ("linear 20%:1m", ("late",))
    assert shift_of(stack, canary="off") == ("None", ())


def test_flags_that_have_no_meaning_together_are_refused() -> None:
    stack = Stack(name="prod", canary="10%:5m", source="pyproject.toml:4")

    with pytest.raises(ConfigError, match="--canary and --linear exclude each other"):
        shift_of(stack, canary="10%:5m", linear="10%:1m")
    with pytest.raises(ConfigError, match="--alarm belongs to --canary or --linear"):
        shift_of(stack, canary="off", alarms=("errors",))
    with pytest.raises(ConfigError, match="a name of an alarm is empty"):
        shift_of(stack, alarms=("",))
    with pytest.raises(ConfigError, match=r"pyproject.toml:4 canary: calls can only be shared by an alias"):
        shift_of(stack, options=DeployOptions())
