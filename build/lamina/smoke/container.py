"""Run a function under Lambda's conditions: one container, one event; nothing is left afterwards."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict

from lamina.errors import Problem
from lamina.execute.engine import Engine
from lamina.identify.image import Image
from lamina.process import signals_held
from lamina.refs import Reference
from lamina.registries.local import connect, engine_errors
from lamina.smoke import invoke, starting
from lamina.smoke.answer import Invocation, RawResponse, judge
from lamina.smoke.init import Init, read_init

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import HostConfig

LABEL = "dev.lamina.smoke"
_FOLDER = "/lamina-smoke"
_EMULATOR, _INVOKE, _EVENT = (f"{_FOLDER}/{name}" for name in ("aws-lambda-rie", "invoke.py", "event.json"))
_STARTING = f"{_FOLDER}/starting.py"
_STARTS = 3
_USER = "993:990"  # sbx_user1051, as which Lambda runs every function
_HOME = "/home/sbx_user1051"  # does not exist, as on Lambda
_TMP = "rw,exec,nosuid,nodev,size=512m,mode=1777"
_MOST = 1024  # open files, and processes with threads: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_EXTRA_SECONDS = 60
_NO_COMMAND = "(no CMD)"
_NO_CREDENTIALS = "functions get no credentials by default; --aws-credentials passes yours on"
_NO_PYTHON = "the image has no python3, which is needed to send the event"


class _Response(TypedDict, total=False):
    """What `invoke` prints, or why it could not be run."""

    status: int | None
    body: str
    fault: str | None
    peak: int | None


class ContainerState(TypedDict, total=False):
    """How a container is or was."""

    OOMKilled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The limits of an instance.

    Attributes:
        memory: MB.
        timeout: seconds, with init.
        environment: extra variables.
    """

    memory: int
    timeout: int
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStart:
    """How a container starts.

    Attributes:
        command: the image's CMD, or its replacement.
        size: bytes, unpacked.
        folder: the working folder.
        volumes: folders that are not part of the root file system.
    """

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    size: int = 0
    layers: int = 0
    folder: str = "/"
    volumes: tuple[str, ...] = ()

    @property
    def unweighed(self) -> ContainerStart:
        """This without the size and the number of layers."""
        return replace(self, size=0, layers=0)

    @property
    def python(self) -> str:
        """The interpreter that runs the handler: of the entrypoint, if that names one."""
        first = self.entrypoint[0] if self.entrypoint else ""
        return first if first.rpartition("/")[2].startswith("python") else "python3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A function to try.

    Attributes:
        name: of the function.
        event: JSON.
        file: where the event is from; None for an empty one.
    """

    name: str
    ref: Reference
    start: ContainerStart
    event: bytes
    file: Path | None = None

    @property
    def function(self) -> str:
        """The CMD, for people."""
        return " ".join(self.start.command) or _NO_COMMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedImage:
    """An image whose functions were tried.

    Attributes:
        images: it and its bases, as they were built.
        engine: where.
        own: its CMD.
        emulator: the program that runs its functions.
    """

    name: str
    images: Mapping[str, Image]
    engine: Engine
    own: tuple[str, ...]
    trials: tuple[Trial, ...]
    emulator: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoked:
    """A function and its response.

    Attributes:
        function: the CMD.
        skipped: why it was not tried, if so.
        init: its start explained, if that was asked for and possible.
        max_init: the configured limit in ms.
    """

    image: str
    function: str
    answer: Invocation = field(default_factory=Invocation)
    skipped: str | None = None
    tag: str = ""
    size: int = 0
    layers: int = 0
    init: Init | None = None
    max_init: float | None = None

    @property
    def is_slow(self) -> bool:
        """Whether its init took longer than its configured limit."""
        init = self.answer.init_ms
        return self.max_init is not None and init is not None and init > self.max_init

    @property
    def problem(self) -> Problem | None:
        """The failure as a problem, if there is one."""
        if self.answer.failure is None and self.is_slow:
            return Problem(
                what=f"{self.function}: init took {self.answer.init_ms:.0f} ms",
                where=self.image,
                allowed=f"max-init: {self.max_init:.0f} ms",
                hint="read above which imports are slow; import what few events need where it is used",
            )
        if self.answer.failure is None:
            return None
        return Problem(
            what=f"{self.function}: {self.answer.failure}",
            where=self.image,
            hint=_NO_CREDENTIALS
            if self.answer.failure.type == "NoCredentialsError"
            else self.answer.failure.advice,
        )


class SmokeEngine:
    """An engine on which functions are tried. A context manager."""

    def __init__(self, engine: Engine, conditions: Conditions) -> None:
        self._engine = engine
        self._conditions = conditions
        self._open: APIClient | None = None

    def __enter__(self) -> Self:
        with engine_errors("connect", self._engine.host):
            self._open = connect(self._engine.host, timeout=self._conditions.timeout + _EXTRA_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    @property
    def _api(self) -> APIClient:
        assert self._open is not None  # noqa: S101 - inside the block
        return self._open

    def start_of(self, ref: Reference) -> ContainerStart:
        """Return the entrypoint and command of an image in the engine."""
        with engine_errors(f"inspect {ref}", self._engine.host):
            image = self._api.inspect_image(str(ref))
        config = image.get("Config") or {}
        return ContainerStart(
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            size=image.get("Size") or 0,
            layers=len((image.get("RootFS") or {}).get("Layers") or ()),
            folder=config.get("WorkingDir") or "/",
            volumes=tuple(config.get("Volumes") or ()),
        )

    def run(self, trial: Trial, emulator: Path) -> Invocation:
        """Start an instance, send it the event and remove it. Raises EngineError."""
        with engine_errors(f"run {trial.ref}", self._engine.host), self._container(trial) as container:
            self._start(container, emulator, trial.event)
            response = self._ask(container)
            state = self._end(container)
            return self._judge(response, state, self._log(container))

    def history(self, ref: Reference) -> tuple[str, ...]:
        """Return the commands of an image's history, lowest first. Raises EngineError."""
        with engine_errors(f"inspect {ref}", self._engine.host):
            return tuple(str(each.get("CreatedBy") or "") for each in reversed(self._api.history(str(ref))))

    def remove(self, name: str) -> None:
        """Remove an instance, if there is one. Raises EngineError."""
        from docker.errors import NotFound

        with engine_errors(f"remove {name}", self._engine.host), suppress(NotFound):
            self._api.remove_container(name, v=True, force=True)

    def _start(self, container: str, emulator: Path, event: bytes) -> None:
        programs: dict[str, str | Path] = {_EMULATOR: emulator, _INVOKE: invoke.__file__}
        self._api.put_archive(container, _FOLDER, _archive(programs, event))
        self._api.start(container)

    def _log(self, container: str) -> bytes:
        log: bytes = self._api.logs(container, stdout=True, stderr=True)
        return log

    def _judge(self, response: _Response, state: ContainerState, log: bytes) -> Invocation:
        raw = RawResponse(
            status=response.get("status"),
            body=str(response.get("body", "")),
            fault=response.get("fault"),
            peak=response.get("peak"),
            killed=bool(state.get("OOMKilled")),
            log=log.decode("utf-8", "replace"),
        )
        return judge(raw, memory=self._conditions.memory)

    def explain(self, trial: Trial) -> Init | None:
        """Start the handler without an event and measure its init. None if it cannot be started so."""
        handler = trial.start.command[0] if trial.start.command else ""
        if "." not in handler:
            return None
        start = replace(
            trial.start,
            entrypoint=(trial.start.python, "-B", _STARTING, "measure"),
            command=(handler,),
        )
        measured = replace(trial, start=start)
        with (
            engine_errors(f"run {trial.ref}", self._engine.host),
            self._container(measured, emulated=False) as container,
        ):
            self._api.put_archive(container, _FOLDER, _archive({_STARTING: starting.__file__}, b""))
            self._api.start(container)
            code = self._api.wait(container, timeout=_STARTS * self._conditions.timeout + _EXTRA_SECONDS)
            written = self._api.logs(container, stdout=True, stderr=False)
        return read_init(json.loads(written), handler) if code["StatusCode"] == 0 else None

    @contextmanager
    def _container(self, trial: Trial, *, emulated: bool = True) -> Iterator[str]:
        name = container_name()
        try:
            self._create(name, trial, self._limits(read_only=True), emulated=emulated)
            yield name
        finally:
            self.remove(name)

    def _create(self, name: str, trial: Trial, limits: HostConfig, *, emulated: bool = True) -> None:
        with signals_held():  # else Ctrl-C leaves a container that the engine is about to create
            self._api.create_container(
                str(trial.ref),
                name=name,
                labels={LABEL: trial.name},
                # The entrypoint of AWS's images starts its own emulator, unless it finds a runtime API. Ours
                # provides one, so that every image runs under the same emulator.
                entrypoint=[*((_EMULATOR,) if emulated else ()), *trial.start.entrypoint],
                command=list(trial.start.command),
                user=_USER,
                environment=self._environment(trial),
                # A bind mount needs the engine on this machine; a volume is filled over the API.
                volumes=[_FOLDER],
                host_config=limits,
            )

    def _limits(self, *, read_only: bool) -> HostConfig:
        from docker.types import Ulimit

        memory = self._conditions.memory * 1024 * 1024
        return self._api.create_host_config(
            read_only=read_only,
            tmpfs={"/tmp": _TMP},  # noqa: S108 - in the container
            ipc_mode="none",  # Lambda has no /dev/shm
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            memswap_limit=memory,
            pids_limit=_MOST,
            ulimits=[Ulimit(name="nofile", soft=_MOST, hard=_MOST)],
        )

    def _environment(self, trial: Trial) -> dict[str, str]:
        return {
            "AWS_LAMBDA_FUNCTION_NAME": trial.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._conditions.memory),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._conditions.timeout),
            "HOME": _HOME,
            **self._conditions.environment,
        }

    def _ask(self, container: str) -> _Response:
        """Send the event from inside the container, so that no port needs to be reachable."""
        from docker.errors import APIError

        try:
            call = self._api.exec_create(container, self._sender(_EVENT))["Id"]
            output, text = self._api.exec_start(call, demux=True)
            return self._response(call, output, text)
        except APIError as error:
            if not self._api.inspect_container(container)["State"]["Running"]:
                return {}
            return {"fault": _fault(str(error.explanation or error))}

    def _sender(self, event: str) -> list[str]:
        """Return the command that sends an event in the container. event: its path, or - for the input."""
        return ["python3", "-I", "-S", _INVOKE, event, str(self._conditions.timeout)]

    def _response(self, call: str, output: bytes | None, text: bytes | None) -> _Response:
        """Return what a sender has printed. call: its id. text: its standard error."""
        if self._api.exec_inspect(call)["ExitCode"] == 0:
            response: _Response = json.loads(output or b"")
            return response
        return {"fault": _fault((output or text or b"").decode("utf-8", "replace"))}

    def _end(self, container: str) -> ContainerState:
        """Stop an instance, so that its log is complete; return its state before."""
        from docker.errors import APIError

        state: ContainerState = self._api.inspect_container(container)["State"]
        with suppress(APIError):  # it has already ended
            self._api.kill(container)
        self._api.wait(container)
        return state


def container_name() -> str:
    """Return a name for a new instance."""
    return f"lamina-smoke-{secrets.token_hex(6)}"


def _fault(text: str) -> str | None:
    """Return why the event could not be sent; None if the instance ended in the meantime."""
    if "executable file not found" in text or "no such file" in text:
        return _NO_PYTHON
    return " ".join(text.split()) or None


def _archive(programs: Mapping[str, str | Path], event: bytes) -> bytes:
    """Return a tar archive for the container: programs by their path there, and the event."""
    tar = io.BytesIO()
    contents = {path: Path(file).read_bytes() for path, file in programs.items()} | {_EVENT: event}
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path, content in contents.items():
            entry = tarfile.TarInfo(path.rpartition("/")[2])
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return tar.getvalue()
