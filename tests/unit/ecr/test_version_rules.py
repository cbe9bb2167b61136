from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lamina.aws.lambda_usage import Usage, UsedImage
from lamina.ecr.version_rules import VersionVerdict, judge_versions, keep_named, versions_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app-dev"
NOTE = "lamina 20260101T000000-1a2b3c sha-0123456789ab alias=live"


def used(
    version: str,
    *,
    function: str = "one",
    days: float | None = 60,
    repository: str = OURS,
    description: str = NOTE,
    special: str = "",
) -> UsedImage:
    when = None if days is None else (NOW - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return UsedImage(
        function=function,
        version=version,
        digest=f"sha256:{version}",
        repository=repository,
        description=description,
        published=when,
        special=special,
    )


def judged(*deployed: UsedImage, keep: int = 1, days: int = 30) -> tuple[VersionVerdict, ...]:
    usage = Usage(account="123456789012", region="eu-west-1", functions=1, deployed=deployed)
    return judge_versions(versions_of(usage, [OURS]), keep=keep, days=days, now=NOW)


def rules(*deployed: UsedImage, keep: int = 1, days: int = 30) -> dict[str, str]:
    return {str(each.held): f"{each.action}: {each.rule}" for each in judged(*deployed, keep=keep, days=days)}


def test_the_newest_versions_of_each_function_stay_by_number() -> None:
    versions = [used("$LATEST"), used("9"), used("10"), used("11"), used("1", function="two")]

    assert rules(*versions, keep=2) == {
        "one:11": "keep: newest 2",
        "one:10": "keep: newest 2",
        "one:9": "delete: not among the newest 2",
        "two:1": "keep: newest 2",
    }


def test_versions_of_other_repositories_are_not_judged_but_count() -> None:
    other = used("2", repository=OURS.replace("-dev", "-prod"))

    assert rules(used("1"), other) == {"one:1": "delete: not among the newest 1"}
    assert rules(other, used("3", repository="")) == {}


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        (used("1", description=""), "not Lamina's"),
        (used("1", description="about lamina"), "not Lamina's"),
        (used("1", special="a capacity provider runs it"), "may run"),
        (used("1", days=None), "age unknown"),
        (used("1", days=29), "young"),
        (used("1", description=NOTE.replace("20260101", "20260225")), "young"),
    ],
)
def test_a_version_stays_if_another_tool_made_it_or_it_is_young(version: UsedImage, rule: str) -> None:
    assert rules(version, used("2"))["one:1"] == f"keep: {rule}"


def test_without_days_a_version_of_this_hour_stays_nevertheless() -> None:
    note = NOTE.replace("20260101", "20250101")
    just_now = used("2", days=0.01, description=note)

    assert rules(used("1", days=0.1), just_now, used("3"), days=0) == {
        "one:3": "keep: newest 1",
        "one:2": "keep: young",
        "one:1": "delete: not among the newest 1",
    }


def test_a_version_that_something_names_stays() -> None:
    verdicts = judged(used("1"), used("2"), used("3"))
    users = {("123456789012", "eu-west-1", "one", "1"): "the alias live names it"}

    named = {str(each.held): (each.action, each.detail) for each in keep_named(verdicts, users)}

    assert named["one:1"] == ("keep", "the alias live names it")
    assert named["one:2"][0] == "delete"
    elsewhere = {
        ("210987654321", "eu-west-1", "one", "1"): "x",
        ("123456789012", "eu-west-2", "one", "1"): "x",
    }
    assert keep_named(verdicts, elsewhere) == verdicts
