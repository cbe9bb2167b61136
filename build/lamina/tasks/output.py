"""Standard output at the end of a command: flushed, refused by a full disk, or closed by its reader."""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def close_stdout() -> int:
    """Send further output to /dev/null, as after ``| head``; return the code that shells give SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE


def flush_output() -> int:
    """Flush standard output. Return 0, or the exit code if it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return output_refused(error)
    return 0


def output_refused(error: OSError) -> int:
    """Report that standard output cannot be written, write no more to it, and return the exit code."""
    code = close_stdout()
    if isinstance(error, BrokenPipeError):
        return code
    with contextlib.suppress(OSError):
        sys.stderr.write(f"error: standard output cannot be written: {error.strerror or error}\n")
    return 1
