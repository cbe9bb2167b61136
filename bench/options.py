"""The command line of the bench."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cases import BY_NAME, Selection, select
from bench.meter import TimeBudget
from bench.variants import VARIANTS
from lamina.errors import ConfigError

RESULTS = Path(".lamina/bench")
TOLERANCE = 1.25
_TIMES = 5
_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line.

    out: the folder of the results. render: a ``bench.json`` to show instead of measuring. write: whether to
    write the figures into the documentation. compare: an earlier ``bench.json``.
    """

    selection: Selection
    budget: TimeBudget
    out: Path
    render: Path | None
    write: bool
    compare: Path | None
    tolerance: float


def read_options(argv: Sequence[str] | None = None) -> Options:
    """Parse the command line. Raises SelectionError for unknown names, ConfigError for invalid values."""
    parser = argparse.ArgumentParser(
        prog="nox -s bench --", description="Measure what building images costs."
    )
    parser.add_argument("--quick", action="store_true", help="few cases, bake and lamina, once each")
    parser.add_argument(
        "--case", action="append", default=[], metavar="NAME", help=f"only this case: {', '.join(BY_NAME)}"
    )
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help=f"only this variant: {', '.join(VARIANTS)}",
    )
    parser.add_argument(
        "--times",
        type=int,
        help=f"how often to repeat each case ({_TIMES}), but for at most {_SECONDS:.0f} s",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"folder of the results ({RESULTS})")
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing, show the results in a bench.json"
    )
    parser.add_argument(
        "--write", action="store_true", help="write the figures into README.md and docs/benchmark.md"
    )
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare with an earlier bench.json")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="RATIO",
        help=f"with --compare: exit 1 when a case takes more than this many times as long ({TOLERANCE})",
    )
    found = parser.parse_args(argv)
    if found.times is not None and found.times < 1:
        raise ConfigError.of(f"a case cannot run {found.times} times", where="--times", allowed="1 or more")
    if found.tolerance < 1:
        raise ConfigError.of(
            f"a tolerance of {found.tolerance:g} would refuse an equal run",
            where="--tolerance",
            allowed="1 or more",
        )
    times = found.times or (1 if found.quick else _TIMES)
    return Options(
        selection=select(found.case, found.variant, quick=found.quick),
        budget=TimeBudget(times=times, seconds=_SECONDS),
        out=found.out,
        render=found.render,
        write=found.write,
        compare=found.compare,
        tolerance=found.tolerance,
    )
