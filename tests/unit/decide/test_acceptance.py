from __future__ import annotations

from typing import Any

import pytest

from lamina.decide.acceptance import ImageFacts, misplaced, refusals, unpacked_size, unstartable
from lamina.declare.functions import Function
from lamina.refs import Reference
from lamina.registries.base import OCI_INDEX, OCI_MANIFEST

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1"
FIPS = "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com"
GIB = 1024**3
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


def told(
    *layers: str,
    media_type: str = OCI_MANIFEST,
    config_type: str = CONFIG,
    unpacked: int = 0,
    platform: str = "linux/arm64",
    **config: Any,
) -> list[str]:
    given = {
        "config": {"Cmd": ["app.handler"]},
        "os": "linux",
        "architecture": "arm64",
        "rootfs": {"diff_ids": ["sha256:2"] * len(layers)},
        "history": [{"created_by": "CMD", "empty_layer": True}, *[{"created_by": "COPY"}] * len(layers)],
        **config,
    }
    candidate = ImageFacts(
        media_type=media_type, config_type=config_type, layers=layers, config=given, unpacked=unpacked
    )
    return list(refusals(candidate, platform))


def test_an_image_that_lambda_takes_is_not_refused() -> None:
    assert told(GZIP, GZIP) == told(GZIP, platform="linux/arm64/v8") == []
    assert told("application/vnd.docker.image.rootfs.diff.tar.gzip") == []


def test_lists_of_images_are_refused() -> None:
    assert told(media_type=OCI_INDEX)[0].startswith(f"its manifest is {OCI_INDEX}, not ")


def test_layers_of_another_packing_are_refused() -> None:
    (reason,) = told(GZIP, ZSTD)

    assert reason.startswith(f"layer 2 is {ZSTD}, not ")


def test_another_architecture_is_refused() -> None:
    assert told(GZIP, architecture="amd64") == ["it is for linux/amd64, not for linux/arm64"]


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ({"history": []}, "2 in the manifest, 2 in the configuration, 0 steps"),
        ({"history": None}, "2 in the manifest, 2 in the configuration, 0 steps"),
        ({"rootfs": {}}, "2 in the manifest, 0 in the configuration, 2 steps"),
    ],
)
def test_a_history_with_gaps_is_refused(config: dict[str, Any], counts: str) -> None:
    assert told(GZIP, GZIP, **config) == [f"its layers and its history do not match: {counts}"]


def test_a_configuration_of_another_kind_is_refused() -> None:
    (reason,) = told(GZIP, config_type="application/vnd.oci.empty.v1+json")

    assert reason.startswith("its configuration is application/vnd.oci.empty.v1+json, not ")


def test_a_too_large_image_is_refused() -> None:
    assert told(GZIP, unpacked=10 * GIB) == []
    assert told(GZIP, unpacked=11 * GIB) == ["its layers are 11.0 GiB unpacked, more than 10"]


AWS, ONE_ARGUMENT = (
    "/lambda-entrypoint.sh",
    "its ENTRYPOINT /lambda-entrypoint.sh takes one argument, the handler",
)


@pytest.mark.parametrize(
    ("entrypoint", "command", "reason"),
    [
        ([], [], "it has neither ENTRYPOINT nor CMD: nothing is started"),
        ([], ["app.handler"], None),
        ([AWS], ["app.handler"], None),
        ([AWS], [], f"{ONE_ARGUMENT}, and CMD has 0"),
        ([AWS], ["python", "app.py"], f"{ONE_ARGUMENT}, and CMD has 2"),
        (["python", "-m", "awslambdaric"], ["a", "b"], None),
    ],
)
def test_an_image_that_could_not_be_started_is_refused(
    entrypoint: list[str], command: list[str], reason: str | None
) -> None:
    config = {"config": {"Entrypoint": entrypoint, "Cmd": command or None}}

    assert list(unstartable(config, ())) == ([reason] if reason else [])


def test_a_command_of_a_function_counts_in_place_of_the_images_own() -> None:
    given, own = Function(name="given", command=("app.handler",)), Function(name="own")

    assert list(unstartable({"config": {"Entrypoint": [AWS]}}, [given])) == []
    assert list(unstartable({"config": {"Entrypoint": [AWS]}}, [given, own])) == [
        f"as own starts it, {ONE_ARGUMENT}, and CMD has 0"
    ]


FAR = Function(name="far", arn="arn:aws:lambda:us-east-1:123456789012:function:far")
ELSEWHERE = (
    f"it is in eu-west-1, the function {FAR} in us-east-1: both must be in one region, or regions in "
    "[tool.lamina.ecr] name us-east-1"
)


@pytest.mark.parametrize(
    ("ref", "functions", "reasons"),
    [
        ("127.0.0.1:5000/app:v1", [FAR], []),
        (ECR, [Function(name="near")], []),
        (ECR.replace("dkr.ecr", "dkr-ecr").replace("amazonaws.com", "on.aws"), [], []),
        (ECR.replace("com/", "com.cn/"), [], []),
        (
            ECR,
            [FAR],
            [ELSEWHERE],
        ),
        (
            f"{FIPS}/app:v1",
            [],
            [f"it is named by the FIPS endpoint {FIPS}, which Lambda refuses"],
        ),
        (
            "public.ecr.aws/me/app:v1",
            [],
            ["it is in public.ecr.aws; Lambda takes images only from private ECR repositories"],
        ),
    ],
)
def test_where_an_image_is_decides_who_may_run_it(
    ref: str, functions: list[Function], reasons: list[str]
) -> None:
    assert list(misplaced(Reference.parse(ref), functions)) == reasons
    assert not any("us-east-1" in each for each in misplaced(Reference.parse(ref), functions, ["us-east-1"]))


def test_a_function_without_an_arn_is_in_the_region_of_its_stack() -> None:
    ref = Reference.parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1")
    functions = [Function(name="near")]

    (told,) = misplaced(ref, functions, home="us-east-1")
    assert told.startswith("it is in eu-west-1, the function near in us-east-1: both must be in one region")
    assert not list(misplaced(ref, functions, ["us-east-1"], "us-east-1"))
    assert not list(misplaced(ref, functions, home="eu-west-1"))


@pytest.mark.parametrize(
    ("compressed", "told_size", "least"),
    [
        (100, 1000, 1000),
        (1_000_300, 1_000_000, 1_000_000),  # what cannot be made smaller grows a little
        (100, 0, 0),
        (3 * GIB, 2 * GIB, 6 * GIB),  # files that are made smaller: 4 GiB were counted round
        (9 * GIB, 1 * GIB, 9 * GIB),
    ],
)
def test_the_size_of_a_layer_comes_from_its_trailer(compressed: int, told_size: int, least: int) -> None:
    assert unpacked_size(compressed, told_size.to_bytes(4, "little")) == least
