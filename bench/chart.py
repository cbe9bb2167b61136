"""Draw the figures: bars on a logarithmic scale, without a background, readable in light and dark themes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cases import BY_NAME, WITHOUT_ENGINE
from bench.rows import BenchReport
from bench.variants import VARIANTS
from lamina.errors import ConfigError
from lamina.report.figures import seconds

_INK = "#7d8590"
"""A grey as far from white as from black."""
_COLOURS = {"before": "#c9605a", "seed": "#d29922", "bake": "#6e9bd1", "lamina": "#2ea06a"}
_BAR = 0.2
_INCHES_A_CASE = 0.62


def draw(report: BenchReport, *files: Path) -> None:
    """Write the chart, in the format of each file's suffix. Raises ConfigError without matplotlib."""
    cases = [
        name
        for name, case in BY_NAME.items()
        if case.group not in WITHOUT_ENGINE and any(report.find(name, variant) for variant in VARIANTS)
    ]
    if not cases:
        return
    with _figure(8, 1.2 + _INCHES_A_CASE * len(cases)) as figure:
        axes = figure.add_subplot()
        for variant in VARIANTS:
            bars = [
                (_height(report, cases, name, variant), row)
                for name in cases
                if (row := report.find(name, variant))
            ]
            widths = [row.seconds.median for _, row in bars if row.seconds]
            if not widths:
                continue
            drawn = axes.barh(
                [height for height, _ in bars], widths, _BAR * 0.9, color=_COLOURS[variant], label=variant
            )
            axes.bar_label(drawn, [seconds(width) for width in widths], padding=3, color=_INK, fontsize=7)
        axes.set_xscale("log")
        axes.set_yticks(range(len(cases)), cases)
        axes.set_ylim(len(cases) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} s")
        axes.set_xlabel("median seconds on a logarithmic scale: shorter is better", color=_INK)
        _style(axes, "x")
        _legend(figure, len(VARIANTS))
        _save(figure, files)


def draw_growth(curves: Sequence[tuple[str, Sequence[tuple[float, float, float]]]], *files: Path) -> None:
    """Write the chart of growth: seconds of the first and the second plan, by the number of something.

    Raises ConfigError without matplotlib.
    """
    with _figure(8, 3.4) as figure:
        for number, (name, points) in enumerate(curves, start=1):
            axes = figure.add_subplot(1, len(curves), number)
            counts = [count for count, _, _ in points]
            for label, column, colour in (("first plan", 1, "lamina"), ("second plan", 2, "bake")):
                seconds_of = [point[column] for point in points]
                named = label if number == 1 else None
                axes.plot(counts, seconds_of, marker="o", color=_COLOURS[colour], label=named)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.locator_params(axis="x", nbins=5)  # more numbers of six digits overlap
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} s")
            axes.set_xlabel(name, color=_INK)
            _style(axes, "y")
        _legend(figure, 2)
        _save(figure, files)


@contextmanager
def _figure(width: float, height: float) -> Iterator[Any]:
    """Give an empty figure, in inches."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ConfigError.of(
            "matplotlib, which draws the chart, is not installed",
            hint="nox -s bench, or pip install matplotlib",
        ) from None
    # Random SVG ids and dates would change the file with every drawing of the same figures.
    settings: dict[Any, Any] = {"svg.hashsalt": "lamina", "font.size": 9}
    with matplotlib.rc_context(settings):
        yield Figure(figsize=(width, height), layout="constrained")


def _style(axes: Any, grid: str) -> None:
    axes.tick_params(colors=_INK, which="both")
    axes.grid(axis=grid, which="major", color=_INK, alpha=0.25)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)


def _legend(figure: Any, columns: int) -> None:
    legend = figure.legend(loc="outside upper center", ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_color(_INK)


def _save(figure: Any, files: Iterable[Path]) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, transparent=True, dpi=150, metadata=metadata)


def _height(report: BenchReport, cases: list[str], case: str, variant: str) -> float:
    """Return a bar's position: the bars of a case are side by side around its name."""
    present = [name for name in VARIANTS if report.find(case, name)]
    return cases.index(case) + (present.index(variant) - (len(present) - 1) / 2) * _BAR
