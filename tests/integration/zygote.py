"""A process that has imported everything and forks for each command, which then starts at once.

``zygote.py serve SOCKET``: each connection brings three files, a request in JSON and two outputs, and gets
the process id of a command, then its exit code. Each command is a process of its own, as for a user. Ends
when its standard input does, so that it never outlives the tests.

``zygote.py run SOCKET WORDS``: a command that such a process runs, for scripts that stand for ``lamina``.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def serve(address: str) -> None:
    _preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for a child
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _run(connection)
            connection.close()


def ask(
    address: str,
    words: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    outputs: tuple[int, int] = (1, 2),
    timeout: float | None = None,
) -> int:
    """Have a command run by the process at a socket; its exit code.

    outputs: file descriptors. Raises TimeoutError after ``timeout`` seconds, when the command is killed.
    """
    os.umask(umask := os.umask(0))
    request = {"words": words, "cwd": cwd, "env": dict(env), "umask": umask}
    with tempfile.TemporaryFile("w+") as asked, socket.socket(socket.AF_UNIX) as line:
        json.dump(request, asked)
        asked.seek(0)
        line.connect(address)
        socket.send_fds(line, [b"\n"], [asked.fileno(), *outputs])
        line.settimeout(timeout)
        with line.makefile() as answer:
            pid = int(answer.readline())
            try:
                return int(answer.readline() or -signal.SIGKILL)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise


def _preload() -> None:
    """What commands import, here and late."""
    import boto3
    import docker
    import requests
    import rich._emoji_codes as emoji

    import lamina

    for file in sorted(Path(lamina.__file__).parent.rglob("*.py")):
        name = ".".join(("lamina", *file.relative_to(Path(lamina.__file__).parent).with_suffix("").parts))
        if not name.endswith("__init__"):
            __import__(name)
    assert all((boto3, docker, emoji, requests))
    gc.freeze()  # so that a command does not copy the memory of all this to collect its garbage


def _run(connection: socket.socket) -> None:
    """Become the command of a request; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, (asked, *outputs), _, _ = socket.recv_fds(connection, 1, 3)
    with os.fdopen(asked) as file:
        request = json.load(file)
    connection.sendall(f"{os.getpid()}\n".encode())
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in zip((nothing, *outputs), (0, 1, 2), strict=True):
        os.dup2(source, target)
    # Opened again: these know whether a descriptor can be sought, as a file can and a pipe cannot.
    for name, number in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        new = os.fdopen(number, "w", 1, encoding=old.encoding, errors=old.errors, closefd=False)
        setattr(sys, name, new)
    code = 1
    try:
        code = _command(request["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(f"{code}\n".encode())
        os._exit(code)


def _command(words: list[str]) -> int:
    import lamina.__main__ as entrance

    sys.argv = [str(Path(entrance.__file__)), *words]
    try:
        entrance.main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    how, socket_path, *rest = sys.argv[1:]
    if how == "run":
        code = ask(socket_path, rest, cwd=str(Path.cwd()), env=os.environ)
        sys.exit(code if code >= 0 else 128 - code)
    serve(socket_path)
