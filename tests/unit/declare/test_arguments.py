from __future__ import annotations

import pytest

from frontend import REFUSED, TAKEN, dockerfile
from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError


def faults(text: str) -> list[str]:
    try:
        file = parse_dockerfile(text, "Dockerfile")
        resolve(file, platform="linux/amd64", build_platform="linux/amd64")
    except ConfigError as error:
        return [problem.what for problem in error.problems]
    return []


@pytest.mark.parametrize(("case", "says"), REFUSED.items())
def test_an_argument_that_the_frontend_refuses_is_reported(case: str, says: str) -> None:
    told = faults(dockerfile(case))

    assert told[0].startswith(says)


@pytest.mark.parametrize("case", TAKEN)
def test_accepted_values_are_not_faults(case: str) -> None:
    assert faults(dockerfile(case)) == []


@pytest.mark.parametrize("case", ["EXPOSE abc", "STOPSIGNAL FOO", "SHELL sh", "RUN --mount=type=secret x"])
def test_another_frontend_may_take_more(case: str) -> None:
    assert faults(f"# syntax=some/frontend:1\n{dockerfile(case)}") == []


def test_an_argument_that_a_base_may_set_is_not_judged() -> None:
    assert faults("FROM a\nEXPOSE $PORT\nSTOPSIGNAL $SIGNAL\n") == []


@pytest.mark.parametrize(
    ("options", "secret"),
    [
        ("id=a", "a"),
        ("source=a,target=/b", "a"),
        ("src=a", "a"),
        ("target=/b/c", "c"),
        ("id=a,dst=/b", "a"),
    ],
)
def test_a_secret_goes_by_its_source_or_else_its_target(options: str, secret: str) -> None:
    file = parse_dockerfile(f"FROM a\nRUN --mount=type=secret,{options} x\n", "Dockerfile")

    assert resolve(file, platform="linux/amd64", build_platform="linux/amd64").secrets == (secret,)
