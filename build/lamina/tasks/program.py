"""The ``lamina`` command: the same tasks without a tasks.py, in any repository."""

from __future__ import annotations

import sys

from invoke.program import Program

from lamina import __version__
from lamina.tasks import ns
from lamina.tasks.frame import nobody_reads

program = Program(name="Lamina", binary="lamina", namespace=ns, version=__version__)


def main() -> None:
    """Run the command line. Whoever reads no further, as ``head``, ends it quietly."""
    try:
        program.run()
        sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(nobody_reads())
