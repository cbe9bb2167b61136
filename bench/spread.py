"""``python -m bench.spread PROJECT``: what more builders would bring for more images of a project's kind.

The seconds are those of the project's last run in which every image was built. Its functions are repeated
until there are enough images; its bases stay. A run on some builders is simulated with the rules of
`lamina.decide.schedule`, beside the time that no spreading can beat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from lamina.decide.schedule import AT_ONCE, Job, lower_bound, simulate
from lamina.errors import ConfigError, LaminaError
from lamina.report import figures
from lamina.report.console import Screen
from lamina.report.history import Run, read_run, run_ids

IMAGES = (20, 100, 300)
BUILDERS = (1, 2, 4, 8)
BATCH = 25
"""Images in one call of bake, as in `lamina.declare.settings`."""


def main(words: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.spread", description=__doc__)
    parser.add_argument("project", type=Path, help="a folder with .lamina/runs")
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, help="images that a builder builds as fast as one"
    )
    given = parser.parse_args(words)
    screen = Screen()
    try:
        run = _whole_run(given.project / ".lamina")
    except LaminaError as error:
        screen.error(error)
        return error.exit_code
    screen.say(f"seconds of run {run.id}; {given.at_once} images at once on a builder; in brackets the bound")
    screen.rows(
        ("images", *(f"{builders} builder{'s' * (builders > 1)}" for builders in BUILDERS)),
        (tuple(_cells(_jobs(run, images), given.at_once)) for images in IMAGES),
    )
    return 0


def _whole_run(state: Path) -> Run:
    runs = (read_run(state, each) for each in run_ids(state))
    found = next((run for run in runs if run.images and run.count("built") == len(run.images)), None)
    if found is None:
        raise ConfigError.of("no run is kept in which every image was built", where=str(state / "runs"))
    return found


def _jobs(run: Run, images: int) -> tuple[Job, ...]:
    """Return jobs of so many images: the run's bases once, its functions as often as it takes."""
    bases = [image for image in run.images if image.kind == "base"]
    functions = cycle([image for image in run.images if image.kind != "base"])
    chosen = [*((image, image.name) for image in bases)]
    chosen += [(next(functions), f"function-{number}") for number in range(images - len(bases))]
    return tuple(
        Job(name=name, seconds=image.seconds, parents=frozenset(image.parents)) for image, name in chosen
    )


def _cells(jobs: Sequence[Job], at_once: int) -> Iterator[str]:
    yield str(len(jobs))
    for builders in BUILDERS:
        seconds = simulate(jobs, builders, at_once=at_once, most=BATCH)
        bound = lower_bound(jobs, builders, at_once=at_once)
        yield f"{figures.seconds(seconds)} ({figures.seconds(bound)})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
