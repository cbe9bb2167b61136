"""Which faults are tried, each chosen by a seed alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.scene import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault. what: in the words of the table. strike: runs commands under it and judges them.

    quick, full: how often it is tried in a session of either length.
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
    """One try of a fault. The seed decides all that is random about it."""

    fault: Fault
    seed: int

    @property
    def random(self) -> Random:
        """The same numbers for the same case, and others for every other fault and seed."""
        return Random(f"{self.fault.name} {self.seed}")

    @property
    def replay(self) -> str:
        """The command that tries it again."""
        return f"nox -s faults -- --seed {self.seed} --only {self.fault.name}"


def choose_cases(
    faults: Iterable[Fault], *, only: Iterable[str] = (), seed: int | None = None, first: int, quick: bool
) -> tuple[Case, ...]:
    """The cases of a session. Raises ValueError for a name that no fault has.

    only: names of faults, or of kinds of them. seed: each fault once, with this seed.
    first: otherwise the seed of the first case of each fault; the others follow it.
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
    """What ``--only`` takes: kinds and names."""
    every = tuple(faults)
    return sorted({fault.kind for fault in every} | {fault.name for fault in every})
