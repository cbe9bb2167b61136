"""Parameters of Systems Manager: reading and writing those that name images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.aws.errors import aws_errors
from lamina.json_data import JsonTable, as_list, as_table

if TYPE_CHECKING:
    from lamina.aws.clients import Clients

STRING = "String"
_MOST_READ = 10  # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
_MOST_DESCRIBED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredParameter:
    """A parameter. kind: ``String``, ``StringList`` or ``SecureString``."""

    value: str
    kind: str
    description: str


def read_parameters(clients: Clients, names: Iterable[str]) -> Mapping[str, StoredParameter]:
    """Return the parameters that exist, by name. Raises AwsError."""
    wanted = list(names)
    values: dict[str, JsonTable] = {}
    descriptions: dict[str, str] = {}
    with aws_errors(service="ssm"):
        client = clients("ssm")
        for start in range(0, len(wanted), _MOST_READ):
            answer = client.get_parameters(Names=wanted[start : start + _MOST_READ])
            values |= {str(each["Name"]): each for each in map(as_table, as_list(answer.get("Parameters")))}
        for start in range(0, len(wanted), _MOST_DESCRIBED):
            filters = [{"Key": "Name", "Option": "Equals", "Values": wanted[start : start + _MOST_DESCRIBED]}]
            for page in client.get_paginator("describe_parameters").paginate(ParameterFilters=filters):
                for each in map(as_table, as_list(page.get("Parameters"))):
                    descriptions[str(each["Name"])] = str(each.get("Description") or "")
    return {
        name: StoredParameter(
            value=str(each["Value"]), kind=str(each["Type"]), description=descriptions.get(name, "")
        )
        for name, each in values.items()
    }


def write_parameter(clients: Clients, name: str, value: str, description: str, *, exists: bool) -> None:
    """Write a parameter of type String. Raises AwsError, also if a new one exists by now.

    exists: whether it is overwritten.
    """
    with aws_errors(name, service="ssm"):
        client = clients("ssm")
        client.put_parameter(Name=name, Value=value, Description=description, Type=STRING, Overwrite=exists)
