"""The engine's image store: inspect, tag, push, pull, save and remove images."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypedDict, cast

from lamina.errors import EngineError, RegistryError
from lamina.parallel import gather
from lamina.patterns import regex
from lamina.refs import Reference
from lamina.registries.engine_socket import LOAD_SECONDS, START_HINT, UNIX, EngineSocket, ImageInspection
from lamina.registries.pace import STALL_HINT, Pace
from lamina.values import dataclass

if TYPE_CHECKING:  # most commands only look images up
    from docker import APIClient

    from lamina.registries.credentials import Credential


class _Progress(TypedDict, total=False):
    current: int


class _Pushed(TypedDict, total=False):
    Digest: str


class ExchangeEvent(TypedDict, total=False):
    """A line of the engine about a push or pull. id: the layer. error: why it failed."""

    id: str
    status: str
    progressDetail: _Progress | None
    error: str
    aux: _Pushed


Events = Iterable[ExchangeEvent]
_SECONDS = 60
_AT_ONCE = 8
_CONNECT_SECONDS = 5
_DEFAULT = "unix:///var/run/docker.sock"
_DENIED = ("unauthorized", "no basic auth", "denied", "authentication", "authorization token has expired")
_PUSHED = regex(r": digest: (sha256:[0-9a-f]{64}) size: \d+$")
_ON_THE_WIRE = frozenset({"Waiting", "Pushing", "Downloading"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """An image in the store.

    Attributes:
        id: the engine's id, the digest of the manifest with the containerd store, else of the configuration.
        digest: of the manifest; None in the classic store for an image that was never pushed or pulled.
        config: the configuration's digest, known to the containerd store for images built in this engine.
        size: bytes as the engine counts them, unpacked.
        platform: ``linux/amd64``.
    """

    ref: Reference
    id: str
    digest: str | None
    config: str | None = None
    size: int
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str


class RefusedError(RegistryError):
    """The registry rejected the engine's credentials."""


class LocalStore:
    """One engine, through docker-py; images are looked up over its socket. Its failures raise EngineError.

    Args:
        base_url: ``unix:///…``, ``tcp://…`` or ``ssh://…``; None for DOCKER_HOST or docker's own default.
        api: a docker-py ``APIClient`` or a double to use instead of connecting.
        stall: seconds after which a push or pull without progress fails; 0: no limit.
    """

    def __init__(
        self, base_url: str | None = None, *, api: APIClient | None = None, stall: float = 0
    ) -> None:
        self._base_url = base_url
        self._api = api
        self._stall = stall
        self._loading = Lock()  # docker-py takes the timeout from its client, which threads share
        direct = api is None and base_url is not None and base_url.startswith(UNIX)
        self._socket = EngineSocket(base_url, timeout=_SECONDS) if direct and base_url else None

    def images(self, refs: Iterable[Reference]) -> Mapping[Reference, LocalImage | None]:
        """Return the images by reference, None for missing ones."""
        wanted = tuple(dict.fromkeys(refs))
        if self._socket is None:
            with self._engine("inspect images"):
                pass  # connect once, before there are threads
        # The engine is slow at each (it adds up unpacked sizes) and answers several at once.
        return dict(zip(wanted, gather(self._image, wanted, threads=_AT_ONCE), strict=True))

    def layers(self, ref: Reference) -> tuple[tuple[str, int], ...]:
        """Return the layers of an image, lowest first: digest and unpacked bytes; empty when uncertain."""
        if self._socket is not None:
            found, history = self._socket.image(ref) or {}, self._socket.history(ref)
        else:
            with self._engine(f"inspect {ref}") as api:
                found, history = api.inspect_image(str(ref)), api.history(str(ref))
        sizes = [int(each.get("Size") or 0) for each in reversed(history)]
        return layers_of((found.get("RootFS") or {}).get("Layers") or (), sizes)

    def tag(self, source: Reference, target: Reference) -> None:
        """Tag an image; the tag is moved if another image has it."""
        with self._engine(f"tag {source} as {target}") as api:
            api.tag(str(source), target.name, target.tag or "latest", force=True)

    def push(
        self, ref: Reference, credential: Credential | None, on_line: Callable[[str], None]
    ) -> str | None:
        """Push one tag. Return the digest of the pushed manifest, None if the engine does not report it.

        Args:
            ref: the tag.
            credential: None for the one in docker's configuration.
            on_line: receives the engine's steps, without progress bars.

        Raises:
            RegistryError: the push was refused or made no progress.
            EngineError: the engine failed.
        """
        digest: str | None = None
        with self._exchange("push", ref) as (api, moving):
            for event in moving(api.push(ref.name, ref.tag or "latest", **_streamed(credential))):
                if failure := event.get("error"):
                    raise _refused("push", ref, str(failure))
                if aux := event.get("aux"):
                    digest = aux.get("Digest") or digest
                elif "status" in event and not event.get("progressDetail"):
                    if said := _PUSHED.search(event["status"]):  # Podman sends no aux
                        digest = digest or said[1]
                    on_line(": ".join(part for part in (event.get("id"), event["status"]) if part))
        if digest is None and (image := self._image(ref)):  # the containerd store sends no aux
            digest = image.digest
        return digest

    def pull(self, ref: Reference, credential: Credential | None) -> str:
        """Pull a tag or digest. Return a line with the result: pulled, already present, or not found.

        credential: as for `push`. Raises RegistryError when the registry refuses or cannot be reached.
        """
        from docker.errors import APIError, NotFound

        before = self._image(ref)
        with self._exchange("pull", ref) as (api, moving):
            try:
                events = api.pull(ref.name, ref.digest or ref.tag or "latest", **_streamed(credential))
                for event in moving(events):
                    if failure := event.get("error"):
                        raise _refused("pull", ref, str(failure))
            except APIError as error:
                message = str(error.explanation or error)
                if isinstance(error, NotFound) and "denied" not in message.lower():
                    return f"not found in {ref.pull_host}"
                raise _refused("pull", ref, message) from error
        after = self._image(ref)
        if after is None:
            return "pulled, and removed by another client meanwhile"
        if before is not None and before.id == after.id:
            return "was there"
        return f"pulled {(after.digest or after.id)[:19]}… ({after.size / 1e6:.1f} MB)"

    def save(self, ref: Reference, file: Path) -> None:
        """Write an image as an archive, as ``docker save`` does; its layers may be compressed."""
        with self._engine(f"save {ref}") as api, file.open("wb") as sink:
            for chunk in api.get_image(str(ref)):
                sink.write(chunk)

    def load(self, ref: Reference, archive: bytes) -> None:
        """Load an archive with one image. It may lack layers: look the image up afterwards."""
        if self._socket is not None:
            events = self._socket.load(archive, f"load {ref}")
        else:
            with self._loading, self._engine(f"load {ref}") as api:
                before, api.timeout = api.timeout, LOAD_SECONDS
                try:
                    events = list(api.load_image(archive, quiet=True))
                finally:
                    api.timeout = before
        for event in events:
            if failure := event.get("error"):
                raise EngineError.of(f"the engine cannot load {ref}: {failure}", where=self._where)

    def remove(self, ref: Reference) -> None:
        """Remove a tag, and the image with its last tag; succeed when the tag does not exist."""
        with self._engine(f"remove {ref}") as api:
            from docker.errors import NotFound

            try:
                api.remove_image(str(ref))
            except NotFound:
                return

    def close(self) -> None:
        """Close the connection."""
        if self._api is not None:
            self._api.close()

    def _image(self, ref: Reference) -> LocalImage | None:
        if self._socket is not None:
            found = self._socket.image(ref)
            return image_of(ref, found) if found is not None else None
        with self._engine(f"inspect {ref}") as api:
            from docker.errors import NotFound

            try:
                inspection = api.inspect_image(str(ref))
            except NotFound:
                return None
        return image_of(ref, inspection)

    @contextmanager
    def _exchange(self, verb: str, ref: Reference) -> Iterator[tuple[APIClient, Callable[[Events], Events]]]:
        """Yield docker-py's client for a push or pull, and a filter for its events.

        UnansweredError is raised when the events show no progress for too long, or stop.
        """
        from requests.exceptions import Timeout
        from urllib3.exceptions import ReadTimeoutError

        from lamina.registries.refusals import UnansweredError

        with self._engine(f"{verb} {ref}") as api:
            before = api.timeout
            api.timeout = cast("int", self._stall or None)  # requests takes a fraction, or None: no limit
            try:
                yield api, lambda events: moving(events, Pace(self._stall, time.monotonic()))
            except (Timeout, ReadTimeoutError, TimeoutError) as error:
                raise UnansweredError.of(
                    f"the {verb} of {ref} stands still: nothing moved for {self._stall:g} s",
                    where=ref.pull_host,
                    hint=STALL_HINT,
                ) from error
            finally:
                api.timeout = before

    @contextmanager
    def _engine(self, what: str) -> Iterator[APIClient]:
        with engine_errors(what, self._where):
            if self._api is None:
                self._api = connect(self._base_url)
            yield self._api

    @property
    def _where(self) -> str:
        return self._base_url or "docker"


def moving(events: Events, pace: Pace, clock: Callable[[], float] = time.monotonic) -> Events:
    """Pass the events on; raise TimeoutError when all wait for the network and too few bytes move.

    The engine reports each layer's progress ten times a second, even without any.
    """
    seen: dict[str, tuple[str, int]] = {}
    for event in events:
        now = clock()
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        count = int((event.get("progressDetail") or {}).get("current") or 0)
        before, had = seen.get(layer, ("", 0))
        seen[layer] = (status, count)
        if status != before or status not in _ON_THE_WIRE:
            pace.restart(now)
        else:
            pace.moved(max(0, count - had), now)
        if not pace.left(now):
            raise TimeoutError
        yield event


@contextmanager
def engine_errors(what: str, where: str) -> Iterator[None]:
    """Turn errors of docker-py into EngineError.

    Args:
        what: the action, ``push x``.
        where: the engine's URL.
    """
    from docker.errors import APIError, DockerException, StreamParseError
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        message = " ".join(str(error.explanation or error).split())
        raise EngineError.of(f"the engine cannot {what}: {message}", where=where) from error
    except (DockerException, StreamParseError, RequestException, HTTPError) as error:
        raise EngineError.of(
            f"the Docker engine does not answer, cannot {what}", where=where, hint=START_HINT
        ) from error


def image_of(ref: Reference, inspection: ImageInspection) -> LocalImage:
    """Return the image in an inspection. Shape: Docker Engine API, ``GET /images/{name}/json``."""
    descriptor = inspection.get("Descriptor") or {}  # of the containerd store, since API 1.48
    pairs = (str(each).partition("@") for each in inspection.get("RepoDigests") or ())
    named = {found for name, _, found in pairs if name == ref.name}
    # One image may have come with several manifests.
    only = next(iter(named)) if len(named) == 1 else None
    digest = descriptor.get("digest") or (ref.digest if ref.digest in named else only)
    parts = (inspection.get("Os"), inspection.get("Architecture"), inspection.get("Variant"))
    return LocalImage(
        ref=ref,
        id=str(inspection.get("Id", "")),
        digest=digest,
        config=(descriptor.get("annotations") or {}).get("config.digest"),  # written by BuildKit
        size=int(inspection.get("Size") or 0),
        labels=dict((inspection.get("Config") or {}).get("Labels") or {}),
        platform="/".join(part for part in parts if part),
    )


def layers_of(digests: Sequence[str], sizes: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """Pair digests with sizes; empty when they do not match.

    sizes: of every entry of the history, 0 for entries that made no layer.
    """
    made = [size for size in sizes if size]
    return tuple(zip(digests, made, strict=True)) if len(made) == len(digests) else ()


def connect(base_url: str | None, *, timeout: int = _SECONDS) -> APIClient:
    """Return a docker-py ``APIClient`` with the certificates of docker's variables; ``timeout`` in seconds.

    Raises EngineError when a unix socket does not accept connections, docker-py's own errors otherwise.
    """
    import docker
    from docker.utils import kwargs_from_env

    settings = kwargs_from_env()  # DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY
    if base_url is not None:
        settings["base_url"] = base_url
    url = str(settings.get("base_url") or _DEFAULT)
    if url.startswith(UNIX):
        # Try first: docker-py leaks the socket, with a ResourceWarning, when the connection fails.
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(_CONNECT_SECONDS)
            try:
                knock.connect(url.removeprefix(UNIX))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise EngineError.of(
                    f"there is no Docker engine at {url}: {reason}", hint=START_HINT
                ) from error
    ssh = url.startswith("ssh://")
    return docker.APIClient(version="auto", timeout=timeout, use_ssh_client=ssh, **settings)


class _Streamed(TypedDict):
    stream: bool
    decode: bool
    auth_config: dict[str, str] | None


def _streamed(credential: Credential | None) -> _Streamed:
    """Return the arguments common to pushes and pulls: a stream of events, and the login."""
    auth = {"username": credential.username, "password": credential.secret} if credential else None
    if credential and credential.identity:
        auth = {"identitytoken": credential.secret}
    return {"stream": True, "decode": True, "auth_config": auth}


def _refused(verb: str, ref: Reference, failure: str) -> RegistryError:
    """Return the error for a push or pull that the registry refused; the engine reports only text."""
    text = " ".join(failure.split())
    lowered = text.lower()
    kind: type[RegistryError] = RegistryError
    if any(word in lowered for word in _DENIED):
        kind = RefusedError
        hint = f"run: docker login {ref.pull_host} (or invoke login)"
    elif "does not exist" in lowered:
        hint = "run: invoke build-all --push --create"
    elif "http response to https client" in lowered:
        insecure = "insecure-registries of Docker's daemon.json, registries.conf of Podman"
        hint = f"the engine expects TLS of {ref.pull_host}; to do without, name it in {insecure}"
    elif any(word in lowered for word in ("no such host", "connection refused", "timeout")):
        hint = "check the registry's name and port, and the network the engine is in"
    else:
        hint = "try again; see the engine's log"
    return kind.of(f"the {verb} of {ref} failed: {text}", where=ref.pull_host, hint=hint)
