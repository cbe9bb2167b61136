"""Ask for an MFA code, at a terminal only."""

from __future__ import annotations

import os

_TERMINAL = "/dev/tty"


def ask_at_terminal(prompt: str, terminal: str = _TERMINAL) -> str:
    """Ask for a code that is not echoed. Raises EOFError unless a terminal is open in the foreground.

    Without a terminal getpass would read standard input, which in CI may be a pipe that never ends.
    """
    if not _in_foreground(terminal):
        raise EOFError
    from getpass import getpass

    return getpass(prompt)


def _in_foreground(terminal: str) -> bool:
    """Whether the process may read its terminal: a job in the background would be stopped."""
    try:
        handle = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(handle) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(handle)
