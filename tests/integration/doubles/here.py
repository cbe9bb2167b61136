"""AWS in this process: boto3 clients whose calls doubles answer, without a request, a socket or a retry.

Every call can be counted, and trouble can be made at any of them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from doubles.aws_front import REGION, Double, Fault, Reply


@dataclass(slots=True)
class CloudWatchDouble:
    """Alarms, for `Here`. states: by name."""

    service: str = "cloudwatch"
    states: dict[str, str] = field(default_factory=dict)

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Reply | Fault | None:
        """See `Double.answer`."""
        assert operation == "DescribeAlarms"
        assert set(body["AlarmTypes"]) == {"MetricAlarm", "CompositeAlarm"}
        assert body["MaxRecords"] <= 100
        found = [
            {"AlarmName": name, "StateValue": state, "StateReason": f"it is {state}"}
            for name, state in self.states.items()
            if name in body["AlarmNames"]
        ]
        return {"MetricAlarms": found, "CompositeAlarms": []}


@dataclass(slots=True)
class Answered:
    """What botocore wants to know of an HTTP answer."""

    status_code: int


@dataclass(slots=True)
class Here:
    """Returns clients, as `boto_clients` does.

    Attributes:
        trouble: called with the number of each call, from 0, and its operation; the fault that it returns
            is the answer, and what it raises is raised by the call.
        lost: called with the same after a call was carried out.
        calls: the operations, in order.
    """

    doubles: Iterable[Double]
    trouble: Callable[[int, str], Fault | None] = lambda number, operation: None
    lost: Callable[[int, str], Fault | None] = lambda number, operation: None
    calls: list[str] = field(default_factory=list)
    _made: dict[str, Any] = field(default_factory=dict)

    def __call__(self, service: str, /) -> Any:
        service = "lambda" if service == "lambda-invoke" else service
        if service not in self._made:
            made = boto3.client(  # type: ignore[call-overload]
                service, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
            )
            made.meta.events.register_last("before-parameter-build.*.*", self._keep)
            made.meta.events.register("before-call.*.*", self._answer)
            self._made[service] = made
        return self._made[service]

    def fine(self) -> None:
        """Make no trouble any more."""
        self.trouble = self.lost = lambda number, operation: None

    def _keep(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["said"] = dict(params)

    def _answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[Answered, dict[str, Any]]:
        number = len(self.calls)
        self.calls.append(model.name)
        service = model.service_model.service_name
        told: Mapping[str, Any] | Reply | Fault | None = self.trouble(number, model.name)
        if told is None:
            (double,) = (each for each in self.doubles if each.service == service)
            told = double.answer(model.name, context["said"])
            told = self.lost(number, model.name) or told
        return _parsed(told)


def _parsed(told: Mapping[str, Any] | Reply | Fault | None) -> tuple[Answered, dict[str, Any]]:
    """What botocore makes of an answer."""
    assert told is not None
    if isinstance(told, Fault):
        metadata = {"HTTPStatusCode": told.status}
        error = {"Code": told.code, "Message": told.message}
        return Answered(told.status), {"Error": error, "ResponseMetadata": metadata}
    metadata = {"HTTPStatusCode": 200}
    if isinstance(told, Reply):
        document = {"Payload": io.BytesIO(json.dumps(told.document).encode())}
        error = told.headers.get("X-Amz-Function-Error")
        failed = {"FunctionError": error} if error else {}
        return Answered(200), {**document, **failed, "ResponseMetadata": metadata}
    return Answered(200), {**json.loads(json.dumps(told)), "ResponseMetadata": metadata}
