"""Which calls of AWS are recorded, and what of them, in an account in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.stub import Stubber
from moto import mock_aws

from lamina.aws.changes import AwsCall, watch
from lamina.aws.clients import Access, AwsClients, Clients
from lamina.flow.flags import Flags
from lamina.flow.report import list_runs, report_run
from lamina.flow.session import Session
from lamina.report import summary
from lamina.report.calls import read_calls
from lamina.report.console import Screen

from ..conftest import RUNTIME, Repo
from ..report.runs import COLD, put_pair

CALLER, OTHER = "123456789012", "222222222222"
DIGEST = "sha256:" + "1" * 64


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


@pytest.fixture
def calls() -> list[AwsCall]:
    return []


@pytest.fixture
def clients(calls: list[AwsCall]) -> Clients:
    return AwsClients(watch=partial(watch, record=calls.append)).open(Access())


def test_a_change_is_recorded_with_account_region_and_request(clients: Clients, calls: list[AwsCall]) -> None:
    answer = clients("ecr").create_repository(repositoryName="team/app-dev")

    (call,) = calls
    assert (call.action, call.resource) == ("ecr:CreateRepository", "team/app-dev")
    assert (call.account, call.region, call.error) == (CALLER, "eu-west-1", None)
    assert call.request_id == answer["ResponseMetadata"]["RequestId"]


def test_a_rule_of_a_cache_is_recorded_by_its_prefix(clients: Clients, calls: list[AwsCall]) -> None:
    client = clients("ecr")
    rule = {"ecrRepositoryPrefix": "ecr-public", "upstreamRegistryUrl": "public.ecr.aws"}
    with Stubber(client) as stub:
        stub.add_response("create_pull_through_cache_rule", {**rule, "registryId": CALLER}, rule)
        client.create_pull_through_cache_rule(**rule)

    assert [(each.action, each.resource, each.account) for each in calls] == [
        ("ecr:CreatePullThroughCacheRule", "ecr-public", CALLER)
    ]


def test_reading_is_not_recorded_and_the_account_is_learned_from_it(
    clients: Clients, calls: list[AwsCall]
) -> None:
    clients("sts").get_caller_identity()
    clients("ecr").describe_repositories()
    clients("ecr").get_authorization_token()
    clients("lambda").list_functions()
    assert calls == []

    clients("s3").create_bucket(
        Bucket="team-builds", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    assert [(each.action, each.resource, each.account) for each in calls] == [
        ("s3:CreateBucket", "team-builds", CALLER)
    ]


def test_a_role_is_the_account_of_its_changes(calls: list[AwsCall]) -> None:
    aws = AwsClients(watch=partial(watch, record=calls.append))

    aws.open(Access(role=f"arn:aws:iam::{OTHER}:role/deploy"))("ecr").create_repository(repositoryName="app")

    assert [(each.action, each.account) for each in calls] == [("ecr:CreateRepository", OTHER)]


def test_a_refused_change_is_recorded_with_its_code(clients: Clients, calls: list[AwsCall]) -> None:
    with pytest.raises(ClientError):
        clients("lambda").update_function_code(FunctionName="one", ImageUri=f"host/app@{DIGEST}")

    (call,) = calls
    assert call.error == "ResourceNotFoundException"
    assert (call.action, call.resource) == ("lambda:UpdateFunctionCode", "one")
    assert call.detail == f"ImageUri=host/app@{DIGEST}"


def test_a_deletion_that_failed_for_some_images_says_so(clients: Clients, calls: list[AwsCall]) -> None:
    clients("ecr").create_repository(repositoryName="app")
    clients("ecr").batch_delete_image(repositoryName="app", imageIds=[{"imageDigest": DIGEST}])

    assert calls[-1].resource == f"app@{DIGEST}"
    assert calls[-1].error == "1 failed: ImageNotFound"


def test_a_change_whose_answer_is_lost_is_recorded(clients: Clients, calls: list[AwsCall]) -> None:
    client = clients("lambda-invoke")

    def lost(**_: object) -> None:
        raise ConnectionClosedError(endpoint_url="https://lambda")

    client.meta.events.register("before-send.lambda.Invoke", lost)
    with pytest.raises(ConnectionClosedError):
        client.invoke(FunctionName="one", Qualifier="live", Payload=b"{}")

    assert [(each.action, each.resource, each.error) for each in calls] == [
        ("lambda:Invoke", "one:live", "no answer")
    ]
    assert calls[0].request_id is None


def test_variables_and_policies_are_never_recorded(clients: Clients, calls: list[AwsCall]) -> None:
    clients("ecr").create_repository(repositoryName="app")
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "hush", "Effect": "Allow", "Principal": "*",
              "Action": "ecr:BatchGetImage"}]}  # fmt: skip
    clients("ecr").set_repository_policy(repositoryName="app", policyText=json.dumps(policy))
    with pytest.raises(ClientError):
        clients("lambda").update_function_configuration(
            FunctionName="one", Environment={"Variables": {"TOKEN": "hush"}}
        )

    assert len(calls) == 3
    assert "hush" not in repr(calls)


def session(repo: Repo) -> Session:
    if not (repo.root / "dockerfiles").exists():
        repo.image("app", f"FROM {RUNTIME}")
    return Session(Flags(), Screen(env={}), root=repo.root)


def create(session: Session, name: str) -> None:
    session.aws(Access())("ecr").create_repository(repositoryName=name)


def test_calls_are_lines_of_a_run_as_they_end(repo: Repo) -> None:
    here = session(repo)
    state = here.project.state

    create(here, "one")
    (folder,) = (state / "runs").iterdir()
    assert len((folder / "aws.jsonl").read_text().splitlines()) == 1
    create(here.of_stack("prod"), "two")

    (file,) = state.glob("runs/*/aws.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(each["command"], each["resource"]) for each in lines] == [("aws", "one"), ("aws", "two")]
    with file.open("a") as damaged:
        damaged.write('{"command": "gc", "ti')
    assert [each.call.resource for each in read_calls(state, folder.name)] == ["one", "two"]


def test_a_run_has_its_own_calls(repo: Repo) -> None:
    here = session(repo)
    build, deploy = here.begin_run(builds=True), here.begin_run(builds=False)
    create(here, "one")

    assert read_calls(here.project.state, build) == ()
    assert [each.call.resource for each in read_calls(here.project.state, f"{deploy}-aws")] == ["one"]


def test_a_report_shows_the_calls_of_a_run_and_is_of_the_last_build(repo: Repo, capsys: Any) -> None:
    here = session(repo)
    put_pair(here.project.state, "ok")
    deploy = here.begin_run(builds=False)
    create(here, "one")

    listed = list_runs(here)
    assert [(each.id, each.command, each.calls) for each in listed] == [
        (f"{deploy}-aws", "aws", 1),
        (COLD, "build-all", 0),
    ]
    assert "aws, 1 change in AWS" in [row[1] for row in summary.run_rows(listed)]
    assert report_run(here, "", 10).run.id == COLD
    found = report_run(here, deploy, 10)
    summary.show(here.screen, found)
    assert "ecr:CreateRepository" in capsys.readouterr().out
    (call,) = summary.report_document(found)["calls"]  # type: ignore[union-attr]
    assert call["resource"] == "one"  # type: ignore[index, call-overload]


def test_a_record_that_cannot_be_written_is_a_note_and_stops_nothing(repo: Repo, capsys: Any) -> None:
    here = session(repo)
    here.project.state.mkdir()
    (here.project.state / "runs").write_text("a file")

    create(here, "one")
    create(here, "two")

    assert capsys.readouterr().out.count("calls of AWS are not recorded") == 1
