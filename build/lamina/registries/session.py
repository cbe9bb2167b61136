"""Requests to one registry: discovery, authorization, retries and errors."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO
from urllib.parse import urljoin, urlsplit

from lamina.errors import Problem, RegistryError
from lamina.refs import Reference
from lamina.registries import refusals
from lamina.registries.auth import Authorizer, Challenge, CredentialSource, Refused
from lamina.registries.http import HttpResponse, Request, Transport, Unreachable
from lamina.registries.refusals import Advice, ErrorDetail
from lamina.values import dataclass

_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffPolicy:
    """Retries, in seconds. budget: no attempt starts after it."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0
    budget: float = 60.0

    def pause(self, attempt: int, retry_after: float | None, jitter: float) -> float:
        """Return the pause before ``attempt`` (2, 3, …): Retry-After if given, else doubling with jitter.

        jitter: 0 to 1, spreads clients that were refused at the same moment.
        """
        if retry_after is not None:
            return min(retry_after, self.longest) + 0.1 * jitter
        return min(self.first * 2.0 ** (attempt - 2), self.longest) * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    """A discovered registry: the URL before ``/v2/…`` and its authorizer."""

    base: str
    authorizer: Authorizer


class RegistrySession:
    """Sends requests to ``host[:port]``. Thread-safe; discovery and credentials happen once.

    Args:
        credential: called only if the registry requires credentials.
        advice: the next steps for errors.
    """

    def __init__(
        self,
        host: str,
        *,
        transport: Transport,
        credential: CredentialSource,
        advice: Advice | None = None,
        backoff: BackoffPolicy = BackoffPolicy(),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.host = host
        self.advice = advice or Advice(login=f"docker login {host}")
        self._transport = transport
        self._credential = credential
        self._backoff = backoff
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._lock = threading.Lock()
        self._found: _Endpoint | None = None

    def open(self) -> None:
        """Discover the registry and read the credentials, so that common errors are raised once."""
        self._endpoint().authorizer.prepare()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        what: str,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
        sink: IO[bytes] | None = None,
        most: int | None = None,
        allowed: frozenset[int] = frozenset(),
    ) -> HttpResponse:
        """Send a request with authorization; repeat it once with a renewed one if that was refused.

        Args:
            method: the HTTP method.
            path: below the registry, or a whole URL.
            what: the action for messages, ``read x:y``.
            scopes: for token services.
            headers: further headers.
            body: the body.
            sink: see `Transport.send`.
            most: see `Transport.send`.
            allowed: unsuccessful statuses that the caller handles.

        Raises:
            RegistryError: no response, or a status that is neither successful nor allowed.
        """
        endpoint = self._endpoint()
        url = urljoin(endpoint.base, path)
        shown: str | None = None
        for last in (False, True):
            if _origin(url) == _origin(endpoint.base):  # an upload may go to another host
                shown = self._authorization(endpoint, scopes, what)
            extra = {"Authorization": shown} if shown else {}
            request = Request(method=method, url=url, headers={**(headers or {}), **extra}, body=body)
            answer = self._send(request, sink, most)
            if answer.status < 300 or answer.status in allowed:
                return answer
            detail = self.error_detail(answer)
            renewable = answer.status == 401 or (answer.status == 403 and detail.expired)
            if last or not renewable or not endpoint.authorizer.renew(scopes, shown):
                break
        raise self.refused(answer.status, detail, what)

    def _authorization(self, endpoint: _Endpoint, scopes: tuple[str, ...], what: str) -> str | None:
        try:
            return endpoint.authorizer.header(scopes)
        except Refused as error:
            if error.answer is None:
                problem = Problem(what=f"{error.reason}, cannot {what}", where=self.host)
                raise RegistryError(problem) from error
            # Token services answer a wrong password with 400 as well as 401.
            status = 401 if error.answer.status == 400 else error.answer.status
            raise self.refused(status, self.error_detail(error.answer), what) from error

    def _send(self, request: Request, sink: IO[bytes] | None = None, most: int | None = None) -> HttpResponse:
        """Send with retries of transient errors. Raises RegistryError without a response."""
        deadline = self._clock() + self._backoff.budget
        for attempt in range(2, self._backoff.attempts + 2):
            over = attempt > self._backoff.attempts
            retry_after: float | None = None
            try:
                answer = self._transport.send(request, sink=sink, most=most)
            except Unreachable as error:
                if over or error.kind != "lost" or self._clock() >= deadline:
                    raise refusals.unreachable(self.host, error) from error
            else:
                if over or answer.status not in _TRANSIENT or self._clock() >= deadline:
                    return answer
                with suppress(ValueError):
                    retry_after = max(0.0, float(answer.headers.get("retry-after", "")))
            self._sleep(self._backoff.pause(attempt, retry_after, self._jitter()))
        raise AssertionError("the last attempt returns or raises")

    def _endpoint(self) -> _Endpoint:
        """Discover once the registry's URL (https, or http on loopback) and its authorization."""
        with self._lock:
            if self._found is None:
                base, answer = self._discover(_HUB_API if self.host == _HUB else self.host)
                challenge = Challenge.parse(answer.headers.get("www-authenticate", ""))
                authorizer = Authorizer(challenge, self._credential, self._send, clock=self._clock)
                self._found = _Endpoint(base=base, authorizer=authorizer)
            return self._found

    def _discover(self, host: str) -> tuple[str, HttpResponse]:
        """Return the URL and its answer to GET /v2/.

        On loopback plain HTTP is tried first: it is the rule there, and servers of TLS refuse it with 400 or
        close the connection.
        """
        plain, secure = f"http://{host}", f"https://{host}"
        if Reference(host=self.host, repository="any").loopback:
            try:
                answer = self._ping(plain)
            except Unreachable as error:
                if error.kind != "lost":
                    raise refusals.unreachable(self.host, error) from error
            else:
                if answer.status not in {400, *_TRANSIENT}:
                    return plain, self._checked(answer)
            try:
                return secure, self._checked(self._ping(secure))
            except Unreachable as error:
                if error.kind == "tls" and "certificate" in error.reason:  # https, but not trusted
                    raise refusals.unreachable(self.host, error) from error
            secure = plain
        return secure, self._checked(self._send(Request(method="GET", url=f"{secure}/v2/")))

    def _ping(self, base: str) -> HttpResponse:
        return self._transport.send(Request(method="GET", url=f"{base}/v2/"))

    def _checked(self, answer: HttpResponse) -> HttpResponse:
        """Return the answer to GET /v2/ if it is that of a registry. Raises RegistryError."""
        if answer.status == 401 or answer.status < 300:
            return answer
        if answer.status in {403, 429} or answer.status >= 500:
            detail = ErrorDetail.read(answer)
            raise refusals.refused(
                answer.status, detail, "use it", host=self.host, advice=self.advice, anonymous=False
            )
        raise refusals.no_registry(self.host, answer)

    def error_detail(self, answer: HttpResponse) -> ErrorDetail:
        """Return the error in a response, with the credential masked."""
        detail = ErrorDetail.read(answer)
        return ErrorDetail(codes=detail.codes, message=self._endpoint().authorizer.redact(detail.message))

    def refused(self, status: int, detail: ErrorDetail, what: str) -> RegistryError:
        """Return the error for a status, also for an allowed one that the caller cannot handle."""
        anonymous = self._endpoint().authorizer.anonymous
        return refusals.refused(status, detail, what, host=self.host, advice=self.advice, anonymous=anonymous)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
