"""Commands as values, and the only module that runs them: no other imports subprocess."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from lamina.values import dataclass

if TYPE_CHECKING:  # imported when a program runs: a plan may run none
    import subprocess

_GRACE_SECONDS = 10.0
_TICK_SECONDS = 0.5
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PIECE = 64 << 10
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run: its argv, variables added to the environment, working directory and standard input.

    Secrets are passed by ``stdin`` or by a file named in ``env``, never in ``argv``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        import shlex

        assignments = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*assignments, shlex.join(self.argv)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A finished command: its exit code and output (decoded as UTF-8, invalid bytes replaced)."""

    code: int
    stdout: str = ""
    stderr: str = ""

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0


class Runner(Protocol):
    """Runs commands. `SubprocessRunner` is the real one; tests use a scripted one."""

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        """Run to the end and capture both streams. ``timeout`` in seconds; a missing program is code 127."""
        ...

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        """Run to the end and pass each line of standard error to ``on_line`` as it arrives.

        Args:
            command: the program to run.
            on_line: gets a line without its newline.
            tick: called after lines, and every half second without any; its exceptions end the program.
        """
        ...

    def spawn(self, command: Command, *, log: Path) -> int:
        """Start a daemon in its own session, append both streams to ``log`` and return the process id."""
        ...


class SubprocessRunner:
    """Runs commands on this machine. Children inherit this process' environment plus the command's own."""

    def run(self, command: Command, *, timeout: float | None = None) -> Completed:
        """See `Runner.run`. The code is 124 after the timeout, as with `timeout(1)`."""
        import subprocess

        try:
            done = subprocess.run(
                command.argv,
                env={**os.environ, **command.env},
                cwd=command.cwd,
                input=command.stdin,
                stdin=subprocess.DEVNULL if command.stdin is None else None,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            return _not_started(command, error)
        except subprocess.TimeoutExpired:
            return Completed(code=124, stderr=f"{command.argv[0]}: no answer within {timeout} s")
        return Completed(code=done.returncode, stdout=_text(done.stdout), stderr=_text(done.stderr))

    def stream(
        self, command: Command, on_line: Callable[[str], None], *, tick: Callable[[], None] | None = None
    ) -> Completed:
        """See `Runner.stream`. On Ctrl-C the child gets SIGINT, up to 10 s to stop, then SIGKILL.

        On Linux the child also ends when this process is killed.
        """
        import subprocess

        lines: list[str] = []
        child: subprocess.Popen[bytes] | None = None
        try:
            try:
                with signals_held():
                    child = subprocess.Popen(
                        command.argv,
                        env={**os.environ, **command.env},
                        cwd=command.cwd,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE,
                        start_new_session=True,
                        preexec_fn=_orphan_signal(),
                    )
            except OSError as error:
                return _not_started(command, error)
            assert child.stderr is not None  # noqa: S101 - stderr=PIPE above
            for raw in _lines(child.stderr, tick):
                line = _text(raw).rstrip("\r\n")
                lines.append(line)
                on_line(line)
            code = child.wait()
        finally:
            if child is not None:
                _stop(child)
        return Completed(code=code, stderr="\n".join(lines))

    def spawn(self, command: Command, *, log: Path) -> int:
        """See `Runner.spawn`."""
        import subprocess

        with log.open("ab") as sink:
            child = subprocess.Popen(
                command.argv,
                env={**os.environ, **command.env},
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.returncode = 0  # detached: the daemon outlives this process and is never waited for
        return child.pid


def _lines(pipe: IO[bytes], tick: Callable[[], None] | None) -> Iterator[bytes]:
    """Yield the lines of a pipe as they arrive, without newlines; the last one need not end in one."""
    import selectors

    rest = b""
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while True:
            if ready.select(_TICK_SECONDS if tick else None):
                part = os.read(pipe.fileno(), _PIECE)
                if not part:
                    break
                *whole, rest = (rest + part).split(b"\n")
                yield from whole
            if tick:
                tick()
    if rest:
        yield rest


def _not_started(command: Command, error: OSError) -> Completed:
    """Return code 127 for a missing program and 126 for one that cannot be executed, as shells do."""
    code = 127 if isinstance(error, FileNotFoundError) else 126
    return Completed(code=code, stderr=f"{error.filename or command.argv[0]}: {error.strerror}")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def _orphan_signal() -> Callable[[], object] | None:
    """Return a ``preexec_fn`` that has the kernel send SIGTERM when the parent ends; None off Linux."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # loaded before the fork: the child of a threaded process must not load
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def signals_held() -> Iterator[None]:
    """Delay Ctrl-C, SIGTERM and SIGHUP until the block ends.

    An exception that a handler raises during a fork is lost, or leaves a child that is never stopped.
    """
    import threading

    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda caught, _: came.append(caught)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for caught in came:
        signal.raise_signal(caught)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Stop a running child: SIGINT, wait, then kill its process group."""
    import subprocess

    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        try:
            child.communicate(timeout=_GRACE_SECONDS)  # drain its output: a full pipe would block it
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if not isinstance(error, subprocess.TimeoutExpired):  # a second Ctrl-C ends the wait
                raise
    if child.stderr is not None:
        child.stderr.close()
