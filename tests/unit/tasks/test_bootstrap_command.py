"""`lamina bootstrap` with functions in an account in memory, and images in a registry in memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lamina.errors import AwsError, SelectionError
from lamina.flow.session import Session
from lamina.report.console import Screen
from lamina.tasks.bootstrap import bootstrap
from memory import Shop

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def account(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account whose function ``words`` exists, made of a zip file; the one of a stack is not known."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    shop.repo.write(
        "pyproject.toml",
        f'[tool.lamina.images.{E}]\nfunctions = ["embed", {{ stack = "app", id = "Embed" }}]\n'
        f'[tool.lamina.images.{W}]\nfunctions = [{{ name = "words", command = ["handler.handler"] }}]\n',
    )
    with mock_aws():
        yield boto3.client("lambda", region_name="eu-west-1")


def make(account: Any, name: str, package: str) -> None:
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("handler.py", "")
    code: dict[str, Any] = {"ZipFile": archive.getvalue()}
    settings = {"Runtime": "python3.13", "Handler": "handler.handler"}
    if package == "Image":
        code, settings = {"ImageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/x:1"}, {}
    account.create_function(FunctionName=name, Role=role, PackageType=package, Code=code, **settings)


def opened(shop: Shop, *images: str) -> Session:
    return shop.open(*images, push=True, create=True, screen=Screen(env={}, as_json=True))


def test_a_function_of_a_zip_file_stops_it_before_anything_is_made(shop: Shop, account: Any) -> None:
    make(account, "words", "Zip")

    with pytest.raises(AwsError, match="the function words is made of a zip file") as caught:
        bootstrap(opened(shop), dry_run=False)

    assert caught.value.exit_code == 8
    assert "under another name" in str(caught.value.problems[0].hint)
    assert shop.registry.manifests == {}


def test_images_are_pushed_and_functions_shown_that_are_to_be_created(
    shop: Shop, account: Any, capsys: Output
) -> None:
    make(account, "words", "Image")

    assert bootstrap(opened(shop), dry_run=True) == 0
    planned = json.loads(capsys.readouterr().out)
    assert shop.registry.manifests == {}
    assert [each["uri"] for each in planned["functions"]] == [None, None, None]
    assert {each["name"] for each in planned["images"] if each["action"] == "build"} == {D, L, E, W}

    for built in ({D, L, E, W}, set()):
        assert bootstrap(opened(shop), dry_run=False) == 0
        found = json.loads(capsys.readouterr().out)
        assert {each["name"] for each in found["images"] if each["action"] == "built"} == built
        digests = {each["name"]: each["digest"] for each in found["images"]}
        assert [(each["function"], each["state"]) for each in found["functions"]] == [
            ("embed", "to be created"),
            ("app/Embed", "of its CloudFormation stack"),
            ("words", "exists"),
        ]
        assert [each["uri"].rpartition("@")[2] for each in found["functions"]] == [
            *(digests[E], digests[E]),
            digests[W],
        ]
        assert found["functions"][2]["command"] == ["handler.handler"]


def test_an_unknown_image_ends_it_before_anything_is_asked(shop: Shop, account: Any) -> None:
    make(account, "words", "Zip")

    with pytest.raises(SelectionError, match="lambda-wrong"):
        bootstrap(opened(shop, "lambda-wrong", W), dry_run=False)


def test_only_functions_of_selected_images_are_looked_at(shop: Shop, account: Any, capsys: Output) -> None:
    make(account, "words", "Zip")

    assert bootstrap(opened(shop, E), dry_run=False) == 0

    functions = json.loads(capsys.readouterr().out)["functions"]
    assert {each["image"] for each in functions} == {E}
