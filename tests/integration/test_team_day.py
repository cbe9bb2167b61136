"""The commands of a team's day: from an empty account to a cleaned one, with a fix deployed in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from doubles.aws_front import AwsFront
from doubles.codebuild import CodeBuildDouble
from doubles.ecr import EcrDouble
from doubles.lambda_ import LambdaDouble
from doubles.served import PASSWORD, USER, Served, assert_secret_nowhere, stack_of
from projects import Done, Repo

from lamina.declare.machine import native_platform
from lamina.process import SubprocessRunner
from lamina.sandbox import running

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

CONFIG = """\
[tool.lamina.images.lambda-tiny]
functions = ["tiny", { name = "tiny-batch", command = ["handler.batch"] }]

[tool.lamina.images.lambda-other]
functions = ["other"]

[tool.lamina.codebuild]
bucket = "team-builds"
role = "arn:aws:iam::123456789012:role/lamina-codebuild"
"""
OTHER = 'FROM base-dynamo:stable\nCOPY --link src/other.py /var/task/\nCMD ["other.handler"]\n'
IMAGES = {"base-dynamo", "base-label", "lambda-tiny", "lambda-other"}
FUNCTIONS = {"tiny", "tiny-batch", "other"}


@pytest.fixture(scope="module")
def images(served: Served) -> EcrDouble:
    return EcrDouble(
        endpoint=f"http://{served.address}", user=USER, password=PASSWORD, storage=served.storage
    )


@pytest.fixture(scope="module")
def front(engine: TestEngine, images: EcrDouble, lambdas: LambdaDouble) -> Iterator[AwsFront]:
    """An account in which nothing is set up: a registry, functions, and machines that build."""
    machines = CodeBuildDouble(engine=engine.host, docker=engine.docker, buildx=engine.buildx[0])
    with AwsFront(doubles=(images, lambdas, machines)) as running:
        machines.front = running
        yield running
    machines.close()


def functions(done: Done, key: str) -> dict[str, Any]:
    return {each["function"]: each[key] for each in done.json["functions"]}


def test_a_day(
    ecr: Repo,
    front: AwsFront,
    images: EcrDouble,
    lambdas: LambdaDouble,
    served: Served,
    tmp_path: Path,
    empty_engine: str,
) -> None:
    ecr.write("pyproject.toml", CONFIG)
    ecr.write("src/other.py", "import dynamo\n\n\ndef handler(event, context):\n    return dynamo.TABLE\n")
    ecr.write("dockerfiles/lambda-other/Dockerfile", OTHER)

    def confirmed(done: Done) -> dict[str, str]:
        """The digests of a report, each confirmed by its tag in the registry."""
        found = done.images("digest")
        tags = done.images("tag")
        assert found == {name: served.digest(f"{name}-{stack_of(ecr)}", tags[name]) for name in found}
        return dict(found)

    # In the morning there is nothing: the registry is set up, once.
    assert "CreateRepository" not in front.calls
    ecr.ok("ecr.setup", "--dry-run")
    assert "CreateRepository" not in front.calls
    ecr.ok("ecr.setup")
    assert ecr.ok("ecr.setup", "--json").json["changes"] == []

    first = ecr.ok("build-all", "--push", "--json")
    assert set(first.built) == IMAGES
    morning = confirmed(first)
    assert ecr.ok("check", "--json").json["ok"] is True

    # The functions exist, made by whoever makes infrastructure; now they get their code.
    architecture = {"linux/amd64": "x86_64", "linux/arm64": "arm64"}[native_platform()]
    for name in FUNCTIONS:
        front.client("lambda").create_function(
            FunctionName=name,
            Role="arn:aws:iam::123456789012:role/function",
            PackageType="Image",
            Code={"ImageUri": "registry.invalid/placeholder@sha256:" + "0" * 64},
            Architectures=[architecture],
        )
    ecr.fails(7, "status", "--check")
    deployed = ecr.ok("deploy", "--alias", "live", "--smoke", "--json")
    assert functions(deployed, "status") == dict.fromkeys(FUNCTIONS, "updated")
    assert lambdas.runs("tiny", "live") == lambdas.runs("tiny-batch", "live") == morning["lambda-tiny"]
    assert lambdas.runs("other", "live") == morning["lambda-other"]
    ecr.ok("status", "--check")

    # One handler is mended: one image, its functions, and no other.
    ecr.append("src/other.py", "# mended\n")
    ecr.fails(7, "status", "--check")
    second = ecr.ok("build-all", "--push", "--json")
    assert second.built == ["lambda-other"]
    noon = confirmed(second)
    deployed = ecr.ok("deploy", "--alias", "live", "--json")
    assert functions(deployed, "status") == {"tiny": "skipped", "tiny-batch": "skipped", "other": "updated"}
    assert lambdas.runs("other", "live") == noon["lambda-other"] != morning["lambda-other"]
    ecr.ok("status", "--check")

    # A colleague with another clone and no engine has nothing to do.
    colleague = ecr.clone(tmp_path / "colleague" / "clone", LAMINA_ENGINE=empty_engine)
    assert colleague.ok("build-all", "--push", "--json").built == []
    colleague.ok("status", "--check")

    # What all images stand on changes, and is built on AWS: from there, no engine is needed here.
    colleague.append("src/dynamo.py", "INDEX = 'by-date'\n")
    colleague.ok("codebuild.setup")
    third = colleague.ok("codebuild.build", "--json")
    assert set(third.built) == IMAGES
    evening = confirmed(third)
    assert running.status(SubprocessRunner(), empty_engine) is None
    deployed = colleague.ok("deploy", "--alias", "live", "--json")
    assert functions(deployed, "status") == dict.fromkeys(FUNCTIONS, "updated")
    colleague.ok("status", "--check")
    assert lambdas.runs("tiny", "live") == evening["lambda-tiny"]

    # Weeks later: what no version of a function runs can go, and nothing else.
    for days, built in ((92, morning), (91, noon), (90, evening)):
        for digest in built.values():
            images.age(digest, days=days)
    front.client("lambda").delete_function(FunctionName="other")
    dry = colleague.ok("gc", "--keep-last", "1", "--days", "1", "--json")
    doomed = {each["digest"] for each in dry.json["manifests"] if each["action"] == "delete"}
    assert {morning["lambda-other"], noon["lambda-other"]} <= doomed
    assert served.has(f"{served.address}/lambda-other-{stack_of(ecr)}@{noon['lambda-other']}")

    colleague.ok("gc", "--keep-last", "1", "--days", "1", "--apply")
    assert not served.has(f"{served.address}/lambda-other-{stack_of(ecr)}@{noon['lambda-other']}")
    for name in ("tiny", "tiny-batch"):
        for version in ("1", "2", "live"):
            digest = lambdas.runs(name, version)
            assert served.has(f"{served.address}/lambda-tiny-{stack_of(ecr)}@{digest}")
    assert colleague.ok("build-all", "--push", "--json").built == []

    # One deployment later the first version can go, and its image; what a rollback returns to stays.
    colleague.append("src/handler.py", "# later\n")
    night = confirmed(colleague.ok("build-all", "--push", "--json"))
    colleague.ok("deploy", "--image", "lambda-tiny", "--alias", "live")
    for name in ("tiny", "tiny-batch"):
        assert lambdas.published(name) == ["1", "2", "3"]
        for version in lambdas.published(name):
            lambdas.age(name, version, days=90)
    words = ("gc", "--keep-last", "1", "--days", "1", "--versions", "1")
    dry = colleague.ok(*words, "--json")
    assert {(each["version"], each["action"]) for each in dry.json["versions"]} == {
        *(("1", "delete"), ("2", "keep"), ("3", "keep")),
    }
    colleague.ok(*words, "--apply")
    assert not served.has(f"{served.address}/lambda-tiny-{stack_of(ecr)}@{morning['lambda-tiny']}")
    for name in ("tiny", "tiny-batch"):
        assert lambdas.published(name) == ["2", "3"]
        assert lambdas.runs(name, "live") == lambdas.runs(name) == night["lambda-tiny"]
    colleague.ok("deploy", "--rollback", "--image", "lambda-tiny", "--alias", "live")
    for name in ("tiny", "tiny-batch"):
        assert lambdas.runs(name, "live") == evening["lambda-tiny"]
        assert served.has(f"{served.address}/lambda-tiny-{stack_of(ecr)}@{lambdas.runs(name, 'live')}")
    assert_secret_nowhere(ecr, *(done.text for done in (first, second, third, deployed, dry)))
