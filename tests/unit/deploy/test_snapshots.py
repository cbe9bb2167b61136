"""What keeps Lambda from making snapshots is reported before anything changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lamina.aws.live import Alias, Allocation, Live, live_of
from lamina.deploy.snapshots import snapshot_obstacles, without_version

from .test_deploy import NEW, WANTED, live

SNAP = replace(WANTED, snap_start=True)
ALIAS = Alias(name="live", version="2", revision="a")
PROVISIONED = replace(ALIAS, allocation=Allocation(status="READY", reason=""))


@pytest.mark.parametrize(
    ("changes", "alias", "told"),
    [
        ({}, None, None),
        ({}, ALIAS, None),
        ({"temporary_mb": 1024}, None, "one has 1024 MB of /tmp"),
        ({"file_systems": ("/mnt/data",)}, None, "one mounts EFS at /mnt/data"),
        ({}, PROVISIONED, "the alias live of one has provisioned concurrency"),
    ],
)
def test_each_setting_that_excludes_snapshots_is_reported(
    changes: dict[str, Any], alias: Alias | None, told: str | None
) -> None:
    found = [each.what for each in snapshot_obstacles(SNAP, replace(live(NEW), **changes), alias)]

    assert [text.startswith(told or "-") for text in found] == [True] * (told is not None)
    assert list(snapshot_obstacles(WANTED, replace(live(NEW), **changes), alias)) == []


def test_functions_without_a_version_have_no_snapshot() -> None:
    assert [each.what.partition(",")[0] for each in without_version((SNAP, SNAP, WANTED))] == [
        "app has snap-start"
    ]


def test_the_settings_are_read_as_lambda_reports_them() -> None:
    settings = {
        "FunctionName": "one",
        "SnapStart": {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"},
        "EphemeralStorage": {"Size": 2048},
        "FileSystemConfigs": [{"Arn": "arn", "LocalMountPath": "/mnt/a"}],
    }

    found: Live = live_of({"Configuration": settings})

    assert (found.snap_start, found.has_snapshot) == (True, True)
    assert (found.temporary_mb, found.file_systems) == (2048, ("/mnt/a",))
    bare = live_of({"Configuration": {"FunctionName": "one"}})
    assert (bare.snap_start, bare.has_snapshot, bare.temporary_mb, bare.file_systems) == (
        False,
        False,
        512,
        (),
    )
