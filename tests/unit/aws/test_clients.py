"""AWS' clients and their credentials, in an account in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.session import Session as BotocoreSession
from moto import mock_aws

from lamina.aws.caller import read_caller
from lamina.aws.clients import Access, AwsClients, boto_clients
from lamina.aws.errors import aws_errors
from lamina.aws.terminal import ask_at_terminal
from lamina.deploy.stack import check_caller
from lamina.ecr.usage import plan_usage_sources
from lamina.errors import AwsError, ConfigError, LaminaError, RegistryError
from lamina.flow.flags import Flags
from lamina.flow.registries import AwsSeam
from lamina.flow.session import Seams, Session
from lamina.report.console import Screen

from ..conftest import RUNTIME, Repo

PROD, CALLER = "222222222222", "123456789012"
ROLE = f"arn:aws:iam::{PROD}:role/deploy"
DEVICE = "arn:aws:iam::123456789012:mfa/me"


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws(config={"core": {"mock_credentials": False}}):
        yield


@dataclass
class Watched:
    """Requests for a role. lasting: how long its credentials are valid. refusal: what AWS says instead."""

    lasting: timedelta = timedelta(hours=1)
    refusal: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, session: BotocoreSession) -> None:
        session.register("provide-client-params.sts.AssumeRole", self._asked)
        session.register("before-call.sts.AssumeRole", self._refused)
        session.register("after-call.sts.AssumeRole", self._shortened)

    def _asked(self, params: dict[str, Any], **_: object) -> None:
        self.asked.append(params)

    def _refused(self, **_: object) -> tuple[object, object] | None:
        if not self.refusal:
            return None
        error = {"Code": "AccessDenied", "Message": self.refusal}
        return SimpleNamespace(status_code=403), {"Error": error, "ResponseMetadata": {}}

    def _shortened(self, parsed: dict[str, Any], **_: object) -> None:
        if "Credentials" in parsed:
            parsed["Credentials"]["Expiration"] = datetime.now(UTC) + self.lasting


def profile(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, name: str = "team") -> None:
    """Use a profile instead of keys in the environment."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    (folder / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_PROFILE", name)


def test_a_client_has_its_exception_classes_before_threads_share_it() -> None:
    """Two threads that ask first would get two sets, and an error of one is not caught as that of another."""
    client = boto_clients(Access(region="eu-west-1"))("ecr")

    before = vars(client)["_exceptions"]

    assert before is not None
    assert client.exceptions is before


@pytest.mark.parametrize("service", ["lambda", "sts", "ecr"])
def test_a_region_that_aws_does_not_have_is_an_error_before_anything_is_asked(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-wset-1")

    with (
        pytest.raises(AwsError, match=r"the AWS region is not valid: .*eu-wset-1") as refused,
        aws_errors(service="lambda"),
    ):
        boto_clients(Access())(service)  # type: ignore[call-overload]

    assert refused.value.problems[0].hint == "set AWS_DEFAULT_REGION to one such as eu-west-1"


def test_clients_of_a_role_use_its_credentials_in_every_region_and_assume_it_once() -> None:
    watched = Watched()
    aws = AwsClients(watch=watched)

    callers = [
        read_caller(aws.open(Access(region=region, role=ROLE, external_id="team-7")))
        for region in ("eu-west-1", "us-east-1")
    ]

    assert {each.arn for each in callers} == {f"arn:aws:sts::{PROD}:assumed-role/deploy/lamina"}
    assert watched.asked == [{"RoleArn": ROLE, "RoleSessionName": "lamina", "ExternalId": "team-7"}]
    assert read_caller(aws.open(Access(region="eu-west-1"))).account == CALLER


def test_a_role_without_an_external_id_sends_none() -> None:
    watched = Watched()

    read_caller(AwsClients(watch=watched).open(Access(role=ROLE)))

    assert watched.asked == [{"RoleArn": ROLE, "RoleSessionName": "lamina"}]


def test_a_role_is_assumed_again_before_its_credentials_expire() -> None:
    watched = Watched(lasting=timedelta(minutes=5))
    clients = AwsClients(watch=watched).open(Access(role=ROLE))

    read_caller(clients)
    watched.lasting = timedelta(hours=1)
    read_caller(clients)
    renewed = len(watched.asked)
    assert read_caller(clients).account == PROD

    assert renewed == len(watched.asked) == 2


def test_a_role_that_may_not_be_assumed_is_named_with_the_action_and_what_to_check() -> None:
    message = f"User: arn:aws:iam::{CALLER}:user/dev is not authorized to perform: sts:AssumeRole on resource"
    clients = AwsClients(watch=Watched(refusal=message)).open(Access(role=ROLE, external_id="team-7"))

    with pytest.raises(AwsError, match=f"not allowed: sts:AssumeRole on {ROLE}") as caught:
        read_caller(clients)

    (problem,) = caught.value.problems
    assert problem.where == "AWS AssumeRole"
    assert "trust policy" in str(problem.allowed)
    assert "external-id" in str(problem.hint)
    assert "team-7" not in str(caught.value)


def test_the_account_of_a_stack_is_checked_with_its_role(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    stacks = f'[tool.lamina.stacks.{{}}]\naccount = "{{}}"\nrole = "{ROLE}"\n'
    repo.config(stacks.format("prod", PROD) + stacks.format("wrong", CALLER))

    check_caller(Session(Flags(stack="prod"), Screen(env={}), root=repo.root))
    with pytest.raises(AwsError, match=f"the credentials are of account {PROD} .*assumed-role/deploy"):
        check_caller(Session(Flags(stack="wrong"), Screen(env={}), root=repo.root))


IMAGES = f"arn:aws:iam::{PROD}:role/images"
ON_ECR = f'[tool.lamina]\nregistry = "ecr"\n[tool.lamina.ecr]\nregion = "eu-west-1"\nrole = "{IMAGES}"\n'


def opened(repo: Repo, config: str, aws: AwsClients | None = None) -> Session:
    """The session of a project with an image."""
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(config)
    seams = Seams(aws=OneAccount(aws)) if aws else Seams()
    return Session(Flags(), Screen(env={}), root=repo.root, seams=seams)


class OneAccount(AwsSeam):
    """AWS as clients see it."""

    def __init__(self, clients: AwsClients) -> None:
        AwsSeam.__init__(self)
        self._clients = clients


def test_the_registry_is_used_with_a_role_of_its_own(repo: Repo) -> None:
    """It is not that of the stack, which is for functions."""
    stack = f'[tool.lamina.stacks.dev]\nrole = "{ROLE}"\naccount = "{CALLER}"\n'
    session = opened(repo, ON_ECR + stack)

    assert session.ecr is not None
    assert session.ecr.setup.identity().account == PROD
    assert session.ecr.account == PROD  # that of the role, not that of the stack
    assert session.ecr.login().host == f"{PROD}.dkr.ecr.eu-west-1.amazonaws.com"


def test_a_role_of_the_registry_that_may_not_be_assumed_is_an_error_of_the_registry(repo: Repo) -> None:
    message = (
        f"User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRole on resource: {IMAGES}"
    )
    session = opened(repo, ON_ECR, AwsClients(watch=Watched(refusal=message)))

    assert session.ecr is not None
    with pytest.raises(RegistryError, match=f"not allowed: sts:AssumeRole on {IMAGES}") as caught:
        session.ecr.login()
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("asked", [(), (PROD,)])
def test_gc_asks_the_functions_of_the_caller_too_where_the_registry_has_a_role(
    repo: Repo, asked: tuple[str, ...]
) -> None:
    """The identity of that role is not the one with which the caller's own functions are read."""
    look_in = ", ".join(f'{{ role = "arn:aws:iam::{each}:role/gc" }}' for each in asked)
    session = opened(repo, f"{ON_ECR}[tool.lamina.gc]\naccounts = []\nlook-in = [{{}}, {look_in}]\n")

    if not asked:
        with pytest.raises(ConfigError, match=f"functions of account {PROD} may run these images"):
            plan_usage_sources(session, ["app-dev"])
        return
    accesses = plan_usage_sources(session, ["app-dev"]).accesses
    accounts = {session.aws(each)("sts").get_caller_identity()["Account"] for each in accesses}
    assert accounts == {CALLER, PROD}


MFA = f"""\
[profile base]
aws_access_key_id = x
aws_secret_access_key = y
[profile team]
source_profile = base
role_arn = {ROLE}
mfa_serial = {DEVICE}
"""


def test_an_mfa_code_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile(monkeypatch, tmp_path, MFA)
    watched, prompts = Watched(), []

    def prompt(text: str) -> str:
        prompts.append(text)
        return "123456"

    aws = AwsClients(prompt=prompt, watch=watched)
    for access in (Access(region="eu-west-1"), Access(region="us-east-1")):
        aws.open(access)("lambda").list_functions()
        read_caller(aws.open(access))

    assert prompts == [f"Enter MFA code for {DEVICE}: "]
    assert [(each["SerialNumber"], each["TokenCode"]) for each in watched.asked] == [(DEVICE, "123456")]


def test_an_mfa_code_without_a_terminal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile(monkeypatch, tmp_path, MFA)

    def prompt(text: str) -> str:
        return ask_at_terminal(text, terminal=str(tmp_path / "none"))

    with pytest.raises(LaminaError, match="needs an MFA code, and there is no terminal") as caught:
        read_caller(AwsClients(prompt=prompt).open(Access()))
    assert caught.value.exit_code == 8


def test_what_is_no_terminal_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EOFError):
        ask_at_terminal("code: ", terminal=str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("[profile team]\n{sso}", "aws sso login --profile team"),
        (f"[profile team]\nrole_arn = {ROLE}\nsource_profile = my sso\n[profile 'my sso']\n{{sso}}",
         "aws sso login --profile 'my sso'"),
    ],
    ids=["own", "source"],
)  # fmt: skip
def test_an_sso_session_that_has_ended_names_the_command_of_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, login: str
) -> None:
    sso = (
        f"sso_start_url = https://{tmp_path.name}.example.com/start\nsso_region = eu-west-1\n"
        f"sso_account_id = {PROD}\nsso_role_name = dev\n"
    )
    profile(monkeypatch, tmp_path, text.format(sso=sso))

    with pytest.raises(AwsError, match="SSO session") as caught:
        read_caller(AwsClients().open(Access()))

    assert caught.value.problems[0].hint == f"run: {login}"
