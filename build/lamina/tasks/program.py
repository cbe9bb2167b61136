"""The ``lamina`` command: the same tasks without a tasks.py, in any repository."""

from __future__ import annotations

from invoke.program import Program

from lamina import __version__
from lamina.tasks import ns

program = Program(name="Lamina", binary="lamina", namespace=ns, version=__version__)


def main() -> None:
    """Run the command line."""
    program.run()
