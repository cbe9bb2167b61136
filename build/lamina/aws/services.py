"""The parts of boto3's clients that are used here, for services without installed types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Protocol

from lamina.json_data import Json, JsonTable


class EventsClient(Protocol):
    """EventBridge's client."""

    def list_event_buses(self, **token: str) -> JsonTable:
        """Return a page of event buses."""
        ...

    def get_paginator(self, operation: Literal["list_rule_names_by_target"], /) -> RulePages:
        """Return what asks for page after page."""
        ...


class RulePages(Protocol):
    """Asks for the rules with a target."""

    def paginate(self, *, TargetArn: str, EventBusName: str) -> Iterable[JsonTable]:  # noqa: N803
        """Return the pages."""
        ...


class SchedulerClient(Protocol):
    """EventBridge Scheduler's client."""

    def get_paginator(self, operation: Literal["list_schedules"], /) -> SchedulePages:
        """Return what asks for page after page."""
        ...

    def get_schedule(self, *, Name: str, GroupName: str) -> JsonTable:  # noqa: N803
        """Return a schedule."""
        ...


class SchedulePages(Protocol):
    """Asks for schedules."""

    def paginate(self) -> Iterable[JsonTable]:
        """Return the pages."""
        ...


class CloudWatchClient(Protocol):
    """CloudWatch's client."""

    def get_paginator(self, operation: Literal["get_metric_data"], /) -> MetricPages:
        """Return what asks for page after page."""
        ...

    def describe_alarms(
        self,
        *,
        AlarmNames: list[str],  # noqa: N803
        AlarmTypes: list[str],  # noqa: N803
        MaxRecords: int,  # noqa: N803
    ) -> JsonTable:
        """Return alarms by name."""
        ...


class MetricPages(Protocol):
    """Asks for the values of metrics."""

    def paginate(
        self,
        *,
        MetricDataQueries: Sequence[JsonTable],  # noqa: N803
        StartTime: datetime,  # noqa: N803
        EndTime: datetime,  # noqa: N803
    ) -> Iterable[JsonTable]:
        """Return the pages."""
        ...


class ContainerClient(Protocol):
    """The client of ECS, Batch, SageMaker or App Runner."""

    def get_paginator(self, operation: str, /) -> ContainerPages:
        """Return what asks for page after page."""
        ...

    def list_services(self, **token: str) -> JsonTable:
        """Return a page of App Runner's services."""
        ...

    def describe_services(self, *, cluster: str, services: Sequence[str]) -> JsonTable:
        """Return services of ECS."""
        ...

    def describe_tasks(self, *, cluster: str, tasks: Sequence[str]) -> JsonTable:
        """Return tasks of ECS."""
        ...

    def describe_task_definition(self, *, taskDefinition: str) -> JsonTable:  # noqa: N803
        """Return a task definition of ECS."""
        ...

    def describe_model(self, *, ModelName: str) -> JsonTable:  # noqa: N803
        """Return a model of SageMaker."""
        ...

    def describe_endpoint(self, *, EndpointName: str) -> JsonTable:  # noqa: N803
        """Return an endpoint of SageMaker."""
        ...

    def describe_training_job(self, *, TrainingJobName: str) -> JsonTable:  # noqa: N803
        """Return a training job of SageMaker."""
        ...

    def describe_processing_job(self, *, ProcessingJobName: str) -> JsonTable:  # noqa: N803
        """Return a processing job of SageMaker."""
        ...

    def describe_service(self, *, ServiceArn: str) -> JsonTable:  # noqa: N803
        """Return a service of App Runner."""
        ...


class ContainerPages(Protocol):
    """Asks for a list of ECS, Batch or SageMaker."""

    def paginate(self, **words: Json) -> Iterable[JsonTable]:
        """Return the pages."""
        ...


class KeysClient(Protocol):
    """KMS' client."""

    def describe_key(self, *, KeyId: str) -> JsonTable:  # noqa: N803
        """Return the metadata of a key."""
        ...


class ParametersClient(Protocol):
    """Systems Manager's client."""

    def get_parameters(self, *, Names: Sequence[str]) -> JsonTable:  # noqa: N803
        """Return parameters with their values; those that do not exist are left out."""
        ...

    def get_paginator(self, operation: Literal["describe_parameters"], /) -> ParameterPages:
        """Return what asks for page after page."""
        ...

    def put_parameter(
        self,
        *,
        Name: str,  # noqa: N803
        Value: str,  # noqa: N803
        Description: str,  # noqa: N803
        Type: str,  # noqa: N803
        Overwrite: bool,  # noqa: N803
    ) -> JsonTable:
        """Write a parameter."""
        ...


class ParameterPages(Protocol):
    """Asks for what is known of parameters besides their values."""

    def paginate(self, *, ParameterFilters: Sequence[JsonTable]) -> Iterable[JsonTable]:  # noqa: N803
        """Return the pages."""
        ...
