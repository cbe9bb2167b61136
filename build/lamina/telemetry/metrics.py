"""The metrics of a build, as Prometheus and as CloudWatch read them. Pure.

Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format.
CloudWatch: the embedded metric format of its logs,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Literal, get_args

from lamina.execute.outcome import Outcome, Result, Status
from lamina.telemetry.command_run import CommandRun
from lamina.values import dataclass

_NAMESPACE = "Lamina"
_STATUSES: tuple[Status, ...] = get_args(Status)
_IMAGE = "image"
_MOST_VALUES = 100
"""The values of one metric that a line for CloudWatch may have."""
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A value of a metric, with its own labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of a run and its values. name: as Prometheus has it, without its prefix."""

    name: str
    help: str
    unit: Literal["Count", "Seconds", "Bytes", "None"]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildMetrics:
    """The metrics of a finished build. labels: those of all values. finished: seconds since the epoch."""

    labels: Mapping[str, str]
    finished: float
    metrics: tuple[Metric, ...]


def measure(run: CommandRun, *, project: str, stack: str, pushed: bool) -> BuildMetrics:
    """Return the metrics of a command that builds. Without a build (it failed before), all are 0."""
    outcomes = [outcome for _, outcome in run.runs]
    results = {name: each for outcome in outcomes for name, each in outcome.results.items()}
    return BuildMetrics(
        labels={"project": project, "stack": stack},
        finished=run.finished,
        metrics=(
            _one("run_exit_code", "Exit code of the command.", "None", run.code),
            _one("run_failed", "Whether the command failed (1) or not (0).", "Count", bool(run.error_type)),
            _one("run_seconds", "Duration of the command.", "Seconds", round(run.seconds, 3)),
            *_image_metrics(results, pushed=pushed),
            *_savings(outcomes),
        ),
    )


def _image_metrics(results: Mapping[str, Result], *, pushed: bool) -> Iterable[Metric]:
    built = {name: each for name, each in results.items() if each.status == "built"}
    cached = sum(each.cached for each in built.values())
    layers = {digest: size for each in built.values() for digest, size in each.layers.items()}
    yield Metric(
        name="images",
        help="Images of the run by what became of them.",
        unit="Count",
        samples=tuple(
            Sample(value=sum(each.status == status for each in results.values()), labels={"status": status})
            for status in _STATUSES
        ),
    )
    yield Metric(
        name="image_seconds",
        help="Seconds in which steps of an image ran.",
        unit="Seconds",
        samples=tuple(
            Sample(value=round(each.seconds, 3), labels={_IMAGE: name}) for name, each in built.items()
        ),
    )
    yield Metric(
        name="steps",
        help="Instructions of the images that were built, by whether they were cache hits.",
        unit="Count",
        samples=(
            Sample(value=cached, labels={"result": "cached"}),
            Sample(value=sum(each.total for each in built.values()) - cached, labels={"result": "ran"}),
        ),
    )
    yield _one(
        "fetched_bytes",
        "Bytes that BuildKit fetched: contexts and base layers.",
        "Bytes",
        sum(each.moved for each in built.values()),
    )
    yield _one(
        "pushed_bytes",
        "Bytes of the layers made for pushed images; a registry that has some is sent less.",
        "Bytes",
        sum(layers.values()) if pushed else 0,
    )


def _savings(outcomes: Iterable[Outcome]) -> Iterable[Metric]:
    saved = [each.saved_in_all for each in outcomes if each.saved_in_all is not None]
    against = "against the last cold build of the same images."
    yield _one("saved_seconds", f"Seconds saved {against}", "Seconds", sum(each.seconds for each in saved))
    yield _one("saved_bytes", f"Bytes saved {against}", "Bytes", sum(each.bytes or 0 for each in saved))


def _one(name: str, help: str, unit: Literal["Count", "Seconds", "Bytes", "None"], value: float) -> Metric:  # noqa: A002
    return Metric(name=name, help=help, unit=unit, samples=(Sample(value=float(value)),))


def prometheus(found: BuildMetrics) -> str:
    """Return the metrics in Prometheus' text format: gauges of the last run."""
    time = _one(
        "run_timestamp_seconds", "When the command ended, in seconds since 1970.", "Seconds", found.finished
    )
    lines: list[str] = []
    for metric in (*found.metrics, time):
        name = f"lamina_{metric.name}"
        lines += (f"# HELP {name} {metric.help}", f"# TYPE {name} gauge")
        for sample in metric.samples:
            labels = {**found.labels, **sample.labels}
            inside = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items())
            lines.append(f"{name}{{{inside}}} {float(sample.value)!r}")
    return "\n".join(lines) + "\n"


def embedded(found: BuildMetrics) -> tuple[str, ...]:
    """Return the metrics as lines of JSON in CloudWatch's embedded metric format.

    One line, unless more than `_MOST_VALUES` images were built. Each kind of a metric has a name of its own;
    the values of images are values of one metric, for each further dimension is a metric that is paid for.
    """
    names: dict[str, str] = {}
    values: dict[str, list[float]] = {}
    for metric in found.metrics:
        for sample in metric.samples:
            kinds = [value for key, value in sample.labels.items() if key != _IMAGE]
            name = "".join(word.capitalize() for word in (*metric.name.split("_"), *kinds))
            names[name] = metric.unit
            values.setdefault(name, []).append(sample.value)
    lines = []
    while values:
        lines.append(
            _embedded_line(found, names, {name: each[:_MOST_VALUES] for name, each in values.items()})
        )
        values = {name: rest for name, each in values.items() if (rest := each[_MOST_VALUES:])}
    return tuple(lines)


def _embedded_line(found: BuildMetrics, units: Mapping[str, str], values: Mapping[str, list[float]]) -> str:
    directive = {
        "Namespace": _NAMESPACE,
        "Dimensions": [list(found.labels)],
        "Metrics": [{"Name": name, "Unit": units[name]} for name in values],
    }
    document: dict[str, object] = {
        "_aws": {"Timestamp": int(found.finished * 1000), "CloudWatchMetrics": [directive]},
        **found.labels,
        **{name: each[0] if len(each) == 1 else each for name, each in values.items()},
    }
    return json.dumps(document)
