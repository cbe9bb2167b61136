"""A process that has imported everything and forks for each command, which then starts in no time.

``zygote.py SOCKET``: each connection brings three files, a request in JSON and the command's two outputs, and
gets the process id of the command, then its exit code. Each command is a process of its own, as for a user.
Ends when its standard input does, so that it never outlives the tests.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
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


def _preload() -> None:
    """What commands import, here and late."""
    import boto3
    import docker
    import requests

    import lamina

    for file in sorted(Path(lamina.__file__).parent.rglob("*.py")):
        name = ".".join(("lamina", *file.relative_to(Path(lamina.__file__).parent).with_suffix("").parts))
        if not name.endswith(("__main__", "__init__")):
            __import__(name)
    assert boto3
    assert docker
    assert requests


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
    serve(sys.argv[1])
