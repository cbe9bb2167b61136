"""One line of ``--progress=rawjson``: https://github.com/moby/buildkit/blob/master/client/graph.go

Keys may be missing, and null stands for an empty list.
"""

from __future__ import annotations

from typing import TypedDict


class Vertex(TypedDict, total=False):
    """A step. Times are RFC 3339 with nanoseconds."""

    digest: str
    inputs: list[str] | None
    name: str
    started: str | None
    completed: str | None
    cached: bool
    error: str


class VertexStatus(TypedDict, total=False):
    """A part of a step, such as a layer that is fetched. current, total: bytes."""

    id: str
    vertex: str
    name: str
    current: int
    total: int
    timestamp: str
    started: str | None
    completed: str | None


class VertexLog(TypedDict, total=False):
    """A piece of a step's output. data: base64."""

    vertex: str
    stream: int
    data: str
    timestamp: str


class SolveStatus(TypedDict, total=False):
    """What has changed since the last line."""

    vertexes: list[Vertex] | None
    statuses: list[VertexStatus] | None
    logs: list[VertexLog] | None
