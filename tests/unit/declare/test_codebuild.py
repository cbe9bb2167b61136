from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.codebuild import CodeBuildSettings
from lamina.declare.config import load_project
from lamina.errors import ConfigError

ROLE = "arn:aws:iam::123456789012:role/lamina-codebuild"


def settings(root: Path, text: str) -> CodeBuildSettings:
    (root / "pyproject.toml").write_text(f"[tool.lamina.codebuild]\n{text}\n")
    return load_project(root, env={}).codebuild


def test_nothing_need_be_configured(tmp_path: Path) -> None:
    made = load_project(tmp_path, env={}).codebuild

    assert made == CodeBuildSettings()
    assert made.project_of("arm64") == "lamina-arm64"
    assert made.image_of("arm64") == "aws/codebuild/amazonlinux-aarch64-standard:3.0"


def test_every_key_is_read(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        f"""
        project = "images"
        bucket = "our-builds"
        region = "eu-west-1"
        role = "{ROLE}"
        buildkit = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/moby/buildkit:v0.25.1"
        compute = "BUILD_GENERAL1_SMALL"
        image-arm64 = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/machine:1"
        timeout = 20
        secrets = {{ ca = "team/ca", key = "ssm:/team/key" }}
        """,
    )

    assert (made.role, made.timeout) == (ROLE, 20)
    assert made.image_of("arm64").endswith("/machine:1")
    assert made.image_of("amd64") == "aws/codebuild/amazonlinux-x86_64-standard:5.0"
    assert made.secrets == {"ca": "team/ca", "key": "ssm:/team/key"}


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(
            tmp_path,
            """
            bucket = "Our Builds"
            role = "lamina-codebuild"
            buildkit = "UPPER"
            compute = "HUGE"
            timeout = 1
            buildkits = "x"
            secrets = { ca = "a b; rm" }
            """,
        )

    wheres = [each.where for each in caught.value.problems]
    told = str(caught.value)
    assert len(wheres) == 7
    for fault in (
        "'Our Builds' is not a bucket",
        "'lamina-codebuild' is not a role",
        "not a BuildKit image",
        "'HUGE' is not a machine size",
        "timeout is 1",
        "did you mean buildkit?",
        "'a b; rm' is not a location of the secret ca",
    ):
        assert fault in told
    assert {"pyproject.toml:3", "pyproject.toml:4"} <= set(wheres)
