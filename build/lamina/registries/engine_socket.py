"""Questions to an engine over its unix socket, with the standard library.

docker-py is the client for everything else. It takes longer to import than a command takes that builds
nothing and only asks for its images.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, TypedDict

from lamina.errors import EngineError
from lamina.refs import Reference

if TYPE_CHECKING:
    from http.client import HTTPConnection

UNIX = "unix://"
START_HINT = "start it, or set DOCKER_HOST; try: docker info"
_MISSING, _BAD = 404, 400


class EngineInfo(TypedDict, total=False):
    """Facts about an engine: Docker Engine API, ``GET /info``."""

    ServerVersion: str
    Architecture: str
    DriverStatus: list[list[str]] | None


class ImageDescriptor(TypedDict, total=False):
    """The manifest of an image in the containerd store."""

    digest: str
    annotations: dict[str, str] | None


class ImageSettings(TypedDict, total=False):
    """With which settings an image is run."""

    Labels: dict[str, str] | None


class ImageInspection(TypedDict, total=False):
    """An image: Docker Engine API, ``GET /images/{name}/json``. Descriptor: since API 1.48."""

    Id: str
    Descriptor: ImageDescriptor | None
    RepoDigests: list[str] | None
    Os: str
    Architecture: str
    Variant: str
    Size: int
    Config: ImageSettings | None


class EngineSocket:
    """Asks one engine; may be used by several threads, since every question has its own connection.

    url: ``unix:///path``. timeout: seconds.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._url = url
        self._timeout = timeout

    def info(self) -> EngineInfo:
        """Return the facts about the engine. Shape: Docker Engine API, ``GET /info``."""
        found: EngineInfo | None = self._get("/info", "tell its version")
        return found or {}

    def image(self, ref: Reference) -> ImageInspection | None:
        """Return an image's inspection, None if there is none. Shape: ``GET /images/{name}/json``."""
        found: ImageInspection | None = self._get(f"/images/{ref}/json", f"inspect {ref}")
        return found

    def _get(self, path: str, what: str) -> Any:
        """Return a document; None for one that is missing. what: the action, for errors."""
        from http.client import HTTPException  # brings ssl and email along: commands that ask nothing wait

        connection = self._connect()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            raise EngineError.of(
                f"the Docker engine does not answer, cannot {what}", where=self._url, hint=START_HINT
            ) from error
        finally:
            connection.close()
        if answer.status == _MISSING:
            return None
        if answer.status >= _BAD:
            message = " ".join(str(found.get("message", answer.reason)).split())
            raise EngineError.of(f"the engine cannot {what}: {message}", where=self._url)
        return dict(found)

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection

        line = socket.socket(socket.AF_UNIX)
        line.settimeout(self._timeout)
        try:
            line.connect(self._url.removeprefix(UNIX))
        except OSError as error:
            line.close()
            reason = (error.strerror or str(error)).lower()
            raise EngineError.of(
                f"there is no Docker engine at {self._url}: {reason}", hint=START_HINT
            ) from error
        connection = HTTPConnection("docker")
        connection.sock = line
        return connection
