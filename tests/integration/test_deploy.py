"""Deploy and status: functions get images of a real registry, and up-to-date functions are left alone."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine, new_repo, use_account
from doubles.aws_front import AwsFront, Fault
from doubles.collector import running_collector
from doubles.ecr import EcrDouble
from doubles.lambda_ import LambdaDouble
from doubles.served import Served, stack_of
from projects import Repo, write_tiny

from lamina.declare.machine import native_platform

pytestmark = pytest.mark.engine

OLD = "sha256:" + "1" * 64
FUNCTIONS = """
[tool.lamina.images.lambda-tiny]
functions = ["one", { name = "two", command = ["handler.other"] }]
"""
ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "arm64"}


@pytest.fixture(autouse=True)
def clean(front: AwsFront, lambdas: LambdaDouble) -> None:
    lambdas.clear()
    front.forgive()


@pytest.fixture(scope="module")
def pushed(engine: TestEngine, front: AwsFront, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """The tiny repository, pushed."""
    repo = use_account(new_repo(tmp_path_factory.mktemp("pushed")), front)
    write_tiny(repo)
    repo.write("pyproject.toml", FUNCTIONS)
    repo.ok("build-all", "--push", "--create")
    return repo


@pytest.fixture
def team(pushed: Repo, front: AwsFront, tmp_path: Path) -> Repo:
    """The same in another folder, its image run by two functions that still run something older."""
    for name in ("one", "two"):
        create(front, name)
    front.calls.clear()
    return pushed.copy(tmp_path / "repo")


def edit(repo: Repo) -> None:
    """Make a change that no other test has pushed."""
    repo.append("src/handler.py", f"# {secrets.token_hex(4)}\n")


def create(front: AwsFront, name: str, **more: Any) -> None:
    given = {
        "PackageType": "Image",
        "Code": {"ImageUri": f"registry.invalid/old@{OLD}"},
        "Architectures": [ARCHITECTURES[native_platform()]],
        **more,
    }
    front.client("lambda").create_function(
        FunctionName=name, Role="arn:aws:iam::123456789012:role/x", **given
    )


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["function"]: each for each in document["functions"]}


def test_a_new_stack_gets_repositories_and_images_before_its_functions(
    team: Repo, front: AwsFront, served: Served
) -> None:
    team.write("pyproject.toml", FUNCTIONS.replace('"one",', '"one", "one-{stack}",'))
    stack = f"new-{secrets.token_hex(4)}"
    planned = team.ok("bootstrap", "--stack", stack, "--dry-run", "--json")
    assert planned.json["changes"]
    assert "CreateRepository" not in front.calls

    done = team.ok("bootstrap", "--stack", stack, "--json").json

    tag = next(each["tag"] for each in done["images"] if each["name"] == "lambda-tiny")
    states = {name: each["state"] for name, each in by_name(done).items()}
    assert (states["one"], states[f"one-{stack}"]) == ("exists", "to be created")
    uris = {each["uri"].rpartition("@")[2] for each in done["functions"]}
    assert uris == {served.digest(f"lambda-tiny-{stack}", tag)}
    assert not [call for call in front.calls if call.startswith("Update")]
    assert team.ok("bootstrap", "--stack", stack, "--json").built == []


def test_a_traced_deployment_has_a_span_for_each_function(team: Repo, lambdas: LambdaDouble) -> None:
    with running_collector() as collector:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "60000"}
        team.ok("deploy", "--dry-run", env=told)
        team.ok("deploy", env=told)

    planned, deployed = (each for each in collector.spans if each.name == "lamina deploy")
    assert collector.below(planned) == []
    functions = {each.name: each.attributes for each in collector.below(deployed)}
    assert {name: each["lamina.task.status"] for name, each in functions.items()} == {
        "deploy one": "updated",
        "deploy two": "updated",
    }
    (image,) = functions["deploy one"]["container.image.repo_digests"]
    assert image.endswith(f"@{lambdas.runs('one')}")


def test_an_image_without_all_its_layers_is_not_deployed(team: Repo, front: AwsFront, served: Served) -> None:
    edit(team)
    ref = team.ok("build-all", "--push", "--json").images("ref")["lambda-tiny"]
    hexes = served.manifest(ref)[0]["layers"][-1]["digest"].removeprefix("sha256:")
    assert served.storage is not None
    shutil.rmtree(served.storage / f"docker/registry/v2/blobs/sha256/{hexes[:2]}/{hexes}")

    done = team.fails(5, "deploy", "--json")

    assert f"has lost its layer sha256:{hexes[:12]}" in done.text
    assert "build-all --push --refresh --image lambda-tiny" in done.text
    assert not [call for call in front.calls if call.startswith("Update")]
    team.ok("build-all", "--push", "--refresh", "--image", "lambda-tiny")
    team.ok("deploy")


def test_only_functions_with_other_code_are_updated(
    team: Repo, front: AwsFront, lambdas: LambdaDouble, served: Served
) -> None:
    planned = team.ok("deploy", "--dry-run", "--json").json
    assert {each["status"] for each in planned["functions"]} == {"planned"}
    assert not [call for call in front.calls if call.startswith("Update")]

    done = by_name(team.ok("deploy", "--json").json)
    digest = served.digest(f"lambda-tiny-{stack_of(team)}", done["one"]["tag"])
    assert [done[name]["status"] for name in ("one", "two")] == ["updated", "updated"]
    assert lambdas.runs("one") == lambdas.runs("two") == digest == done["one"]["digest"]
    settings = front.client("lambda").get_function(FunctionName="two")["Configuration"]
    assert settings["ImageConfigResponse"]["ImageConfig"]["Command"] == ["handler.other"]

    kept = team.ok("report", "--list", "--json").json["runs"][0]
    assert kept["command"] == "deploy"
    calls = team.ok("report", "--run", kept["id"], "--json").json["calls"]
    moved = [each for each in calls if each["action"] == "lambda:UpdateFunctionCode"]
    assert {each["resource"] for each in moved} == {"one", "two"}
    assert all(digest in each["detail"] and each["error"] is None for each in moved)

    front.calls.clear()
    again = by_name(team.ok("deploy", "--json").json)
    assert {each["status"] for each in again.values()} == {"skipped"}
    assert not [call for call in front.calls if call.startswith(("Update", "Publish"))]


def test_functions_of_a_stack_are_found_by_their_ids(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    team.write(
        "pyproject.toml",
        '[tool.lamina.images.lambda-tiny]\nfunctions = [{ stack = "shop", id = "Api/Worker" }, '
        '{ stack = "shop", id = "Other", command = ["handler.other"] }]\n',
    )
    assert "the stack shop does not exist" in team.fails(8, "deploy").text
    of_cdk = "ApiWorker0A1B2C3D"
    policy = {"Version": "2012-10-17", "Statement": []}
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": policy}}
    functions = {
        logical: {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": name,
                "PackageType": "Image",
                "Code": {"ImageUri": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/old@{OLD}"},
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            },
        }
        for logical, name in ((of_cdk, "one"), ("Other", "two"))
    }
    front.client("cloudformation").create_stack(
        StackName="shop", TemplateBody=json.dumps({"Resources": {"Role": role, **functions}})
    )

    done = by_name(team.ok("deploy", "--json").json)

    assert [done[name]["status"] for name in ("one", "two")] == ["updated", "updated"]
    assert lambdas.runs("one") == lambdas.runs("two") == done["one"]["digest"]
    team.ok("status", "--check")


def test_a_function_of_another_stack_is_taken_over_only_on_request(
    team: Repo, lambdas: LambdaDouble, served: Served
) -> None:
    team.ok("deploy")
    before = lambdas.runs("one")
    other = f"o{stack_of(team)}"
    edit(team)
    team.ok("build-all", "--push", "--create", "--stack", other)

    refused = team.fails(2, "deploy", "--stack", other)
    assert stack_of(team) in refused.text
    assert lambdas.runs("one") == before

    team.ok("deploy", "--stack", other, "--take-over")
    assert lambdas.runs("one") != before


def test_an_image_that_is_not_pushed_is_not_deployed(team: Repo, lambdas: LambdaDouble) -> None:
    edit(team)

    done = team.fails(1, "deploy", "--json")

    assert "only pushed images are deployed" in done.told
    assert "next: python -m lamina build-all --push --image lambda-tiny" in done.told
    assert lambdas.runs("one") == OLD


def test_images_with_findings_above_a_severity_are_not_deployed(
    team: Repo, front: AwsFront, images: EcrDouble, lambdas: LambdaDouble
) -> None:
    digest = team.ok("check", "--json").json["images"][0]["digest"]
    finding = {"name": "CVE-2026-1", "severity": "HIGH"}
    findings = {"findings": [finding, {"name": "CVE-2026-2", "severity": "LOW"}]}
    images.scans[digest] = {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": findings}
    front.calls.clear()

    refused = team.fails(1, "deploy", "--max-severity", "low", "--json")
    assert "has findings above low:\n  CVE-2026-1 (high)" in refused.told
    assert "CVE-2026-2" not in refused.told
    assert "UpdateFunctionCode" not in front.calls
    checked = team.fails(1, "check", "--max-severity", "informational", "--json")
    assert [each["name"] for each in checked.json["findings"][0]["above"]] == ["CVE-2026-1", "CVE-2026-2"]
    assert "CVE-2026-1" in team.fails(1, "check", "--max-severity", "medium").stdout

    images.scans[digest]["imageScanStatus"]["status"] = "FAILED"
    images.scans[digest]["imageScanFindings"] = {}
    assert "are not known: its scan is FAILED" in team.fails(1, "deploy", "--max-severity", "high").text
    images.scans[digest]["imageScanStatus"]["status"] = "ACTIVE"
    team.append("pyproject.toml", '\n[tool.lamina.stacks.dev]\nmax-severity = "none"\n')
    team.ok("deploy")
    assert lambdas.runs("one") == lambdas.runs("two") == digest


def test_an_alias_moves_only_to_a_version_that_answers(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    first = by_name(team.ok("deploy", "--alias", "live", "--smoke", "--json").json)
    assert {each["version"] for each in first.values()} == {"1"}
    assert set(lambdas.invoked) == {("one", "1"), ("two", "1")}
    assert lambdas.runs("one", "live") == first["one"]["digest"]
    assert {
        each["status"] for each in by_name(team.ok("deploy", "--alias", "live", "--json").json).values()
    } == {"skipped"}

    edit(team)
    team.ok("build-all", "--push")
    lambdas.answers["two"] = "it does not work"
    failed = team.fails(8, "deploy", "--alias", "live", "--smoke", "--json")
    assert "version 2 of two does not answer its event: Unhandled" in failed.told
    assert "it does not work" in failed.told
    assert lambdas.runs("one", "live") == lambdas.runs("two", "live") == first["one"]["digest"]
    for name in ("one", "two"):
        assert not lambdas._functions[name].aliases["live"]["RoutingConfig"].get("AdditionalVersionWeights")
    assert lambdas.runs("one") != first["one"]["digest"]


def test_aliases_are_put_back_when_one_does_not_move(team: Repo, lambdas: LambdaDouble) -> None:
    first = by_name(team.ok("deploy", "--alias", "live", "--json").json)
    edit(team)
    team.ok("build-all", "--push")
    lambdas.frozen.add("two")

    failed = team.fails(8, "deploy", "--alias", "live", "--json")

    assert "live is put back for one" in failed.told
    assert lambdas.runs("one", "live") == lambdas.runs("two", "live") == first["one"]["digest"]


@pytest.mark.parametrize("more", [(), ("--canary", "10%:1h")], ids=["at once", "canary"])
def test_aliases_are_put_back_when_the_command_is_stopped(
    team: Repo, lambdas: LambdaDouble, more: tuple[str, ...]
) -> None:
    first = by_name(team.ok("deploy", "--alias", "live", "--json").json)
    edit(team)
    team.ok("build-all", "--push")
    asked: list[str] = []

    with team.running("deploy", "--alias", "live", *more) as child:

        def stop_at_the_second(function: str) -> None:
            asked.append(function)
            if asked == ["one", "two"]:
                child.send_signal(signal.SIGINT)
                time.sleep(1)  # it is moved all the same, when nobody waits for the answer any more

        lambdas.moving = stop_at_the_second
        stdout, stderr = child.communicate(timeout=60)

    assert child.returncode == 130, stderr
    assert "live is put back for one, two" in stdout
    assert lambdas.runs("one", "live") == lambdas.runs("two", "live") == first["one"]["digest"]
    for name in ("one", "two"):
        assert not lambdas._functions[name].aliases["live"]["RoutingConfig"].get("AdditionalVersionWeights")
    assert lambdas.runs("one") != first["one"]["digest"]


def test_status_compares_functions_with_the_worktree(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    before = by_name(team.ok("status", "--json").json)
    assert before["one"]["verdict"] == "stale: an image that the registry does not know"
    team.fails(7, "status", "--check")

    team.ok("deploy", "--alias", "live")
    assert "everything that gets calls is live" in team.ok("status", "--check").stdout
    tag = by_name(team.ok("status", "--json").json)["one"]["tag"]
    edit(team)
    assert {each["verdict"] for each in team.ok("status", "--json").json["functions"]} == {"not pushed"}
    team.ok("build-all", "--push")
    team.ok("deploy", "--image", "lambda-tiny")
    rows = [each for each in team.ok("status", "--json").json["functions"] if each["function"] == "one"]
    assert {each["at"]: (each["verdict"], each["counts"]) for each in rows} == {
        "live = 1": (f"stale: {tag}", True),
        "$LATEST": ("live", False),
        "1": (f"stale: {tag}", False),
    }
    team.fails(7, "status", "--check")

    team.ok("deploy", "--publish")
    front.calls.clear()
    assert "2" not in {each["at"] for each in team.ok("status", "--json").json["functions"]}
    assert front.calls.count("GetFunction") == 4  # of each function what is latest, and what the alias names
    assert "ListVersionsByFunction" not in front.calls
    assert "2" in {each["at"] for each in team.ok("status", "--all", "--json").json["functions"]}


def test_all_obstacles_are_reported_at_once(team: Repo, front: AwsFront, lambdas: LambdaDouble) -> None:
    other = {"x86_64": "arm64", "arm64": "x86_64"}[ARCHITECTURES[native_platform()]]
    create(front, "one", Architectures=[other])
    create(front, "two", PackageType="Zip", Code={"ZipFile": b"zip"})
    team.write("pyproject.toml", FUNCTIONS.replace('"one",', '"one", "three",'))

    done = team.fails(8, "deploy", "--json")

    assert f"the function one is for {other}, the image for {ARCHITECTURES[native_platform()]}" in done.told
    assert "the function two is made of a zip file" in done.told
    assert "there is no function three" in done.told
    verdicts = {name: each["verdict"] for name, each in by_name(team.ok("status", "--json").json).items()}
    assert (verdicts["two"], verdicts["three"]) == ("a zip file", "no function")


@pytest.mark.parametrize(
    ("operation", "fault", "told"),
    [
        (
            "UpdateFunctionCode",
            Fault(
                code="AccessDeniedException",
                message="User: x is not authorized to perform: lambda:UpdateFunctionCode on resource: one",
                status=403,
            ),
            "not allowed: lambda:UpdateFunctionCode on one",
        ),
        (
            "GetFunction",
            Fault(code="TooManyRequestsException", message="Rate exceeded", status=429),
            "AWS throttles this account's requests",
        ),
    ],
)
def test_refusals_of_lambda_name_the_next_step(
    team: Repo, front: AwsFront, operation: str, fault: Fault, told: str
) -> None:
    team.write("pyproject.toml", FUNCTIONS.replace(', { name = "two", command = ["handler.other"] }', ""))
    front.play(operation, fault, times=5)

    done = team.fails(8, "deploy", "--json")

    assert told in done.told
    assert "next: " in done.told


def test_an_image_that_was_deleted_under_a_function_is_put_there_again(
    team: Repo, lambdas: LambdaDouble
) -> None:
    team.ok("deploy")
    lambdas.lose_image("one")
    assert "failed: ImageDeleted" in by_name(team.ok("status", "--json").json)["one"]["verdict"]

    done = by_name(team.ok("deploy", "--json").json)

    assert (done["one"]["status"], done["two"]["status"]) == ("updated", "skipped")
    team.ok("status", "--check")


def test_an_alias_moves_to_a_version_once_its_snapshot_is_made(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    team.write("pyproject.toml", FUNCTIONS.replace("functions", "snap-start = true\nfunctions", 1))
    lambdas.unsnappable = "Runtime.ExitError: neither a label nor /restore/next"
    failed = team.fails(8, "deploy", "--alias", "live")
    assert "the update of one failed: Runtime.ExitError: neither a label nor /restore/next" in failed.text
    assert front.client("lambda").list_aliases(FunctionName="one")["Aliases"] == []
    lambdas.unsnappable = ""
    team.append("src/handler.py", "# can be snapped\n")
    team.ok("build-all", "--push")

    team.ok("deploy", "--alias", "live")

    version = front.client("lambda").get_function(FunctionName="one", Qualifier="live")["Configuration"]
    assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    again = by_name(team.ok("deploy", "--alias", "live", "--json").json)
    assert {each["status"] for each in again.values()} == {"skipped"}


def test_settings_that_exclude_snapshots_stop_a_deployment(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    team.write("pyproject.toml", FUNCTIONS.replace("functions", "snap-start = true\nfunctions", 1))
    noted = team.ok("deploy")
    assert "lambda-tiny has snap-start, but Lambda makes snapshots of published versions only" in noted.text
    team.ok("deploy", "--alias", "live")
    lambdas.provision("one", "live")
    create(front, "two", EphemeralStorage={"Size": 1024})
    front.calls.clear()

    refused = team.fails(8, "deploy", "--alias", "live").text

    assert "the alias live of one has provisioned concurrency, which excludes SnapStart" in refused
    assert "two has 1024 MB of /tmp" in refused
    assert not [call for call in front.calls if call.startswith(("Update", "Publish"))]


def test_without_functions_or_credentials_nothing_is_asked(ecr: Repo) -> None:
    assert "no function is declared for any image" in ecr.fails(3, "deploy").text
    ecr.write("pyproject.toml", FUNCTIONS)
    assert (
        "there are no AWS credentials"
        in ecr.fails(5, "deploy", env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}).text
    )
    local = ecr.fails(5, "status", env={"LAMINA_REGISTRY": "local"})
    assert "no registry is configured" in local.text


def test_a_stack_in_another_account_is_not_touched(team: Repo, front: AwsFront) -> None:
    team.write(
        "pyproject.toml", f'{FUNCTIONS}\n[tool.lamina.stacks.{stack_of(team)}]\naccount = "999999999999"\n'
    )

    for command in (("deploy",), ("deploy", "--dry-run"), ("status",)):
        done = team.fails(8, *command)
        assert "the credentials are of account 123456789012" in done.text
        assert "999999999999" in done.text
    assert not front.calls  # STS is not counted


def test_a_stack_with_approval_is_deployed_only_by_its_name(team: Repo, lambdas: LambdaDouble) -> None:
    stack = stack_of(team)
    team.write(
        "pyproject.toml", f"{FUNCTIONS}\n[tool.lamina.stacks.{stack}]\napproval = true\nalias = 'live'\n"
    )

    assert f"only with --approve {stack}" in team.fails(2, "deploy").text
    assert lambdas.runs("one") == OLD
    team.ok("deploy", "--dry-run")
    done = by_name(team.ok("deploy", "--approve", stack, "--json").json)
    assert lambdas.runs("one", "live") == done["one"]["digest"]


def test_a_rollback_returns_all_that_the_last_deployment_moved(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    first = by_name(team.ok("deploy", "--alias", "live", "--json").json)["one"]["digest"]
    edit(team)
    team.ok("build-all", "--push")
    done = team.ok("deploy", "--alias", "live", "--json").json
    second = by_name(done)["one"]["digest"]
    shutil.rmtree(team.root / ".lamina/deploys")  # another machine has no records: the versions say it

    planned = by_name(team.ok("deploy", "--rollback", "--alias", "live", "--dry-run", "--json").json)
    assert planned["one"]["reasons"] == ["returns from version 2 to 1"]
    assert lambdas.runs("one", "live") == second

    back = by_name(team.ok("deploy", "--rollback", "--alias", "live", "--json").json)
    assert {each["status"] for each in back.values()} == {"pointed"}
    assert {lambdas.runs(name, "live") for name in ("one", "two")} == {first}
    assert not team.ok("deploy", "--rollback", "--alias", "live", "--to", done["run"], "--json").told
    assert {lambdas.runs(name, "live") for name in ("one", "two")} == {second}
    team.ok("deploy", "--rollback", "--alias", "live", "--to", first)
    assert {lambdas.runs(name, "live") for name in ("one", "two")} == {first}

    assert "and 2 are selected" in team.fails(2, "deploy", "--rollback", "--alias", "live", "--to", "2").text
    assert "nothing to roll back" in team.fails(3, "deploy", "--rollback", "--alias", "live").text
    team.write("src/handler.py", "not python at all (")  # the worktree does not matter
    assert "no function ran sha-" in team.fails(3, "deploy", "--rollback", "--to", "sha-0123456789ab").text


def test_a_canary_is_judged_by_alarms_and_shifts_or_returns(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    canary = ("--canary", "10%:1s", "--alarm", "too many errors")
    assert "calls can only be shared by an alias" in team.fails(2, "deploy", *canary).text
    assert "--canary has no meaning with --rollback" in team.fails(2, "deploy", "--rollback", *canary).text
    team.ok("deploy", "--alias", "live")
    edit(team)
    team.ok("build-all", "--push")
    assert "there is no alarm too many errors" in team.fails(8, "deploy", "--alias", "live", *canary).text
    watch = front.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName="too many errors", MetricName="Errors", Namespace="AWS/Lambda", Period=60,
        EvaluationPeriods=1, Statistic="Sum", Threshold=1.0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    watch.set_alarm_state(AlarmName="too many errors", StateValue="ALARM", StateReason="7 errors")
    before = lambdas.runs("one")
    assert "is in ALARM: 7 errors" in team.fails(8, "deploy", "--alias", "live", *canary).text
    assert lambdas.runs("one") == lambdas.runs("one", "live") == before
    watch.set_alarm_state(AlarmName="too many errors", StateValue="OK", StateReason="fine")

    def ring(name: str) -> None:
        watch.set_alarm_state(AlarmName="too many errors", StateValue="ALARM", StateReason="8 errors")

    lambdas.moving = ring
    done = team.fails(8, "deploy", "--alias", "live", *canary, "--json")
    returned = done.json
    assert returned["canary"]["outcome"] == "returned"
    assert [each["weight"] for each in returned["canary"]["history"]] == [0.1, 0]
    assert "is in ALARM: 8 errors" in done.text
    assert {each["status"] for each in returned["functions"]} == {"returned"}

    lambdas.moving = lambda name: None
    watch.set_alarm_state(AlarmName="too many errors", StateValue="OK", StateReason="fine")
    shifted = team.ok("deploy", "--alias", "live", *canary, "--json").json
    assert shifted["canary"]["outcome"] == "shifted"
    assert lambdas.runs("one", "live") == by_name(shifted)["one"]["digest"]
    record = json.loads((team.root / f".lamina/deploys/{shifted['run']}.json").read_text())
    assert record["canary"] == {"shift": "canary 10%:1s", "outcome": "shifted"}

    front.client("lambda").update_alias(
        FunctionName="one",
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
        Description="",
    )
    told = team.ok("status").text
    assert "live of one (version 1) sends 10% of its calls to version 2: the canary of run" in told


def test_a_rollback_without_an_alias_follows_the_records(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    digests = []
    for _ in range(2):
        edit(team)
        team.ok("build-all", "--push")
        digests.append(by_name(team.ok("deploy", "--json").json)["two"]["digest"])

    assert lambdas.runs("two") == digests[1]
    team.ok("deploy", "--rollback")
    assert {lambdas.runs(name) for name in ("one", "two")} == {digests[0]}
    team.ok("deploy", "--rollback", "--to", digests[1])
    assert {lambdas.runs(name) for name in ("one", "two")} == {digests[1]}
    settings = front.client("lambda").get_function(FunctionName="two")["Configuration"]
    assert settings["ImageConfigResponse"]["ImageConfig"]["Command"] == ["handler.other"]
    kept = sorted((team.root / ".lamina/deploys").iterdir())
    assert len(kept) == 4
    assert all('"caller": "arn:' in each.read_text() for each in kept)


def test_a_promotion_that_is_denied_at_a_step_is_done_by_the_next_one(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    dev, prod = stack_of(team), f"q{stack_of(team)}"
    create(front, "one-prod")
    team.write(
        "pyproject.toml",
        "[tool.lamina.images.lambda-tiny]\nfunctions = ['one']\n"
        f"[tool.lamina.stacks.{dev}]\n[tool.lamina.stacks.{prod}]\nalias = 'live'\ncanary = '20%:1s'\n"
        "images.lambda-tiny.functions = ['one-prod']\n",
    )
    team.ok("build-all", "--push")
    team.ok("ecr.setup", "--stack", prod)

    def promoted(*operations: str) -> str:
        """Promote what dev runs, each operation denied once before."""
        team.ok("deploy")
        before = lambdas._functions["one-prod"].aliases.get("live")
        for operation in operations:
            front.play(operation, Fault(code="AccessDeniedException", message="no", status=403), times=9)
            told = team.fails(8, "promote", dev, prod).text
            front.forgive()
            assert f"not allowed: lambda:{operation} on one-prod" in told
            now = lambdas._functions["one-prod"].aliases.get("live")
            assert now is before or (now and before and now["FunctionVersion"] == before["FunctionVersion"])
        return str(team.ok("promote", dev, prod, "--json").json["canary"]["outcome"])

    assert promoted("UpdateFunctionCode", "PublishVersion", "CreateAlias") == "None"
    edit(team)
    team.ok("build-all", "--push")
    assert promoted("UpdateAlias") == "shifted"
    assert lambdas.runs("one-prod", "live") == lambdas.runs("one")


def test_a_stack_gets_what_another_one_runs(
    team: Repo, front: AwsFront, lambdas: LambdaDouble, served: Served
) -> None:
    dev, prod = stack_of(team), f"p{stack_of(team)}"
    for name in ("one-prod", "two-prod"):
        create(front, name)
    team.write(
        "pyproject.toml",
        f"{FUNCTIONS}\n[tool.lamina.stacks.{dev}]\n[tool.lamina.stacks.{prod}]\nalias = 'live'\n"
        "approval = true\nimages.lambda-tiny.functions = ['one-prod', "
        "{ name = 'two-prod', command = ['handler.other'] }]\n",
    )
    edit(team)
    team.ok("build-all", "--push")
    digest = by_name(team.ok("deploy", "--json").json)["one"]["digest"]
    edit(team)  # what the worktree has now is not what dev runs

    assert f"only with --approve {prod}" in team.fails(2, "promote", dev, prod).text
    refused = team.fails(5, "promote", dev, prod, "--approve", prod)
    assert f"there is no repository lambda-tiny-{prod}" in refused.text
    assert f"{dev} is both stacks" in team.fails(2, "promote", dev, dev).text
    team.ok("ecr.setup", "--stack", prod)
    planned = team.ok("promote", dev, prod, "--dry-run", "--json").json
    assert {each["status"] for each in planned["functions"]} == {"planned"}
    assert lambdas.runs("one-prod") == OLD

    done = team.ok("promote", dev, prod, "--approve", prod, "--json").json
    (image,) = done["images"]
    assert (image["name"], image["digest"]) == ("lambda-tiny", digest)
    assert served.digest(f"lambda-tiny-{prod}", image["to"].rpartition(":")[2]) == digest
    assert {lambdas.runs(name, "live") for name in ("one-prod", "two-prod")} == {digest}
    again = team.ok("promote", dev, prod, "--approve", prod, "--json").json
    assert {each["status"] for each in again["functions"]} == {"skipped"}

    manifest, kind, _ = served.manifest(image["to"])
    tag = image["to"].rpartition(":")[2]
    served.put(f"lambda-tiny-{prod}", tag, kind, {**manifest, "annotations": {"of": "another build"}})
    other = served.digest(f"lambda-tiny-{prod}", tag)
    assert served.storage is not None
    kept = served.storage / f"docker/registry/v2/repositories/lambda-tiny-{prod}/_manifests/revisions/sha256"
    shutil.rmtree(kept / digest.removeprefix("sha256:"))
    assert "names another build of the same content" in team.ok("promote", dev, prod, "--dry-run").text
    assert not served.has(f"{served.address}/lambda-tiny-{prod}@{digest}")
    team.ok("promote", dev, prod, "--approve", prod)
    assert served.has(f"{served.address}/lambda-tiny-{prod}@{digest}")
    assert served.digest(f"lambda-tiny-{prod}", tag) == other

    seen = team.ok("status", "--stacks", "--check", "--json").json
    assert {(each["stack"], row["digest"]) for each in seen["stacks"] for row in each["functions"]} == {
        (dev, digest),
        (prod, digest),
    }
    lambdas._functions["two"].versions["$LATEST"] = (
        lambdas._functions["two"].versions["$LATEST"].__class__(uri=f"registry.invalid/old@{OLD}")
    )
    team.fails(7, "status", "--stacks", "--check")
    assert "do not run one image: one:$LATEST" in team.fails(8, "promote", dev, prod, "--approve", prod).text


def test_all_that_prevents_a_deployment_is_told_at_once(
    team: Repo, front: AwsFront, lambdas: LambdaDouble
) -> None:
    other = "arm64" if ARCHITECTURES[native_platform()] == "x86_64" else "x86_64"
    create(front, "three", Architectures=[other])
    lambdas.put("four", latest="")
    team.write("pyproject.toml", FUNCTIONS.replace('"one", ', '"one", "three", "four", "five", '))

    done = team.fails(8, "deploy", "--alias", "live", "--json")

    assert "there is no function five" in done.told
    assert "the function four is made of a zip file" in done.told
    assert f"the function three is for {other}" in done.told
    assert lambdas.runs("one") == OLD
