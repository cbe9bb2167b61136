"""Affected images for programs and comments: a job matrix, GitHub's outputs, folders, Markdown. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from lamina.affected.batch import BASES, Batch
from lamina.affected.image import AffectedImage, waves
from lamina.affected.since import Affected
from lamina.errors import ConfigError, unknown_format
from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen, shown_reasons, styled
from lamina.report.github import markdown_cell
from lamina.report.table import TextTable

_TABLE = "table"


def check_format(form: str, *, json: bool, shards: int | None = None) -> None:
    """Raise ConfigError for a format or a number of shards that is not one, or if JSON wants standard output.

    shards: None if the images are not to be divided; not every format can be.
    """
    known = (_TABLE, *FORMATS)
    if form not in known:
        raise ConfigError(unknown_format(form, known))
    if json and form != _TABLE:
        raise ConfigError.of(f"--json and --format {form} both want standard output", where="--json")
    if shards is not None and form not in SHARDED:
        allowed = ", ".join(f"--format {each}" for each in SHARDED)
        raise ConfigError.of(f"--format {form} has no shards", where="--shards", allowed=allowed)
    if shards is not None and shards < 1:
        raise ConfigError.of(f"{shards} is not a number of shards", where="--shards", allowed="1 or more")


def show_affected(screen: Screen, affected: Affected) -> None:
    """Show the images as a table, and how many there are."""
    known = any(each.seconds is not None for each in affected.changed)
    table = TextTable(("image", "change", "why", "functions", *(["took"] if known else [])))
    for each in affected.changed:
        took = [figures.seconds(each.seconds) if each.seconds is not None else ""] if known else []
        functions = "\n".join(each.functions)
        table.add_row(each.name, styled(each.how), shown_reasons(each.reasons), functions, *took)
    if affected.changed:
        screen.table(table)
    count = f"{len(affected.changed)} of {figures.counted(affected.images, 'image')}"
    screen.say(f"{count} changed since {affected.revision}" if affected.revision else count)


def render(form: str, images: Sequence[AffectedImage], batches: Sequence[Batch] | None = None) -> str:
    """Return the images in one of `FORMATS`, or in batches, in one of `SHARDED`."""
    return FORMATS[form](images) if batches is None else SHARDED[form](images, batches)


def affected_documents(images: Sequence[AffectedImage]) -> list[JsonDocument]:
    """Return the images for JSON, bases first.

    wave: images of a wave can be built at the same time, after those of the waves before.
    """
    wave = waves(images)
    return [
        {
            "name": each.name,
            "how": each.how,
            "kind": each.kind,
            "platform": each.platform,
            "reasons": list(each.reasons),
            "functions": list(each.functions),
            "parents": list(each.parents),
            "folders": list(each.folders),
            "predicted_seconds": each.seconds,
            "wave": wave[each.name],
        }
        for each in images
    ]


def as_matrix(images: Sequence[AffectedImage], batches: Sequence[Batch] | None = None) -> str:
    """Return the matrix of a GitHub job, on one line: an entry for each image or batch, bases first."""
    return json.dumps(_matrix(images, batches)) + "\n"


def as_github(images: Sequence[AffectedImage], batches: Sequence[Batch] | None = None) -> str:
    """Return lines for ``$GITHUB_OUTPUT``: any, images, functions, folders and matrix, each as JSON."""
    built = [each for each in images if each.how != "removed"]
    lines: dict[str, object] = {
        "any": bool(built),
        "images": [each.name for each in built],
        "functions": _unique(name for each in built for name in each.functions),
        "folders": _unique(folder for each in built for folder in each.folders),
        "matrix": _matrix(images, batches),
    }
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in lines.items())


def as_paths(images: Sequence[AffectedImage]) -> str:
    """Return the folders that the images are built from, a line each."""
    return "".join(f"{each}\n" for each in _unique(folder for image in images for folder in image.folders))


def as_markdown(images: Sequence[AffectedImage]) -> str:
    """Return a table for a comment or a job's summary."""
    if not images:
        return "No image changes.\n"
    head = f"**{len(images)} {'image changes' if len(images) == 1 else 'images change'}**\n\n"
    known = any(each.seconds is not None for each in images)
    headings = ("image", "", "why", "functions", *(["last builds took"] if known else []))
    rows = [headings, ("---",) * len(headings)]
    for each in images:
        functions = "<br>".join(map(markdown_cell, each.functions))
        why = markdown_cell(shown_reasons(each.reasons))
        took = [figures.seconds(each.seconds) if each.seconds is not None else ""] if known else []
        rows.append((markdown_cell(each.name), each.how, why, functions, *took))
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def as_gitlab(images: Sequence[AffectedImage], batches: Sequence[Batch] | None = None) -> str:
    """Return a child pipeline of GitLab in JSON, which is YAML: jobs for images or batches, bases first.

    Jobs extend ``.lamina``, which the trigger includes beside it. A pipeline without a job is an error there.
    https://docs.gitlab.com/ci/pipelines/downstream_pipelines/#dynamic-child-pipelines
    """
    jobs = _jobs(images) if batches is None else _batch_jobs(batches)
    return json.dumps(jobs or {"no image changes": {"script": ["true"]}}, indent=2) + "\n"


def _jobs(images: Sequence[AffectedImage]) -> JsonDocument:
    built = {each.name: each for each in images if each.how != "removed"}
    return {
        f"build {name}": _gitlab_job((f"build {base}" for base in each.parents if base in built), (name,))
        for name, each in built.items()
    }


def _batch_jobs(batches: Sequence[Batch]) -> JsonDocument:
    names = {each: BASES if each.shard == BASES else f"shard {each.shard}" for each in batches}
    first = [name for each, name in names.items() if each.wave == 0]
    return {name: _gitlab_job(first if each.wave else (), each.images) for each, name in names.items()}


def _gitlab_job(needs: Iterable[str], images: Iterable[str]) -> JsonDocument:
    return {"extends": ".lamina", "needs": [*needs], "script": [f"lamina build {' '.join(images)} --push"]}


FORMATS: Mapping[str, Callable[[Sequence[AffectedImage]], str]] = {
    "matrix": as_matrix,
    "github": as_github,
    "gitlab": as_gitlab,
    "paths": as_paths,
    "markdown": as_markdown,
}
"""A value of ``--format`` -> the images in that format."""
SHARDED: Mapping[str, Callable[[Sequence[AffectedImage], Sequence[Batch]], str]] = {
    "matrix": as_matrix,
    "github": as_github,
    "gitlab": as_gitlab,
}
"""The formats that have jobs -> the images in that format, a job for each batch."""


def _matrix(images: Sequence[AffectedImage], batches: Sequence[Batch] | None) -> JsonDocument:
    if batches is not None:
        return {"include": [_entry(each) for each in batches]}
    wave = waves(images)
    built = sorted((each for each in images if each.how != "removed"), key=lambda each: wave[each.name])
    return {
        "include": [
            {"image": each.name, "kind": each.kind, "platform": each.platform, "wave": wave[each.name]}
            for each in built
        ]
    }


def _entry(batch: Batch) -> JsonDocument:
    return {
        "shard": batch.shard,
        "images": " ".join(batch.images),
        "seconds": round(batch.seconds, 1),
        "wave": batch.wave,
    }


def _unique(values: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(values)]
