"""Keep what starts of functions cost, in ``.lamina/smoke/``: written by smoke, read by reports and lint."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lamina.files import read_json, write_json

SCHEMA = 1
KEPT = 20
"""Runs kept of each function."""
InitRun: TypeAlias = Mapping[str, Any]
"""The document of a run, as ``smoke --json`` has it. A reader leaves out what it cannot read."""
Runs = Mapping[tuple[str, str], InitRun]
"""Image and function -> the document of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredInit:
    """The init of a function in its last smoke. Times in milliseconds, CPU for `cpu`, else on the clock.

    tag: of the image that was tried. before: of the run before, None if there is none. slowest: packages and
    the time of their own modules. history: the init of all kept runs, the last one last.
    """

    image: str
    function: str
    tag: str
    init: float
    before: float | None
    phases: Mapping[str, float]
    cpu: float
    memory_mb: int
    slowest: tuple[tuple[str, float], ...]
    document: InitRun
    history: tuple[float, ...] = ()


def measured_inits(state: Path, images: Collection[str]) -> tuple[MeasuredInit, ...]:
    """Return the last run of each function of some images; damaged records are left out."""
    found = []
    for image, function, runs in every_init(state):
        if image in images:
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                found.append(_measured(image, function, runs))
    return tuple(found)


def _measured(image: str, function: str, runs: list[InitRun]) -> MeasuredInit:
    last, init = runs[-1], runs[-1]["init"]
    return MeasuredInit(
        image=image,
        function=function,
        tag=str(last["tag"]),
        init=float(last["init_ms"]),
        before=float(runs[-2]["init_ms"]) if len(runs) > 1 else None,
        phases={str(name): float(part["wall_ms"]) for name, part in init["phases"].items()},
        cpu=float(init["cpu_ms"]),
        memory_mb=int(init["memory_mb"]),
        slowest=tuple((str(each["name"]), float(each["ms"])) for each in init["slowest"]),
        document=init,
        history=tuple(float(each["init_ms"]) for each in runs),
    )


def keep_inits(state: Path, runs: Runs) -> None:
    """Add runs to those of their images; the oldest are dropped."""
    for (image, function), document in runs.items():
        kept = {**_read(state, image)}
        kept[function] = [*kept.get(function, []), document][-KEPT:]
        write_json(_file(state, image), {"schema": SCHEMA, "functions": kept})


def keep_opened(state: Path, image: str, tag: str, opened: Iterable[str]) -> None:
    """Keep the files that the starts of an image's functions opened, in place of those of its last smoke."""
    write_json(_opened_file(state, image), {"schema": SCHEMA, "tag": tag, "files": sorted(set(opened))})


def opened_files(state: Path, image: str, tag: str) -> frozenset[str] | None:
    """Return the files of `keep_opened`; None if the last smoke was of another image, or there was none."""
    document = read_json(_opened_file(state, image))
    if not isinstance(document, dict) or (document.get("schema"), document.get("tag")) != (SCHEMA, tag):
        return None
    return frozenset(map(str, document.get("files") or ()))


def every_init(state: Path) -> Iterator[tuple[str, str, list[InitRun]]]:
    """Yield image, function and kept runs of all images, the last run last."""
    for file in sorted(state.joinpath("smoke").glob("*.json")):
        for function, runs in _read(state, file.stem).items():
            if runs:
                yield file.stem, function, runs


def last_inits(state: Path) -> Runs:
    """Return the last run of each function."""
    return {(image, function): runs[-1] for image, function, runs in every_init(state)}


def last_compilations(state: Path) -> Mapping[str, tuple[int, float]]:
    """Return image -> the modules that its slowest function compiled in its last run, and the ms of CPU."""
    found: dict[str, tuple[int, float]] = {}
    for (image, _), run in last_inits(state).items():
        init = run.get("init") or {}
        now = (int(init.get("compiled", 0)), float(init.get("compiling_ms", 0.0)))
        found[image] = max(found.get(image, now), now)
    return found


def _read(state: Path, image: str) -> Mapping[str, list[InitRun]]:
    document = read_json(_file(state, image))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        return {}
    functions = document.get("functions")
    return functions if isinstance(functions, dict) else {}


def _opened_file(state: Path, image: str) -> Path:
    return state / "smoke" / "opened" / f"{image}.json"


def _file(state: Path, image: str) -> Path:
    return state / "smoke" / f"{image}.json"
