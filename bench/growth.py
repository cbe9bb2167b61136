"""``python -m bench.growth``: how the cost of a plan grows with the number of images and of files.

Generated monorepos are planned without an engine. Processor time is measured, because it depends less on what
else the machine does; each figure is the least of some runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import chart
from bench.meter import Usage, usage
from bench.monorepo import FILES, IMAGES, make_monorepo
from bench.options import RESULTS
from bench.variants import plan_command
from lamina.errors import Interrupted, LaminaError
from lamina.files import write_json
from lamina.process import Command, Runner, SubprocessRunner
from lamina.report import figures
from lamina.report.console import Screen

BY_IMAGES = (10, 20, 50, 100, 300)
BY_FILES = (5_000, 50_000, 200_000)
TIMES = 3
_ENOUGH = 20.0
"""Processor seconds. A plan is not run again if its runs would take longer than this in all."""
HEADINGS = ("images", "files", "first plan", "second plan", "memory")
_SHORT = 0.1
"""Lines in a file, compared with the monorepo: 200,000 files of its length would be 12 million lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A repository and what plans of it cost. first, again: processor seconds. memory: bytes, at most."""

    images: int
    files: int
    first: float
    again: float
    memory: int

    @property
    def row(self) -> tuple[str, ...]:
        """The cells for `HEADINGS`."""
        times = (figures.seconds(self.first), figures.seconds(self.again))
        return (str(self.images), f"{self.files:,}", *times, figures.size(self.memory))


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Return the slope of the straight line that fits best; 0 for a single point."""
    xs, ys = zip(*points, strict=True)
    return statistics.linear_regression(xs, ys).slope if len(xs) > 1 else 0.0


def slopes(by_images: Sequence[Point], by_files: Sequence[Point]) -> Iterator[str]:
    """Yield a sentence for each line of the chart."""
    for name, of in _LINES:
        if by_images:
            each = slope((point.images, of(point)) for point in by_images) * 1000
            yield f"the {name} plan: {each:.1f} ms for each image"
        if by_files:
            each = slope((point.files / 1000, of(point)) for point in by_files) * 1000
            yield f"the {name} plan: {each:.1f} ms for each 1,000 files"


_LINES: tuple[tuple[str, Callable[[Point], float]], ...] = (
    ("first", lambda point: point.first),
    ("second", lambda point: point.again),
)


def measure_point(runner: Runner, root: Path, *, images: int, files: int, lines: float, times: int) -> Point:
    """Write a monorepo and plan it. Raises BuildError."""
    tree = make_monorepo(root, images=images, files=files / FILES, lines=lines)
    with (root / "pyproject.toml").open("a", encoding="utf-8") as config:
        for name in tree.images:
            config.write(f'\n[tool.lamina.images.{name}]\ndockerfile = "infra/{name}/Dockerfile"\n')
    plan = plan_command(tree)
    first = repeat(runner, plan, times, before=tree.forget)
    again = repeat(runner, plan, times)
    count = sum(len(names) for _, _, names in os.walk(root))
    shutil.rmtree(root)
    return Point(
        images=images,
        files=count,
        first=min(each.cpu for each in first),
        again=min(each.cpu for each in again),
        memory=max(each.memory for each in (*first, *again)),
    )


def repeat(
    runner: Runner, command: Command, times: int, *, before: Callable[[], None] = lambda: None
) -> list[Usage]:
    """Run a command up to some number of times, but not again once that took long enough."""
    found: list[Usage] = []
    while not found or (len(found) < times and sum(each.cpu for each in (*found, found[-1])) <= _ENOUGH):
        before()
        found.append(usage(runner, command))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show and draw. Return the exit code."""
    screen = Screen()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(
        prog="nox -s growth --", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("--images", type=int, nargs="*", default=BY_IMAGES, help="numbers of images")
    parser.add_argument("--files", type=int, nargs="*", default=BY_FILES, help="numbers of files")
    parser.add_argument("--times", type=int, default=TIMES, help=f"runs of each plan ({TIMES})")
    parser.add_argument("--out", type=Path, default=RESULTS, help=f"folder of the results ({RESULTS})")
    options = parser.parse_args(argv)
    runner = SubprocessRunner()
    by_images: list[Point] = []
    by_files: list[Point] = []
    try:
        with tempfile.TemporaryDirectory(prefix="lamina-growth-") as folder:
            root = Path(folder, "monorepo")
            for images in options.images:
                by_images.append(
                    measure_point(runner, root, images=images, files=FILES, lines=1, times=options.times)
                )
                screen.say("  ".join(by_images[-1].row))
            for files in options.files:
                by_files.append(
                    measure_point(runner, root, images=IMAGES, files=files, lines=_SHORT, times=options.times)
                )
                screen.say("  ".join(by_files[-1].row))
    except LaminaError as error:
        screen.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return Interrupted.exit_code
    screen.rows(HEADINGS, (each.row for each in (*by_images, *by_files)))
    for line in slopes(by_images, by_files):
        screen.say(line)
    points = {"by_images": [*map(asdict, by_images)], "by_files": [*map(asdict, by_files)]}
    write_json(options.out / "growth.json", points)
    curves = [("images", [(each.images, each.first, each.again) for each in by_images])]
    curves += [("files", [(each.files, each.first, each.again) for each in by_files])]
    chart.draw_growth(curves, *(options.out / f"growth.{suffix}" for suffix in ("svg", "png")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
