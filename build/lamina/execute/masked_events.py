"""Hide secrets in BuildKit's progress events: a step may print a secret it was given."""

from __future__ import annotations

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lamina.execute.solve_status import VertexLog
from lamina.files import write_atomic
from lamina.json_data import Json
from lamina.masks import Mask, MaskedOutput

_EXACT = frozenset({"digest", "inputs", "vertex", "timestamp", "started", "completed"})
"""Keys with values that BuildKit generates: they connect events and must not change."""


class MaskedEvents:
    """Masks the lines of ``--progress=rawjson`` so that they may be kept and shown.

    Logs are passed on in whole lines, because a secret may be split over two pieces. The rest of a step's log
    is passed on with the step's end.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._logs: defaultdict[tuple[str, int], MaskedOutput] = defaultdict(lambda: MaskedOutput(mask))
        self._last: dict[tuple[str, int], VertexLog] = {}

    def feed(self, line: str) -> Iterator[str]:
        """Yield the masked lines for one line. A line without secrets and logs is passed on unchanged."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            yield self._mask.hide(line)
            return
        logs = event.pop("logs", None)
        hidden: dict[str, object] = {key: self._hide(value, key) for key, value in event.items()}
        pieces = [piece for log in logs or () if (piece := self._log(log))]
        ended = [each.get("digest", "") for each in event.get("vertexes") or () if each.get("completed")]
        rest = [piece for digest in ended for piece in self._rest(digest)]
        if pieces or rest:
            # Readers must know a step before its log: logs come in the same event or a later one.
            hidden["logs"] = [*pieces, *rest]
        if logs is None and not rest and hidden == event:
            yield line
        elif hidden:
            yield json.dumps(hidden, separators=(",", ":"))

    def close(self) -> Iterator[str]:
        """Yield the remaining logs of steps that did not end."""
        rest = [piece for vertex, _ in list(self._logs) for piece in self._rest(vertex)]
        if rest:
            yield json.dumps({"logs": rest}, separators=(",", ":"))

    def _hide(self, value: Json, key: str) -> Json:
        if key in _EXACT:
            return value
        if isinstance(value, dict):
            return {name: self._hide(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._hide(each, key) for each in value]
        return self._mask.hide(value) if isinstance(value, str) else value

    def _log(self, log: VertexLog) -> VertexLog | None:
        """Return the complete lines of a log piece; None if there are none yet."""
        stream = (str(log.get("vertex", "")), int(log.get("stream") or 1))
        try:
            piece = base64.b64decode(log.get("data") or "")
        except (binascii.Error, TypeError):
            return None
        self._last[stream] = log
        return _piece(log, self._logs[stream].feed(piece))

    def _rest(self, vertex: str) -> Iterator[VertexLog]:
        for stream in [each for each in self._logs if each[0] == vertex]:
            if piece := _piece(self._last[stream], self._logs.pop(stream).close()):
                yield piece


def hide_events(file: Path, mask: Mask) -> None:
    """Hide secrets in a file of events that another machine wrote."""
    masked = MaskedEvents(mask)
    lines = file.read_text("utf-8", errors="replace").splitlines()
    pieces = [piece for line in lines for piece in masked.feed(line)]
    write_atomic(file, "".join(f"{line}\n" for line in (*pieces, *masked.close())))


def _piece(log: VertexLog, data: bytes) -> VertexLog | None:
    return {**log, "data": base64.b64encode(data).decode()} if data else None
