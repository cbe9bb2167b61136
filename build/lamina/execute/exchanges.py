"""What a build is doing with registries, out of BuildKit's events; and when that stands still.

A step of a Dockerfile may say nothing for as long as it likes. Only exchanges with a registry are judged, and
only while nothing else runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.errors import RegistryError
from lamina.registries.pace import STALL_HINT, Pace

_BRACKETS = re.compile(r"\[([^\]]*)\] (.*)", re.DOTALL)
_ASKING = ("load metadata for ", "resolve image config for ", "importing cache manifest from ")
"""Steps that are one question to a registry."""
_UPLOADS = ("pushing layers", "writing layer ")
"""Parts of an export that send many bytes, of which BuildKit counts none."""
_ANSWERS = ("pushing manifest for ", "writing config ", "writing manifest ", "writing cache ", "resolve ")
_FETCHED, _UNPACKED = "sha256:", "extracting "
_HOST = re.compile(r"(?:^|\s)(?:docker-image://)?((?:localhost|[\w-]+[.:])[\w.:-]*)/|token for (\S+)")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
UNSEEN = 30
"""Times that an upload may stand still of which nobody can see the bytes, while the registry answers."""


class StalledError(RegistryError):
    """An exchange of the engine's with a registry stands still."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Something that is waited for. uncounted: whether it moves bytes that no event counts.

    host: of the registry, None where the event does not name it.
    """

    what: str
    uncounted: bool = False
    host: str | None = None


@dataclass(slots=True)
class _Vertex:
    name: str
    inputs: tuple[str, ...] = ()
    open: bool = False
    parts: dict[str, bool] = field(default_factory=dict)
    """What it says of its parts -> whether that is still going on."""


class Exchanges:
    """The state of a build, event by event, as far as registries are concerned."""

    def __init__(self) -> None:
        self._vertexes: dict[str, _Vertex] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self.changes = 0
        """How often something began or ended."""

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take one event of ``--progress=rawjson``."""
        for told in event.get("vertexes") or ():
            vertex = self._vertexes.setdefault(
                str(told.get("digest", "")), _Vertex(str(told.get("name", "")))
            )
            vertex.inputs = tuple(told.get("inputs") or vertex.inputs)
            is_open = bool(told.get("started")) and not told.get("completed")
            self.changes += is_open != vertex.open
            vertex.open = is_open
        for told in event.get("statuses") or ():
            digest, part = str(told.get("vertex", "")), str(told.get("id", ""))
            if known := self._vertexes.get(digest):
                is_open = not told.get("completed")
                self.changes += is_open != known.parts.get(part, False)
                known.parts[part] = is_open
                self._counts[digest, part] = int(told.get("current") or 0)

    @property
    def bytes(self) -> int:
        """All that events count as moved so far."""
        return sum(self._counts.values())

    @property
    def open(self) -> tuple[Exchange, ...]:
        """What is waited for."""
        return tuple(each for vertex in self._vertexes.values() for each in _exchanges(vertex))

    @property
    def busy(self) -> bool:
        """Whether anything else runs, which may take its time."""
        waiting = {digest for digest, vertex in self._vertexes.items() if any(_exchanges(vertex))}
        return any(
            _unpacks(vertex) or (vertex.open and digest not in waiting and not self._awaits(digest, waiting))
            for digest, vertex in self._vertexes.items()
        )

    def _awaits(self, digest: str, waiting: set[str]) -> bool:
        """Whether a step cannot have begun, for what it stands on is still fetched: its inputs tell."""
        seen: set[str] = set()
        left = [digest]
        while left:
            vertex = self._vertexes.get(left.pop())
            fresh = [each for each in vertex.inputs if each not in seen] if vertex else []
            if not waiting.isdisjoint(fresh):
                return True
            seen.update(fresh)
            left += fresh
        return False


def _exchanges(vertex: _Vertex) -> Iterator[Exchange]:
    found = _BRACKETS.match(vertex.name)
    inside, what = found.groups() if found else ("", vertex.name)
    target = f"{inside}: " if found else ""
    if vertex.open and (what.startswith(_ASKING) or inside.split(" ")[-1] == "auth"):
        yield Exchange(what, host=_host(what))
    exports = what.startswith("exporting ")
    for part, is_open in vertex.parts.items():
        if not is_open:
            continue
        if exports and part.startswith(_UPLOADS):
            yield Exchange(f"{target}{part}", uncounted=True)
        elif part.startswith(_ANSWERS):
            yield Exchange(part, host=_host(part))
        elif part.startswith(_FETCHED):
            yield Exchange(f"{what.partition('@')[0]}: {part[:19]}…", host=_host(what))


def _unpacks(vertex: _Vertex) -> bool:
    return any(is_open and part.startswith(_UNPACKED) for part, is_open in vertex.parts.items())


def _host(text: str) -> str | None:
    found = _HOST.search(text)
    return (found[1] or found[2]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StallRules:
    """When a build stands still. seconds: without anything that moves; 0: never.

    written: bytes that the engine has written so far, None where nobody can see them. host: of the registry
    that is pushed to. answers: whether that answers us. say: tells the user that a push is silent.
    clock: monotonic seconds.
    """

    seconds: float = 0
    host: str = ""
    written: Callable[[], int | None] = field(default=lambda: None)
    answers: Callable[[], bool] = field(default=lambda: True)
    say: Callable[[str], None] = field(default=lambda _: None)
    clock: Callable[[], float] = time.monotonic


class StallWatch:
    """Follows one call of bake; `check` is to be called now and then."""

    def __init__(self, rules: StallRules) -> None:
        self._rules = rules
        self._exchanges = Exchanges()
        self._pace = Pace(rules.seconds, rules.clock())
        self._changes = 0
        self._since = rules.clock()
        self._bytes = 0
        self._written: int | None = None

    def feed(self, line: str) -> None:
        """Take one line of ``--progress=rawjson``; lines that are no events are none of it."""
        if self._rules.seconds and ('"vertexes"' in line or '"statuses"' in line):
            try:
                self._exchanges.feed(json.loads(line))
            except (ValueError, AttributeError, TypeError):
                return

    def check(self) -> None:
        """Raise StalledError when exchanges with registries are all that is left, and none of them moves."""
        if not self._rules.seconds:
            return
        now, waiting = self._rules.clock(), self._exchanges.open
        if self._exchanges.busy or not waiting or self._exchanges.changes != self._changes:
            self._changes, self._since = self._exchanges.changes, now
            self._pace.restart(now)
        moved, unseen = self._moved(any(each.uncounted for each in waiting))
        self._pace.moved(moved, now)
        if self._pace.left(now):
            return
        if unseen and now - self._since < UNSEEN * self._rules.seconds and self._rules.answers():
            if now - self._since < 2 * self._rules.seconds:
                self._rules.say(
                    f"no layer has been pushed for {self._rules.seconds:g} s; {self._rules.host} answers: "
                    "waiting on"
                )
            self._pace.restart(now)
            return
        raise self._stalled(waiting)

    def _moved(self, uncounted: bool) -> tuple[int, bool]:
        """Bytes since the last check; and whether there may be more that cannot be seen."""
        before, self._bytes = self._bytes, self._exchanges.bytes
        moved = max(0, self._bytes - before)
        if not uncounted:
            self._written = None
            return moved, False
        earlier, self._written = self._written, self._rules.written()
        if self._written is not None and earlier is not None:
            moved += max(0, self._written - earlier)
        return moved, self._written is None

    def _stalled(self, waiting: tuple[Exchange, ...]) -> StalledError:
        host = next((each.host for each in waiting if each.host), self._rules.host)
        doing = _DIGEST.sub(r"\1…", "; ".join(dict.fromkeys(each.what for each in waiting)))
        return StalledError.of(
            f"the registry stands still: nothing moved for {self._rules.seconds:g} s ({doing})",
            where=host,
            hint=STALL_HINT,
        )
