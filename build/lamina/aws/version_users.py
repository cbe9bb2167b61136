"""Who names a version of a function by its number: everything in an account that would miss it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors
from lamina.errors import AwsError
from lamina.json_data import JsonTable, as_list, as_table, as_texts
from lamina.parallel import gather

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from lamina.aws.services import SchedulerClient

Version = tuple[str, str]
"""The name of a function, and the number of a version."""
Finding = tuple[Version, str]
CALLED_DAYS = 90
"""A version that was called by its number within these days is in use, whoever called it."""
_THREADS = 2  # Lambda allows 15 requests a second for most of these
_METRICS = 500  # in a request
_DAY = 86_400  # seconds
_QUALIFIED = re.compile(r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:function:(?P<name>[\w-]+):(?P<version>\d+)")
_BY_SDK = re.compile(r"arn:[a-z-]+:scheduler:::aws-sdk:lambda:\w+")
_NUMBER = re.compile(r"[1-9]\d*")


def read_version_users(
    clients: Clients, wanted: Iterable[Version], *, account: str, now: datetime | None = None
) -> Mapping[Version, str]:
    """Return the versions that something names by number, and what it is.

    Aliases are read elsewhere: `Functions.aliases`. Function URLs cannot name a version.

    Args:
        clients: of the account and region.
        wanted: the versions to ask about.
        account: the number of the account.
        now: the end of the time in which calls count.

    Raises:
        AwsError: anything could not be read completely. It names every missing permission.
    """
    versions = tuple(dict.fromkeys(wanted))
    if not versions:
        return {}
    _check_client(clients)
    functions = tuple(dict.fromkeys(name for name, _ in versions))
    until = now or datetime.now(UTC)
    readers: tuple[Callable[[], Iterable[Finding]], ...] = (
        lambda: _event_sources(clients),
        lambda: _policies(clients, versions),
        lambda: _provisioned(clients, functions),
        lambda: _rules(clients, versions, account),
        lambda: _schedules(clients, versions),
        lambda: _calls(clients, versions, until),
    )
    found: dict[Version, str] = {}
    problems: dict[str, AwsError] = {}
    for read in readers:
        try:
            for version, why in read():
                found.setdefault(version, why)
        except AwsError as error:
            problems.setdefault(str(error), error)
    AwsError.check(problem for error in problems.values() for problem in error.problems)
    return {version: why for version, why in found.items() if version in versions}


def _check_client(clients: Clients) -> None:
    """Raise AwsError if the client drops what AWS reports about durable functions."""
    with aws_errors(service="lambda"):
        client = clients("lambda")
    if not hasattr(client, "list_durable_executions_by_function"):
        raise AwsError.of(
            "this edition of boto3 does not know durable functions: versions may have executions that go on",
            where="gc --versions",
            hint="install a newer one: pip install --upgrade boto3",
        )


def delete_version(clients: Clients, function: str, version: str) -> str | None:
    """Delete a published version. Return why Lambda keeps it; None when it is gone.

    Raises AwsError. A request without a version would delete the function: it is never made.
    """
    if not _NUMBER.fullmatch(version):
        raise AwsError.of(f"{version!r} is not a published version of {function}", where="gc --versions")
    with aws_errors(f"{function}:{version}", service="lambda"):
        client = clients("lambda")
        try:
            client.delete_function(FunctionName=function, Qualifier=version)
        except client.exceptions.ResourceNotFoundException:
            return None
        except client.exceptions.ResourceConflictException as error:  # an alias names it
            return " ".join(str(error).split())
    return None


def _event_sources(clients: Clients) -> Iterator[Finding]:
    """Yield the versions that event source mappings call."""
    with aws_errors(service="lambda"):
        client = clients("lambda")
        for page in client.get_paginator("list_event_source_mappings").paginate():
            for each in page["EventSourceMappings"]:
                source = each.get("EventSourceArn") or each.get("UUID")
                yield from _named(each.get("FunctionArn"), f"the event source {source} calls it")


def _policies(clients: Clients, versions: Sequence[Version]) -> list[Finding]:
    """Return the versions with a policy of their own: somebody may call them by number."""
    with aws_errors(service="lambda"):
        client = clients("lambda")
    read = gather(lambda each: _policy(client, *each), versions, threads=_THREADS)
    return [
        (each, "its own policy lets somebody call it")
        for each, has in zip(versions, read, strict=True)
        if has
    ]


def _policy(client: LambdaClient, function: str, version: str) -> bool:
    with aws_errors(f"{function}:{version}", service="lambda"):
        try:
            return bool(client.get_policy(FunctionName=function, Qualifier=version).get("Policy"))
        except client.exceptions.ResourceNotFoundException:
            return False


def _provisioned(clients: Clients, functions: Sequence[str]) -> Iterator[Finding]:
    """Yield the versions with provisioned concurrency."""
    for function in functions:
        with aws_errors(function, service="lambda"):
            client = clients("lambda")
            pages = client.get_paginator("list_provisioned_concurrency_configs")
            try:
                for page in pages.paginate(FunctionName=function):
                    for each in page["ProvisionedConcurrencyConfigs"]:
                        yield from _named(each.get("FunctionArn"), "it has provisioned concurrency")
            except client.exceptions.ResourceNotFoundException:
                continue


def _rules(clients: Clients, versions: Sequence[Version], account: str) -> list[Finding]:
    """Return the versions that are targets of EventBridge rules, of any bus."""
    with aws_errors(service="events"):
        client = clients("events")
        buses: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = client.list_event_buses(**token)
            buses += (str(as_table(each)["Name"]) for each in as_list(page["EventBuses"]))
            if not page.get("NextToken"):
                break
            token = {"NextToken": str(page["NextToken"])}
    region, partition = _place(clients)

    def targeted(pair: tuple[str, Version]) -> list[Finding]:
        bus, (function, version) = pair
        arn = f"arn:{partition}:lambda:{region}:{account}:function:{function}:{version}"
        with aws_errors(f"{function}:{version}", service="events"):
            pages = client.get_paginator("list_rule_names_by_target")
            names = [
                name
                for page in pages.paginate(TargetArn=arn, EventBusName=bus)
                for name in as_texts(page["RuleNames"])
            ]
        return [((function, version), f"the EventBridge rule {name} of {bus} calls it") for name in names]

    asked = [(bus, each) for bus in buses for each in versions]
    return [each for found in gather(targeted, asked, threads=_THREADS) for each in found]


def _place(clients: Clients) -> tuple[str, str]:
    """Return the region and its partition."""
    meta = clients("lambda").meta
    return meta.region_name, meta.partition


def _schedules(clients: Clients, versions: Sequence[Version]) -> Iterator[Finding]:
    """Yield the versions that schedules of EventBridge Scheduler call."""
    with aws_errors(service="scheduler"):
        client = clients("scheduler")
        for page in client.get_paginator("list_schedules").paginate():
            for each in map(as_table, as_list(page["Schedules"])):
                name, group = str(each["Name"]), str(each["GroupName"])
                arn = str(as_table(each["Target"]).get("Arn"))
                why = f"the schedule {group}/{name} calls it"
                yield from _named(arn, why)
                if _BY_SDK.fullmatch(arn):
                    yield from _in_text(_input(client, name, group), versions, why)


def _input(client: SchedulerClient, name: str, group: str) -> str:
    """Return the parameters of a schedule that calls Lambda's API."""
    schedule = client.get_schedule(Name=name, GroupName=group)
    return str(as_table(schedule["Target"]).get("Input") or "")


def _in_text(text: str, versions: Sequence[Version], why: str) -> Iterator[Finding]:
    """Yield all versions of a function whose name is in a text: which one is called is not read."""
    words = set(re.findall(r"[\w-]+", text))
    yield from ((each, why) for each in versions if each[0] in words)


def _calls(clients: Clients, versions: Sequence[Version], until: datetime) -> Iterator[Finding]:
    """Yield the versions that were called by number lately.

    Lambda counts such calls under ``Resource = <function>:<version>``, whoever made them.
    """
    with aws_errors(service="cloudwatch"):
        client = clients("cloudwatch")
        for start in range(0, len(versions), _METRICS):
            some = versions[start : start + _METRICS]
            sums: dict[str, float] = {}
            states: dict[str, str] = {}
            for page in client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[_query(number, each) for number, each in enumerate(some)],
                StartTime=until - timedelta(days=CALLED_DAYS),
                EndTime=until,
            ):
                for each in map(as_table, as_list(page["MetricDataResults"])):
                    key = str(each["Id"])
                    sums[key] = sums.get(key, 0.0) + sum(float(str(one)) for one in as_list(each["Values"]))
                    states[key] = str(each.get("StatusCode"))
            for number, version in enumerate(some):
                if states.get(f"m{number}") != "Complete":
                    raise AwsError.of(
                        f"CloudWatch does not report all calls of {version[0]}:{version[1]}",
                        where="AWS GetMetricData",
                        hint="run it again",
                    )
                if sums[f"m{number}"]:
                    yield version, f"it was called by its number in the last {CALLED_DAYS} days"


def _query(number: int, version: Version) -> JsonTable:
    function, of = version
    metric: JsonTable = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Invocations",
        "Dimensions": [
            {"Name": "FunctionName", "Value": function},
            {"Name": "Resource", "Value": f"{function}:{of}"},
        ],
    }
    return {"Id": f"m{number}", "MetricStat": {"Metric": metric, "Period": _DAY, "Stat": "Sum"}}


def _named(arn: str | None, why: str) -> Iterator[Finding]:
    """Yield the version in the ARN of a function; nothing for an alias or no qualifier."""
    found = _QUALIFIED.fullmatch(arn or "")
    if found:
        yield (found["name"], found["version"]), why
