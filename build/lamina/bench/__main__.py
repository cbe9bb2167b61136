"""``python -m lamina.bench [--times N] [--rounds N] [--json FILE]``: the best times, beside raw bake."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from lamina.bench.cases import CASES, VARIANTS, Bench
from lamina.bench.meter import Timing
from lamina.errors import LaminaError
from lamina.files import write_json
from lamina.process import SubprocessRunner
from lamina.report.console import Screen


def main() -> int:
    """Measure, print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="runs of each warm case in a round (5)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds, each from empty engines (2)")
    parser.add_argument("--json", type=Path, help="write the figures into this file as well")
    options = parser.parse_args()
    screen = Screen()
    found: dict[tuple[str, str], Timing] = {}
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder:
        bench = Bench(SubprocessRunner(), Path.cwd(), Path(folder), screen.say)
        try:
            for _ in range(options.rounds):
                for variant in VARIANTS:
                    for case, timing in bench.run(variant, times=options.times).items():
                        before = found.get((case, variant), Timing(seconds=()))
                        found[case, variant] = before + timing
        except LaminaError as error:
            screen.error(error)
            return error.exit_code
        finally:
            bench.close()
    screen.rows(
        ("case", *(f"{variant} (s)" for variant in VARIANTS), "bake / lamina"),
        (
            (
                case,
                *(f"{found[case, variant].best:.2f}" for variant in VARIANTS),
                f"{found[case, 'bake'].best / found[case, 'lamina'].best:.2f}",
            )
            for case in CASES
        ),
    )
    if options.json:
        figures = [
            {"case": case, "variant": variant, "seconds": list(timing.seconds)}
            for (case, variant), timing in found.items()
        ]
        write_json(options.json, {"schema": 1, "rows": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
