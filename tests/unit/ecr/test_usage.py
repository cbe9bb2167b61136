"""Which declared functions gc has to ask for, before it deletes anything."""

from __future__ import annotations

import pytest

from lamina.aws.lambda_usage import Usage
from lamina.ecr.usage import check_declared
from lamina.errors import ConfigError
from memory import MemoryRegistry, Programs, Shop

from ..conftest import RUNTIME, Repo

ACCOUNT = "123456789012"
HERE = "eu-west-1"
ASKED = Usage(account=ACCOUNT, region=HERE, functions=0, deployed=())


def check(repo: Repo, arn: str, host: str) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(
        f'[tool.lamina.ecr]\nhost = "{host}"\n[tool.lamina.images.app]\nfunctions = ["{arn}"]\n',
    )
    registry = MemoryRegistry()
    session = Shop(repo, registry, Programs(registry)).open(registry="ecr")
    check_declared(session, [ASKED])


def arn(region: str, account: str) -> str:
    return f"arn:aws:lambda:{region}:{account}:function:app"


def test_a_function_in_another_region_cannot_run_the_images(repo: Repo) -> None:
    check(repo, arn("us-east-1", ACCOUNT), f"{ACCOUNT}.dkr.ecr.{HERE}.amazonaws.com")


@pytest.mark.parametrize(
    ("region", "account", "host"),
    [
        (HERE, "210987654321", f"{ACCOUNT}.dkr.ecr.{HERE}.amazonaws.com"),
        ("us-east-1", ACCOUNT, "registry.example.com"),  # the region of its images is not known
    ],
)
def test_all_others_have_to_be_asked(repo: Repo, region: str, account: str, host: str) -> None:
    with pytest.raises(ConfigError, match="gc does not ask its account and region"):
        check(repo, arn(region, account), host)
