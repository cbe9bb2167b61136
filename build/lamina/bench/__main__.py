"""``python -m lamina.bench [--times N] [--json FILE]``: the table of the README."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from lamina.bench.cases import CASES, VARIANTS, Bench
from lamina.errors import LaminaError
from lamina.files import write_json
from lamina.process import SubprocessRunner
from lamina.report.console import Screen


def main() -> int:
    """Measure, print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="runs of each case; cold runs once (5)")
    parser.add_argument("--json", type=Path, help="write the figures into this file as well")
    options = parser.parse_args()
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="lamina-bench-") as folder:
        bench = Bench(SubprocessRunner(), Path.cwd(), Path(folder), screen.say)
        try:
            rows = [row for variant in VARIANTS for row in bench.run(variant, times=options.times)]
        except LaminaError as error:
            screen.error(error)
            return error.exit_code
        finally:
            bench.close()
    found = {(row.case, row.variant): row.timing for row in rows}
    screen.rows(
        ("case", *(f"{variant} (s)" for variant in VARIANTS), "ratio"),
        (
            (
                case,
                *(f"{found[case, variant].median:.2f}" for variant in VARIANTS),
                f"{found[case, VARIANTS[1]].median / found[case, VARIANTS[0]].median:.2f}",
            )
            for case in CASES
        ),
    )
    if options.json:
        figures = [
            {"case": row.case, "variant": row.variant, "seconds": list(row.timing.seconds)} for row in rows
        ]
        write_json(options.json, {"schema": 1, "rows": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
