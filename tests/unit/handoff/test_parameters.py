"""A parameter for each image: in an account in memory, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lamina.declare.lockfile import LOCK_FILE, Lock, Pin
from lamina.errors import ConfigError
from lamina.execute.outcome import Outcome, Result
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.handoff.parameters import check_prefix
from lamina.refs import Reference
from lamina.report.console import Screen
from lamina.report.record import write_manifest

from ..conftest import DIGEST, RUNTIME, Repo
from ..tasks.conftest import Command, lamina

__all__ = ["lamina"]

E, W = "lambda-embedding", "lambda-word-label"
HOST, NEWER = "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "sha256:" + "9" * 64
MARK = "Lamina: the image of x"
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def ssm(receipts: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The account's parameters; both images are pushed."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    pin = Pin(name=RUNTIME, digest=DIGEST, platforms={"linux/amd64": DIGEST})
    receipts.write(LOCK_FILE, Lock().with_pin(pin).render())
    receipts.config(f'[tool.lamina]\nregistry = "{HOST}"\nplatform = "linux/amd64"\n')
    push(receipts, DIGEST, E, W)
    with mock_aws():
        yield boto3.client("ssm", region_name="eu-west-1")


def push(repo: Repo, digest: str, *names: str) -> None:
    """Record images as a push does."""
    session = Session(Flags(offline=True), Screen(env={}), root=repo.root)
    images = take_snapshot(session, names).images
    results = {
        name: Result(
            image=replace(images[name], repository=Reference(host=HOST, repository=f"{name}-dev")),
            status="built",
            reasons=(),
            digest=digest,
        )
        for name in names
    }
    write_manifest(repo.root / ".lamina", Outcome(results=results), run="one", pushed=True)


def values(ssm: Any) -> dict[str, str]:
    found = ssm.describe_parameters()["Parameters"]
    return {each["Name"]: ssm.get_parameter(Name=each["Name"])["Parameter"]["Value"] for each in found}


def written(repo: Repo) -> list[str]:
    """The resources of all recorded calls."""
    files = repo.root.glob(".lamina/runs/*/aws.jsonl")
    lines = (line for file in files for line in file.read_text().splitlines())
    return sorted(json.loads(line)["resource"] for line in lines)


def test_each_image_gets_a_parameter_and_a_second_run_writes_nothing(
    lamina: Command, receipts: Repo, ssm: Any, capsys: Output
) -> None:
    expected = {f"/lamina/dev/{name}": f"{HOST}/{name}-dev@{DIGEST}" for name in (E, W)}

    assert lamina("outputs", "--ssm", "--dry-run") == 0
    assert values(ssm) == {}
    assert lamina("outputs", "--ssm") == 0
    printed = capsys.readouterr()

    assert values(ssm) == expected
    assert {each["Type"] for each in ssm.describe_parameters()["Parameters"]} == {"String"}
    assert printed.out.count('"uri"') == 4  # of both commands; messages go to standard error
    assert f"/lamina/dev/{E}" in printed.err
    assert "new" in printed.err
    assert lamina("outputs", "--ssm") == 0
    assert f"/lamina/dev/{E}" in (err := capsys.readouterr().err)
    assert "unchanged" in err
    assert written(receipts) == sorted(expected)


def test_only_what_changed_is_written(lamina: Command, receipts: Repo, ssm: Any, capsys: Output) -> None:
    assert lamina("outputs", "--ssm=/team/images") == 0
    push(receipts, NEWER, E)

    assert lamina("outputs", "--ssm=/team/images/") == 0

    assert values(ssm)[f"/team/images/dev/{E}"].endswith(NEWER)
    assert ssm.get_parameter(Name=f"/team/images/dev/{W}")["Parameter"]["Version"] == 1
    assert f"written: /team/images/dev/{E}" in capsys.readouterr().err


def test_an_image_that_is_not_pushed_as_it_is_gets_no_parameter(
    lamina: Command, receipts: Repo, ssm: Any, capsys: Output
) -> None:
    receipts.write("embedding/handler.py", "def handler(event, context): return 2\n")

    assert lamina("outputs", "--ssm") == 3

    assert values(ssm) == {}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("existing", "reason"),
    [
        ({"Value": f"{HOST}/{E}-dev@{DIGEST}", "Type": "String"}, "Lamina did not make it"),
        ({"Value": f"{HOST}/{E}-dev@{DIGEST}", "Type": "SecureString", "Description": MARK},
         "it is a SecureString"),
        ({"Value": f"{HOST}/other@{DIGEST}", "Type": "String", "Description": MARK},
         f"it names an image of another repository, {HOST}/other"),
        ({"Value": "a b", "Type": "String", "Description": MARK},
         "its value is not an image"),
    ],
    ids=["foreign", "secure", "another-project", "no-image"],
)  # fmt: skip
def test_what_lamina_did_not_make_is_never_overwritten_and_nothing_else_is_written(
    lamina: Command, ssm: Any, capsys: Output, existing: dict[str, str], reason: str
) -> None:
    ssm.put_parameter(Name=f"/lamina/dev/{E}", **existing)
    before = ssm.get_parameter(Name=f"/lamina/dev/{E}")["Parameter"]

    assert lamina("outputs", "--ssm") == 8

    after = ssm.get_parameter(Name=f"/lamina/dev/{E}")["Parameter"]
    assert (after["Version"], after["Value"]) == (before["Version"], before["Value"])
    assert list(values(ssm)) == [f"/lamina/dev/{E}"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"/lamina/dev/{E} is not changed: {reason}" in printed.err


def test_the_account_is_that_of_the_stack(lamina: Command, receipts: Repo, ssm: Any, capsys: Output) -> None:
    receipts.config(
        f'[tool.lamina]\nregistry = "{HOST}"\nplatform = "linux/amd64"\n'
        '[tool.lamina.stacks.dev]\naccount = "222222222222"\n'
    )

    assert lamina("outputs", "--ssm") == 8

    assert values(ssm) == {}
    assert "stack dev is in 222222222222" in capsys.readouterr().err


def test_a_stack_that_wants_an_approval_gets_no_parameter_without_it(
    lamina: Command, receipts: Repo, ssm: Any, capsys: Output
) -> None:
    receipts.config(
        f'[tool.lamina]\nregistry = "{HOST}"\nplatform = "linux/amd64"\n'
        "[tool.lamina.stacks.dev]\napproval = true\n"
    )

    for words in ((), ("--approve", "prod")):
        assert lamina("outputs", "--ssm", *words) == 2
    assert "stack dev is changed only with --approve dev" in capsys.readouterr().err
    assert lamina("outputs", "--ssm", "--dry-run") == lamina("outputs") == 0
    assert values(ssm) == {}

    assert lamina("outputs", "--ssm", "--approve", "dev") == 0
    assert len(values(ssm)) == 2


@pytest.mark.parametrize("prefix", ["lamina", "/", "/aws/x", "/SSM/x", "/a b", "/a//b", "/a" * 13])
def test_a_prefix_that_parameters_may_not_have_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="not a prefix of parameters"):
        check_prefix(prefix)


@pytest.mark.parametrize("words", [("--ssm", "--plan-only"), ("--dry-run",), ("--approve", "dev")])
def test_flags_that_have_no_meaning_together_are_refused(
    lamina: Command, capsys: Output, words: tuple[str, ...]
) -> None:
    assert lamina("outputs", *words) == 2
    assert capsys.readouterr().out == ""
