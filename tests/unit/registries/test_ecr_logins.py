"""Registries of ECR that Dockerfiles are FROM: AWS' own credentials where docker has none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from lamina.aws.clients import Access
from lamina.registries.credentials import Credential, DockerConfig
from lamina.registries.ecr_logins import EcrLogins

from ..conftest import ScriptedRunner

OTHER = "210987654321.dkr.ecr.us-east-1.amazonaws.com"
DUAL = "210987654321.dkr-ecr.us-east-1.on.aws"
FAR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
PUBLIC = "public.ecr.aws"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Amazon:
    """Hands out tokens named after service and region, or fails. asked: in order."""

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._fails = fails

    def __call__(self, access: Access) -> Callable[[str], Any]:
        self._region = access.region
        return self._client

    def _client(self, service: str) -> Any:
        self._service = service
        return self

    def get_authorization_token(self) -> dict[str, Any]:
        self.asked.append(f"{self._service} {self._region}")
        if self._fails:
            raise self._fails
        ends = {"expiresAt": NOW + timedelta(hours=12)}
        pair = f"AWS:token-{self._service}-{self._region}"
        data = {"authorizationToken": base64.b64encode(pair.encode()).decode(), **ends}
        return {"authorizationData": data if self._service == "ecr-public" else [data]}


def logins(tmp_path: Path, amazon: Amazon, public: bool | None = None, **environ: str) -> EcrLogins:
    given = {"HOME": str(tmp_path / "home"), "LAMINA_CACHE": str(tmp_path / "cache"), **environ}
    return EcrLogins(ScriptedRunner(), environ=given, open_clients=amazon, clock=lambda: NOW, public=public)


def test_a_token_of_a_region_opens_its_registries_and_is_asked_once(tmp_path: Path) -> None:
    amazon = Amazon()
    ours = logins(tmp_path, amazon)

    found = [ours.credential(host) for host in (OTHER, DUAL, FAR, OTHER)]

    assert [each.secret for each in found if each] == [
        *("token-ecr-us-east-1", "token-ecr-us-east-1", "token-ecr-eu-west-1", "token-ecr-us-east-1")
    ]
    assert amazon.asked == ["ecr us-east-1", "ecr eu-west-1"]
    assert ours.credential("ghcr.io") is None
    assert ours.credential("210987654321.dkr.ecr.us-east-1.amazonaws.com.example.com") is None


def test_docker_gets_in_where_it_had_no_credentials(tmp_path: Path) -> None:
    amazon = Amazon()
    (tmp_path / "docker").mkdir()
    stored = {"auths": {FAR: {"auth": Credential(username="me", secret="mine").encoded}}, "credsStore": ""}
    (tmp_path / "docker/config.json").write_text(json.dumps(stored))
    base = {"DOCKER_CONFIG": str(tmp_path / "docker")}

    environment, problems = logins(tmp_path, amazon).environment([OTHER, FAR], base)

    config = DockerConfig.load(environment)
    theirs, ours = config.stored(FAR), config.stored(OTHER)
    assert theirs is not None
    assert theirs.secret == "mine"
    assert ours is not None
    assert ours.secret == "token-ecr-us-east-1"
    assert (amazon.asked, problems) == (["ecr us-east-1"], ())
    assert (Path(environment["DOCKER_CONFIG"]) / "config.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("left", "asked"), [(1, []), (-1, ["ecr us-east-1"])])
def test_a_login_of_yesterday_is_replaced(tmp_path: Path, left: int, asked: list[str]) -> None:
    amazon = Amazon()
    ends = (NOW + timedelta(hours=left)).timestamp()
    token = base64.b64encode(json.dumps({"payload": "x", "expiration": int(ends)}).encode()).decode()
    stored = {"auths": {OTHER: {"auth": Credential(username="AWS", secret=token).encoded}}}
    (tmp_path / "config.json").write_text(json.dumps(stored))

    logins(tmp_path, amazon).environment([OTHER], {"DOCKER_CONFIG": str(tmp_path)})

    assert amazon.asked == asked


def test_without_credentials_docker_is_run_as_ever_and_that_is_reported(tmp_path: Path) -> None:
    base = {"DOCKER_CONFIG": str(tmp_path / "docker")}

    environment, (problem,) = logins(tmp_path, Amazon(fails=NoCredentialsError())).environment([OTHER], base)

    assert environment == base
    assert "there are no AWS credentials" in problem.what


def test_ecr_public_gets_credentials_where_they_are_known(tmp_path: Path) -> None:
    amazon = Amazon()

    found = logins(tmp_path, amazon, AWS_PROFILE="me").credential(PUBLIC)

    assert found is not None
    assert found.secret == "token-ecr-public-us-east-1"
    assert amazon.asked == ["ecr-public us-east-1"]


@pytest.mark.parametrize(("environ", "asked"), [({}, []), ({"AWS_PROFILE": "me"}, ["ecr-public us-east-1"])])
def test_ecr_public_serves_anybody(tmp_path: Path, environ: dict[str, str], asked: list[str]) -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetAuthorizationToken")
    amazon = Amazon(fails=denied)
    ours = logins(tmp_path, amazon, **environ)

    assert [ours.credential(PUBLIC), ours.credential(PUBLIC)] == [None, None]
    assert logins(tmp_path, amazon, **environ).credential(PUBLIC) is None
    assert amazon.asked == asked
    assert ours.environment([PUBLIC], {}) == ({}, ())


def test_a_login_to_ecr_public_that_is_asked_for_is_tried_each_run_and_its_refusal_is_a_note(
    tmp_path: Path,
) -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetAuthorizationToken")
    amazon = Amazon(fails=denied)

    for _ in range(2):  # two runs
        environment, (problem,) = logins(tmp_path, amazon, public=True).environment([PUBLIC], {})
        assert environment == {}
        assert problem.what.startswith("pulled without a login: ")
    assert amazon.asked == ["ecr-public us-east-1"] * 2

    ours = Amazon()
    found = logins(tmp_path, ours, public=True).credential(PUBLIC)
    assert found is not None
    assert found.secret == "token-ecr-public-us-east-1"


def test_ecr_public_is_left_alone_where_the_login_is_off(tmp_path: Path) -> None:
    amazon = Amazon()

    assert logins(tmp_path, amazon, public=False, AWS_PROFILE="me").credential(PUBLIC) is None
    assert amazon.asked == []


def test_the_next_run_has_the_token_while_it_is_valid(tmp_path: Path) -> None:
    first, second = Amazon(), Amazon()

    made = logins(tmp_path, first).credential(OTHER)
    again = logins(tmp_path, second).credential(DUAL)
    logins(tmp_path, second, AWS_PROFILE="another").credential(OTHER)

    assert made == again
    assert second.asked == ["ecr us-east-1"]
