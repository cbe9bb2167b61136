"""The files of docs/ci: each fits the schema of its CI system, and its commands succeed in order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from doubles.aws_front import AwsFront
from doubles.lambda_ import LambdaDouble
from doubles.served import Served, stack_of
from projects import ROOT, Repo, write_programs

from lamina.declare.machine import native_platform

FOLDER = ROOT / "docs/ci"
SCHEMAS = {
    "github-actions.yml": "vendor.github-workflows",
    "github-actions-shards.yml": "vendor.github-workflows",
    "gitlab-ci.yml": "vendor.gitlab-ci",
    "gitlab-ci-shards.yml": "vendor.gitlab-ci",
}
"""A file -> its system's own schema; there is none of CodeBuild's that needs no network."""
BUILDSPEC = {"version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache"}
PHASES = {"install", "pre_build", "build", "post_build"}
PHASE = {"run-as", "on-failure", "runtime-versions", "commands", "finally"}
"""https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"""
NOT_OURS = (r"pip install lamina", r"apt-get update .*", r"install -m 600 /dev/null .* && printf .*")
"""Commands that a test machine does not need."""
FUNCTION = """
[tool.lamina.images.lambda-tiny]
functions = ["tiny"]
"""


def of_github(document: dict[str, Any]) -> Iterator[str]:
    for job in document["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


def of_gitlab(document: dict[str, Any]) -> Iterator[str]:
    for job in document.values():
        if isinstance(job, dict) and "stage" in job:
            yield from (*job["script"], *job.get("after_script", ()))


def of_codebuild(document: dict[str, Any]) -> Iterator[str]:
    for phase in document["phases"].values():
        yield from (*phase["commands"], *phase.get("finally", ()))


COMMANDS: dict[str, tuple[Callable[[dict[str, Any]], Iterator[str]], dict[str, str]]] = {
    "github-actions.yml": (of_github, {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main"}),
    "gitlab-ci.yml": (of_gitlab, {"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "main"}),
    "buildspec.yml": (of_codebuild, {"CODEBUILD_BUILD_SUCCEEDING": "1", "CODEBUILD_BUILD_ID": "x:1"}),
}
"""A file -> its commands in order, and the variables that its system sets."""


def shards_of_github(run: Callable[..., None], folder: Path) -> list[str]:
    """Run the job of the bases, then the other one for each entry of the matrix. Return the entries."""
    bases, images = (read("github-actions-shards.yml")["jobs"][name] for name in ("bases", "images"))
    output = folder / "output"
    for step in bases["steps"]:
        run(step.get("run"), GITHUB_OUTPUT=str(output))
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert bases["outputs"] == {name: f"${{{{ steps.plan.outputs.{name} }}}}" for name in ("any", "matrix")}
    assert images["if"] == "needs.bases.outputs.any == 'true'"
    assert images["strategy"]["matrix"] == "${{ fromJson(needs.bases.outputs.matrix) }}"
    entries = json.loads(outputs["matrix"])["include"] if outputs["any"] == "true" else []
    for entry in entries:
        for step in images["steps"]:
            given = {name: value.replace("${{ matrix.images }}", entry["images"])
                     for name, value in step.get("env", {}).items()}  # fmt: skip
            run(step.get("run"), **given)
    return [entry["shard"] for entry in entries]


def shards_of_gitlab(run: Callable[..., None], folder: Path) -> list[str]:
    """Run the job of the bases, then the other one as often as it says. Return the shards."""
    del folder
    document = read("gitlab-ci-shards.yml")
    bases, images = document["bases"], document["images"]
    for command in (*document[".lamina"]["before_script"], *bases["script"]):
        run(command)
    total = images["parallel"]
    for index in range(1, total + 1):
        for command in (*document[".lamina"]["before_script"], *images["script"]):
            run(command, CI_NODE_INDEX=str(index), CI_NODE_TOTAL=str(total))
    return [f"{index}/{total}" for index in range(1, total + 1)]


SHARDS = {"github-actions-shards.yml": shards_of_github, "gitlab-ci-shards.yml": shards_of_gitlab}
"""A file of which jobs run several times -> runs them as its system does."""


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def test_each_file_of_the_folder_is_tested() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {*COMMANDS, *SHARDS}


def check_schema(schema: str, *files: Path) -> None:
    words = ("-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files))
    done = subprocess.run((sys.executable, *words), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_recipe_fits_the_schema_of_its_ci_system(name: str) -> None:
    check_schema(SCHEMAS[name], FOLDER / name)


def test_the_workflows_of_this_project_fit_the_schema_of_github() -> None:
    check_schema("vendor.github-workflows", *sorted((ROOT / ".github/workflows").glob("*.yml")))
    check_schema("vendor.dependabot", ROOT / ".github/dependabot.yml")
    check_schema("vendor.github-actions", ROOT / "action.yml")


def test_the_buildspec_has_only_keys_of_codebuild() -> None:
    document = read("buildspec.yml")

    assert document["version"] == 0.2
    assert document.keys() <= BUILDSPEC
    assert document["phases"].keys() <= PHASES
    assert all(phase.keys() <= PHASE for phase in document["phases"].values())


@pytest.mark.parametrize("name", [*COMMANDS, *SHARDS])
def test_a_recipe_holds_no_secret_and_installs_lamina(name: str) -> None:
    text = (FOLDER / name).read_text()

    assert "pip install lamina" in text
    assert not re.search(r"AKIA|aws_secret|AWS_SECRET_ACCESS_KEY|password", text, re.IGNORECASE)


def runner_env(repo: Repo, folder: Path) -> dict[str, str]:
    programs = folder / "bin"
    write_programs(programs, "lamina")
    env = repo.environment()
    return {**env, "CI": "true", "PATH": f"{programs}:{env['PATH']}"}


def run_step(repo: Repo, env: Mapping[str, str], command: str) -> None:
    """Run a command of a recipe if a test machine needs it; it must succeed."""
    if any(re.fullmatch(pattern, command) for pattern in NOT_OURS):
        return
    words = ["/bin/sh", "-c", command]
    done = subprocess.run(
        words, cwd=repo.root, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.mark.engine
@pytest.mark.parametrize("name", SHARDS)
def test_runners_that_share_the_images_build_each_of_them_once(ecr: Repo, tmp_path: Path, name: str) -> None:
    ecr.write("dockerfiles/lambda-more/Dockerfile", "FROM base-dynamo\nCOPY --link src/handler.py /more/\n")
    ecr.ok("ecr.setup")
    env = runner_env(ecr, tmp_path)

    def run(command: str | None, **variables: str) -> None:
        if command:
            run_step(ecr, {**env, **variables}, command)

    shards = SHARDS[name](run, tmp_path)

    runs = [json.loads(file.read_text()) for file in (ecr.root / ".lamina/runs").glob("*/run.json")]
    built = [each["name"] for run in runs for each in run["images"] if each["status"] == "built"]
    assert sorted(built) == ["base-dynamo", "base-label", "lambda-more", "lambda-tiny"]
    assert {"1/5", "2/5"} <= {*shards}
    assert ecr.ok("plan", "--format", "matrix", "--shards", "5").stdout == '{"include": []}\n'


@pytest.mark.engine
@pytest.mark.parametrize("name", COMMANDS)
def test_a_recipe_builds_deploys_and_checks_the_function(
    ecr: Repo, front: AwsFront, lambdas: LambdaDouble, served: Served, tmp_path: Path, name: str
) -> None:
    commands, variables = COMMANDS[name]
    lambdas.clear()
    ecr.write("pyproject.toml", FUNCTION)
    ecr.ok("ignore", "--write")
    ecr.ok("ecr.setup")
    front.client("lambda").create_function(
        FunctionName="tiny",
        Role="arn:aws:iam::123456789012:role/x",
        PackageType="Image",
        Code={"ImageUri": "registry.invalid/placeholder@sha256:" + "0" * 64},
        Architectures=[{"linux/amd64": "x86_64", "linux/arm64": "arm64"}[native_platform()]],
    )
    env = {**runner_env(ecr, tmp_path), **variables}

    for command in commands(read(name)):
        run_step(ecr, env, command)

    tags = ecr.ok("tag", "--json").images("tag")
    assert lambdas.runs("tiny", "live") == served.digest(f"lambda-tiny-{stack_of(ecr)}", tags["lambda-tiny"])
    assert (ecr.root / ".lamina/report.html").is_file()
