"""Runs inside a container, next to the emulator: sends it one event and prints the response as JSON.

    invoke.py FILE SECONDS  the event is in a file
    invoke.py - SECONDS     waits for the event: a line with its number of bytes, then these. Whoever was to
                            send it may be gone without a word: then the container ends

Only this file is copied there, so it uses only the standard library of Python 3.8 or newer.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path

PORT = 8080
PATH = "/2015-03-31/functions/function/invocations"
_LISTENING_SECONDS = 20.0
_AFTER_TIMEOUT_SECONDS = 20.0
_EMULATOR = 1  # the container's first process


def ask(event: bytes, seconds: float) -> dict[str, object]:
    """Send the event. Returns status and body of HTTP, and peak: KiB of the function's processes at most."""
    connection = _connect(seconds + _AFTER_TIMEOUT_SECONDS)
    connection.request("POST", PATH, body=event)
    answer = connection.getresponse()
    body = answer.read().decode("utf-8", "replace")
    return {"status": answer.status, "body": body, "peak": _peak()}


def _connect(seconds: float) -> http.client.HTTPConnection:
    """Connect to the emulator, once it listens. seconds: timeout of the response."""
    end = time.monotonic() + _LISTENING_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=seconds)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return connection


def _peak() -> int | None:
    """Return the peak memory in KiB from the kernel, as the emulator reports the limit instead."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) not in {_EMULATOR, os.getpid()}:
            try:
                lines = (folder / "status").read_text("utf-8", "replace").splitlines()
            except OSError:  # it has ended
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total or None


def _event(file: str) -> bytes:
    if file != "-":
        return Path(file).read_bytes()
    length = sys.stdin.buffer.readline()
    if not length:
        os.kill(_EMULATOR, signal.SIGTERM)
    return sys.stdin.buffer.read(int(length or b"0"))


if __name__ == "__main__":
    try:
        response = ask(_event(sys.argv[1]), float(sys.argv[2]))
    except (OSError, http.client.HTTPException) as error:
        response = {"fault": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(response))
