from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions as aws
from botocore.stub import Stubber

from lamina.aws.errors import aws_errors
from lamina.errors import RegistryError
from lamina.refs import Reference
from lamina.registries.credentials import Credential
from lamina.registries.ecr import EcrRegistry, ecr_registry
from lamina.registries.ecr_token import EcrSettings, Login, identity_of
from lamina.registries.http import HttpResponse

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ROLE = "arn:aws:iam::222222222222:role/images"
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def told(secret: str, expires: datetime | None, host: str = HOST) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "authorizationToken": b64encode(f"AWS:{secret}".encode()).decode(),
        "proxyEndpoint": f"https://{host}",
    }
    if expires:
        entry["expiresAt"] = expires
    return {"authorizationData": [entry]}


class Aws:
    """boto3 clients which answer from a script; any other call fails the test."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        self.clients = {name: boto3.client(name, region_name="eu-west-1", **keys) for name in ("ecr", "sts")}
        self.ecr, self.sts = (Stubber(self.clients[name]) for name in ("ecr", "sts"))
        self.ecr.activate()
        self.sts.activate()
        self.made: list[str] = []

    def __call__(self, service: str) -> Any:
        self.made.append(service)
        return self.clients[service]


@pytest.fixture(scope="module")
def clients() -> Aws:
    return Aws()


@pytest.fixture
def amazon(clients: Aws):
    clients.made.clear()
    yield clients
    clients.ecr.assert_no_pending_responses()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "LAMINA_CACHE": str(tmp_path / "cache"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }


@pytest.fixture
def open_ecr(runner, transport, amazon, environ):
    def make(*, now: datetime = NOW, **settings: Any) -> EcrRegistry:
        return ecr_registry(
            runner,
            EcrSettings(**settings),
            environ=environ,
            clients=amazon,
            transport=transport,
            clock=lambda: now,
        )

    return make


def kept(registry: EcrRegistry) -> dict[str, Any]:
    return json.loads((registry.docker.path / "config.json").read_text())["auths"]


def test_a_token_is_asked_once_a_run_and_names_the_host(open_ecr, amazon) -> None:
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12)), {})
    registry = open_ecr(prefix="team")
    assert registry.login() == Login(host=HOST, expires=NOW + timedelta(hours=12), source="ecr token")
    assert registry.login() is registry.login()
    assert registry.address == f"{HOST}/team"
    assert kept(registry) == {HOST: {"auth": Credential(username="AWS", secret="t1").encoded}}


def test_the_next_run_sends_no_request_while_the_token_is_valid(open_ecr, amazon) -> None:
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12)), {})
    open_ecr().login()
    amazon.made.clear()
    assert open_ecr(now=NOW + timedelta(hours=11)).login().source == "still valid"
    assert amazon.made == []
    amazon.ecr.add_response("get_authorization_token", told("t2", NOW + timedelta(hours=24)), {})
    near_the_end = open_ecr(now=NOW + timedelta(hours=11, minutes=50))
    assert near_the_end.login().source == "ecr token"
    assert kept(near_the_end)[HOST]["auth"] == Credential(username="AWS", secret="t2").encoded


@pytest.mark.parametrize("expires", [datetime(2015, 1, 1, tzinfo=UTC), None])
def test_an_expiry_that_makes_no_sense_is_for_this_run_only(open_ecr, amazon, expires) -> None:
    for secret in ("t1", "t2"):
        amazon.ecr.add_response("get_authorization_token", told(secret, expires), {})
    first = open_ecr()
    assert first.login().expires is None
    first.login()
    assert open_ecr().login().source == "ecr token"


def test_another_identity_never_gets_the_token(environ, tmp_path) -> None:
    base = identity_of(EcrSettings(), environ)
    assert identity_of(EcrSettings(), dict(environ)) == base
    changed = [
        identity_of(EcrSettings(profile="prod"), environ),
        identity_of(EcrSettings(region="eu-west-1"), environ),
        identity_of(EcrSettings(role=ROLE), environ),
        identity_of(EcrSettings(role=ROLE, external_id="team-7"), environ),
        identity_of(EcrSettings(), {**environ, "AWS_PROFILE": "prod"}),
        identity_of(EcrSettings(), {**environ, "AWS_ACCESS_KEY_ID": "AKIA"}),
    ]
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[default]")
    changed.append(identity_of(EcrSettings(), environ))
    assert len({base, *changed}) == 8


def test_a_configured_account_and_host_are_used(open_ecr, amazon) -> None:
    expected = {"registryIds": ["999999999999"]}
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12)), expected)
    registry = open_ecr(account="999999999999", host="127.0.0.1:5000")
    assert registry.login().host == "127.0.0.1:5000"
    assert list(kept(registry)) == ["127.0.0.1:5000"]
    assert registry.account == "999999999999"


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
        "123456789012.dkr-ecr.eu-west-1.on.aws",
    ],
)
def test_the_host_is_the_one_that_aws_names(open_ecr, amazon, host) -> None:
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12), host), {})
    assert open_ecr(prefix="team").address == f"{host}/team"


def test_a_token_that_others_renewed_is_not_requested_again(open_ecr, amazon, transport) -> None:
    for secret in ("t1", "t2"):
        amazon.ecr.add_response("get_authorization_token", told(secret, NOW + timedelta(hours=12)), {})
    challenge = HttpResponse(status=401, headers={"www-authenticate": f'Basic realm="https://{HOST}/"'})
    good = ["t1"]

    def guard(request: Any) -> HttpResponse | None:
        wanted = f"Basic {Credential(username='AWS', secret=good[0]).encoded}"
        return None if request.headers.get("Authorization") == wanted else challenge

    transport.guard = guard
    transport.on("GET", f"https://{HOST}/v2/app/manifests/v1", HttpResponse(status=200, body=b"{}"))
    registry = open_ecr()
    assert registry.manifest(Reference.parse(f"{HOST}/app:v1")) is not None
    registry.login(fresh=True)  # as a push does whose token has ended
    good[0] = "t2"
    assert registry.manifest(Reference.parse(f"{HOST}/app:v1")) is not None


def test_the_account_is_the_callers_own_otherwise(open_ecr, amazon) -> None:
    amazon.sts.add_response(
        "get_caller_identity", {"Account": "123456789012", "UserId": "u", "Arn": "a" * 20}, {}
    )
    assert open_ecr().account == "123456789012"


def test_a_role_for_the_registry_is_not_replaced_by_a_helper(open_ecr, amazon, environ) -> None:
    """A helper would log in with the caller's own credentials, and docker would ask it before the token."""
    folder = Path(environ["DOCKER_CONFIG"])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"credHelpers": {HOST: "ecr-login"}}))
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12)), {})
    registry = open_ecr(role=ROLE)

    assert registry.login().source == "ecr token"

    written = json.loads((registry.docker.path / "config.json").read_text())
    assert written["credHelpers"] == {HOST: ""}
    assert kept(registry) == {HOST: {"auth": Credential(username="AWS", secret="t1").encoded}}


@pytest.mark.parametrize("config", [{"credHelpers": {HOST: "ecr-login"}}, {"credsStore": "ecr-login"}])
def test_a_helper_that_makes_tokens_beats_ours(open_ecr, amazon, runner, environ, config) -> None:
    folder = Path(environ["DOCKER_CONFIG"])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    runner.helper("ecr-login", HOST, Username="AWS", Secret="minted")
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12)), {})
    first = open_ecr()  # must ask AWS for the host, and remembers it
    assert first.login() == Login(host=HOST, expires=None, source="credential helper ecr-login")
    assert json.loads((first.docker.path / "config.json").read_text()).get("auths") is None
    amazon.made.clear()
    assert open_ecr().login().source == "credential helper ecr-login"
    assert amazon.made == []


def test_a_store_that_only_remembers_does_not(open_ecr, amazon, runner, environ) -> None:
    folder = Path(environ["DOCKER_CONFIG"])
    folder.mkdir()
    (folder / "config.json").write_text('{"credsStore": "desktop"}')
    amazon.ecr.add_response("get_authorization_token", told("t1", NOW + timedelta(hours=12)), {})
    assert open_ecr().login().source == "ecr token"
    assert runner.ran == []


def test_a_refused_token_is_replaced(open_ecr, amazon, transport) -> None:
    for secret in ("t1", "t2"):
        amazon.ecr.add_response("get_authorization_token", told(secret, NOW + timedelta(hours=12)), {})
    challenge = HttpResponse(status=401, headers={"www-authenticate": f'Basic realm="https://{HOST}/"'})
    good = f"Basic {Credential(username='AWS', secret='t2').encoded}"
    transport.guard = lambda request: None if request.headers.get("Authorization") == good else challenge
    transport.on("GET", f"https://{HOST}/v2/team/app/manifests/v1", HttpResponse(status=200, body=b"{}"))
    assert open_ecr().manifest(Reference.parse(f"{HOST}/team/app:v1")) is not None


# --- repositories ---------------------------------------------------------------------------------------

FOUND = {"repositories": []}


def describe(*names: str) -> dict[str, Any]:
    return {"repositoryNames": list(names), "maxResults": 100}


def test_nothing_missing_is_one_call_a_hundred_names(open_ecr, amazon) -> None:
    names = [f"image-{number}" for number in range(150)]
    amazon.ecr.add_response("describe_repositories", FOUND, describe(*(f"t/{name}" for name in names[:100])))
    amazon.ecr.add_response("describe_repositories", FOUND, describe(*(f"t/{name}" for name in names[100:])))
    assert open_ecr(prefix="t/").missing_repositories(names) == ()


def test_a_missing_one_is_missing(open_ecr, amazon) -> None:
    amazon.ecr.add_client_error(
        "describe_repositories", "RepositoryNotFoundException", expected_params=describe("app")
    )
    assert open_ecr().missing_repositories(["app"]) == ("app",)


def test_repositories_are_created_as_the_settings_say(open_ecr, amazon) -> None:
    amazon.ecr.add_response(
        "create_repository",
        {},
        {
            "repositoryName": "team/app",
            "registryId": "123456789012",
            "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
            "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "stable"}],
            "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/images"},
            "tags": [{"Key": "team", "Value": "data"}],
        },
    )
    registry = open_ecr(
        prefix="team",
        account="123456789012",
        mutability="IMMUTABLE_WITH_EXCLUSION",
        exclusions=("stable",),
        kms_key="alias/images",
        tags=(("team", "data"),),
    )
    registry.create_repository("app")


def test_a_repository_that_exists_already_is_success(open_ecr, amazon) -> None:
    amazon.ecr.add_client_error("create_repository", "RepositoryAlreadyExistsException")
    open_ecr().create_repository("app")


# --- errors ---------------------------------------------------------------------------------------------


def client_error(code: str, message: str = "", operation: str = "DescribeRepositories") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "what", "hint"),
    [
        (aws.NoCredentialsError(), "no AWS credentials", "AWS_PROFILE"),
        (aws.PartialCredentialsError(provider="env", cred_var="x"), "incomplete", "AWS_SECRET_ACCESS_KEY"),
        (aws.CredentialRetrievalError(provider="p", error_msg="e"), "cannot be fetched", "sso login"),
        (aws.UnauthorizedSSOTokenError(), "SSO session", "aws sso login"),
        (aws.SSOTokenLoadError(error_msg="e"), "SSO session", "aws sso login"),
        (aws.TokenRetrievalError(provider="sso", error_msg="e"), "SSO session", "aws sso login"),
        (aws.ProfileNotFound(profile="prod"), "prod", "list-profiles"),
        (aws.NoRegionError(), "no AWS region", "AWS_DEFAULT_REGION"),
        (aws.EndpointConnectionError(endpoint_url="https://e"), "cannot be reached", "region"),
        (aws.ConnectTimeoutError(endpoint_url="https://e"), "cannot be reached", "network"),
        (aws.ReadTimeoutError(endpoint_url="https://e"), "cannot be reached", "network"),
        (aws.SSLError(endpoint_url="https://e", error="bad"), "over TLS", "AWS_CA_BUNDLE"),
        (aws.ProxyConnectionError(proxy_url="http://p"), "proxy", "NO_PROXY"),
        (aws.ParamValidationError(report="repositoryName"), "repositoryName", "configuration"),
        (client_error("ExpiredToken"), "expired", "aws sso login"),
        (client_error("InvalidClientTokenId", "is invalid"), "does not accept", "AWS_PROFILE"),
        (client_error("ThrottlingException", "Rate exceeded"), "throttles", "wait a minute"),
        (client_error("RequestLimitExceeded"), "throttles", "wait a minute"),
        (client_error("LimitExceededException", "100 repositories"), "100 repositories", "quota"),
        (
            client_error("RepositoryNotFoundException"),
            "team/app does not exist",
            "aws ecr create-repository --repository-name team/app",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_failure_of_aws_has_a_next_step(error: Exception, what: str, hint: str) -> None:
    with pytest.raises(RegistryError, match=what) as caught, aws_errors("team/app"):
        raise error
    assert hint in (caught.value.problems[0].hint or "")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (
            "User: arn:aws:iam::1:user/u is not authorized to perform: ecr:CreateRepository on *",
            "ecr:CreateRepository",
        ),
        ("", "ecr:DescribeRepositories"),
    ],
)
def test_the_missing_right_is_named(message: str, action: str) -> None:
    with pytest.raises(RegistryError, match=f"not allowed: {action} on team/app"), aws_errors("team/app"):
        raise client_error("AccessDeniedException", message)


def test_unknown_refusals_still_say_what_aws_said() -> None:
    with pytest.raises(RegistryError, match="AWS DescribeRepositories: AWS answered Odd: why"), aws_errors():
        raise client_error("Odd", "why")
    with pytest.raises(RegistryError, match="AWS' client failed"), aws_errors():
        raise aws.UnknownServiceError(service_name="x", known_service_names="y")


def test_our_own_errors_pass_through() -> None:
    with pytest.raises(KeyError), aws_errors():
        raise KeyError("ours")
