"""CodeBuild whose builds are real: a buildspec's own commands run in bash, with an engine of this machine.

The source comes from S3 and the log goes to CloudWatch, moto's both; the machine has the programs that the
standard images have: docker with buildx, and the AWS CLI.
"""

from __future__ import annotations

import io
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from doubles.aws_front import REGION, AwsFront, Fault

ACCOUNT = "123456789012"
_ARN = f"arn:aws:codebuild:{REGION}:{ACCOUNT}"
_PHASES = ("install", "pre_build", "build", "post_build")
# All commands of a build share one shell; a phase that failed ends it, except that post_build follows build.
# Lines on descriptor 3 say where it is.
_PROLOGUE = """
run() { printf '[Container] Running command %s\\n' "$1"; eval "$1"; }
"""


@dataclass
class _Build:
    """A build and the process that carries it out."""

    document: dict[str, Any]
    thread: threading.Thread | None = None
    child: subprocess.Popen[str] | None = None
    stopped: bool = False

    @property
    def running(self) -> bool:
        return bool(self.document["buildStatus"] == "IN_PROGRESS")

    def end(self, status: str) -> None:
        if self.running:
            self.document["buildStatus"] = status


@dataclass
class CodeBuildDouble:
    """docker, buildx: programs. engine: DOCKER_HOST. Close it at the end.

    fate: how the next builds end, without running any command. losing: operations whose next answer is lost
    after they were carried out. before: called with the folder of the source when it is unpacked; after: the
    same when the commands have ended.
    """

    engine: str
    docker: str
    buildx: str
    front: AwsFront = field(default_factory=AwsFront)
    service: str = "codebuild"
    fate: list[str] = field(default_factory=list)
    losing: list[str] = field(default_factory=list)
    before: Callable[[Path], object] | None = None
    after: Callable[[Path], object] | None = None
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    builds: dict[str, _Build] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    sources: list[dict[str, bytes]] = field(default_factory=list)
    """What was in the source of each build that ran: name -> content."""
    _tokens: dict[str, str] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault | None:
        """See `Double.answer`."""
        with self._lock:
            self.requests.append((operation, dict(body)))
            known = getattr(self, f"_{operation}", None)
            told = known(body) if known else None
            if operation in self.losing:
                self.losing.remove(operation)
                return Fault(code="InternalFailure", status=500)
            return told

    def close(self) -> None:
        """Stop all running builds."""
        for build in tuple(self.builds.values()):
            self._kill(build)
            if build.thread is not None:
                build.thread.join(20)

    # --- projects ---------------------------------------------------------------------------------------

    def _CreateProject(self, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:  # noqa: N802
        name = body["name"]
        if name in self.projects:
            return Fault(code="ResourceAlreadyExistsException", message=f"Project already exists: {name}")
        self.projects[name] = {**body, "arn": f"{_ARN}:project/{name}", "created": time.time(), "badge": {}}
        return {"project": self.projects[name]}

    def _UpdateProject(self, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:  # noqa: N802
        if body["name"] not in self.projects:
            return _no_project(body["name"])
        self.projects[body["name"]] |= body
        return {"project": self.projects[body["name"]]}

    def _BatchGetProjects(self, body: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        names = body["names"]
        return {
            "projects": [self.projects[name] for name in names if name in self.projects],
            "projectsNotFound": [name for name in names if name not in self.projects],
        }

    # --- builds -----------------------------------------------------------------------------------------

    def _StartBuild(self, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:  # noqa: N802
        if body["projectName"] not in self.projects:
            return _no_project(body["projectName"])
        if known := self._tokens.get(body.get("idempotencyToken", "")):
            return {"build": self.builds[known].document}
        build = self._begin(body, body["buildspecOverride"])
        self._tokens[body.get("idempotencyToken", "")] = build.document["id"]
        return {"build": build.document}

    def _BatchGetBuilds(self, body: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        found = [self.builds[each].document for each in body["ids"] if each in self.builds]
        return {"builds": found, "buildsNotFound": [each for each in body["ids"] if each not in self.builds]}

    def _StopBuild(self, body: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        build = self.builds[body["id"]]
        build.end("STOPPED")
        self._kill(build)
        return {"build": build.document}

    def _begin(self, start: Mapping[str, Any], buildspec: str) -> _Build:
        project = self.projects[start["projectName"]]
        number = secrets.token_hex(8)
        name = f"{project['name']}:{number}"
        environment = {each["name"]: each["value"] for each in start.get("environmentVariablesOverride", ())}
        document = {
            "id": name,
            "arn": f"{_ARN}:build/{name}",
            "projectName": project["name"],
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,  # moto says so to the end
            "startTime": time.time(),
            "phases": [],
            "logs": {
                "groupName": f"/aws/codebuild/{project['name']}",
                "streamName": number,
                "deepLink": "https://logs.example/" + number,
            },
            "environment": project["environment"],
        }
        build = _Build(document=document)
        self.builds[name] = build
        if self.fate:
            build.end(self.fate.pop(0))
            return build
        build.thread = threading.Thread(
            target=self._apply,
            args=(build, start["sourceLocationOverride"], buildspec, environment),
            daemon=True,
        )
        build.thread.start()
        return build

    # --- carrying out -----------------------------------------------------------------------------------

    def _source(self, location: str) -> bytes:
        bucket, _, key = location.partition("/")
        return bytes(self.front.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())

    def _apply(self, build: _Build, location: str, buildspec: str, environment: Mapping[str, str]) -> None:
        try:
            self._phase(build, "SUBMITTED")
            raw = self._source(location)
            with tempfile.TemporaryDirectory(prefix="codebuild-") as scratch:
                folder = Path(scratch)
                source = folder / "src"
                with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                    archive.extractall(source)
                    self.sources.append({name: archive.read(name) for name in archive.namelist()})
                self._phase(build, "DOWNLOAD_SOURCE")
                if self.before:
                    self.before(source)
                spec = yaml.safe_load((source / buildspec).read_text())
                assert spec["version"] == 0.2
                script = folder / "run.sh"
                script.write_text(_script(spec))
                self._run(build, script, source, self._environment(build, spec, folder, environment))
        except Exception as error:
            self._log(build, [f"the double failed: {error!r}"])
            build.end("FAULT")
            raise

    def _run(self, build: _Build, script: Path, source: Path, environment: Mapping[str, str]) -> None:
        reader, writer = os.pipe()
        build.child = subprocess.Popen(
            ["bash", "-c", f"exec 3>&{writer} {writer}>&-; . {shlex.quote(str(script))}"],
            cwd=source,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writer,),
            start_new_session=True,
            text=True,
        )
        os.close(writer)
        if build.stopped:
            self._kill(build)
        assert build.child.stdout is not None
        log = threading.Thread(target=self._pump, args=(build, build.child.stdout), daemon=True)
        log.start()
        failed = False
        with os.fdopen(reader) as states:
            for line in states:
                name, code, command = line.rstrip("\n").split(" ", 2)
                failed |= code != "0"
                self._phase(build, name, code, command)
        build.child.wait()
        log.join(20)
        build.child.stdout.close()
        if self.after:
            self.after(source)
        build.end("FAILED" if failed or build.child.returncode else "SUCCEEDED")

    def _environment(
        self, build: _Build, spec: Mapping[str, Any], folder: Path, given: Mapping[str, str]
    ) -> Mapping[str, str]:
        """What a machine has; docker's plugin is in its home, its network leads to this account."""
        plugins = folder / "home/.docker/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-buildx").symlink_to(self.buildx)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "docker").symlink_to(self.docker)
        (programs / "aws").symlink_to(Path(sys.executable).with_name("aws"))
        found = spec.get("env", {})
        store = {
            "secrets-manager": lambda name: self.front.client("secretsmanager").get_secret_value(
                SecretId=name
            )["SecretString"],
            "parameter-store": lambda name: self.front.client("ssm").get_parameter(
                Name=name, WithDecryption=True
            )["Parameter"]["Value"],
        }
        kept = {
            variable: read(name)
            for kind, read in store.items()
            for variable, name in found.get(kind, {}).items()
        }
        own = {
            "CODEBUILD_BUILD_ID": build.document["id"],
            "CODEBUILD_BUILD_ARN": build.document["arn"],
            "CODEBUILD_SRC_DIR": str(folder / "src"),
            "CODEBUILD_RESOLVED_SOURCE_VERSION": "",
            "CODEBUILD_INITIATOR": "dev",
        }
        machine = {
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "home"),
            "DOCKER_HOST": self.engine,
            "LANG": "C.UTF-8",
        }
        account = self.front.environ(AWS_CONFIG_FILE=str(folder / "none"))
        return {**machine, **account, **own, **found.get("variables", {}), **kept, **given}

    def _pump(self, build: _Build, lines: Any) -> None:
        """The log, on its way to CloudWatch in small parcels as CodeBuild sends it."""
        parcel: list[str] = []
        for line in lines:
            parcel.append(line.rstrip("\n"))
            if len(parcel) == 20:
                self._log(build, parcel)
                parcel = []
        self._log(build, parcel)

    def _log(self, build: _Build, lines: list[str]) -> None:
        where = build.document["logs"]
        logs = self.front.client("logs")
        names = {"logGroupName": where["groupName"], "logStreamName": where["streamName"]}
        for make, some in (
            (logs.create_log_group, ("logGroupName",)),
            (logs.create_log_stream, tuple(names)),
        ):
            try:
                make(**{name: names[name] for name in some})
            except logs.exceptions.ResourceAlreadyExistsException:
                continue
        moment = int(time.time() * 1000)
        events = [{"timestamp": moment, "message": f"{line}\n"} for line in lines if line]
        if events:
            logs.put_log_events(**names, logEvents=events)

    def _phase(self, build: _Build, name: str, code: str = "0", command: str = "") -> None:
        reason = f"Error while executing command: {command}. Reason: exit status {code}"
        build.document["phases"].append(
            {
                "phaseType": name,
                "phaseStatus": "SUCCEEDED" if code == "0" else "FAILED",
                "durationInSeconds": 1,
                **(
                    {}
                    if code == "0"
                    else {"contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": reason}]}
                ),
            }
        )

    def _kill(self, build: _Build) -> None:
        build.stopped = True
        if build.child is not None and build.child.poll() is None:
            os.killpg(build.child.pid, signal.SIGKILL)


def _no_project(name: str) -> Fault:
    return Fault(code="ResourceNotFoundException", message=f"Project cannot be found: {_ARN}:project/{name}")


def _script(spec: Mapping[str, Any]) -> str:
    """All phases as one script, as CodeBuild's agent would go through them."""
    parts = [_PROLOGUE]
    for phase in _PHASES:
        wanted = spec["phases"].get(phase, {})
        commands = wanted.get("commands", ())
        parts.append("failed=0; culprit=")
        for command in commands:
            quoted = shlex.quote(command)
            first = shlex.quote(command.partition("\n")[0])
            parts.append(
                f"if [ $failed = 0 ]; then run {quoted}; failed=$?; [ $failed = 0 ] || culprit={first}; fi"
            )
        parts += [f"run {shlex.quote(command)} || failed=$?" for command in wanted.get("finally", ())]
        parts.append(f'printf "%s %s %s\\n" {phase.upper()} "$failed" "$culprit" >&3')
        end = "broken=$failed" if phase == "build" else '[ "$failed" = 0 ] || exit "$failed"'
        parts.append(end)
    return "\n".join((*parts, 'exit "${broken:-0}"', ""))
