"""Deleting published versions, after aliases and others have changed since the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from lamina.aws.lambda_usage import Usage
from lamina.ecr.version_rules import HeldVersion, VersionVerdict
from lamina.ecr.versions import Places, prune
from lamina.errors import AwsError, Interrupted

ACCOUNT, REGION = "123456789012", "eu-west-1"
USAGE = Usage(account=ACCOUNT, region=REGION, functions=2, deployed=())


class MissingError(Exception):
    """ResourceNotFoundException."""


class ConflictError(Exception):
    """ResourceConflictException."""


@dataclass
class Account:
    """An account with functions of some versions. breaks: version -> what its deletion raises."""

    aliases: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    breaks: dict[str, BaseException] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    reads: int = 0
    denied: int | None = None
    """The read of event sources that is refused."""
    notes: dict[str, str] = field(default_factory=dict)
    """Version -> its description."""
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(
            ResourceNotFoundException=MissingError, ResourceConflictException=ConflictError
        )
    )
    meta: Any = field(default_factory=lambda: SimpleNamespace(region_name=REGION, partition="aws"))

    def __call__(self, service: str) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=getattr(self, operation))

    def list_durable_executions_by_function(self) -> None:
        """Never called: that it exists is asked for."""

    def list_aliases(self, FunctionName: str) -> Iterator[Mapping[str, Any]]:  # noqa: N803
        yield {"Aliases": self.aliases.get(FunctionName, [])}

    def get_function(self, FunctionName: str, Qualifier: str) -> Mapping[str, Any]:  # noqa: N803
        description = self.notes.get(Qualifier, "")
        settings = {"FunctionName": FunctionName, "Version": Qualifier, "Description": description}
        return {"Configuration": {**settings, "PackageType": "Image"}}

    def list_event_source_mappings(self) -> Iterator[Mapping[str, Any]]:
        self.reads += 1
        if self.reads == self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListEventSourceMappings")
        yield {"EventSourceMappings": []}

    def list_provisioned_concurrency_configs(self, **_: str) -> Iterator[Mapping[str, Any]]:
        yield {"ProvisionedConcurrencyConfigs": []}

    def list_rule_names_by_target(self, **_: str) -> Iterator[Mapping[str, Any]]:
        yield {"RuleNames": []}

    def list_schedules(self) -> Iterator[Mapping[str, Any]]:
        yield {"Schedules": []}

    def get_metric_data(self, **asked: Any) -> Iterator[Mapping[str, Any]]:
        ids = [each["Id"] for each in asked["MetricDataQueries"]]
        yield {"MetricDataResults": [{"Id": each, "Values": [], "StatusCode": "Complete"} for each in ids]}

    def list_event_buses(self) -> Mapping[str, Any]:
        return {"EventBuses": [{"Name": "default"}]}

    def get_policy(self, **_: str) -> Mapping[str, Any]:
        raise MissingError

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803
        if error := self.breaks.get(Qualifier):
            raise error
        self.deleted.append(f"{FunctionName}:{Qualifier}")


def doomed(function: str, version: str) -> VersionVerdict:
    held = HeldVersion(
        account=ACCOUNT,
        region=REGION,
        function=function,
        version=version,
        digest="sha256:1",
        published=datetime(2025, 1, 1, tzinfo=UTC),
        ours=True,
        special="",
        rank=100 - int(version),
    )
    return VersionVerdict(held=held, action="delete", rule="old", detail="old")


def places(account: Account) -> Places:
    return Places([USAGE], lambda access: account)


def alias(name: str, version: str, *, description: str = "", **routes: float) -> dict[str, Any]:
    weights = {each.removeprefix("v"): share for each, share in routes.items()}
    return {
        "Name": name,
        "FunctionVersion": version,
        "Description": description,
        "RoutingConfig": {"AdditionalVersionWeights": weights},
    }


def test_the_oldest_go_first_and_kept_ones_are_left_alone() -> None:
    account = Account()
    kept = VersionVerdict(held=doomed("one", "9").held, action="keep", rule="newest 1", detail="")

    done = prune([doomed("one", "2"), doomed("one", "1"), doomed("two", "3"), kept], places(account))

    assert account.deleted == ["one:1", "one:2", "two:3"]
    assert [str(each) for each in done.deleted] == account.deleted
    assert (done.left, done.error) == ({}, None)


def test_what_an_alias_names_weighs_or_would_return_to_meanwhile_stays() -> None:
    note = "lamina 20260101T000000-1a2b3c sha-0123456789ab alias=live version=9 before=3"
    account = Account(
        aliases={"one": [alias("live", "9", description=note, v2=0.1), alias("old", "1")], "two": []}
    )

    done = prune([doomed("one", each) for each in "1234"] + [doomed("two", "1")], places(account))

    assert account.deleted == ["one:4", "two:1"]
    assert {str(held): why for held, why in done.left.items()} == {
        "one:1": "kept: the alias old names it",
        "one:2": "kept: the alias live sends 10% of its calls to it",
        "one:3": "kept: deploy --rollback --alias live returns to it",
    }


def test_the_version_before_stays_also_if_only_the_version_behind_the_alias_says_which_it_is() -> None:
    note = "lamina 20260101T000000-1a2b3c sha-0123456789ab alias=live"
    account = Account(
        aliases={
            "one": [alias("live", "9", description="of another tool")],
            "two": [alias("live", "8", description=f"{note} version=8")],  # after a rollback
        },
        notes={"9": f"{note} before=3", "8": f"{note} before=2"},
    )

    done = prune([doomed(name, each) for name in ("one", "two") for each in "23"], places(account))

    assert account.deleted == ["one:2", "two:3"]
    assert set(done.left.values()) == {"kept: deploy --rollback --alias live returns to it"}


def test_an_alias_that_takes_a_version_in_the_last_moment_keeps_it() -> None:
    account = Account(breaks={"1": ConflictError("aliases reference it: [live]")})

    done = prune([doomed("one", "1"), doomed("one", "2")], places(account))

    assert account.deleted == ["one:2"]
    assert done.left == {doomed("one", "1").held: "kept: aliases reference it: [live]"}
    assert done.error is None


def test_before_ten_more_functions_all_is_read_again_and_one_denied_read_stops() -> None:
    account = Account(denied=2)

    done = prune([doomed(f"f{number:02}", "1") for number in range(12)], places(account))

    assert len(account.deleted) == len(done.deleted) == 10
    assert isinstance(done.error, AwsError)
    assert done.error.problems[0].what == "not allowed: lambda:ListEventSourceMappings"
    assert "no version is deleted" in done.error.problems[-1].what


def test_a_version_of_an_account_that_is_not_asked_any_more_stays() -> None:
    account = Account()

    done = prune([doomed("one", "1")], Places([], lambda access: account))

    assert (account.deleted, done.deleted) == ([], ())
    assert isinstance(done.error, AwsError)


def test_confirmed_deletions_are_reported_after_an_error_and_after_ctrl_c() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "DeleteFunction")
    for error, kind in ((denied, AwsError), (KeyboardInterrupt(), Interrupted)):
        account = Account(breaks={"2": error})

        done = prune([doomed("one", each) for each in "123"], places(account))

        assert [str(each) for each in done.deleted] == account.deleted == ["one:1"]
        assert type(done.error) is kind
        assert done.left == {}
