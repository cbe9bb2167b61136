"""Who names a version by its number, as an account's services answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamina.aws.version_users import delete_version, read_version_users
from lamina.errors import AwsError

ACCOUNT = "123456789012"
ARN = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WANTED = [("one", "3"), ("one", "4"), ("two", "3")]


def client_error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, operation)


class MissingError(Exception):
    """ResourceNotFoundException."""


class ConflictError(Exception):
    """ResourceConflictException."""


def complete(**asked: Any) -> Mapping[str, Any]:
    """CloudWatch's answer if no version was called."""
    results = [
        {"Id": each["Id"], "Values": [], "StatusCode": "Complete"} for each in asked["MetricDataQueries"]
    ]
    return {"MetricDataResults": results}


@dataclass
class Account:
    """The clients of an account in which nothing names a version, unless answers say so.

    answers: operation -> pages, exceptions or functions of a request; of the paginated ones all are pages.
    """

    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(
            ResourceNotFoundException=MissingError, ResourceConflictException=ConflictError
        )
    )
    meta: Any = field(default_factory=lambda: SimpleNamespace(region_name="eu-west-1", partition="aws"))

    def __post_init__(self) -> None:
        nothing: dict[str, list[Any]] = {
            "list_event_source_mappings": [{"EventSourceMappings": []}],
            "get_policy": [MissingError()],
            "list_provisioned_concurrency_configs": [{"ProvisionedConcurrencyConfigs": []}],
            "list_event_buses": [{"EventBuses": [{"Name": "default"}]}],
            "list_rule_names_by_target": [{"RuleNames": []}],
            "list_schedules": [{"Schedules": []}],
            "get_metric_data": [complete],
        }
        self.answers = {**nothing, **self.answers}

    def __call__(self, service: str) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        def paginate(**words: Any) -> Iterator[Any]:
            yield from (self._one(operation, answer, words) for answer in self.answers[operation])

        return SimpleNamespace(paginate=paginate)

    def __getattr__(self, operation: str) -> Any:
        if operation.startswith("__"):
            raise AttributeError(operation)

        def call(**words: Any) -> Any:
            planned = self.answers[operation]
            return self._one(operation, planned.pop(0) if len(planned) > 1 else planned[0], words)

        return call

    def _one(self, operation: str, answer: Any, words: Mapping[str, Any]) -> Any:
        self.asked.append((operation, words))
        if isinstance(answer, Exception):
            raise answer
        return answer(**words) if callable(answer) else answer


def users(**answers: list[Any]) -> dict[tuple[str, str], str]:
    return dict(read_version_users(Account(answers), WANTED, account=ACCOUNT, now=NOW))


def test_a_version_that_nothing_names_has_no_user() -> None:
    assert users() == {}
    assert read_version_users(Account({"get_policy": []}), [], account=ACCOUNT) == {}


def test_event_sources_count_on_every_page_and_only_by_number() -> None:
    def source(function: str) -> dict[str, Any]:
        return {"FunctionArn": function, "EventSourceArn": "arn:aws:sqs:eu-west-1:1:queue"}

    first = [
        source(f"{ARN}:one"),
        source(f"{ARN}:one:live"),
        source(f"{ARN}:one:33"),
        source(f"{ARN}:one-3:4"),
    ]
    pages = [{"EventSourceMappings": first}, {"EventSourceMappings": [source(f"{ARN}:two:3")]}]

    assert users(list_event_source_mappings=pages) == {
        ("two", "3"): "the event source arn:aws:sqs:eu-west-1:1:queue calls it"
    }


def test_a_policy_of_the_version_itself_counts() -> None:
    def policy(FunctionName: str, Qualifier: str) -> Mapping[str, str]:  # noqa: N803
        if (FunctionName, Qualifier) != ("one", "4"):
            raise MissingError
        return {"Policy": "{}"}

    assert users(get_policy=[policy]) == {("one", "4"): "its own policy lets somebody call it"}


def test_provisioned_concurrency_of_a_version_counts() -> None:
    def configs(FunctionName: str) -> Mapping[str, Any]:  # noqa: N803
        arns = {"one": [f"{ARN}:one:3", f"{ARN}:one:live"], "two": []}[FunctionName]
        return {"ProvisionedConcurrencyConfigs": [{"FunctionArn": each} for each in arns]}

    assert users(list_provisioned_concurrency_configs=[configs]) == {
        ("one", "3"): "it has provisioned concurrency"
    }


def test_rules_are_searched_on_every_bus() -> None:
    def rules(TargetArn: str, EventBusName: str) -> Mapping[str, Any]:  # noqa: N803
        named = (TargetArn, EventBusName) == (f"{ARN}:one:3", "orders")
        return {"RuleNames": ["nightly"] if named else []}

    buses = [{"EventBuses": [{"Name": "default"}], "NextToken": "n"}, {"EventBuses": [{"Name": "orders"}]}]

    assert users(list_event_buses=buses, list_rule_names_by_target=[rules]) == {
        ("one", "3"): "the EventBridge rule nightly of orders calls it"
    }


def test_schedules_count_also_through_the_api_of_lambda() -> None:
    def schedule(name: str, arn: str) -> dict[str, Any]:
        return {"Name": name, "GroupName": "jobs", "Target": {"Arn": arn}}

    listed = [
        schedule("direct", f"{ARN}:two:3"),
        schedule("by-sdk", "arn:aws:scheduler:::aws-sdk:lambda:invoke"),
        schedule("queue", "arn:aws:sqs:eu-west-1:1:queue"),
    ]
    details = {"Target": {"Input": '{"FunctionName": "one", "Qualifier": "4"}'}}

    assert users(list_schedules=[{"Schedules": listed}], get_schedule=[details]) == {
        ("two", "3"): "the schedule jobs/direct calls it",
        ("one", "3"): "the schedule jobs/by-sdk calls it",  # which of a function's versions is not read
        ("one", "4"): "the schedule jobs/by-sdk calls it",
    }


def test_a_version_that_was_called_by_number_counts_whoever_called_it() -> None:
    def data(**asked: Any) -> Mapping[str, Any]:
        assert asked["StartTime"] == NOW - timedelta(days=90)
        results = complete(**asked)["MetricDataResults"]
        for query, each in zip(asked["MetricDataQueries"], results, strict=True):
            resource = query["MetricStat"]["Metric"]["Dimensions"][1]
            each["Values"] = [0.0, 2.0] if resource == {"Name": "Resource", "Value": "one:4"} else []
        return {"MetricDataResults": results}

    assert users(get_metric_data=[data]) == {("one", "4"): "it was called by its number in the last 90 days"}


def test_calls_that_cloudwatch_reports_in_part_are_an_error() -> None:
    def partial(**asked: Any) -> Mapping[str, Any]:
        results = complete(**asked)["MetricDataResults"]
        results[2]["StatusCode"] = "PartialData"
        return {"MetricDataResults": results}

    with pytest.raises(AwsError, match="does not report all calls of two:3"):
        users(get_metric_data=[partial])
    with pytest.raises(AwsError, match="does not report all calls of one:3"):
        users(get_metric_data=[{"MetricDataResults": []}])


def test_all_missing_permissions_are_named_at_once() -> None:
    denied = {
        "list_event_source_mappings": "ListEventSourceMappings",
        "get_policy": "GetPolicy",
        "list_provisioned_concurrency_configs": "ListProvisionedConcurrencyConfigs",
        "list_event_buses": "ListEventBuses",
        "list_schedules": "ListSchedules",
        "get_metric_data": "GetMetricData",
    }

    with pytest.raises(AwsError) as caught:
        users(**{name: [client_error("AccessDeniedException", of)] for name, of in denied.items()})

    assert [each.what.split()[2] for each in caught.value.problems] == [
        "lambda:ListEventSourceMappings",
        "lambda:GetPolicy",
        "lambda:ListProvisionedConcurrencyConfigs",
        "events:ListEventBuses",
        "scheduler:ListSchedules",
        "cloudwatch:GetMetricData",
    ]


@pytest.mark.parametrize(
    "operation", ["list_rule_names_by_target", "list_event_source_mappings", "get_policy"]
)
def test_a_read_that_stays_throttled_is_an_error(operation: str) -> None:
    with pytest.raises(AwsError, match="AWS throttles"):
        users(**{operation: [client_error("TooManyRequestsException", "Any")]})


def test_a_client_that_does_not_know_durable_functions_is_refused() -> None:
    class Old(Account):
        def __getattr__(self, operation: str) -> Any:
            if operation == "list_durable_executions_by_function":
                raise AttributeError(operation)
            return super().__getattr__(operation)

    with pytest.raises(AwsError, match="boto3 does not know durable functions"):
        read_version_users(Old(), WANTED, account=ACCOUNT)


def test_a_deletion_names_its_version() -> None:
    account = Account({"delete_function": [{}]})

    assert delete_version(account, "one", "3") is None
    assert account.asked == [("delete_function", {"FunctionName": "one", "Qualifier": "3"})]


@pytest.mark.parametrize("version", ["", "$LATEST", "live", "0", "3\n", "$LATEST.PUBLISHED"])
def test_nothing_but_a_published_version_is_ever_deleted(version: str) -> None:
    account = Account({"delete_function": [{}]})

    with pytest.raises(AwsError, match="is not a published version of one"):
        delete_version(account, "one", version)
    assert account.asked == []


def test_a_version_that_is_gone_counts_as_deleted_and_one_that_an_alias_took_stays() -> None:
    taken = Account({"delete_function": [ConflictError("the following aliases reference it: [live]")]})

    assert delete_version(Account({"delete_function": [MissingError()]}), "one", "3") is None
    assert delete_version(taken, "one", "3") == "the following aliases reference it: [live]"
