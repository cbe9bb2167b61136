"""Predict how long an image builds, from the kept runs of this machine or of a cache that CI restored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from lamina.report.history import read_run, run_ids

_RUNS = 20


def build_seconds(state: Path) -> Mapping[str, float]:
    """Return image -> median seconds of its builds in the latest runs; without those that were not built.

    Appends, which need no builder and take next to nothing, count only for images that had nothing else.
    """
    built: defaultdict[str, list[float]] = defaultdict(list)
    appended: defaultdict[str, list[float]] = defaultdict(list)
    for run in run_ids(state)[:_RUNS]:
        for each in read_run(state, run).images:
            if each.status == "built":
                (appended if each.appended else built)[each.name].append(each.seconds)
    return {name: median(each) for name, each in {**appended, **built}.items()}
