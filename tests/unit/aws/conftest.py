"""AWS as its client shows it: answers by operation, refusing what is not planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError


def client_error(code: str, operation: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class ScriptedAws:
    """A boto3 client of every service. A list of answers is played one by one, its last entry stays."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(ResourceNotFoundException=type("Missing", (Exception,), {}))
    )
    meta: Any = field(default_factory=lambda: SimpleNamespace(region_name="eu-west-1"))

    def __call__(self, service: str) -> Any:
        return self

    def __getattr__(self, operation: str) -> Any:
        def call(**words: Any) -> Any:
            self.asked.append((operation, words))
            planned = self.answers.get(operation)
            assert planned, f"not planned: {operation}"
            answer = planned.pop(0) if len(planned) > 1 else planned[0]
            if isinstance(answer, Exception):
                raise answer
            return answer(**words) if callable(answer) else answer

        return call
