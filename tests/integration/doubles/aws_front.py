"""AWS on this machine: moto, and in front of it what moto lacks or cannot know, and faults on demand.

Point `AWS_ENDPOINT_URL` at `AwsFront.url`; `AwsFront.environ` has all that AWS' client wants.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3
from botocore.loaders import Loader
from moto.iam.models import get_account_id_from
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""The account of keys that moto did not give out."""
ASKED_REGION = "@region"
"""In what doubles get for a GetAuthorizationToken: the region that was asked."""
_BY_TARGET = {
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "CodeBuild_20161006": "codebuild",
    "AppRunner": "apprunner",
}
_BY_PATH = ("lambda",)
"""Services whose operations are recognized by method and path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error response of AWS."""

    code: str
    message: str = ""
    status: int = 400


EXPIRED = Fault(code="ExpiredTokenException", message="The security token included in the request is expired")
THROTTLED = Fault(code="ThrottlingException", message="Rate exceeded")
DENIED = Fault(
    code="AccessDeniedException",
    message="User: arn:aws:iam::123456789012:user/dev is not authorized to perform: "
    "ecr:GetAuthorizationToken on resource: *",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that is more than its document."""

    document: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Double(Protocol):
    """Answers some operations of a service."""

    service: str

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Reply | Fault | None:
        """The response of AWS; None leaves it to moto."""
        ...


@dataclass(slots=True)
class AwsFront:
    """A context manager. doubles: answer before moto. calls: every operation, in order.

    elsewhere: the doubles of other accounts, by account: for requests with its keys, or for its registry.
    """

    doubles: Iterable[Double] = ()
    calls: list[str] = field(default_factory=list)
    url: str = ""
    elsewhere: Mapping[str, Iterable[Double]] = field(default_factory=dict)
    losing: list[str] = field(default_factory=list)
    """Operations of which the next answer is lost: carried out, and then the connection is cut."""
    _faults: dict[str, list[Fault | Reply]] = field(default_factory=lambda: defaultdict(list))
    _server: ThreadingHTTPServer | None = None
    _moto: ThreadedMotoServer | None = None
    _moto_address: str = ""

    def play(self, operation: str, fault: Fault | Reply, *, times: int = 1) -> None:
        """Answer the next calls of an operation (``GetAuthorizationToken``) with a fault or a reply."""
        self._faults[operation].extend([fault] * times)

    def forgive(self) -> None:
        """Play no fault that has not been played yet, and lose no answer."""
        self._faults.clear()
        self.losing.clear()

    def environ(self, **more: str) -> dict[str, str]:
        """The variables under which AWS' client comes here instead of going to AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def client(
        self, service: str, region: str = REGION, keys: tuple[str, ...] = ("testing", "testing")
    ) -> Any:
        """A client by which a test looks at the account of the keys, or changes it."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            aws_session_token=keys[2] if keys[2:] else None,
        )

    def __enter__(self) -> Self:
        self._moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._moto.start()
        host, port = self._moto.get_host_and_port()
        self._moto_address = f"{host}:{port}"
        front = self

        class Handler(_Handler):
            owner = front

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._moto is not None:
            listener = self._moto._server
            self._moto.stop()
            if listener is not None:
                listener.server_close()

    def new_user(self, account: str) -> tuple[str, str]:
        """The keys of a new user of an account."""
        role = f"arn:aws:iam::{account}:role/root"
        there = self.client("sts").assume_role(RoleArn=role, RoleSessionName="root")["Credentials"]
        keys = (there["AccessKeyId"], there["SecretAccessKey"], there["SessionToken"])
        iam = self.client("iam", keys=keys)
        name = secrets.token_hex(4)
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def answer(
        self, service: str, operation: str, body: Mapping[str, Any], *, key: str = ""
    ) -> tuple[int, Reply] | None:
        """What is answered here; None to forward. Threads may ask at once. key: the id of who asks."""
        self.calls.append(operation)
        told: Mapping[str, Any] | Reply | Fault | None = None
        if (service, operation) == ("apprunner", "ListServices"):  # moto does not know it
            told = {"ServiceSummaryList": []}
        if self._faults[operation]:
            told = self._faults[operation].pop(0)
        elif told is None:
            answers = (
                each.answer(operation, body) for each in self._of(key, body) if each.service == service
            )
            told = next((answer for answer in answers if answer is not None), None)
        if isinstance(told, Fault):
            error = {"__type": told.code, "message": told.message}
            return told.status, Reply(document=error, headers={"x-amzn-ErrorType": told.code})
        if told is None or isinstance(told, Reply):
            return None if told is None else (200, told)
        return 200, Reply(document=told)

    def _of(self, key: str, body: Mapping[str, Any]) -> Iterable[Double]:
        """The doubles of the account whose registry is named, or else of the one that asks."""
        if not self.elsewhere:
            return self.doubles
        asked = body.get("registryId") or next(iter(body.get("registryIds") or ()), None)
        return self.elsewhere.get(asked or get_account_id_from(key), self.doubles)


@cache
def _paths(service: str) -> tuple[tuple[str, re.Pattern[str], dict[str, str], str], ...]:
    """Method, path, fixed parameters and name of each operation of a service, as botocore's model has them.

    Those with fixed parameters come first: others may have the same path.
    """
    model = Loader().load_service_model(service, "service-2")
    found = []
    for name, operation in model["operations"].items():
        http = operation["http"]
        path, _, query = http["requestUri"].partition("?")
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.rstrip("/"))
        found.append((http["method"], re.compile(f"{pattern}/?"), dict(parse_qsl(query)), name))
    return tuple(sorted(found, key=lambda each: not each[2]))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: AwsFront

    def _handle(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, operation, told = self._asked()
        known = None
        if service:
            body = json.loads(raw) if raw[:1] == b"{" else {}
            scope = self.headers.get("Authorization", "").partition("Credential=")[2].split("/")
            key = scope[0]
            if operation == "GetAuthorizationToken":
                body |= {ASKED_REGION: scope[2] if scope[2:] else REGION}
            known = self.owner.answer(service, operation, {**told, **body}, key=key)
            if operation in self.owner.losing:
                self.owner.losing.remove(operation)
                self.close_connection = True
                return
        if known is None:
            self._forward(raw)
            return
        status, reply = known
        headers = {"Content-Type": "application/x-amz-json-1.1", **reply.headers}
        self._reply(status, json.dumps(reply.document).encode(), headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _handle  # noqa: N815

    def _asked(self) -> tuple[str, str, dict[str, str]]:
        """Service, operation and what path and query say; empty where nobody here wants to know."""
        target, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if target in _BY_TARGET:
            return _BY_TARGET[target], operation, {}
        path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        for service in _BY_PATH:
            for method, pattern, fixed, name in _paths(service):
                found = pattern.fullmatch(path) if method == self.command else None
                if found and fixed.items() <= query.items():
                    named = {key: unquote(value) for key, value in found.groupdict().items()}
                    return service, name, {**query, **named}
        return "", "", {}

    def _forward(self, raw: bytes) -> None:
        connection = HTTPConnection(self.owner._moto_address, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body=raw, headers=headers)
            response = connection.getresponse()
            dropped = {"connection", "content-length", "transfer-encoding", "date", "server"}
            kept = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
            self._reply(response.status, response.read(), kept)
        finally:
            connection.close()

    def _reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""
