"""Read every Dockerfile of a project as far as possible: a fault in one does not hide those of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lamina.decide import preflight
from lamina.declare.config import Project
from lamina.declare.graph import find_graph
from lamina.errors import Problem
from lamina.identify.image import identify
from lamina.identify.tree import Files


def all_faults(project: Project, files: Callable[[Path], Files]) -> Iterator[Problem]:
    """Yield all faults of all Dockerfiles, ignore files and sources. files: opens a folder."""
    graph, unparsed = find_graph(project)
    images, unread = identify(project, graph, graph.nodes, prefix="", bases={}, files=files)
    yield from dict.fromkeys((*unparsed, *unread, *preflight.faults(images)))
