"""Builds on CodeBuild: the buildspec really runs, and gives the same images as a local build."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from doubles.aws_front import THROTTLED, AwsFront, Fault
from doubles.codebuild import CodeBuildDouble
from doubles.ecr import EcrDouble
from doubles.served import PASSWORD, USER, Served, assert_secret_nowhere, stack_of
from projects import Repo, wait_for

from lamina.declare.machine import native_platform
from lamina.identify.fingerprint import FINGERPRINT_KEY
from lamina.process import SubprocessRunner
from lamina.sandbox import running

pytestmark = pytest.mark.engine

ALL = {"base-dynamo", "base-label", "lambda-tiny"}
NATIVE = native_platform().removeprefix("linux/")
PROJECT = f"lamina-{NATIVE}"
BUCKET = "lamina-sources"
ROLE = "arn:aws:iam::123456789012:role/lamina-codebuild"
CONFIG = f"""\
[tool.lamina.codebuild]
bucket = "{BUCKET}"
role = "{ROLE}"
"""
AWS_KEY = "arn:aws:kms:eu-west-1:123456789012:alias/aws/s3"
"""What CodeBuild encrypts with if no key is set."""
NO_ENGINE = "tests-none"
"""The name of an engine that is never started: a remote build needs no local one."""


@pytest.fixture(scope="module")
def machines(engine: TestEngine) -> Iterator[CodeBuildDouble]:
    """The machines of CodeBuild: they build with the tests' engine."""
    double = CodeBuildDouble(engine=engine.host, docker=engine.docker, buildx=engine.buildx[0])
    yield double
    double.close()


@pytest.fixture(scope="module")
def front(served: Served, machines: CodeBuildDouble) -> Iterator[AwsFront]:
    """An AWS account with that registry and those machines."""
    ecr = EcrDouble(endpoint=f"http://{served.address}", user=USER, password=PASSWORD)
    with AwsFront(doubles=(ecr, machines)) as running:
        machines.front = running
        yield running


@pytest.fixture
def bare(ecr: Repo, machines: CodeBuildDouble) -> Repo:
    """The tiny repository, configured for CodeBuild, in an account in which nothing is set up."""
    ecr.write("pyproject.toml", CONFIG)
    ecr.env["LAMINA_ENGINE"] = NO_ENGINE
    machines.requests.clear()
    machines.sources.clear()
    machines.before = machines.after = None
    return ecr


@pytest.fixture
def away(bare: Repo) -> Repo:
    """The same, set up."""
    bare.ok("codebuild.setup")
    return bare


def operations(machines: CodeBuildDouble) -> list[str]:
    return [name for name, _ in machines.requests if name.startswith(("Start", "Stop", "Update", "Create"))]


def build(repo: Repo, *words: str, **more: Any) -> Any:
    return repo.ok("codebuild.build", "--create", "--json", *words, **more)


def bake_of(source: dict[str, bytes], number: int) -> dict[str, Any]:
    return dict(json.loads(source[f"bake-{number}.json"])["target"])


def write_shell(repo: Repo) -> None:
    """A shell and its libraries, to be copied into an image FROM scratch."""
    shell = Path("/bin/sh").resolve()
    linked = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    for file in (shell, *map(Path, re.findall(r"(?:=> |\t)(/\S+)", linked))):
        place = repo.root / "shell" / ("bin/sh" if file == shell else str(file)[1:])
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)


def test_a_missing_setup_is_reported_with_the_command(
    bare: Repo, machines: CodeBuildDouble, front: AwsFront
) -> None:
    machines.projects.clear()
    done = bare.fails(8, "codebuild.build", "--create", "--json")
    assert f"there is no bucket {BUCKET}" in done.told
    assert "run: python -m lamina codebuild.setup" in done.told

    front.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    done = bare.fails(8, "codebuild.build", "--create", "--json")
    assert f"there is no CodeBuild project {PROJECT}" in done.told
    assert "run: python -m lamina codebuild.setup" in done.told
    assert bare.recorded == {}
    assert bare.ok("report", "--json").json["ok"] is True


def test_a_bucket_in_another_region_is_refused_before_an_upload(
    bare: Repo, machines: CodeBuildDouble, front: AwsFront
) -> None:
    front.client("s3", "us-east-1").create_bucket(Bucket="far-away")
    bare.write("pyproject.toml", CONFIG.replace(BUCKET, "far-away"))

    for command in (("codebuild.setup",), ("codebuild.build", "--create")):
        done = bare.fails(2, *command)
        assert "the bucket far-away is in us-east-1, and builds run in eu-west-1" in done.text
        assert 'next: name another bucket, or let builds run there: region = "us-east-1"' in done.text
    assert not operations(machines)
    assert "Contents" not in front.client("s3").list_objects_v2(Bucket="far-away")


def test_the_setup_is_previewed_made_once_and_repaired(
    bare: Repo, machines: CodeBuildDouble, front: AwsFront
) -> None:
    machines.projects.clear()
    s3 = front.client("s3")
    bare.replace("pyproject.toml", BUCKET, "another-bucket")
    bare.replace("pyproject.toml", f'role = "{ROLE}"\n', "")
    asked = bare.fails(2, "codebuild.setup")
    assert "[tool.lamina.codebuild] role" in asked.text
    assert "[tool.lamina.codebuild] role" in bare.fails(2, "codebuild.setup", "--format", "cdk").text
    assert operations(machines) == []

    dry = bare.ok("codebuild.setup", "--dry-run")
    assert "bucket another-bucket" in dry.stdout
    assert f"project {PROJECT}" in dry.stdout
    assert '"Action": [\n        "s3:GetObject",' in dry.stdout
    assert operations(machines) == []

    bare.append("pyproject.toml", f'role = "{ROLE}"\n')
    made = bare.ok("codebuild.setup", "--json").json
    assert {each["what"] for each in made["changes"]} == {"bucket another-bucket", f"project {PROJECT}"}
    assert machines.projects[PROJECT]["environment"]["privilegedMode"] is True
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket="another-bucket")["Rules"]
    assert rule["Expiration"] == {"Days": 30}

    again = bare.ok("codebuild.setup")
    assert "nothing to change" in again.stdout
    assert operations(machines) == ["CreateProject"]

    machines.projects[PROJECT]["environment"]["computeType"] = "BUILD_GENERAL1_SMALL"
    machines.projects[PROJECT]["tags"] = [{"key": "team", "value": "receipts"}]
    other = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket="another-bucket", LifecycleConfiguration={"Rules": [other]})
    drift = bare.ok("codebuild.setup", "--json").json["changes"]
    assert ("environment.computeType", "BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_LARGE") in {
        (each["setting"], each["before"], each["after"]) for each in drift
    }
    rules = s3.get_bucket_lifecycle_configuration(Bucket="another-bucket")["Rules"]
    assert {each["ID"] for each in rules} == {"theirs", "lamina"}
    assert machines.projects[PROJECT]["tags"] == [{"key": "team", "value": "receipts"}]
    assert bare.ok("codebuild.setup", "--json").json["changes"] == []


def test_the_formats_describe_exactly_what_the_setup_makes(
    bare: Repo, machines: CodeBuildDouble, front: AwsFront
) -> None:
    machines.projects.clear()
    s3, keys, bucket = front.client("s3"), front.client("kms"), "described-bucket"
    key = keys.create_key()["KeyMetadata"]["Arn"]
    keys.create_alias(AliasName="alias/builds", TargetKeyId=key)
    bare.replace("pyproject.toml", BUCKET, bucket)
    bare.append("pyproject.toml", 'kms-key = "alias/builds"\ntags = { team = "data", stage = "dev" }\n')
    tags = {"team": "data", "stage": "dev"}

    template = json.loads(bare.ok("codebuild.setup", "--format", "cloudformation").stdout)
    terraform = json.loads(bare.ok("codebuild.setup", "--format", "terraform").stdout)["resource"]
    compile(bare.ok("codebuild.setup", "--format", "cdk").stdout, "cdk.py", "exec")
    assert operations(machines) == []
    assert bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}
    bare.ok("codebuild.setup")
    assert bare.ok("codebuild.setup", "--json").json["changes"] == []

    described = {each["Type"]: each["Properties"] for each in template["Resources"].values()}
    assert described.keys() == {"AWS::S3::Bucket", "AWS::CodeBuild::Project"}
    assert len(template["Resources"]) == 2
    assert described["AWS::S3::Bucket"] == bucket_in_cloudformation(s3, bucket)
    (project,) = machines.projects.values()
    made = {each: project[each] for each in project if each not in {"arn", "created", "badge"}}
    assert lowered(described["AWS::CodeBuild::Project"]) == lowered(made)
    assert made["encryptionKey"] == key
    assert {each["key"]: each["value"] for each in made["tags"]} == tags

    (found,) = terraform["aws_codebuild_project"].values()
    assert (found["name"], found["encryption_key"], found["tags"]) == (PROJECT, key, tags)
    assert found["environment"]["image"] == made["environment"]["image"]
    (found,) = terraform["aws_s3_bucket"].values()
    assert found == {"bucket": bucket, "tags": tags}

    # What others set stays; what drifted is told and put right.
    theirs = {"Key": "owner", "Value": "them"}
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [theirs, {"Key": "team", "Value": "x"}]})
    s3.delete_bucket_encryption(Bucket=bucket)
    project["tags"] = [{"key": "owner", "value": "them"}]
    project["encryptionKey"] = AWS_KEY
    told = bare.ok("codebuild.setup", "--json").json["changes"]
    assert {(each["what"].split()[0], each["setting"], each["before"]) for each in told} == {
        ("bucket", "KMS key", None),
        ("bucket", "tags", "team=x"),
        ("project", "encryptionKey", AWS_KEY),
        ("project", "tags", None),
    }
    assert {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]} == {
        **tags,
        "owner": "them",
    }
    assert {each["key"]: each["value"] for each in machines.projects[PROJECT]["tags"]} == {
        **tags,
        "owner": "them",
    }
    assert bare.ok("codebuild.setup", "--json").json["changes"] == []


def bucket_in_cloudformation(s3: Any, bucket: str) -> dict[str, Any]:
    """A bucket of S3's API as CloudFormation has it."""
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    (by,) = encryption["Rules"]
    return {
        "BucketName": bucket,
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": rule["ID"],
                    "Status": rule["Status"],
                    "Prefix": rule["Filter"]["Prefix"],
                    "ExpirationInDays": rule["Expiration"]["Days"],
                    "AbortIncompleteMultipartUpload": rule["AbortIncompleteMultipartUpload"],
                }
            ]
        },
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    "BucketKeyEnabled": by["BucketKeyEnabled"],
                    "ServerSideEncryptionByDefault": by["ApplyServerSideEncryptionByDefault"],
                }
            ]
        },
        "Tags": s3.get_bucket_tagging(Bucket=bucket)["TagSet"],
    }


def lowered(value: Any) -> Any:
    """A value with its keys in small letters, in which CloudFormation and CodeBuild's API are the same."""
    if isinstance(value, dict):
        return {key.lower(): lowered(each) for key, each in value.items()}
    return [lowered(each) for each in value] if isinstance(value, list) else value


def test_codebuild_gives_the_same_digests_as_a_local_build(
    away: Repo, machines: CodeBuildDouble, served: Served, empty_engine: str, tmp_path: Path
) -> None:
    done = build(away, "--reproducible")
    assert set(done.built) == ALL
    assert running.status(SubprocessRunner(), NO_ENGINE) is None
    for image in away.manifest["images"]:
        assert served.manifest(image["ref"])[2] == image["digest"] == done.images("digest")[image["image"]]

    # One machine, a call of bake for each layer of the graph; a base is taken by the digest of its tag.
    assert operations(machines).count("StartBuild") == 1
    (source,) = machines.sources
    assert {name for name in source if name.startswith("bake")} == {f"bake-{at}.json" for at in (1, 2, 3)}
    base = bake_of(source, 2)["base-label"]["contexts"]["base-dynamo:stable"]
    assert base.endswith("@${LAMINA_BASE_1}")
    events = sorted(file.name for file in newest_run(away).glob("events-*.jsonl"))
    assert events == [f"events-{at}.jsonl" for at in (1, 2, 3)]
    run = json.loads((newest_run(away) / "run.json").read_text())
    assert (run["command"], run["ok"]) == ("codebuild.build", True)
    assert "COPY --link src/handler.py /var/task/" in away.ok("report").stdout

    other = away.clone(tmp_path / "second" / "clone", LAMINA_ENGINE=empty_engine, LAMINA_STACK="other")
    local = other.ok("build-all", "--push", "--create", "--reproducible", "--json")
    assert set(local.built) == ALL
    for key in ("fingerprint", "tag", "digest"):
        assert local.images(key) == done.images(key)

    again = build(away)
    assert set(again.images().values()) == {"skipped"}
    assert operations(machines).count("StartBuild") == 1


def newest_run(repo: Repo) -> Path:
    return max((repo.root / ".lamina/runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)


def test_an_edit_sends_its_own_context_and_no_secret(
    away: Repo, machines: CodeBuildDouble, front: AwsFront, served: Served
) -> None:
    build(away)
    away.env["LAMINA_APPEND"] = "never"  # else no machine is started
    away.append("src/handler.py", "# edited\n")
    away.write("src/not-copied.py", "nobody = True\n")
    edited = away.run("codebuild.build", "--follow")
    assert edited.code == 0, edited.text
    assert f"{PROJECT}: BUILD SUCCEEDED" in edited.stdout
    assert "lambda-tiny: [" in edited.stdout
    assert "Login Succeeded" in edited.stdout
    first, second = machines.sources
    target = bake_of(second, 1)
    assert set(bake_of(first, 1)) == ALL
    assert set(target) == {"lambda-tiny"}
    assert target["lambda-tiny"]["context"] == "contexts/lambda-tiny/context"
    assert b"nobody = True" not in second["contexts.tar"]
    assert str(away.root).encode() not in b"".join(second.values())
    assert_secret_nowhere(away, edited.text)
    s3 = front.client("s3")
    for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        assert PASSWORD.encode() not in s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()

    # The same source is sent once: the answer to the first start is lost, and the second start is the same.
    (away.root / ".lamina/manifest.json").unlink()
    uploads = len(s3.list_objects_v2(Bucket=BUCKET, Prefix="lamina/sources/")["Contents"])
    machines.losing.append("StartBuild")
    forced = build(away, "--image", "lambda-tiny", "--force")
    assert forced.built == ["lambda-tiny"]
    tokens = [body["idempotencyToken"] for name, body in machines.requests if name == "StartBuild"]
    assert len(tokens) == 4
    assert len(set(tokens)) == 3
    assert len(machines.sources) == 3
    assert len(s3.list_objects_v2(Bucket=BUCKET, Prefix="lamina/sources/")["Contents"]) == uploads


def test_a_failed_build_is_reported_like_a_local_one(
    away: Repo, machines: CodeBuildDouble, served: Served
) -> None:
    write_shell(away)
    away.write(
        "dockerfiles/lambda-bad/Dockerfile",
        "FROM base-label:stable\nCOPY shell/ /\nRUN echo looking for it; exit 5\n",
    )
    failed = away.fails(1, "codebuild.build", "--create", "--json")
    assert "dockerfiles/lambda-bad/Dockerfile:3: lambda-bad failed at" in failed.told
    assert "| looking for it" in failed.told
    assert "exit code: 5" in failed.told
    assert failed.images()["lambda-bad"] == "failed"
    assert set(failed.images().values()) == {"failed", "cancelled"}
    assert away.recorded == {}
    assert "lambda-bad" in away.ok("report").stdout

    away.replace("dockerfiles/lambda-bad/Dockerfile", "exit 5", "exit 0")
    mended = build(away)
    assert mended.images()["lambda-bad"] == "built"
    assert set(away.recorded) == {*ALL, "lambda-bad"}
    assert served.digest(f"lambda-bad-{stack_of(away)}", f"cache-main-{NATIVE}") is not None


def test_a_failed_setup_phase_is_reported_with_its_log(away: Repo, machines: CodeBuildDouble) -> None:
    machines.before = lambda source: (source / "contexts.tar").unlink()
    failed = away.fails(1, "codebuild.build", "--create", "--json")
    assert "PRE_BUILD: COMMAND_EXECUTION_ERROR: Error while executing command: tar" in failed.told
    assert "| tar: contexts.tar: Cannot open: No such file or directory" in failed.told
    assert "its log: https://logs.example/" in failed.told
    assert away.recorded == {}


def test_a_build_that_takes_too_long_is_a_failure(away: Repo, machines: CodeBuildDouble) -> None:
    machines.fate.append("TIMED_OUT")
    failed = away.fails(1, "codebuild.build", "--create", "--timeout", "7", "--json")
    assert "took longer than 7 minutes" in failed.told
    (start,) = (body for name, body in machines.requests if name == "StartBuild")
    assert start["timeoutInMinutesOverride"] == 7
    assert f"CodeBuild project {PROJECT}" in failed.told
    assert set(failed.images().values()) == {"cancelled"}
    assert away.recorded == {}


@pytest.mark.nightly
def test_an_image_the_registry_does_not_confirm_is_not_recorded(
    away: Repo, machines: CodeBuildDouble, served: Served
) -> None:
    repository, tag = f"lambda-tiny-{stack_of(away)}", away.ok("tag", "--json").images("tag")["lambda-tiny"]

    def overwrite(_: Path) -> None:
        manifest, media_type, _ = served.manifest(f"{served.address}/{repository}:{tag}")
        manifest["annotations"][FINGERPRINT_KEY] = f"sha256:{'0' * 64}"
        served.put(repository, tag, media_type, manifest)

    machines.after = overwrite
    failed = away.fails(1, "codebuild.build", "--create", "--json")
    assert f"does not confirm {served.address}/{repository}:{tag}: announced sha256:" in failed.told
    assert failed.images()["lambda-tiny"] == "failed"
    assert set(away.recorded) == {"base-dynamo", "base-label"}


@pytest.mark.nightly
def test_a_build_can_be_started_without_waiting(away: Repo, machines: CodeBuildDouble) -> None:
    done = build(away, "--no-wait")
    assert set(done.images().values()) == {"started"}
    (name,) = done.json["builds"]
    assert away.recorded == {}
    wait_for("the build", lambda: not machines.builds[name].running)
    assert machines.builds[name].document["buildStatus"] == "SUCCEEDED"
    later = build(away)
    assert set(later.images().values()) == {"skipped"}
    assert set(away.recorded) == ALL


@pytest.fixture
def held(machines: CodeBuildDouble) -> Iterator[threading.Event]:
    """Set once a build has begun; none goes on before the test is over."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Path) -> None:
        begun.set()
        go_on.wait(60)

    machines.before = hold
    yield begun
    go_on.set()
    for each in machines.builds.values():
        if each.thread is not None:
            each.thread.join(60)
    machines.before = None


@pytest.mark.nightly
def test_stopping_the_command_stops_the_build(
    away: Repo, machines: CodeBuildDouble, held: threading.Event
) -> None:
    with away.running("codebuild.build", "--create") as child:
        assert held.wait(60)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert f"stopped {PROJECT}:" in stdout
    assert operations(machines)[-1] == "StopBuild"
    assert away.recorded == {}
    machines.before = None
    assert set(build(away).built) == ALL


@pytest.mark.parametrize(
    ("keys", "stopped"),
    [
        pytest.param("n\r", False, marks=pytest.mark.nightly),
        pytest.param("y\r", True, marks=pytest.mark.nightly),
        ("\r", True),
    ],
)
def test_ctrl_c_at_a_terminal_asks_whether_to_stop_the_build(
    away: Repo, machines: CodeBuildDouble, held: threading.Event, keys: str, stopped: bool
) -> None:
    with away.at_terminal("codebuild.build", "--create") as terminal:
        assert held.wait(60)
        terminal.type("\x03")
        terminal.shows(f"stop {PROJECT}:")
        terminal.type(keys)
        assert terminal.end() == 130
    assert ("StopBuild" in operations(machines)) is stopped
    told = f"stopped {PROJECT}:" if stopped else " continues; the next run finds"
    assert told in terminal.shown
    assert "Traceback" not in terminal.shown
    assert away.recorded == {}


def test_refusals_of_aws_name_the_next_step(away: Repo, machines: CodeBuildDouble, front: AwsFront) -> None:
    message = (
        "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: codebuild:StartBuild on x"
    )
    front.play("StartBuild", Fault(code="AccessDeniedException", message=message))
    denied = away.fails(8, "codebuild.build", "--create", "--json")
    assert f"not allowed: codebuild:StartBuild on {PROJECT}" in denied.told

    front.play("StartBuild", THROTTLED)
    machines.fate.append("STOPPED")
    assert set(build(away, "--no-wait").images().values()) == {"started"}  # asked again

    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert "there are no AWS credentials" in away.fails(8, "codebuild.setup", env=nobody).text
    assert "there are no AWS credentials" in away.fails(5, "codebuild.build", env=nobody).text
    elsewhere = away.fails(2, "codebuild.build", "--registry", "local")
    assert "the registry is 'local'" in elsewhere.text


@pytest.mark.nightly
def test_calls_of_bake_share_a_machine_and_use_earlier_bases_by_digest(
    away: Repo, machines: CodeBuildDouble, served: Served
) -> None:
    away.write("src/other.py", "import label\n")
    away.write(
        "dockerfiles/lambda-other/Dockerfile", "FROM base-label:stable\nCOPY --link src/other.py /var/task/\n"
    )
    done = build(away, "--reproducible", "--jobs", "1")
    assert set(done.built) == {*ALL, "lambda-other"}
    assert operations(machines).count("StartBuild") == 1
    (source,) = machines.sources
    assert {name for name in source if name.startswith("bake-")} == {
        f"bake-{each}.json" for each in range(1, 5)
    }
    for name, digest in away.recorded.items():
        assert served.digest(f"{name}-{stack_of(away)}", done.images("tag")[name]) == digest

    away.env["LAMINA_APPEND"] = "never"  # else the edited handler is pushed from here
    away.replace("dockerfiles/lambda-other/Dockerfile", "src/other.py", "--from=base-label /nothing")
    away.append("src/handler.py", "# edited\n")
    failed = away.fails(1, "codebuild.build", "--jobs", "1", "--json")
    assert failed.images()["lambda-other"] == "failed"
    assert away.recorded == done.images("digest")


@pytest.mark.nightly
def test_secrets_come_from_aws_and_never_from_here(
    away: Repo, machines: CodeBuildDouble, front: AwsFront
) -> None:
    write_shell(away)
    away.write("ours.pem", "never to be sent\n")
    away.append("pyproject.toml", '[tool.lamina.secrets]\nca = { file = "ours.pem" }\n')
    check = 'read line < /run/secrets/ca && echo "read $line" && [ "$line" = "it\'s \\$HOME" ]'
    away.write(
        "dockerfiles/lambda-secret/Dockerfile",
        f"FROM scratch\nCOPY shell/ /\nRUN --mount=type=secret,id=ca,required=true {check}\n",
    )
    refused = away.fails(2, "codebuild.build", "--create", "--json")
    assert "lambda-secret needs the secret ca, which CodeBuild does not have" in refused.told
    assert "StartBuild" not in operations(machines)

    front.client("secretsmanager").create_secret(Name="team/ca", SecretString="it's $HOME\nand more\n")
    away.append("pyproject.toml", '[tool.lamina.codebuild.secrets]\nca = "team/ca"\n')
    modes: list[int] = []
    machines.after = lambda source: modes.append((source / "secrets/1").stat().st_mode & 0o777)
    done = build(away, "--image", "lambda-secret")
    assert done.built == ["lambda-secret"]
    assert modes == [0o600]
    (source,) = machines.sources
    assert b"never to be sent" not in b"".join(source.values())
    assert b"and more" not in b"".join(source.values())


def test_an_unreachable_runtime_is_reported_and_starts_no_engine(
    away: Repo, machines: CodeBuildDouble, tmp_path: Path
) -> None:
    away.write("dockerfiles/lambda-real/Dockerfile", "FROM public.ecr.aws/lambda/python:3.13\n")
    done = away.run("codebuild.build", "--create", env={"LAMINA_CACHE": str(tmp_path / "cache")})
    if (away.root / "lamina.lock").exists():
        pytest.skip("the runtime's own registry can be reached here")
    assert done.code == 5, done.text
    assert "public.ecr.aws" in done.stderr
    assert "StartBuild" not in operations(machines)
    assert away.recorded == {}
