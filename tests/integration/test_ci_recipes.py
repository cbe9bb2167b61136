"""The files of docs/ci: each fits the schema of its CI system, and its commands succeed in order."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
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
SCHEMAS = {"github-actions.yml": "vendor.github-workflows", "gitlab-ci.yml": "vendor.gitlab-ci"}
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


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def test_each_file_of_the_folder_is_tested() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(COMMANDS)


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


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recipe_holds_no_secret_and_installs_lamina(name: str) -> None:
    text = (FOLDER / name).read_text()

    assert "pip install lamina" in text
    assert not re.search(r"AKIA|aws_secret|AWS_SECRET_ACCESS_KEY|password", text, re.IGNORECASE)


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
    programs = tmp_path / "bin"
    write_programs(programs, "lamina")
    env = {**ecr.environment(), "CI": "true", **variables}
    env["PATH"] = f"{programs}:{env['PATH']}"

    for command in commands(read(name)):
        if any(re.fullmatch(pattern, command) for pattern in NOT_OURS):
            continue
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=ecr.root,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"

    tags = ecr.ok("tag", "--json").images("tag")
    assert lambdas.runs("tiny", "live") == served.digest(f"lambda-tiny-{stack_of(ecr)}", tags["lambda-tiny"])
    assert (ecr.root / ".lamina/report.html").is_file()
