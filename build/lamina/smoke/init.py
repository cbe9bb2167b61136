"""Explain a function's init: its phases, its slowest imports, and the time spent without bytecode. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

SLOWEST = 10
_LINE = re.compile(r"^import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)", re.M)
"""Microseconds of a module alone and with its imports, two spaces a level, its name; children come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitPart:
    """Milliseconds of a part of init: on the clock, and of the processor."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageImport:
    """The import of a package or top-level module. ms: of its own modules only, without what they import."""

    name: str
    ms: float
    modules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """What a start of a function costs, from a page cache that was emptied as far as possible.

    Attributes:
        interpreter: Until the first line of Python.
        client: The import of Lambda's runtime client.
        imports: What the handler's module imports.
        handler: The handler's own module: its code at the top, and its compilation if it has no bytecode.
        slowest: The packages that take longest, by themselves; at most `SLOWEST`.
        memory_mb: Peak memory when the handler is ready.
        compiled: Modules compiled in this start, because they have no bytecode.
        compiling_ms: CPU of that.
        bytecode_files, bytecode_bytes: The image's ``.pyc`` files below the function's folder.
        with_cpu_ms, without_cpu_ms: CPU of a whole start with and without using them, both with a warm page
            cache; None if the image has none.
        opened: The files that a start opened or mapped, by their paths.
    """

    interpreter: InitPart
    client: InitPart
    imports: InitPart
    handler: InitPart
    slowest: tuple[PackageImport, ...]
    memory_mb: int
    compiled: int
    compiling_ms: float
    bytecode_files: int
    bytecode_bytes: int
    with_cpu_ms: float | None
    without_cpu_ms: float | None
    opened: tuple[str, ...] = ()

    @property
    def cpu_ms(self) -> float:
        """CPU of the whole start."""
        return self.interpreter.cpu + self.client.cpu + self.imports.cpu + self.handler.cpu

    @property
    def wall_ms(self) -> float:
        """The whole start on the clock."""
        return self.interpreter.wall + self.client.wall + self.imports.wall + self.handler.wall

    @property
    def saved_by_bytecode(self) -> float | None:
        """The part of the CPU that bytecode saves, 0 to 1; None if the image has none."""
        if not self.with_cpu_ms or not self.without_cpu_ms:
            return None
        return max(0.0, 1 - self.with_cpu_ms / self.without_cpu_ms)


class StartFigures(TypedDict):
    """What one start prints: milliseconds of the interpreter, the client and the handler; peak in KiB."""

    wall: list[float]
    cpu: list[float]
    peak: int
    compiled: int
    compiling: float


class BytecodeSize(TypedDict):
    """The .pyc files of a function."""

    files: int
    bytes: int


MeasuredStarts = TypedDict(
    "MeasuredStarts",
    {
        "fault": str,
        "bytecode": BytecodeSize,
        "start": StartFigures,
        "imports": str,
        "opened": list[str],
        "with": StartFigures | None,
        "without": StartFigures | None,
    },
    total=False,
)
"""What `starting` prints; only ``fault`` if the handler cannot be imported."""


def read_init(document: MeasuredStarts, handler: str) -> Init | None:
    """Read what `starting` printed; None if it could not start the handler."""
    start = document.get("start")
    if not start:
        return None
    module = handler.rpartition(".")[0].replace("/", ".")
    own, imports = split_imports(document.get("imports") or "", module)
    client, code = (InitPart(wall=start["wall"][at], cpu=start["cpu"][at]) for at in (1, 2))
    handler_part, imports_part = _shares(code, own)
    return Init(
        interpreter=InitPart(wall=start["wall"][0], cpu=start["cpu"][0]),
        client=client,
        imports=imports_part,
        handler=handler_part,
        slowest=imports,
        memory_mb=-(-start["peak"] // 1024),
        compiled=start["compiled"],
        compiling_ms=start["compiling"],
        bytecode_files=document["bytecode"]["files"],
        bytecode_bytes=document["bytecode"]["bytes"],
        with_cpu_ms=_cpu(document.get("with")),
        without_cpu_ms=_cpu(document.get("without")),
        opened=tuple(document.get("opened") or ()),
    )


def _cpu(start: StartFigures | None) -> float | None:
    return sum(start["cpu"]) if start else None


def _shares(code: InitPart, own: float) -> tuple[InitPart, InitPart]:
    """Divide the import of the handler's module. own: the part of its own code, 0 to 1."""
    handler = InitPart(wall=code.wall * own, cpu=code.cpu * own)
    return handler, InitPart(wall=code.wall - handler.wall, cpu=code.cpu - handler.cpu)


def split_imports(trace: str, module: str) -> tuple[float, tuple[PackageImport, ...]]:
    """Read ``-X importtime``. Return the own part of the handler's module, and its slowest imports.

    Args:
        module: The handler's module. Only what it imports counts; its packages' own time is summed up.
    """
    below: list[tuple[int, str, int]] = []
    own = whole = 0
    for found in _LINE.finditer(trace):
        alone, total, level, name = int(found[1]), int(found[2]), len(found[3]), found[4]
        if name == module and level == 0:
            own, whole = alone, total
            break
        if level == 0:
            below.clear()
        else:
            below.append((level, name, alone))
    return (own / whole if whole else 0.0), _slowest(below)


def _slowest(imports: Iterable[tuple[int, str, int]]) -> tuple[PackageImport, ...]:
    spent: defaultdict[str, list[int]] = defaultdict(list)
    for _, name, microseconds in imports:
        spent[name.partition(".")[0]].append(microseconds)
    found = (PackageImport(name=name, ms=sum(each) / 1000, modules=len(each)) for name, each in spent.items())
    return tuple(sorted(found, key=lambda each: (-each.ms, each.name))[:SLOWEST])
