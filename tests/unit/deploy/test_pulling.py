from __future__ import annotations

import pytest

from lamina.declare.functions import Function
from lamina.deploy.pulling import pull_obstacles
from lamina.deploy.rules import DesiredFunction
from lamina.json_data import JsonTable

HOME, OTHER = "111111111111", "222222222222"
DIGEST = "sha256:" + "1" * 64


def wanted(arn: str | None = None, host: str = f"{HOME}.dkr.ecr.eu-west-1.amazonaws.com") -> DesiredFunction:
    return DesiredFunction(
        function=Function(name="one", arn=arn), image="app", uri=f"{host}/team/app@{DIGEST}", digest=DIGEST,
        platform="linux/amd64", tag="sha-1",
    )  # fmt: skip


def policy(principal: object) -> JsonTable:
    return {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "ecr:BatchGetImage"}]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("account", "found", "closed"),
    [
        (OTHER, None, True),
        (OTHER, policy({"Service": "lambda.amazonaws.com"}), True),
        (OTHER, policy({"AWS": f"arn:aws:iam::{OTHER}:root"}), False),
        (OTHER, policy("*"), False),
        (OTHER, policy({"AWS": "*"}), False),
        (HOME, None, False),
        (None, None, False),
    ],
)
def test_a_repository_has_to_be_open_to_the_account_of_a_function(
    account: str | None, found: JsonTable | None, closed: bool
) -> None:
    problems = list(pull_obstacles([wanted(), wanted()], account, lambda _: found))

    assert len(problems) == closed
    for each in problems:
        assert f"the policy of the repository team/app does not let account {OTHER} pull" in each.what


def test_the_account_of_an_arn_counts_and_other_registries_do_not() -> None:
    arn = f"arn:aws:lambda:eu-west-1:{OTHER}:function:one"
    asked: list[str] = []

    def read(name: str) -> None:
        asked.append(name)

    assert list(pull_obstacles([wanted(arn)], HOME, read))
    assert list(pull_obstacles([wanted(arn, "127.0.0.1:5000")], HOME, read)) == []
    assert asked == ["team/app"]
