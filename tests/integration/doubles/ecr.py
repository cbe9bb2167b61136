"""ECR beyond moto: account settings, which it lacks, and credentials of the registry behind it."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from doubles.aws_front import Fault


@dataclass(slots=True)
class EcrDouble:
    """Tokens for a real registry. endpoint: ``https://host:port`` of it, opened by user and password.

    token_seconds: how long tokens live; None answers with a moment of 2015, as moto does.
    """

    endpoint: str
    password: str
    user: str = "AWS"
    token_seconds: float | None = 12 * 3600.0
    service: str = "ecr"
    settings: dict[str, str] = field(default_factory=dict)

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault | None:
        """See `Double.answer`."""
        if operation == "GetAuthorizationToken":
            moment = 1420070400.0 if self.token_seconds is None else time.time() + self.token_seconds
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            entry = {"authorizationToken": pair, "expiresAt": moment, "proxyEndpoint": self.endpoint}
            return {"authorizationData": [entry]}
        if operation == "PutAccountSetting":
            self.settings[body["name"]] = body["value"]
            return {"name": body["name"], "value": body["value"]}
        if operation == "GetAccountSetting":
            return {"name": body["name"], "value": self.settings.get(body["name"], "DISABLED")}
        return None
