"""CloudWatch alarms: their states by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors
from lamina.json_data import as_list, as_table

_AT_ONCE = 100
"""Names in one request, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmState:
    """The state of an alarm. value: ``OK``, ``ALARM`` or ``INSUFFICIENT_DATA``. reason: AWS's words."""

    value: str
    reason: str

    @property
    def rings(self) -> bool:
        """Whether the alarm is in ALARM; without data it is not."""
        return self.value == "ALARM"


def read_alarms(clients: Clients, names: Sequence[str]) -> Mapping[str, AlarmState]:
    """Return the states of metric and composite alarms by name; those that do not exist are left out.

    Raises AwsError.
    """
    found: dict[str, AlarmState] = {}
    with aws_errors(service="cloudwatch"):
        for start in range(0, len(names), _AT_ONCE):
            answer = clients("cloudwatch").describe_alarms(
                AlarmNames=[*names[start : start + _AT_ONCE]],
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                MaxRecords=_AT_ONCE,
            )
            for kind in ("MetricAlarms", "CompositeAlarms"):
                for each in map(as_table, as_list(answer.get(kind))):
                    state = AlarmState(value=str(each["StateValue"]), reason=str(each.get("StateReason", "")))
                    found[str(each["AlarmName"])] = state
    return found
