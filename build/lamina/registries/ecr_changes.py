"""Changes of images in ECR by the OCI protocol, recorded under the names that AWS gives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO
from urllib.parse import unquote, urlsplit

from lamina.aws.changes import NO_ANSWER, AwsCall, now
from lamina.patterns import regex
from lamina.refs import EcrHost, Reference
from lamina.registries.http import HttpResponse, Request, Transport, Unreachable

_ACTIONS = {"PUT": "ecr:PutImage", "DELETE": "ecr:BatchDeleteImage"}
_MANIFEST = regex(r"/v2/(.+)/manifests/([^/]+)")
_SUCCESS, _ERROR, _LOGIN = 200, 300, 401


class RecordingTransport:
    """Sends requests by another transport, and records those that write or delete a manifest.

    Layers are not recorded: they change nothing before a manifest names them.
    """

    def __init__(self, transport: Transport, record: Callable[[AwsCall], None]) -> None:
        self._transport = transport
        self._record = record

    def send(
        self, request: Request, *, sink: IO[bytes] | None = None, most: int | None = None
    ) -> HttpResponse:
        """See `Transport.send`."""
        try:
            answer = self._transport.send(request, sink=sink, most=most)
        except Unreachable:
            self._note(request, NO_ANSWER)
            raise
        if answer.status != _LOGIN:  # the request is sent again with credentials
            error = None if _SUCCESS <= answer.status < _ERROR else _code(answer)
            self._note(request, error, answer.headers.get("x-amzn-requestid"))
        return answer

    def close(self) -> None:
        """See `Transport.close`."""
        self._transport.close()

    def _note(self, request: Request, error: str | None, id: str | None = None) -> None:  # noqa: A002
        url = urlsplit(request.url)
        found = _MANIFEST.fullmatch(unquote(url.path))
        if found is None or request.method not in _ACTIONS:
            return
        host = EcrHost.of(Reference(host=url.netloc, repository=found[1]))
        self._record(
            AwsCall(
                time=now(),
                action=_ACTIONS[request.method],
                resource=f"{found[1]}{'@' if ':' in found[2] else ':'}{found[2]}",
                detail="",
                account=host.account if host else None,
                region=host.region if host else None,
                request_id=id,
                error=error,
            )
        )


def _code(answer: HttpResponse) -> str:
    """Return the registry's code of an error."""
    try:
        return str(json.loads(answer.body)["errors"][0]["code"])
    except (ValueError, LookupError, TypeError):
        return f"HTTP {answer.status}"
