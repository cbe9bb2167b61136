"""Choose the faults of a session. Each case depends on its seed alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault.

    what: its description in the table. strike: runs commands under the fault and judges them. quick, full:
    how often a session of that length tries it.
    """

    name: str
    what: str
    strike: Callable[[Scene], None]
    quick: int
    full: int

    @property
    def kind(self) -> str:
        """The part of the name before the first dot: ``registry`` of ``registry.hang``."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One try of a fault. All its random choices depend on the seed."""

    fault: Fault
    seed: int

    @property
    def random(self) -> Random:
        """A generator that depends only on the fault and the seed."""
        return Random(f"{self.fault.name} {self.seed}")

    @property
    def replay(self) -> str:
        """The command that repeats this case."""
        return f"nox -s faults -- --seed {self.seed} --only {self.fault.name}"


def choose_cases(
    faults: Iterable[Fault], *, only: Iterable[str] = (), seed: int | None = None, first: int, quick: bool
) -> tuple[Case, ...]:
    """Return the cases of a session.

    Args:
        only: names or kinds of faults; empty: all.
        seed: try each fault once, with this seed.
        first: without ``seed``, the seed of each fault's first case; the next ones follow it.
        quick: try each fault less often.

    Raises:
        ValueError: a name is not that of a fault or a kind.
    """
    every = tuple(faults)
    wanted = tuple(only)
    for name in wanted:
        if not any(name in {fault.name, fault.kind} for fault in every):
            raise ValueError(f"{name!r} is not a fault; allowed: {', '.join(allowed(every))}")
    chosen = [fault for fault in every if not wanted or {fault.name, fault.kind} & set(wanted)]
    if seed is not None:
        return tuple(Case(fault=fault, seed=seed) for fault in chosen)
    counts = [(fault, fault.quick if quick else fault.full) for fault in chosen]
    return tuple(Case(fault=fault, seed=first + number) for fault, many in counts for number in range(many))


def allowed(faults: Iterable[Fault]) -> list[str]:
    """Return the values of ``--only``: kinds and names."""
    every = tuple(faults)
    return sorted({fault.kind for fault in every} | {fault.name for fault in every})
