"""Run a function under Lambda's conditions: one container, one event; nothing is left afterwards."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamina.errors import Problem
from lamina.execute.engine import Engine
from lamina.refs import Reference
from lamina.registries.local import connect, engine_errors
from lamina.smoke import asking
from lamina.smoke.answer import Invocation, RawResponse, judge

LABEL = "dev.lamina.smoke"
_FOLDER = "/lamina-smoke"
_EMULATOR, _ASKING, _EVENT = (f"{_FOLDER}/{name}" for name in ("aws-lambda-rie", "asking.py", "event.json"))
_USER = "993:990"  # sbx_user1051, as which Lambda runs every function
_HOME = "/home/sbx_user1051"  # does not exist, as on Lambda
_TMP = "rw,exec,nosuid,nodev,size=512m,mode=1777"
_MOST = 1024  # open files, and processes with threads: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_EXTRA_SECONDS = 60
_NO_CREDENTIALS = "functions get no credentials by default; --aws-credentials passes yours on"
_NO_PYTHON = "the image has no python3, which is needed to send the event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The limits of an instance. memory: MB. timeout: seconds, with init. environment: extra variables."""

    memory: int
    timeout: int
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStart:
    """How a container starts. command: the image's CMD, or its replacement."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A function to try. name: of the function. event: JSON."""

    name: str
    ref: Reference
    start: ContainerStart
    event: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoked:
    """A function and its response. function: the CMD. skipped: why it was not tried, if so."""

    image: str
    function: str
    answer: Invocation = field(default_factory=Invocation)
    skipped: str | None = None

    @property
    def problem(self) -> Problem | None:
        """The failure as a problem, if there is one."""
        if self.answer.failure is None:
            return None
        return Problem(
            what=f"{self.function}: {self.answer.failure}",
            where=self.image,
            hint=_NO_CREDENTIALS if self.answer.failure.type == "NoCredentialsError" else None,
        )


class SmokeEngine:
    """An engine on which functions are tried. A context manager."""

    def __init__(self, engine: Engine, conditions: Conditions) -> None:
        self._engine = engine
        self._conditions = conditions
        self._api: Any = None

    def __enter__(self) -> SmokeEngine:
        with engine_errors("connect", self._engine.host):
            self._api = connect(self._engine.host, timeout=self._conditions.timeout + _EXTRA_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()

    def start_of(self, ref: Reference) -> ContainerStart:
        """Return the entrypoint and command of an image in the engine."""
        with engine_errors(f"inspect {ref}", self._engine.host):
            config = self._api.inspect_image(str(ref)).get("Config") or {}
        return ContainerStart(
            entrypoint=tuple(config.get("Entrypoint") or ()), command=tuple(config.get("Cmd") or ())
        )

    def run(self, trial: Trial, emulator: Path) -> Invocation:
        """Start an instance, send it the event and remove it. Raises EngineError."""
        with engine_errors(f"run {trial.ref}", self._engine.host), self._container(trial) as container:
            self._api.put_archive(container, _FOLDER, _archive(emulator, trial.event))
            self._api.start(container)
            response = self._ask(container)
            state = self._end(container)
            log = self._api.logs(container, stdout=True, stderr=True).decode("utf-8", "replace")
        raw = RawResponse(
            status=response.get("status"),
            body=str(response.get("body", "")),
            fault=response.get("fault"),
            peak=response.get("peak"),
            killed=bool(state.get("OOMKilled")),
            log=log,
        )
        return judge(raw, memory=self._conditions.memory)

    @contextmanager
    def _container(self, trial: Trial) -> Iterator[str]:
        from docker.errors import NotFound

        name = f"lamina-smoke-{secrets.token_hex(6)}"
        try:
            self._api.create_container(
                str(trial.ref),
                name=name,
                labels={LABEL: trial.name},
                # The entrypoint of AWS's images starts its own emulator, unless it finds a runtime API. Ours
                # provides one, so that every image runs under the same emulator.
                entrypoint=[_EMULATOR, *trial.start.entrypoint],
                command=list(trial.start.command),
                user=_USER,
                environment=self._environment(trial),
                # A bind mount needs the engine on this machine; a volume is filled over the API.
                volumes=[_FOLDER],
                host_config=self._limits(),
            )
            yield name
        finally:
            with suppress(NotFound):
                self._api.remove_container(name, v=True, force=True)

    def _limits(self) -> Any:
        from docker.types import Ulimit

        memory = self._conditions.memory * 1024 * 1024
        return self._api.create_host_config(
            read_only=True,
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

    def _ask(self, container: str) -> Mapping[str, Any]:
        """Send the event from inside the container, so that no port needs to be reachable."""
        from docker.errors import APIError

        argv = ["python3", "-I", "-S", _ASKING, _EVENT, str(self._conditions.timeout)]
        try:
            call = self._api.exec_create(container, argv)["Id"]
            output, text = self._api.exec_start(call, demux=True)
            code = self._api.exec_inspect(call)["ExitCode"]
        except APIError as error:
            if not self._api.inspect_container(container)["State"]["Running"]:
                return {}
            return {"fault": _fault(str(error.explanation or error))}
        if code == 0:
            return dict(json.loads(output))
        return {"fault": _fault((output or text or b"").decode("utf-8", "replace"))}

    def _end(self, container: str) -> Mapping[str, Any]:
        """Stop an instance, so that its log is complete; return its state before."""
        from docker.errors import APIError

        state: Mapping[str, Any] = self._api.inspect_container(container)["State"]
        with suppress(APIError):  # it has already ended
            self._api.kill(container)
        self._api.wait(container)
        return state


def _fault(text: str) -> str | None:
    """Return why the event could not be sent; None if the instance ended in the meantime."""
    if "executable file not found" in text or "no such file" in text:
        return _NO_PYTHON
    return " ".join(text.split()) or None


def _archive(emulator: Path, event: bytes) -> bytes:
    """Return a tar archive for the container: the emulator, the script that sends the event, the event."""
    tar = io.BytesIO()
    contents = {_EMULATOR: emulator.read_bytes(), _ASKING: Path(asking.__file__).read_bytes(), _EVENT: event}
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for path, content in contents.items():
            entry = tarfile.TarInfo(path.rpartition("/")[2])
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return tar.getvalue()
