"""Questions to an engine over its unix socket, with the standard library.

docker-py is the client for everything else. It takes longer to import than a command takes that builds
nothing and only asks for its images; so does `http.client`, which brings TLS and e-mail along.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any, TypedDict

from lamina.errors import EngineError
from lamina.refs import Reference

UNIX = "unix://"
START_HINT = "start it, or set DOCKER_HOST; try: docker info"
_MISSING, _BAD = 404, 400
_PIECE = 64 << 10
LOAD_SECONDS = 900
"""For a load without an answer: an engine unpacks all layers above a new one."""


class EngineInfo(TypedDict, total=False):
    """Facts about an engine: Docker Engine API, ``GET /info``. BuildahVersion: only Podman has it."""

    ServerVersion: str
    BuildahVersion: str
    Architecture: str
    DriverStatus: list[list[str]] | None


class ImageDescriptor(TypedDict, total=False):
    """The manifest of an image in the containerd store."""

    digest: str
    annotations: dict[str, str] | None


class ImageSettings(TypedDict, total=False):
    """With which settings an image is run."""

    Labels: dict[str, str] | None


class ImageLayers(TypedDict, total=False):
    """The digests of an image's unpacked layers, lowest first."""

    Layers: list[str] | None


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
    RootFS: ImageLayers | None


class ImageStep(TypedDict, total=False):
    """A step of an image's history: ``GET /images/{name}/history``, the last step first."""

    Size: int


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

    def history(self, ref: Reference) -> Sequence[ImageStep]:
        """Return an image's history, empty if there is none. Shape: ``GET /images/{name}/history``."""
        found: list[ImageStep] | None = self._get(f"/images/{ref}/history", f"inspect {ref}")
        return found or []

    def load(self, archive: bytes, what: str) -> list[dict[str, Any]]:
        """Load an archive of images; return the engine's events.

        Shape: ``POST /images/load``. what: the action, for errors.
        """
        try:
            status, reason, body = self._ask("POST", "/images/load?quiet=1", archive, timeout=LOAD_SECONDS)
            if status >= _BAD:
                raise EngineError.of(f"the engine cannot {what}: {reason}", where=self._url)
            return [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
        except (OSError, ValueError) as error:
            raise self._silent(what) from error

    def _get(self, path: str, what: str) -> Any:
        """Return a document; None for one that is missing. what: the action, for errors."""
        try:
            status, reason, body = self._ask("GET", path)
            found = json.loads(body)
        except (OSError, ValueError) as error:
            raise self._silent(what) from error
        if status == _MISSING:
            return None
        if status >= _BAD:
            message = " ".join(str(found.get("message", reason)).split())
            raise EngineError.of(f"the engine cannot {what}: {message}", where=self._url)
        return found

    def _silent(self, what: str) -> EngineError:
        message = f"the Docker engine does not answer, cannot {what}"
        return EngineError.of(message, where=self._url, hint=START_HINT)

    def _ask(
        self, method: str, path: str, archive: bytes = b"", *, timeout: float | None = None
    ) -> tuple[int, str, bytes]:
        """Send a request; return the status, its reason, and the body. Raises OSError or ValueError.

        In HTTP/1.0 the body is all that follows until the engine closes the connection.
        """
        with self._connect() as line:
            line.settimeout(timeout or self._timeout)
            about = f"Content-Type: application/x-tar\r\nContent-Length: {len(archive)}\r\n" * bool(archive)
            line.sendall(f"{method} {path} HTTP/1.0\r\nHost: docker\r\n{about}\r\n".encode() + archive)
            pieces = []
            while piece := line.recv(_PIECE):
                pieces.append(piece)
        head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
        first, *headers = head.decode("latin-1").split("\r\n")
        _, status, reason = (*first.split(" ", 2), "")[:3]
        for header in headers:
            name, _, value = header.partition(":")
            if name.lower() == "content-length" and len(body) < int(value):
                raise OSError("the answer ends early")
        return int(status), reason, body

    def _connect(self) -> socket.socket:
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
        return line
