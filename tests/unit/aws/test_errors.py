"""What goes wrong inside of AWS' client, with the client itself: profiles as people have them."""

from __future__ import annotations

import json
from pathlib import Path

import botocore.session
import pytest
from botocore.credentials import ProcessProvider
from botocore.parsers import ResponseParserError, create_parser

from lamina.aws.errors import aws_errors
from lamina.errors import RegistryError

SECRET = "AKIA-very-secret"


class Process:
    """A command that has ended. says: on standard output; None where there is no such command."""

    returncode = 0

    def __init__(self, says: str | None) -> None:
        self._says = says

    def __call__(self, argv: list[str], **_: object) -> Process:
        if self._says is None:
            raise FileNotFoundError(2, "No such file or directory", argv[0])
        return self

    def communicate(self) -> tuple[bytes, bytes]:
        return str(self._says).encode(), b""


def fetch(says: str | None) -> None:
    """Get credentials by ``credential_process`` of a profile."""
    profile = {"credential_process": "/nowhere/to-be --found"}
    provider = ProcessProvider("p", lambda: {"profiles": {"p": profile}}, popen=Process(says))
    with aws_errors():
        provider.load()


@pytest.mark.parametrize(
    "says",
    [f"Welcome!\n{json.dumps({'Version': 1, 'AccessKeyId': SECRET})}", "", "[1]", '"text"', f"{SECRET} {{"],
    ids=["chatter", "nothing", "list", "text", "garbage"],
)
def test_other_output_of_a_credential_process_gives_no_traceback(says: str) -> None:
    with pytest.raises(RegistryError, match="credential_process of the AWS profile gave no") as caught:
        fetch(says)

    assert caught.value.exit_code == 5
    assert "run the command yourself" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_credential_process_that_is_not_there_is_named() -> None:
    with pytest.raises(RegistryError, match="No such file or directory: /nowhere/to-be"):
        fetch(None)


def test_an_mfa_code_without_a_terminal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile base]\naws_access_key_id = x\naws_secret_access_key = y\n"
        "[profile p]\nregion = eu-west-1\nsource_profile = base\n"
        "role_arn = arn:aws:iam::123456789012:role/x\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    session = botocore.session.Session(profile="p")

    def no_terminal(prompt: str) -> str:
        raise EOFError

    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider._prompter = no_terminal  # as getpass does without a terminal
    credentials = provider.load()
    assert credentials is not None
    with pytest.raises(RegistryError, match="MFA code, and there is no terminal") as caught, aws_errors():
        credentials.get_frozen_credentials()

    assert "aws sts get-session-token" in str(caught.value)


def test_a_response_that_is_not_from_aws_is_an_error() -> None:
    model = botocore.session.Session().get_service_model("sts")
    answer = {"body": b"<html>Sign in</br>", "headers": {}, "status_code": 200, "context": {}}
    with pytest.raises(RegistryError, match="not from AWS"), aws_errors():
        create_parser("query").parse(answer, model.operation_model("GetCallerIdentity").output_shape)
    assert issubclass(ResponseParserError, Exception)


def test_other_failures_of_the_client_are_reported_and_ours_are_not_hidden() -> None:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    with pytest.raises(RegistryError, match="AWS' client failed: ValueError: Invalid endpoint"), aws_errors():
        botocore.session.Session().create_client("ecr", "eu-west-1", endpoint_url="not a url", **keys)
    with pytest.raises(ValueError, match="ours"), aws_errors():
        raise ValueError("ours")
