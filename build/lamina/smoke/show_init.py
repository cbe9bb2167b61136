"""Show what the init of functions consists of, as a table and as JSON documents."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen
from lamina.report.inits import Runs
from lamina.smoke.container import Smoked
from lamina.smoke.init import Init, InitPart

_HEADINGS = (
    *("image", "function", "init ms", "before", "interpreter", "client", "imports", "handler"),
    *("CPU ms", "memory MB", "size", "layers"),
)
_FEW = 20
"""Compiled modules that are not worth a line: the handler's own and a few more."""


def show_inits(screen: Screen, smoked: Iterable[Smoked], before: Runs) -> None:
    """Show the phases of each measured init, then its slowest imports and its bytecode."""
    measured = [(each, each.init) for each in smoked if each.init]
    if not measured:
        return
    screen.rows(_HEADINGS, (_row(each, init, before) for each, init in measured))
    for each, init in measured:
        screen.say(f"{each.image} {each.function} imports, slowest first: {_slowest(init)}")
        screen.say(f"{each.image} {each.function}: {_bytecode(init)}")


def _row(smoked: Smoked, init: Init, before: Runs) -> tuple[str, ...]:
    earlier = before.get((smoked.image, smoked.function), {}).get("init_ms")
    phases = (init.interpreter, init.client, init.imports, init.handler)
    return (
        smoked.image,
        smoked.function,
        _ms(smoked.answer.init_ms),
        change(earlier, smoked.answer.init_ms),
        *(_ms(part.wall) for part in phases),
        _ms(init.cpu_ms),
        str(init.memory_mb),
        figures.size(smoked.size),
        str(smoked.layers),
    )


def change(earlier: float | None, now: float | None) -> str:
    """Return an earlier figure and the change since then: ``2534 (-60 %)``; empty if either is unknown."""
    if not earlier or now is None:
        return ""
    return f"{earlier:.0f} ({100 * (now - earlier) / earlier:+.0f} %)"


def _slowest(init: Init) -> str:
    return ", ".join(f"{each.name} {each.ms:.0f} ms" for each in init.slowest) or "none"


def _bytecode(init: Init) -> str:
    if init.saved_by_bytecode is not None:
        compiled = f"; {figures.counted(init.compiled, 'module')} without it" if init.compiled else ""
        return (
            f"{init.bytecode_files} .pyc files, {figures.size(init.bytecode_bytes)}: a start on cached files "
            f"takes {_ms(init.with_cpu_ms)} ms of CPU, without them {_ms(init.without_cpu_ms)} ms, "
            f"{100 * init.saved_by_bytecode:.0f} % less{compiled}"
        )
    cost = (
        f"{init.compiled} modules are compiled at every start, "
        f"{init.compiling_ms:.0f} of {init.cpu_ms:.0f} ms of CPU"
    )
    return f"the image has no .pyc files: {cost}" if init.compiled > _FEW else cost


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def init_document(smoked: Smoked) -> JsonDocument | None:
    """Return the explained init; None if it was not measured. Times in milliseconds, sizes in bytes."""
    init = smoked.init
    if init is None:
        return None
    return {
        "phases": {
            name: _part(part)
            for name, part in (
                ("interpreter", init.interpreter),
                ("client", init.client),
                ("imports", init.imports),
                ("handler", init.handler),
            )
        },
        "cpu_ms": round(init.cpu_ms, 1),
        "wall_ms": round(init.wall_ms, 1),
        "memory_mb": init.memory_mb,
        "slowest": [
            {"name": each.name, "ms": round(each.ms, 1), "modules": each.modules} for each in init.slowest
        ],
        "compiled": init.compiled,
        "compiling_ms": round(init.compiling_ms, 1),
        "bytecode": {"files": init.bytecode_files, "bytes": init.bytecode_bytes},
        "with_bytecode_cpu_ms": _rounded(init.with_cpu_ms),
        "without_bytecode_cpu_ms": _rounded(init.without_cpu_ms),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _part(part: InitPart) -> dict[str, float]:
    return {"wall_ms": round(part.wall, 1), "cpu_ms": round(part.cpu, 1)}
