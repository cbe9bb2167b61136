"""``python -m lamina`` and the ``lamina`` command.

What is here runs before the half second of imports: a signal that comes meanwhile is no traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line."""
    _open_streams()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, _stop)
    from lamina.tasks.program import main as run

    run()


def _stop(number: int, _: object) -> NoReturn:
    """End as shells call it: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    os.write(2, b"error: stopped; nothing was begun\n")
    os._exit(128 + number)


def _open_streams() -> None:
    """Give closed standard streams to nobody: else the next file that is opened becomes one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
