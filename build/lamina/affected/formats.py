"""Affected images for programs and comments: a job matrix, GitHub's outputs, folders, Markdown. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from lamina.affected.image import AffectedImage, waves
from lamina.affected.since import Affected
from lamina.errors import ConfigError, unknown_format
from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen, shown_reasons, styled
from lamina.report.github import markdown_cell
from lamina.report.table import TextTable

_TABLE = "table"


def check_format(form: str, *, json: bool) -> None:
    """Raise ConfigError if there is no such format, or if JSON wants standard output as well."""
    known = (_TABLE, *FORMATS)
    if form not in known:
        raise ConfigError(unknown_format(form, known))
    if json and form != _TABLE:
        raise ConfigError.of(f"--json and --format {form} both want standard output", where="--json")


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


def render(form: str, images: Sequence[AffectedImage]) -> str:
    """Return the images in one of `FORMATS`."""
    return FORMATS[form](images)


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


def as_matrix(images: Sequence[AffectedImage]) -> str:
    """Return the matrix of a GitHub job, on one line: an entry for each image to build, bases first."""
    return json.dumps(_matrix(images)) + "\n"


def as_github(images: Sequence[AffectedImage]) -> str:
    """Return lines for ``$GITHUB_OUTPUT``: any, images, functions, folders and matrix, each as JSON."""
    built = [each for each in images if each.how != "removed"]
    lines: dict[str, object] = {
        "any": bool(built),
        "images": [each.name for each in built],
        "functions": _unique(name for each in built for name in each.functions),
        "folders": _unique(folder for each in built for folder in each.folders),
        "matrix": _matrix(images),
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


def as_gitlab(images: Sequence[AffectedImage]) -> str:
    """Return a child pipeline of GitLab in JSON, which is YAML: a job for each image, after its bases.

    Jobs extend ``.lamina``, which the trigger includes beside it. A pipeline without a job is an error there.
    https://docs.gitlab.com/ci/pipelines/downstream_pipelines/#dynamic-child-pipelines
    """
    built = {each.name: each for each in images if each.how != "removed"}
    jobs: dict[str, JsonDocument] = {
        _job(name): {
            "extends": ".lamina",
            "needs": [_job(parent) for parent in each.parents if parent in built],
            "script": [f"lamina build {name} --push"],
        }
        for name, each in built.items()
    }
    return json.dumps(jobs or {"no image changes": {"script": ["true"]}}, indent=2) + "\n"


def _job(image: str) -> str:
    return f"build {image}"


FORMATS: Mapping[str, Callable[[Sequence[AffectedImage]], str]] = {
    "matrix": as_matrix,
    "github": as_github,
    "gitlab": as_gitlab,
    "paths": as_paths,
    "markdown": as_markdown,
}
"""A value of ``--format`` -> the images in that format."""


def _matrix(images: Sequence[AffectedImage]) -> JsonDocument:
    wave = waves(images)
    built = sorted((each for each in images if each.how != "removed"), key=lambda each: wave[each.name])
    return {
        "include": [
            {"image": each.name, "kind": each.kind, "platform": each.platform, "wave": wave[each.name]}
            for each in built
        ]
    }


def _unique(values: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(values)]
