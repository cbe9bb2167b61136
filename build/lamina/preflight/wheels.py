"""Which wheel of a locked package an installer takes on a system, by the tags in its file name.

https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from lamina.declare.lockfile import UV_LOCK
from lamina.declare.machine import family
from lamina.declare.uv_lock import Selection, UnusualLockError, UvLock, read_uv_lock
from lamina.patterns import regex
from lamina.preflight.bases import Base
from lamina.preflight.compiled import COMPILED
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.pythons import allows, limits_of, pinned_by
from lamina.preflight.view import ImageView, RunView, line_of, words_of

LACKING = Rule(
    id="LAM628",
    slug="no-wheel",
    summary="a locked package without a wheel for the Python and the C library of the stage that installs it",
    why="uv builds it from source, which needs a compiler, or refuses it",
    logs=(
        r"doesn't have a source distribution or wheel for the current platform",
        r"error: command '(?:gcc|cc|g\+\+|cargo)' failed: No such file",
        r"Failed to build `[\w.-]+==",
    ),
    advice="build FROM a runtime that the package has a wheel for, or lock a version that has one",
    in_builds=True,
)
RULES = (LACKING,)
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_PLATFORM = regex(r"(?:(manylinux\d+)|manylinux_(\d+)_(\d+)|(musllinux)_\d+_\d+|linux)_(\w+)")
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_COMPILERS = regex(r"\b(?:gcc|build-essential|build-base|clang|Development Tools|rustc?|cargo)\b")
_OTHER_CHOICE = regex(r"--python-platform|UV_PYTHON|--no-binary|UV_NO_BINARY|--python[= ]")
Version = tuple[int, int]


def locked_archives(view: ImageView, step: RunView) -> Mapping[str, tuple[str, ...]]:
    """Return what ``uv sync`` of a step installs, and the archives of each: empty if it is not known."""
    lock, selection = _locked(view, step)
    return lock.archives(selection) if lock is not None else {}


def _always(view: ImageView, step: RunView) -> frozenset[str]:
    """Return the names of what ``uv sync`` of a step installs on every system."""
    lock, selection = _locked(view, step)
    if lock is None or "--no-install-package" in step.text or step.set("UV_NO_INSTALL_PACKAGE"):
        return frozenset()
    return lock.without_markers(selection)


def _locked(view: ImageView, step: RunView) -> tuple[UvLock | None, Selection]:
    """Return the lock that ``uv sync`` of a step reads, None if it is not known, and what it installs."""
    origin = step.sees.files.get(f"{step.sees.workdir.rstrip('/')}/{UV_LOCK}")
    if origin is None or _OTHER_CHOICE.search(f"{step.before}\n{step.text}"):
        return None, Selection()
    if view.stages[step.stage].stage.platform is not None or _takes_other_python(view, step):
        return None, Selection()
    words = step.text.split()
    members = {after for word, after in pairwise(words) if word == "--package"}
    members |= {word.partition("=")[2] for word in words if word.startswith("--package=")}
    plain = {"--no-dev", "--no-default-groups"} & set(words) or step.set("UV_NO_DEV")
    selection = Selection(
        members=frozenset(members), groups="none" if plain else "all", extras="--all-extras" in words
    )
    try:
        lock = read_uv_lock((view.content(origin) or b"").decode("utf-8"))
        lock.archives(selection)
    except (UnicodeDecodeError, UnusualLockError):
        return None, selection
    return lock, selection


def _takes_other_python(view: ImageView, step: RunView) -> bool:
    """Whether uv downloads another Python than that of the stage, for the project's own limits."""
    place, python = step.sees.workdir, step.base.python
    limit, pinned = limits_of(view, step, place.rstrip("/")), pinned_by(view, step, place.rstrip("/"))
    refused = limit is not None and python is not None and allows(limit[0], python) is False
    return refused or (pinned is not None and pinned[0] != python)


def machine_of(view: ImageView) -> str:
    """Return the machine of an image as wheels name it."""
    return MACHINES.get(family(view.image.node.spec.platform), "")


def chosen(archives: tuple[str, ...], base: Base, machine: str) -> str | None:
    """Return the wheel that is installed on a base: the one for the newest C library that it has."""
    ranks = {each: rank for each in archives if (rank := _rank(each, base, machine)) is not None}
    return max(ranks, key=lambda each: ranks[each], default=None)


def loads(wheel: str, base: Base, machine: str) -> bool:
    """Whether the modules of a wheel can be loaded on a base."""
    return _rank(wheel, base, machine) is not None


def _rank(wheel: str, base: Base, machine: str) -> Version | None:
    """Return how much a wheel is preferred on a base, by its C library; None if it does not fit."""
    if not wheel.endswith(".whl") or base.python is None:
        return None
    pythons, abis, _ = wheel.removesuffix(".whl").rsplit("-", 3)[1:]
    if not any(_runs(each, abis, base.python) for each in pythons.split(".")):
        return None
    return max(_libraries(wheel, base, machine), default=None)


def _libraries(wheel: str, base: Base, machine: str) -> list[Version]:
    """Return the C libraries that a wheel is for, as far as a base has them."""
    platforms = wheel.removesuffix(".whl").rpartition("-")[2].split(".")
    return [found for each in platforms if (found := _library(each, base, machine)) is not None]


def _runs(python: str, abis: str, version: Version) -> bool:
    tag = re.fullmatch(r"(py|cp)(\d)(\d*)", python)
    if tag is None or int(tag[2]) != version[0]:
        return False
    minor = int(tag[3]) if tag[3] else 0
    if tag[1] == "py" or "abi3" in abis.split("."):
        return minor <= version[1]
    return minor == version[1] and not abis.endswith("t")


def _library(platform: str, base: Base, machine: str) -> Version | None:
    if platform == "any":
        return (0, 0)
    tag = _PLATFORM.fullmatch(platform)
    if tag is None or tag[5] != machine or bool(tag[4]) != (base.system == "alpine"):
        return None
    needs = _LEGACY.get(tag[1], (0, 0)) if tag[1] else (int(tag[2]), int(tag[3])) if tag[2] else (0, 0)
    return needs if tag[4] or (base.glibc is not None and needs <= base.glibc) else None


def wheel_faults(view: ImageView) -> Iterator[Fault]:
    """Yield locked packages that have no wheel for the stage that installs them."""
    machine = machine_of(view)
    for step in view.runs:
        if step.base.python is None or (step.base.glibc is None and step.base.system != "alpine"):
            continue
        for command in step.commands:
            words = words_of(command)
            if [posixpath.basename(words[0]) if words else "", *words[1:2]] != ["uv", "sync"]:
                continue
            line = line_of(step, command, view.image.node.recipe.dockerfile.text)
            for pin, archives in locked_archives(view, step).items():
                yield from _lacking(view, step, pin, archives, machine, line)


def _lacking(
    view: ImageView, step: RunView, pin: str, archives: tuple[str, ...], machine: str, line: int
) -> Iterator[Fault]:
    wheels = [each for each in archives if each.endswith(".whl")]
    linux = [each for each in wheels if "linux" in each.rpartition("-")[2] and machine in each]
    if not linux or chosen(archives, step.base, machine) is not None:
        return
    has_source = len(wheels) < len(archives)
    compiles = _COMPILERS.search(f"{step.before}\n{step.text}") or not step.base.slim
    name = pin.partition("==")[0]
    if has_source and (compiles or name not in COMPILED):
        return
    on_none = not any(_libraries(each, step.base, machine) for each in wheels)
    sure = not has_source and on_none and name in _always(view, step)
    python = ".".join(map(str, step.base.python or ()))
    system = "musl" if step.base.system == "alpine" else "glibc " + ".".join(map(str, step.base.glibc or ()))
    effect = (
        "it is built from source, and there is no compiler" if has_source else "and it has no source either"
    )
    yield view.fault(
        LACKING,
        line=line,
        message=f"{pin} has no wheel for Python {python} and {system} ({machine}) of {step.base.name}: "
        + effect,
        hint=f"lock a version of {name} that has one, or build FROM another runtime",
        certainty="certain" if sure else "likely",
        unless=f"{step.base.name} has another C library" if sure else f"a marker leaves {name} out",
    )
