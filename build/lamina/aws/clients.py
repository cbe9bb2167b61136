"""boto3 clients: their credentials, region, timeouts and retries."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Clients = Callable[[str], Any]  # "ecr", "sts", "lambda" -> boto3 client
CONNECTIONS = 8
"""Requests that one client may have in flight."""
INVOKING = "lambda-invoke"
"""The client that invokes functions: it waits as long as one may run, and never retries."""
PUBLIC = "ecr-public"
"""The client of ECR Public. Its token is optional, so it has a short timeout and no retry."""
_LONGEST_CALL = 905.0  # seconds; a function may run for 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Region, profile and role of requests. None leaves a value to AWS' own chain.

    role: the ARN of a role to assume first.
    """

    region: str | None = None
    profile: str | None = None
    role: str | None = None


def boto_clients(access: Access) -> Clients:
    """Return a function that makes each boto3 client once.

    Clients use AWS' standard retry mode with five attempts; `INVOKING` and `PUBLIC` make one.
    """
    lock = threading.RLock()
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        with lock:  # sessions are not thread-safe, clients are
            if service not in made:
                made[service] = _client(access, service)
            return made[service]

    return client


def _client(access: Access, service: str) -> Any:
    import boto3
    from botocore.config import Config

    calls, public = service == INVOKING, service == PUBLIC
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1 if calls or public else 5},
        connect_timeout=5,
        read_timeout=_LONGEST_CALL if calls else 5 if public else 20,
        tcp_keepalive=True,
        max_pool_connections=CONNECTIONS,
    )
    session = boto3.Session(profile_name=access.profile, region_name=access.region)
    if access.role:
        taken = session.client("sts", config=config).assume_role(
            RoleArn=access.role, RoleSessionName="lamina"
        )["Credentials"]
        session = boto3.Session(
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
            region_name=access.region or session.region_name,
        )
    return session.client("lambda" if calls else service, config=config)  # type: ignore[call-overload]
