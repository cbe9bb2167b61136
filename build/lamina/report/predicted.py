"""What earlier runs say of a build to come: how long it takes, and which builder has its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lamina.report.history import read_run, run_ids

_UNKNOWN_SECONDS = 10.0
"""Predicted for all images of a project of which no build is known: they count the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierBuild:
    """The last build of an image on this machine. builder: which of several built it."""

    seconds: float
    builder: str = ""


def read_earlier(state: Path) -> Mapping[str, EarlierBuild]:
    """Return the last build of each image, by name, from the kept runs."""
    found: dict[str, EarlierBuild] = {}
    for each in (image for run in run_ids(state) for image in read_run(state, run).images):
        if each.status == "built" and each.name not in found:
            found[each.name] = EarlierBuild(seconds=each.seconds, builder=each.builder)
    return found


def typical(builds: Iterable[EarlierBuild]) -> float:
    """Return the seconds that an image without an earlier build is predicted to take."""
    return median([each.seconds for each in builds] or [_UNKNOWN_SECONDS])
