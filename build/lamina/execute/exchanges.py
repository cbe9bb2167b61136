"""Follow a build's exchanges with registries in BuildKit's events, and detect when they stall.

A Dockerfile step may be silent for any time. Only exchanges with a registry can stall, and only while
nothing else runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lamina.errors import RegistryError
from lamina.execute.solve_status import SolveStatus
from lamina.registries.pace import STALL_HINT, Pace

_BRACKETS = re.compile(r"\[([^\]]*)\] (.*)", re.DOTALL)
_ASKING = ("load metadata for ", "resolve image config for ", "importing cache manifest from ")
"""Steps that are a single request to a registry."""
_UPLOADS = ("pushing layers", "writing layer ")
"""Parts of an export that send many bytes, which BuildKit does not count."""
_ANSWERS = ("pushing manifest for ", "writing config ", "writing manifest ", "writing cache ", "resolve ")
_FETCHED, _UNPACKED = "sha256:", "extracting "
_HOST = re.compile(r"(?:^|\s)(?:docker-image://)?((?:localhost|[\w-]+[.:])[\w.:-]*)/|token for (\S+)")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
UNSEEN = 30
"""Stall periods that an upload with invisible bytes may last while the registry still answers."""


class StalledError(RegistryError):
    """An exchange between the engine and a registry has stalled."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange in progress.

    Attributes:
        uncounted: whether it moves bytes that no event counts.
        host: of the registry; None if the event does not name it.
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
    """Name of a part -> whether it is still in progress."""


class Exchanges:
    """The exchanges of a build with registries, updated event by event."""

    def __init__(self) -> None:
        self._vertexes: dict[str, _Vertex] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self.changes = 0
        """How often a step or part began or ended."""

    def feed(self, event: SolveStatus) -> None:
        """Take one event of ``--progress=rawjson``."""
        for update in event.get("vertexes") or ():
            vertex = self._vertexes.setdefault(
                str(update.get("digest", "")), _Vertex(str(update.get("name", "")))
            )
            vertex.inputs = tuple(update.get("inputs") or vertex.inputs)
            is_open = bool(update.get("started")) and not update.get("completed")
            self.changes += is_open != vertex.open
            vertex.open = is_open
        for status in event.get("statuses") or ():
            digest, part = str(status.get("vertex", "")), str(status.get("id", ""))
            if known := self._vertexes.get(digest):
                is_open = not status.get("completed")
                self.changes += is_open != known.parts.get(part, False)
                known.parts[part] = is_open
                self._counts[digest, part] = int(status.get("current") or 0)

    @property
    def bytes(self) -> int:
        """Bytes moved so far, according to the events."""
        return sum(self._counts.values())

    @property
    def open(self) -> tuple[Exchange, ...]:
        """The exchanges in progress."""
        return tuple(each for vertex in self._vertexes.values() for each in _exchanges(vertex))

    @property
    def busy(self) -> bool:
        """Whether anything else runs, which may take any time."""
        waiting = {digest for digest, vertex in self._vertexes.items() if any(_exchanges(vertex))}
        return any(
            _unpacks(vertex) or (vertex.open and digest not in waiting and not self._awaits(digest, waiting))
            for digest, vertex in self._vertexes.items()
        )

    def _awaits(self, digest: str, waiting: set[str]) -> bool:
        """Whether a step cannot run yet because one of its inputs is still being fetched."""
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
    """When a build counts as stalled.

    Attributes:
        seconds: without progress; 0: never.
        written: returns the bytes that the engine has written so far; None if they cannot be seen.
        host: of the registry that images are pushed to.
        answers: whether that registry answers Lamina.
        say: prints a line when a push is silent.
        clock: monotonic seconds.
    """

    seconds: float = 0
    host: str = ""
    written: Callable[[], int | None] = field(default=lambda: None)
    answers: Callable[[], bool] = field(default=lambda: True)
    say: Callable[[str], None] = field(default=lambda _: None)
    clock: Callable[[], float] = time.monotonic


class StallWatch:
    """Follows one call of bake and detects a stall. Call `check` regularly."""

    def __init__(self, rules: StallRules) -> None:
        self._rules = rules
        self._exchanges = Exchanges()
        self._pace = Pace(rules.seconds, rules.clock())
        self._changes = 0
        self._since = rules.clock()
        self._bytes = 0
        self._written: int | None = None

    def feed(self, line: str) -> None:
        """Take one line of ``--progress=rawjson``; ignore lines that are not events."""
        if self._rules.seconds and ('"vertexes"' in line or '"statuses"' in line):
            try:
                self._exchanges.feed(json.loads(line))
            except (ValueError, AttributeError, TypeError):
                return

    def check(self) -> None:
        """Raise StalledError if only exchanges with registries are in progress and none of them moves."""
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
        """Return the bytes moved since the last check, and whether further bytes cannot be seen."""
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
