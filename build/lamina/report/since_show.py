"""Show the report of a period on the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.document import saved_document
from lamina.report.since import ECR_PRICE, RESULTS, results_of
from lamina.report.summary import moment, shown_saved

if TYPE_CHECKING:
    from lamina.report.console import Screen
    from lamina.report.since import Figures, PeriodReport

_DIGITS = 4
_LEAST_MONTHS = 0.01
"""GB-months that are worth a word: a tenth of a cent."""
_HEADINGS = ("image", "results", "steps cached", "saved", "exports", "imported steps")


def show_period(screen: Screen, report: PeriodReport) -> None:
    """Print the report of a period."""
    for line in period_lines(report):
        screen.say(line)
    if report.images:
        screen.say("")
        screen.rows(_HEADINGS, (_row(name, each) for name, each in report.images.items()), wide="results")


def period_lines(report: PeriodReport) -> Iterator[str]:
    """Yield the report in sentences, each with how its figure is made."""
    total = report.total
    ended = sum(run.complete for run in report.runs)
    lost = f", {len(report.runs) - ended} of them did not end" if ended < len(report.runs) else ""
    yield f"{figures.counted(len(report.runs), 'run')} since {moment(report.since)}{lost}"
    if report.first is not None and report.first > report.since:
        yield f"the oldest kept run is of {moment(report.first)}: earlier runs are not known here"
    if not report.runs:
        return
    if total.results:
        results = ", ".join(f"{count} {name}" for name, count in results_of(total))
        share = f"; {figures.share(total.spared, total.judged)} needed no builder" if total.judged else ""
        yield f"images: {results}{share}"
    if total.asked:
        share = figures.share(total.cached, total.asked)
        yield f"steps: {total.cached} of {total.asked} from a cache ({share})"
    yield _saved_line(report)
    yield from _cache_lines(report)


def _saved_line(report: PeriodReport) -> str:
    total = report.total
    if total.saved is None:
        return "saved: unknown, for no image had a build from nothing to compare with"
    known = f" and {figures.size(total.saved.bytes)}" if total.saved.bytes is not None else ""
    results = figures.counted(sum(total.results.values()), "result")
    return (
        f"saved: {figures.seconds(total.saved.seconds)}{known}, against a cold build of each image in each "
        f"run; {total.compared} of {results} could be compared"
    )


def _cache_lines(report: PeriodReport) -> Iterator[str]:
    total = report.total
    if not (total.exports or total.imported or total.unsure or total.byte_seconds):
        yield "remote cache: not used"
        return
    paid = f"{figures.counted(total.exports, 'export')} in {figures.seconds(total.export_seconds)}"
    sized = total.exports > total.unsized
    stored = f", {figures.size(total.export_bytes)} beside the images' own layers" if sized else ""
    unsized = f" ({figures.counted(total.unsized, 'export')} of unknown size)" if total.unsized else ""
    if total.declined:
        unsized += f"; {figures.counted(total.declined, 'export')} left out since they did not pay"
    yield f"remote cache, cost: {paid}{stored}{unsized}{_storage(report)}"
    untimed = f", without {total.untimed} that no kept run has timed" if total.untimed else ""
    yield (
        f"remote cache, saved: {figures.counted(total.imported, 'step')} imported by empty builders, "
        f"{figures.seconds(total.imported_seconds)} when they last ran{untimed}"
    )
    if total.unsure:
        builds = figures.counted(total.unsure, "build")
        yield (
            f"remote cache, not counted: cache hits of {builds}, for the builder had built before or did not "
            "say; they may be its own"
        )


def _storage(report: PeriodReport) -> str:
    months = report.total.gb_months
    if months < _LEAST_MONTHS:
        return ""
    text = f", {_small(months)} GB-months"
    if report.dollars is not None:
        text += f", ${_small(report.dollars)} at ${ECR_PRICE:.2f} (ECR, private, us-east-1)"
    return text


def _small(value: float) -> str:
    """Format a number without an exponent: two digits after the point, or four if it is small."""
    return f"{value:.2f}" if value >= 1 else f"{value:.{_DIGITS}f}"


def _row(name: str, each: Figures) -> tuple[str, ...]:
    imported = f"{each.imported}, {figures.seconds(each.imported_seconds)}" if each.imported else ""
    return (
        name,
        ", ".join(f"{count} {result}" for result, count in results_of(each)),
        f"{each.cached}/{each.asked}" if each.asked else "",
        shown_saved(each.saved),
        f"{each.exports}, {figures.seconds(each.export_seconds)}" if each.exports else "",
        imported,
    )


def period_document(report: PeriodReport) -> JsonDocument:
    """Return the keys of ``report --since --json`` beside those of all commands."""
    return {
        "since": _iso(report.since),
        "until": _iso(report.until),
        "history_from": None if report.first is None else _iso(report.first),
        "runs": len(report.runs),
        "unfinished": sum(not run.complete for run in report.runs),
        "total": _figures_document(report.total),
        "storage": {
            "gb_months": round(report.total.gb_months, 9),
            "dollars": None if report.dollars is None else round(report.dollars, 9),
            "dollars_per_gb_month": ECR_PRICE if report.on_ecr else None,
        },
    }


def period_images(report: PeriodReport) -> list[JsonDocument]:
    """Return the figures of each image, as in ``total``."""
    return [{"name": name, **_figures_document(each)} for name, each in report.images.items()]


def _figures_document(each: Figures) -> JsonDocument:
    return {
        "results": {name: each.results.get(name, 0) for name in RESULTS},
        "hit_rate": round(each.spared / each.judged, 4) if each.judged else None,
        "steps": {"cached": each.cached, "total": each.asked},
        "saved": saved_document(each.saved),
        "compared": each.compared,
        "exports": {
            "count": each.exports,
            "seconds": round(each.export_seconds, 3),
            "bytes": each.export_bytes,
            "unsized": each.unsized,
            "declined": each.declined,
        },
        "imports": {
            "steps": each.imported,
            "seconds": round(each.imported_seconds, 3),
            "untimed": each.untimed,
            "unsure_builds": each.unsure,
        },
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
