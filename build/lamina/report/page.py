"""Render the report of a run, or of many, as one HTML page without external files or network.

The templates are in ``assets``: ``page.html`` and ``runs.html`` are pages, the other files have their parts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from lamina.execute.step_line import step_line
from lamina.report import figures, timeline
from lamina.report.analysis import RunReport
from lamina.report.history import Run
from lamina.report.inits import MeasuredInit
from lamina.report.summary import RUN_HEADINGS, about, moment, reasons_of, run_rows, spent, wall
from lamina.report.trends import SPARK, image_trends

if TYPE_CHECKING:
    from jinja2 import Environment

_WORTH = 0.01
"""Seconds: shorter steps of the critical path are left out."""
_LEAST_MS = 0.5
"""Imports that take less would be shown as 0 ms."""
_STATUSES = ("failed", "built", "retagged", "cancelled", "skipped")
_ASKED = ("cached", "ran", "failed")
"""The states of steps that BuildKit looked up."""


def render(report: RunReport) -> str:
    """Render the page of a run."""
    return _render(
        "page.html",
        report=report,
        run=report.run,
        headline=headline(report.run),
        timeline=timeline.timeline(report),
        chart=timeline.chart(report.runs, report.run),
        trends=image_trends((image.name for image in report.run.images), report.runs, report.inits),
        path=[step for step in report.path if step.seconds >= _WORTH],
        longest=max((step.seconds for step in report.path), default=0.0),
        spent=spent(report.path),
    )


def render_runs(
    reports: Sequence[RunReport], inits: Iterable[MeasuredInit], totals: Sequence[str] = ()
) -> str:
    """Render one page for many runs. reports: the latest first, at least one. totals: see `period_lines`."""
    runs = [report.run for report in reports]
    images = [image for run in runs for image in run.images]
    saved = [run.saved.seconds for run in runs if run.saved]
    names = dict.fromkeys(image.name for image in images)
    return _render(
        "runs.html",
        reports=[(report, timeline.timeline(report)) for report in reports],
        runs=runs,
        headline=figures.counted(len(runs), "run"),
        about=f"{moment(runs[-1].started)} to {moment(runs[0].started)}",
        built=sum(run.count("built") for run in runs),
        skipped=sum(run.count("skipped") for run in runs),
        idle=sum(run.complete and run.count("skipped") == len(run.images) for run in runs),
        cached=sum(image.cached for image in images),
        total=sum(image.total for image in images),
        saved=sum(saved) if saved else None,
        chart=timeline.chart(runs, runs[0]),
        trends=image_trends(names, runs, inits),
        totals=totals,
    )


def _render(name: str, **values: object) -> str:
    assets = resources.files("lamina.report") / "assets"
    style, script = ((assets / each).read_text("utf-8") for each in ("page.css", "page.js"))
    inline = {"style": style, "style_hash": _hash(style), "script": script, "script_hash": _hash(script)}
    return _environment().get_template(name).render(**values, **inline)


def headline(run: Run) -> str:
    """Summarise a run in a few words."""
    if not run.complete:
        return "A build that did not end"
    if run.count("skipped") == len(run.images):
        return f"Nothing to build: {figures.counted(len(run.images), 'image')} up to date"
    counts = [(status, run.count(status)) for status in _STATUSES if run.count(status)]
    first, number = counts[0]
    rest = "".join(f", {number} {status}" for status, number in counts[1:])
    return f"{figures.counted(number, 'image')} {first}{rest}"


def _environment() -> Environment:
    """Return the environment of the templates. They escape every value that is not marked as safe."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lamina.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "about": about,
        "counted": figures.counted,
        "describe": timeline.describe_step,
        "headline": headline,
        "line": step_line,
        "percent": lambda value: f"{value:.3f}%",
        "pixels": lambda value: f"{value:.3f}".rstrip("0").rstrip("."),
        "reasons": reasons_of,
        "rows": run_rows,
        "seconds": figures.seconds,
        "share": figures.share,
        "size": figures.size,
        "wall": wall,
    }
    environment.globals |= {
        "ASKED": _ASKED,
        "BAR": timeline.BAR,
        "CHART": timeline.CHART,
        "GLYPHS": timeline.GLYPHS,
        "LABELS": timeline.LABELS,
        "LEAST_MS": _LEAST_MS,
        "NONE": figures.NONE,
        "ROOMY": timeline.ROOMY,
        "RUN_HEADINGS": RUN_HEADINGS,
        "SPARK": SPARK,
        "THIN": timeline.THIN,
        "WORDS": timeline.WORDS,
    }
    return environment


def _hash(text: str) -> str:
    """Return the content security policy source of an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
