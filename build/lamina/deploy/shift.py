"""How calls move to a new version: a share at first, or one share after another. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from lamina.declare.stacks import SHIFTS
from lamina.errors import ConfigError

Kind = Literal["canary", "linear"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OFF = "off"
_SHARE = re.compile(r"(?P<percent>\d+)%:(?P<number>\d+)(?P<unit>[smh])")
_OF_CODEDEPLOY = re.compile(r"\D*(?P<percent>\d+)Percent(?:Every)?(?P<number>\d+)Minutes?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """The steps in which calls move.

    Attributes:
        percent: the share of calls that each step adds.
        seconds: how long each step is watched.
        text: as given, ``10%:5m``.
    """

    kind: Kind
    percent: int
    seconds: int
    text: str

    @property
    def weights(self) -> tuple[float, ...]:
        """The shares of the new versions, 0 to 1, before they get all calls."""
        steps = range(self.percent, 100, self.percent) if self.kind == "linear" else (self.percent,)
        return tuple(each / 100 for each in steps)

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


def read_shift(kind: Kind, text: str, where: str) -> Shift | None:
    """Return the shift that a flag or setting names; None for ``off``. Raises ConfigError."""
    form, allowed = SHIFTS[kind]
    if not form.fullmatch(text):
        raise ConfigError.of(f"{text!r} is not a {kind} shift", where=where, allowed=allowed)
    if text == OFF:
        return None
    found = _SHARE.fullmatch(text) or _OF_CODEDEPLOY.fullmatch(text)
    assert found  # noqa: S101 - the form above allows nothing else
    unit = found.groupdict().get("unit") or "m"
    return Shift(
        kind=kind,
        percent=int(found["percent"]),
        seconds=int(found["number"]) * _SECONDS[unit],
        text=text,
    )
