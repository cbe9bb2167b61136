"""Amazon ECR on this machine: tokens for a real registry, everything else from moto, faults on demand.

Point `AWS_ENDPOINT_URL_ECR` at `EcrFront.url` and `AWS_ENDPOINT_URL` at `EcrFront.moto_url`. Answered here is
what moto does not know (account settings) or cannot know (the credentials of the registry behind it).
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from moto.server import ThreadedMotoServer

_TARGET = "AmazonEC2ContainerRegistry_V20150921."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error as AWS tells it."""

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


@dataclass(slots=True)
class EcrFront:
    """A context manager. endpoint: ``https://host:port`` of the real registry, opened by user and password.

    token_seconds: how long tokens live; None answers with a moment of 2015, as moto does.
    """

    endpoint: str
    password: str
    user: str = "AWS"
    token_seconds: float | None = 12 * 3600.0
    calls: list[str] = field(default_factory=list)
    url: str = ""
    moto_url: str = ""
    _faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    _settings: dict[str, str] = field(default_factory=dict)
    _server: ThreadingHTTPServer | None = None
    _moto: ThreadedMotoServer | None = None

    def play(self, operation: str, fault: Fault, *, times: int = 1) -> None:
        """Answer the next calls of an operation (``GetAuthorizationToken``) with a fault."""
        self._faults[operation].extend([fault] * times)

    def environ(self, **more: str) -> dict[str, str]:
        """The variables under which AWS' client comes here instead of going to AWS."""
        return {
            "AWS_ENDPOINT_URL": self.moto_url,
            "AWS_ENDPOINT_URL_ECR": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def __enter__(self) -> Self:
        self._moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._moto.start()
        host, port = self._moto.get_host_and_port()
        self.moto_url = f"http://{host}:{port}"
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

    def answer(self, operation: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """What we answer ourselves; None to forward."""
        self.calls.append(operation)
        if self._faults[operation]:
            fault = self._faults[operation].pop(0)
            return fault.status, {"__type": fault.code, "message": fault.message}
        if operation == "GetAuthorizationToken":
            moment = 1420070400.0 if self.token_seconds is None else time.time() + self.token_seconds
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            entry = {"authorizationToken": pair, "expiresAt": moment, "proxyEndpoint": self.endpoint}
            return 200, {"authorizationData": [entry]}
        if operation == "PutAccountSetting":
            self._settings[body["name"]] = body["value"]
            return 200, {"name": body["name"], "value": body["value"]}
        if operation == "GetAccountSetting":
            return 200, {"name": body["name"], "value": self._settings.get(body["name"], "DISABLED")}
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: EcrFront

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target = self.headers.get("X-Amz-Target", "")
        known = None
        if target.startswith(_TARGET):
            known = self.owner.answer(target.removeprefix(_TARGET), json.loads(raw or b"{}"))
        if known is not None:
            self._reply(known[0], json.dumps(known[1]).encode(), "application/x-amz-json-1.1")
            return
        self._forward(raw)

    def _forward(self, raw: bytes) -> None:
        connection = HTTPConnection(self.owner.moto_url.removeprefix("http://"), timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request("POST", self.path, body=raw, headers=headers)
            response = connection.getresponse()
            self._reply(response.status, response.read(), response.getheader("Content-Type", ""))
        finally:
            connection.close()

    def _reply(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""
