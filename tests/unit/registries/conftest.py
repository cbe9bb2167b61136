"""Doubles that come in by the front doors: a transport and a runner, both refusing the unplanned."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from lamina.process import Command, Completed
from lamina.registries.credentials import Credential
from lamina.registries.http import HttpResponse, Request, Unreachable
from lamina.registries.oci import OciRegistry
from lamina.registries.session import RegistrySession

Reply = HttpResponse | Unreachable


@dataclass(slots=True)
class ScriptedTransport:
    """Answers by method and URL; a list is played one by one, its last entry stays."""

    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    sent: list[Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    guard: Callable[[Request], HttpResponse | None] | None = None

    def on(self, method: str, url: str, *replies: Reply) -> None:
        self.replies[(method, url)] = list(replies)

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        self.sent.append(request)
        body = request.body
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
            body = body.read()
        self.bodies.append(body or b"")
        if self.guard and (refused := self.guard(request)):
            return refused
        planned = self.replies.get((request.method, request.url))
        assert planned, f"not planned: {request.method} {request.url}"
        reply = planned.pop(0) if len(planned) > 1 else planned[0]
        if isinstance(reply, Unreachable):
            raise reply
        if sink is not None and reply.status < 300:
            sink.write(reply.body)
        return reply

    def asked(self) -> list[str]:
        """What was asked, without the first look at /v2/."""
        return [
            f"{request.method} {request.url}" for request in self.sent if not request.url.endswith("/v2/")
        ]

    def close(self) -> None:
        pass


@dataclass(slots=True)
class ScriptedRunner:
    """Plays programs by argv and standard input."""

    plan: dict[tuple[tuple[str, ...], bytes], Completed] = field(default_factory=dict)
    ran: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        self.ran.append(command.argv)
        key = (command.argv, command.stdin or b"")
        assert key in self.plan, f"not planned: {command}"
        return self.plan[key]

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        raise AssertionError(f"not planned: {command}")

    def spawn(self, command: Command, *, log: Path) -> int:
        raise AssertionError(f"not planned: {command}")

    def helper(self, name: str, host: str, **answer: str) -> None:
        """docker-credential-<name> knows this host."""
        key = ((f"docker-credential-{name}", "get"), host.encode())
        self.plan[key] = Completed(code=0, stdout=json.dumps({"ServerURL": host, **answer}))


@dataclass(slots=True)
class Clock:
    """Time that passes only by sleeping."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def transport() -> ScriptedTransport:
    return ScriptedTransport()


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credentials() -> list[Credential | None]:
    """What the credential source gives: the first, and when that was refused the next; the last stays."""
    return [None]


@pytest.fixture
def registry(transport: ScriptedTransport, clock: Clock, credentials: list[Credential | None]) -> OciRegistry:
    """The registry at r.example/team: open, unless a test plans another answer to the first look."""
    transport.on("GET", "https://r.example/v2/", HttpResponse(status=200))

    def source(*, fresh: bool) -> Credential | None:
        if fresh and len(credentials) > 1:
            credentials.pop(0)
        return credentials[0]

    session = RegistrySession(
        "r.example",
        transport=transport,
        credential=source,
        clock=clock,
        sleep=clock.sleep,
        jitter=lambda: 0.0,
    )
    return OciRegistry("r.example/team", session)


@pytest.fixture
def json_answer() -> Callable[..., HttpResponse]:
    def make(status: int, document: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
        return HttpResponse(status=status, headers=headers or {}, body=json.dumps(document).encode())

    return make
