"""The texts that a machine elsewhere is given. That they do what they say, the integration tests show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lamina.codebuild.buildspec import (
    BuildspecStep,
    BundleEntry,
    CodeBuildMachine,
    buildspec,
    logins,
    public_hosts,
    results_prefix,
    source_key,
    step_of,
)
from lamina.refs import Reference

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
FIRST = BuildspecStep(number=1)
SECOND = BuildspecStep(number=2, bases={1: f"{HOST}/base-dev:sha-1"})
MACHINE = CodeBuildMachine(logins={HOST: "eu-west-1"}, region="eu-central-1")


def spec(steps: tuple[BuildspecStep, ...], machine: CodeBuildMachine) -> dict[str, Any]:
    return dict(json.loads(buildspec(steps, machine)))


def test_one_machine_makes_all_steps_one_after_the_other() -> None:
    phases = spec((FIRST, SECOND), MACHINE)["phases"]

    assert phases["pre_build"]["commands"] == [
        "tar --extract --preserve-permissions --file=contexts.tar",
        "mkdir -p results",
        (
            "aws ecr get-login-password --region eu-west-1 | "
            f"docker login --username AWS --password-stdin {HOST}"
        ),
    ]
    first, second = phases["build"]["commands"]
    bake = "docker buildx bake --file=bake-1.json --progress=rawjson --metadata-file=results/metadata-1.json"
    assert first.splitlines()[-1] == f"{bake} 2>&1 | tee results/events-1.jsonl"
    inspect = f"docker buildx imagetools inspect --raw {HOST}/base-dev:sha-1"
    assert (
        f'LAMINA_BASE_1="sha256:$({inspect} | sha256sum | cut -c-64)" && export LAMINA_BASE_1 &&\n' in second
    )
    assert phases["build"]["finally"] == [
        'aws s3 cp --recursive --only-show-errors --region eu-central-1 results "$LAMINA_RESULTS"'
    ]


def test_a_builder_is_made_where_an_image_of_buildkit_is_named() -> None:
    machine = CodeBuildMachine(logins={}, region="eu-west-1", buildkit=f"{HOST}/moby/buildkit:v0.25.1")

    assert spec((FIRST,), machine)["phases"]["pre_build"]["commands"][-1] == (
        "docker buildx create --name lamina --driver docker-container "
        f"--driver-opt image={HOST}/moby/buildkit:v0.25.1 --use --bootstrap"
    )


def test_secrets_come_from_the_stores_that_have_them() -> None:
    secrets = {"ca": "team/ca", "key": "ssm:/team/key"}
    made = spec((FIRST,), CodeBuildMachine(logins={}, region="r", secrets=secrets))

    assert made["env"]["secrets-manager"] == {"LAMINA_SECRET_1": "team/ca"}
    assert made["env"]["parameter-store"] == {"LAMINA_SECRET_2": "/team/key"}
    assert made["phases"]["pre_build"]["commands"][-1] == (
        "(umask 077 && mkdir -p secrets && printf '%s' \"$LAMINA_SECRET_2\" > secrets/2); "
        "unset LAMINA_SECRET_2"
    )


def test_nothing_configured_becomes_a_command() -> None:
    evil = CodeBuildMachine(logins={"h;reboot": "r$(id)"}, region="`id`", buildkit="x && reboot")
    phases = spec((FIRST,), evil)["phases"]

    told = "\n".join((*phases["pre_build"]["commands"], *phases["build"]["finally"]))
    for word in ("'h;reboot'", "'r$(id)'", "'`id`'", "'image=x && reboot'"):
        assert word in told


def test_tokens_are_fetched_for_registries_of_ecr_alone() -> None:
    names = (
        f"{HOST}/base:1",
        "public.ecr.aws/lambda/python:3.13",
        "python:3",
        "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn/x",
    )

    assert logins(map(Reference.parse, names)) == {
        HOST: "eu-west-1",
        "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn": "cn-north-1",
    }


def test_ecr_public_is_logged_in_to_where_that_may_be() -> None:
    images = map(Reference.parse, ("public.ecr.aws/lambda/python:3.13", "python:3", f"{HOST}/base:1"))
    machine = CodeBuildMachine(logins={}, region="eu-west-1", public=public_hosts(images))

    *_, login = spec((FIRST,), machine)["phases"]["pre_build"]["commands"]

    assert login == (
        "{ aws ecr-public get-login-password --region us-east-1 | "
        "docker login --username AWS --password-stdin public.ecr.aws; } > /dev/null 2>&1 || true"
    )


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("lamina: step 12", 12),
        ("lamina: step 3\n", 3),
        ("echo 'lamina: step 3'", None),
        ("lamina: step", None),
    ],
)
def test_a_step_begins_with_its_line(line: str, step: int | None) -> None:
    assert step_of(line) == step


def test_a_source_is_named_by_what_is_in_it() -> None:
    one, two = BundleEntry(name="a", sha256="1"), BundleEntry(name="b", sha256="2")

    assert source_key((one, two)) == source_key((two, one))
    assert source_key((one, two)) != source_key((one, BundleEntry(name="b", sha256="3")))
    assert source_key((one,)).startswith("lamina/sources/")
    assert results_prefix("run") == "lamina/results/run/"
