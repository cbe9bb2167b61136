"""Settings of a stack take the place of the project's own."""

from __future__ import annotations

import pytest

from lamina.errors import ConfigError

from ..conftest import RUNTIME, Repo

STACKS = """\
[tool.lamina]
platform = "linux/amd64"
registry = "localhost:5000"

[tool.lamina.ecr]
readers = ["111111111111"]

[tool.lamina.images.app]
functions = ["app-{stack}"]
args = { MODE = "fast", LEVEL = "1" }

[tool.lamina.stacks.prod]
account = "222222222222"
region = "eu-west-1"
role = "arn:aws:iam::222222222222:role/deploy"
external-id = "team:7"
alias = "live"
approval = true
registry = "ecr"

[tool.lamina.stacks.prod.images.app]
functions = ["app", { name = "batch", command = ["batch.handler"] }]
args = { MODE = "safe" }

[tool.lamina.stacks.staging.ecr]
account = "333333333333"
"""


@pytest.fixture
def team(repo: Repo) -> Repo:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(STACKS)
    repo.flags = {}
    return repo


def of(repo: Repo, stack: str | None) -> Repo:
    repo.env = {"LAMINA_STACK": stack} if stack else {}
    return repo


def test_a_stack_replaces_what_it_names_and_nothing_else(team: Repo) -> None:
    dev, prod = of(team, None).project(), of(team, "prod").project()

    assert [each.name for each in dev.images["app"].functions] == ["app-dev"]
    assert (dev.settings.registry, dev.stack.account, dev.stack.alias) == ("localhost:5000", None, None)
    assert [each.name for each in prod.images["app"].functions] == ["app", "batch"]
    assert prod.images["app"].args == {"MODE": "safe", "LEVEL": "1"}
    assert (prod.settings.registry, prod.settings.source("registry")) == ("ecr", "pyproject.toml:19")
    assert prod.settings.platform == "linux/amd64"
    assert (prod.stack.account, prod.stack.region) == ("222222222222", "eu-west-1")
    assert prod.stack.role == "arn:aws:iam::222222222222:role/deploy"
    assert prod.stack.external_id == "team:7"
    assert (prod.stack.alias, prod.stack.approval, prod.stack.source) == ("live", True, "pyproject.toml:12")
    assert prod.stacks == ("prod", "staging")


def test_the_registry_is_in_the_stacks_account_unless_ecr_names_another(team: Repo) -> None:
    prod, staging = of(team, "prod").project().ecr, of(team, "staging").project().ecr

    assert (prod.account, prod.region, prod.readers) == ("222222222222", "eu-west-1", ("111111111111",))
    assert (staging.account, staging.region) == ("333333333333", None)


def test_a_flag_comes_before_the_stacks_setting(team: Repo) -> None:
    team.flags = {"stack": "prod", "registry": "local"}

    assert team.project().settings.registry == "local"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('alias = "7"', "pyproject.toml:28: '7' is not the name of an alias"),
        ('account = "12"', "pyproject.toml:28: '12' is not an AWS account"),
        ('role = "deploy"', "pyproject.toml:28: 'deploy' is not a role ARN"),
        ('external-id = "a b"', "pyproject.toml:28: 'a b' is not an external id"),
        ('external-id = "team-7"', "pyproject.toml:28: external-id without role"),
        ('stack = "x"', "pyproject.toml:28: unknown key tool.lamina.stacks.test.stack"),
        ('registery = "x"', "unknown key tool.lamina.stacks.test.registery; did you mean registry?"),
        ('registry = "h/p:x y"', "pyproject.toml:28: "),
        ("platform = 5", "pyproject.toml:28: tool.lamina.stacks.test.platform is 5"),
        ("images.app.functions = [5]", "pyproject.toml:28: 5 is not a Lambda function"),
    ],
)
def test_a_fault_names_its_line_in_the_stack(team: Repo, line: str, said: str) -> None:
    team.config(f"{STACKS}[tool.lamina.stacks.test]\n{line}\n")

    with pytest.raises(ConfigError) as caught:
        of(team, "test").project()

    assert any(said in str(each) for each in caught.value.problems), [str(e) for e in caught.value.problems]


def test_unknown_keys_of_other_stacks_are_reported_too(team: Repo) -> None:
    team.config(f"{STACKS}[tool.lamina.stacks.test]\nregistery = 'x'\n")

    with pytest.raises(ConfigError, match="registery"):
        of(team, "dev").project()


SHIFTS = """\
[tool.lamina.images.app]
functions = ["app"]

[tool.lamina.stacks.dev]
alias = "live"
{}
"""


def test_a_stack_says_how_calls_move_to_new_versions(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(SHIFTS.format('canary = "10%:5m"\nalarms = ["errors of app"]'))

    stack = repo.project().stack

    assert (stack.canary, stack.linear, stack.alarms) == ("10%:5m", None, ("errors of app",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('canary = "100%:5m"', "'100%:5m' is not a canary shift"),
        ('canary = "0%:5m"', "'0%:5m' is not a canary shift"),
        ('canary = "10%"', "allowed: 10%:5m"),
        ('linear = "Canary10Percent5Minutes"', "is not a linear shift"),
        ('canary = "10%:5m"\nlinear = "10%:1m"', "canary and linear exclude each other"),
        ("alarms = [7]", "allowed: names of CloudWatch alarms"),
        ('alarms = "errors"', "allowed: an array"),
    ],
)
def test_a_shift_that_is_not_one_is_refused(repo: Repo, text: str, said: str) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(SHIFTS.format(text))

    with pytest.raises(ConfigError) as error:
        repo.project()

    assert said in str(error.value)
