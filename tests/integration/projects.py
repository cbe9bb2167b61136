"""Repositories in which tests run commands, as a user would, and the results of the commands."""

from __future__ import annotations

import atexit
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from zygote import ask

import lamina

ROOT = Path(__file__).parents[2]
_OURS = (
    *("DOCKER_", "BUILDX_", "BUILDKIT_", "USE_STATIC", "AWS_", "LAMINA_", "GIT_", "GITHUB_", "FORCE_COLOR"),
    *("OTEL_", "TRACEPARENT"),
)
_SLOW = "PYTHONDONTWRITEBYTECODE"
"""Set as in some containers, each of some thousand commands would compile all its modules: 0.4 s."""
_ZYGOTE = Path(__file__).with_name("zygote.py")
_AT_START = ("LC_", "LANG", "PYTHON", "TZ")
"""Variables that an interpreter reads when it starts: with others, a command gets its own interpreter."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def text(self) -> str:
        """Both streams, for messages that may be on either."""
        return f"{self.stdout}\n{self.stderr}"

    def images(self, key: str = "action") -> dict[str, Any]:
        """Image -> one of its fields, from a JSON report."""
        return {each["name"]: each[key] for each in self.json["images"]}

    @property
    def built(self) -> list[str]:
        """The images that a JSON report says were built, in its order."""
        return [name for name, action in self.images().items() if action == "built"]

    @property
    def told(self) -> str:
        """The messages of a JSON report."""
        return "\n".join(each["text"] for each in self.json["messages"])


class Terminal:
    """A terminal that a command runs at, and all that it has shown so far."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.shown = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        while part := os.read(self._child.stdout.fileno(), 4096):
            self.shown += part.decode("utf-8", "replace")

    def shows(self, words: str) -> None:
        wait_for(f"{words!r} on the terminal", lambda: words in self.shown)

    def type(self, keys: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(keys.encode())
        self._child.stdin.flush()

    def end(self) -> int:
        """Wait for the command to end; its exit code."""
        code = self._child.wait(60)
        self._reader.join(10)
        return code


class Zygote:
    """Starts commands by a fork of a process that has imported what they need: see `zygote`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zygote-")
        self._address = f"{self._folder.name}/socket"
        self._env = _clean_environment()
        self._process = subprocess.Popen(
            [sys.executable, str(_ZYGOTE), "serve", self._address],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        atexit.register(self.close)

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def fits(self, env: Mapping[str, str]) -> bool:
        """Whether an interpreter of that environment would have started as this one did."""
        return all(
            env.get(name) == self._env.get(name) for name in {*env, *self._env} if name.startswith(_AT_START)
        )

    def script(self) -> str:
        """A shell script that is a command, for the environment of `Repo.environment`."""
        words = shlex.join([sys.executable, "-I", "-S", str(_ZYGOTE), "run", self._address])
        return f'#!/bin/sh\nexec {words} "$@"\n'

    def run(self, words: tuple[str, ...], cwd: Path, env: Mapping[str, str], timeout: float) -> Done:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            outputs = (out.fileno(), err.fileno())
            try:
                code = ask(self._address, words, cwd=str(cwd), env=env, outputs=outputs, timeout=timeout)
            except TimeoutError:
                raise subprocess.TimeoutExpired(words, timeout) from None
            streams = []
            for file in (out, err):
                file.seek(0)
                streams.append(file.read().decode())
            return Done(code=code, stdout=streams[0], stderr=streams[1])


@cache
def zygote() -> Zygote:
    """The one of this process."""
    return Zygote()


def write_programs(folder: Path, *names: str) -> None:
    """Programs of these names, each of which is ``lamina``."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(zygote().script())
        (folder / name).chmod(0o755)


def _clean_environment() -> dict[str, str]:
    """The environment without the caller's own settings."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*_OURS, _SLOW)) or name in {"LAMINA_CACHE", "AWS_CA_BUNDLE"}
    }
    return {**clean, "PYTHONPATH": str(Path(lamina.__file__).parents[1])}


@dataclass
class Repo:
    """A repository to run commands in."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Nothing of the caller's own settings gets through; docker's configuration is beside the root."""
        docker = str(self.root.parent / "docker")
        return {**_clean_environment(), "DOCKER_CONFIG": docker, **self.env, **(more or {})}

    def run(self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 600) -> Done:
        """``lamina <words>``."""
        environment = self.environment(env)
        if zygote().fits(environment):
            return zygote().run(words, self.root, environment, timeout)
        done = subprocess.run(
            [sys.executable, "-m", "lamina", *words],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def ok(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """A command that must succeed."""
        done = self.run(*words, env=env)
        assert done.code == 0, f"{words} ended with {done.code}\n{done.text}"
        return done

    def fails(self, code: int, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """A command that must fail with this exit code, and without a traceback."""
        done = self.run(*words, env=env)
        assert done.code == code, f"{words} ended with {done.code}, not {code}\n{done.text}"
        assert "Traceback" not in done.text, done.text
        return done

    @contextmanager
    def running(self, *words: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """A command under way, killed at the end if it still is."""
        default = ("env", "--default-signal=INT,TERM,HUP")  # nohup and background jobs ignore some of them
        child = subprocess.Popen(
            [*default, sys.executable, "-m", "lamina", *words],
            cwd=self.root,
            env=self.environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.communicate()

    @contextmanager
    def at_terminal(self, *words: str) -> Iterator[Terminal]:
        """A command at a terminal of its own, killed at the end if it still runs."""
        command = shlex.join([sys.executable, "-m", "lamina", *words])
        child = subprocess.Popen(
            ["script", "--quiet", "--return", "--flush", "--command", command, "/dev/null"],
            cwd=self.root,
            env=self.environment({"TERM": "xterm", "COLUMNS": "200", "CI": ""}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            yield Terminal(child)
        finally:
            child.kill()
            child.communicate()

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def append(self, path: str, text: str) -> None:
        with (self.root / path).open("a") as file:
            file.write(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def copy(self, root: Path) -> Repo:
        """The same in another folder: files, state, history and the stack, in which its images are found."""
        shutil.copytree(self.root, root, symlinks=True)
        return Repo(root, dict(self.env))

    def clone(self, root: Path, **env: str) -> Repo:
        """The same files in another folder, without state or history."""
        shutil.copytree(self.root, root, symlinks=True, ignore=shutil.ignore_patterns(".lamina", ".git"))
        return Repo(root, {**self.env, **env})

    def commit(self) -> str:
        """Put everything under git, in a clean tree; the short name of the commit."""
        self.write(".gitignore", ".lamina/\n")
        for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "All")):
            self.git(*words)
        return self.git("rev-parse", "HEAD")[:7]

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *words],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    @property
    def manifest(self) -> dict[str, Any]:
        """``.lamina/manifest.json``."""
        found: dict[str, Any] = json.loads((self.root / ".lamina/manifest.json").read_text())
        return found

    @property
    def recorded(self) -> dict[str, str]:
        """Image -> digest, as the manifest has it."""
        if not (self.root / ".lamina/manifest.json").exists():
            return {}
        return {each["image"]: each["digest"] for each in self.manifest["images"]}

    def steps(self) -> list[Step]:
        """What BuildKit did in the last run, from the events that are kept."""
        last = max((self.root / ".lamina/runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
        seen: dict[str, dict[str, Any]] = {}
        for file in sorted(last.glob("events-*.jsonl")):
            for line in file.read_text().splitlines():
                event = json.loads(line) if line.startswith("{") else {}
                for vertex in event.get("vertexes") or ():
                    seen.setdefault(vertex["digest"], {}).update(vertex)
        return [
            Step(name=str(each["name"]), ran="started" in each and not each.get("cached"))
            for each in seen.values()
        ]

    def installs(self) -> list[str]:
        """The RUN steps that really ran in the last run."""
        return [step.name for step in self.steps() if step.ran and "] RUN " in step.name]


@dataclass(frozen=True)
class Step:
    """A step of a build. ran: it was neither cached nor skipped."""

    name: str
    ran: bool


def copy_sample(target: Path) -> None:
    """This project's own images and their source, as a repository of its own."""
    keep = shutil.ignore_patterns("__pycache__", ".lamina", "*.pyc")
    for folder in ("dockerfiles", "receipts"):
        shutil.copytree(ROOT / folder, target / folder, ignore=keep)
    shutil.copy(ROOT / "pyproject.toml", target / "pyproject.toml")
    if (ROOT / "lamina.lock").exists():
        shutil.copy(ROOT / "lamina.lock", target / "lamina.lock")


def write_tiny(repo: Repo) -> None:
    """Three images that build in no time: two bases and a function, one file each, on nothing at all."""
    repo.write("src/dynamo.py", "TABLE = 'receipts'\n")
    repo.write("src/label.py", "import dynamo\n")
    repo.write("src/handler.py", "import label\n\n\ndef handler(event, context):\n    return event\n")
    repo.write(
        "dockerfiles/base-dynamo/Dockerfile",
        "FROM scratch\nCOPY --link src/dynamo.py /var/task/\n",
    )
    repo.write(
        "dockerfiles/base-label/Dockerfile",
        "ARG BASE_IMAGE=base-dynamo:stable\nFROM ${BASE_IMAGE}\nCOPY --link src/label.py /var/task/\n",
    )
    repo.write(
        "dockerfiles/lambda-tiny/Dockerfile",
        'FROM base-label:stable\nCOPY --link src/handler.py /var/task/\nCMD ["handler.handler"]\n',
    )


def wait_for(what: str, true: Any, *, seconds: float = 60) -> None:
    """Wait until something is the case."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)
