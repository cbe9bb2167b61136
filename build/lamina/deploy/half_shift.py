"""Aliases that share their calls: those that a canary left half way, and those that cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.aws.live import LATEST, Alias, Live
from lamina.deploy.record import read_note
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfShift:
    """An alias that sends a share of its calls to another version.

    Attributes:
        version: that gets the other calls.
        shares: further versions -> their share, 0 to 1.
        run: the deployment that gave the share; None if it was not one of Lamina.
    """

    function: str
    alias: str
    version: str
    shares: Mapping[str, float]
    run: str | None

    def __str__(self) -> str:
        shares = ", ".join(
            f"{share:.0%} of its calls to version {each}" for each, share in self.shares.items()
        )
        return f"{self.alias} of {self.function} (version {self.version}) sends {shares}"

    def note(self, stack: str) -> Problem:
        """Return what to say of it to who deploys a stack."""
        if self.run is None:
            return Problem(what=f"{self}: not by Lamina")
        flags = f"--alias {self.alias} --stack {stack}"
        return Problem(
            what=f"{self}: the canary of run {self.run} was stopped half way, or is still under way",
            hint=f"if it is not under way: invoke deploy {flags} shifts the rest, "
            f"invoke deploy --rollback {flags} returns",
        )


def half_shift(read: Callable[[str], Live | None], function: str, alias: Alias) -> HalfShift | None:
    """Return how an alias shares its calls; None if it does not. read: returns a version of the function.

    With provisioned concurrency it cannot: routes are then Lambda's own, to the old version.
    """
    if not alias.shares or alias.allocation:
        return None
    own = read_note(alias.description)
    if own and own.version == alias.version and set(alias.shares) == {own.share}:
        runs: set[str | None] = {own.run}
    else:
        runs = {_run_of(read(version), alias) for version in alias.shares}
    return HalfShift(
        function=function,
        alias=alias.name,
        version=alias.version,
        shares=alias.shares,
        run=runs.pop() if len(runs) == 1 else None,
    )


def _run_of(live: Live | None, alias: Alias) -> str | None:
    """Return the deployment that published a version to take the place of the alias's; None if none did.

    An alias that was to move elsewhere by that deployment or a later one was moved by another client since.
    """
    note, own = read_note(live.description) if live else None, read_note(alias.description)
    if note is None or (own and own.version != alias.version and own.run >= note.run):
        return None
    return note.run if (note.alias, note.before) == (alias.name, alias.version) else None


def shift_obstacles(
    moves: Iterable[FunctionUpdate],
    live: Mapping[str, Live],
    aliases: Mapping[str, Alias],
    behind: Mapping[str, Live],
    halves: Mapping[str, HalfShift],
) -> Iterator[Problem]:
    """Yield each reason why an alias that is to move cannot share its calls. All but moves: by function name.

    Limits: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
    """
    for move in moves:
        name = str(move.wanted.function)
        alias = aliases.get(name)
        if alias and move.pointed and not move.alike:
            yield from (
                Problem(what=what, where=move.wanted.image, hint=hint)
                for what, hint in _obstacles(name, alias, live.get(name), behind.get(name))
            )
            half = halves.get(name)
            if half and half.run is None:
                yield Problem(
                    what=f"{half}: not by Lamina, and a canary would take its place",
                    where=move.wanted.image,
                    hint="let whoever gave that share end it, or deploy without a canary (--canary off), "
                    "which removes it",
                )


def _obstacles(name: str, alias: Alias, live: Live | None, behind: Live | None) -> Iterator[tuple[str, str]]:
    without = "or deploy without a canary (--canary off)"
    if alias.version == LATEST:
        yield (
            f"{alias.name} of {name} names $LATEST, which cannot share calls",
            "deploy once without a canary (--canary off): the alias then names a version",
        )
        return
    if alias.allocation:
        yield (
            f"{alias.name} of {name} has provisioned concurrency, with which an alias cannot share calls",
            f"give it to versions instead of the alias, {without}",
        )
    for part, now, then in (
        ("execution role", live and live.role, behind and behind.role),
        ("dead-letter queue", live and live.dead_letters, behind and behind.dead_letters),
    ):
        if now != then:
            behind_it = f"version {alias.version} behind {alias.name} ({then or 'none'})"
            yield (
                f"{name} has another {part} ({now or 'none'}) than {behind_it}: they cannot share calls",
                f"set it back, {without}",
            )
