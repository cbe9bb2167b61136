from __future__ import annotations

import pytest

from lamina.aws.caller import Caller
from lamina.declare.functions import Function
from lamina.declare.stacks import Stack
from lamina.deploy.stack import foreign, require_approval
from lamina.errors import ConfigError
from lamina.flow.session import Flags, Session
from lamina.report.console import Screen

from ..conftest import RUNTIME, Repo

PROD = Stack(name="prod", account="222222222222", source="pyproject.toml:3")
ARN = "arn:aws:lambda:eu-west-1:{}:function:one"


def caller(account: str) -> Caller:
    return Caller(account=account, arn=f"arn:aws:iam::{account}:user/dev")


def function(account: str) -> Function:
    return Function(name="one", arn=ARN.format(account))


def test_credentials_of_the_stacks_account_are_right() -> None:
    functions = [Function(name="one"), function("222222222222")]

    assert list(foreign(PROD, caller("222222222222"), functions)) == []


def test_other_accounts_are_reported_together() -> None:
    of_caller, of_function = foreign(PROD, caller("111111111111"), [function("333333333333")])

    assert of_caller.what == (
        "the credentials are of account 111111111111 (arn:aws:iam::111111111111:user/dev), and stack prod is "
        "in 222222222222"
    )
    assert of_caller.where == "pyproject.toml:3"
    assert f"the function {ARN.format('333333333333')} is in another account" in of_function.what


@pytest.mark.parametrize(
    ("stack", "approved", "said"),
    [
        ("prod", None, "stack prod is changed only with --approve prod"),
        ("prod", "dev", "--approve dev is not for stack prod"),
        ("prod", "prod", None),
        ("dev", None, None),
        ("dev", "prod", "--approve prod is not for stack dev"),
    ],
)
def test_a_stack_may_need_an_approval(repo: Repo, stack: str, approved: str | None, said: str | None) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config("[tool.lamina.stacks.prod]\napproval = true\n")
    session = Session(Flags(stack=stack), Screen(env={}), root=repo.root)

    if said is None:
        require_approval(session, approved)
        return
    with pytest.raises(ConfigError, match=said):
        require_approval(session, approved)
