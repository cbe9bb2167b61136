"""``invoke <task>`` in this repository: the tasks of the package, and nothing else."""

from lamina.tasks import ns

__all__ = ["ns"]
