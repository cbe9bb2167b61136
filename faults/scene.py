"""One try of a fault: a project of its own, the commands that run on it, and their judgement."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from typing import IO, Any

from projects import Repo

from faults.cases import Case
from faults.ground import Ground
from faults.images import Store, is_content_tag, read_tags
from faults.judge import Run, StoredTag, judge_left, judge_manifest, judge_run, judge_success, judge_tags
from faults.project import IMAGES, fingerprints, write_project

LIMIT_SECONDS = 75.0
"""The time limit of a command under any fault; it gives up a silent registry after `STALL_SECONDS`."""
STALL_SECONDS = 8
_END_SECONDS = 20.0
_MARK = "FAULTS_CASE"

Codes = Collection[int]
FINE: Codes = frozenset({0})


@dataclass(slots=True)
class Started:
    """A command under way."""

    words: tuple[str, ...]
    child: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    begun: float = field(default_factory=time.monotonic)

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the command, or to its whole group as a terminal does."""
        if self.child.poll() is None:
            (os.killpg if group else os.kill)(self.child.pid, number)

    def end(self, seconds: float) -> Run:
        """Wait for the end; kill the command after this many seconds from its start."""
        code: int | None
        try:
            code = self.child.wait(max(0.0, self.begun + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            code = None
        return Run(
            words=self.words,
            code=code,
            seconds=time.monotonic() - self.begun,
            stdout=_written(self.stdout),
            stderr=_written(self.stderr),
        )


@dataclass(slots=True)
class Scene:
    """A project, its commands and their judgement.

    push: whether images go to the registry, or else to the engine's store. moving: whether the tree is edited
    while commands run. shared: whether several runs push the same tags, so that only the last one's digest
    stays. trusted: whether Lamina wrote the manifest, and not a fault. appends: whether code changes are
    pushed without a builder.
    """

    ground: Ground
    case: Case
    repo: Repo
    random: Random
    push: bool = True
    moving: bool = False
    shared: bool = False
    trusted: bool = True
    appends: bool = False
    struck: bool = True
    violations: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    _unjudged: list[tuple[Run, Mapping[str, str] | None]] = field(default_factory=list)

    @classmethod
    def of(cls, ground: Ground, case: Case) -> Scene:
        """Return a new project for a case, with nothing built yet."""
        ground.start_registry()  # the last case may have ended it
        stack = f"f{next(ground.numbers)}"
        root = ground.folder / stack / "repo"
        root.mkdir(parents=True)
        settings = {"LAMINA_ENGINE": ground.name, "LAMINA_STACK": stack, _MARK: f"{ground.name}-{stack}"}
        repo = Repo(root, {**settings, "LAMINA_STALL": str(STALL_SECONDS)})
        scene = cls(ground=ground, case=case, repo=repo, random=case.random)
        write_project(repo, scene.random)
        return scene

    @property
    def state(self) -> Path:
        """The folder ``.lamina``."""
        return self.repo.root / ".lamina"

    @property
    def words(self) -> tuple[str, ...]:
        """The command that builds all images."""
        return ("build-all", *(("--push",) if self.push else ()), "--json")

    def start(
        self,
        *more: str,
        words: tuple[str, ...] = (),
        repo: Repo | None = None,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> Started:
        """Start a command.

        Args:
            more: further flags of ``lamina build-all``.
            words: another command instead.
            repo: another project than the scene's.
            env: further environment variables.
            prefix: a command that runs this one, such as ``setpriv``.
        """
        where = repo or self.repo
        registry = {"LAMINA_REGISTRY": self.ground.gate.address} if self.push else {}
        registry["LAMINA_APPEND"] = "auto" if self.appends else "never"  # else faults strike at builders
        words = words or (*self.words, *more)
        out, err = TemporaryFile(), TemporaryFile()  # noqa: SIM115 - closed when the command has ended
        child = subprocess.Popen(
            [*prefix, sys.executable, "-m", "lamina", *words],
            cwd=where.root,
            env=where.environment({**registry, **(env or {})}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        return Started(words, child, out, err)

    def finish(
        self, started: Started, allowed: Codes, *, repo: Repo | None = None, seconds: float = LIMIT_SECONDS
    ) -> Run:
        """Wait for a command and judge its end. The next `look` judges the images that it reports."""
        run = started.end(seconds)
        self.runs.append(run)
        self.violations += judge_run(run, allowed)
        if run.code == 0 and run.words[0] == "build-all":
            expected = None if self.moving else fingerprints((repo or self.repo).root)
            self._unjudged.append((run, expected))
        return run

    def run(
        self,
        *more: str,
        allowed: Codes = FINE,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> Run:
        """Run ``lamina build-all`` to its end and judge it."""
        return self.finish(self.start(*more, env=env, prefix=prefix), allowed)

    def look(self) -> None:
        """Judge the current tags and manifest, and the processes and locks that were left."""
        tags = self.read_back()
        self.violations += judge_tags(tags)
        for run, expected in self._unjudged:
            self.violations += judge_success(run, tags, expected, same_digest=not self.shared)
        self._unjudged.clear()
        if self.trusted:
            manifest = self.state / "manifest.json"
            text = manifest.read_text(errors="replace") if manifest.is_file() else None
            self.violations += judge_manifest(text, tags, same_digest=not self.shared)
        self.violations += judge_left(self._processes(), self._locks())

    def recover(self) -> None:
        """Run the command without the fault and judge it: all images must be right again."""
        self.moving = False
        self.run()
        self.trusted = True
        self.look()

    def repository(self, image: str) -> str:
        """Return an image's repository, without the registry's address."""
        return f"{image}-{self.repo.env['LAMINA_STACK']}"

    def manifest_of(self, image: str) -> dict[str, Any]:
        """Return the manifest of an image that has exactly one content tag."""
        repository = self.repository(image)
        (tag,) = (each for each in self.ground.images.tags(repository) if is_content_tag(each))
        found: dict[str, Any] = json.loads(self.ground.images.open(repository, tag)[0])
        return found

    def read_back(self) -> list[StoredTag]:
        """Read every content tag of this project."""
        store: Store = self.ground.images if self.push else self.ground.engine_images
        return read_tags(store, {image: self.repository(image) for image in IMAGES}, self.ground.oracle)

    def _processes(self) -> list[str]:
        """Return the processes that the commands left; they get some seconds to end."""
        mark = f"{_MARK}={self.repo.env[_MARK]}".encode()
        end = time.monotonic() + _END_SECONDS
        while (left := list(_marked(mark))) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def _locks(self) -> list[str]:
        """Return the lock files that a process holds."""
        return [str(path) for path in sorted(self.state.rglob("*.lock")) if path.is_file() and _held(path)]


def _marked(mark: bytes) -> Iterator[str]:
    """Yield the processes that our commands started, except daemons, which are meant to stay."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if mark in environment and command and "/run/lamina/" not in command:
            yield f"{folder.name} {command[:200]}"


def _held(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _written(stream: IO[bytes]) -> str:
    with stream:
        stream.seek(0)
        return stream.read().decode(errors="replace")


def try_case(ground: Ground, case: Case) -> Scene:
    """Try a fault: strike, look, run once more without it, look again."""
    scene = Scene.of(ground, case)
    case.fault.strike(scene)
    scene.look()
    scene.recover()
    return scene
