"""Render the report of a run as one HTML page without external files or network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib import resources
from string import Template

from lamina.execute.step_line import step_line
from lamina.report import figures
from lamina.report.analysis import ExplainedStep, RunReport
from lamina.report.history import ImageRun, Run, StepRecord
from lamina.report.markup import Html, join, table, tag
from lamina.report.summary import (
    RUN_HEADINGS,
    about,
    reasons_of,
    run_rows,
    spent,
    wall,
)
from lamina.report.timeline import GLYPHS, WORDS, chart, describe_step, legend, patterns, timeline

_WORTH = 0.01
_COLD = """\
In a cold build of an image, none of its own steps came from a cache. Saved seconds are the time of its \
own steps in its last cold build, less their time in this run; a second in which several images were built \
counts once."""
_BYTES = """\
Saved bytes were fetched or made then and not now. Layers count unpacked in an engine and compressed in a \
registry. The download of a RUN step counts as the layer that it makes."""
_LOGS = "This page does not contain the logs of steps."
_STATUSES = ("failed", "built", "retagged", "cancelled", "skipped")
_SECTIONS = (
    *(("timeline", "Timeline"), ("steps", "Steps"), ("images", "Images"), ("path", "Critical path")),
    *(("slowest", "Slowest steps"), ("history", "History")),
)


def render(report: RunReport) -> str:
    """Render the whole page."""
    assets = resources.files("lamina.report") / "assets"
    page, style, script = (
        (assets / name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    sections = [
        *(_timeline(report), _steps(report), _images(report), _path(report)),
        *(_slowest(report), _history(report)),
    ]
    body = join(
        (
            tag("a", "Skip to the steps", href="#steps", class_="skip"),
            patterns(),
            _header(report),
            tag("main", *sections),
            _footer(),
            tag("p", id="said", role="status", class_="hidden"),
        )
    )
    return Template(page).substitute(
        title=join((f"{headline(report.run)} · Lamina",)),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        body=body,
    )


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


def _header(report: RunReport) -> Html:
    run = report.run
    problems = [tag("p", problem) for problem in run.problems]
    links = (tag("li", tag("a", title, href=f"#{name}")) for name, title in _SECTIONS)
    return tag(
        "header",
        tag("p", "Lamina · cache report", class_="brand"),
        tag("h1", headline(run)),
        tag("p", about(run), class_="about"),
        tag("div", *problems, class_="alert", role="note") if problems else None,
        tag("dl", *_figures(report), class_="figures"),
        tag("nav", tag("ul", *links), aria_label="Sections"),
    )


def _figures(report: RunReport) -> Iterator[Html]:
    run = report.run
    yield _figure("Images built", str(run.count("built")), f"{run.count('skipped')} skipped")
    path = (
        f"{figures.seconds(spent(report.path))} of it on the critical path" if report.path else "nothing ran"
    )
    yield _figure("Wall time", figures.seconds(run.seconds), path)
    steps = (
        f"{report.cached} of {figures.counted(report.asked, 'step')}"
        if report.asked
        else "no step was asked for"
    )
    yield _figure("Steps from the cache", figures.share(report.cached, report.asked), steps)
    saved = run.saved
    size = f"and {figures.size(saved.bytes)}, " if saved and saved.bytes is not None else ""
    note = f"{size}against the last cold build" if saved else "no cold build to compare with"
    yield _figure("Saved", figures.seconds(saved.seconds if saved else None), note)


def _figure(name: str, value: str, note: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", value, class_="value"), tag("dd", note, class_="note"))


def _timeline(report: RunReport) -> Html:
    drawn = timeline(report)
    return _section(
        "timeline",
        "From the start of the command to its end. Point at a bar, or reach it with Tab, to read its step."
        if drawn
        else "BuildKit ran no step.",
        *((legend(), tag("div", drawn, class_="card")) if drawn else ()),
    )


def _steps(report: RunReport) -> Html:
    return _section(
        "steps",
        "Each square is an instruction of the image's Dockerfile. Open an image to read why its steps ran.",
        tag(
            "div", *(_image_steps(image, report.of(image.name)) for image in report.run.images), class_="card"
        ),
    )


def _image_steps(image: ImageRun, steps: tuple[ExplainedStep, ...]) -> Html:
    cells = (
        tag(
            "span",
            tag("span", GLYPHS[explained.step.state], aria_hidden="true"),
            tag("span", f"{explained.step.place} {WORDS[explained.step.state]}, ", class_="hidden"),
            class_=f"cell {explained.step.state}",
            title=describe_step(explained),
        )
        for explained in steps
    )
    asked = [explained for explained in steps if explained.step.state in {"cached", "ran", "failed"}]
    cached = sum(explained.step.state == "cached" for explained in asked)
    note = f"{cached} of {len(asked)} from the cache" if asked else "no step was asked for"
    return tag(
        "details",
        tag(
            "summary",
            tag("span", image.name, class_="name"),
            tag("span", *cells, class_="cells"),
            tag("span", note, class_="note"),
        ),
        tag(
            "p",
            tag("span", image.status, class_=f"status {image.status}"),
            ": ",
            _reasons(image),
            class_="why",
        ),
        tag("div", _step_table(image.name, steps), class_="scroll") if steps else None,
        open=any(explained.step.state in {"ran", "failed"} for explained in steps),
    )


def _step_table(image: str, steps: tuple[ExplainedStep, ...]) -> Html:
    return table(
        ("step", "instruction", "result", "seconds", "why it ran"),
        (
            (
                explained.step.place,
                tag("code", step_line(explained.step.instruction)),
                f"{GLYPHS[explained.step.state]} {WORDS[explained.step.state]}",
                f"{explained.step.seconds:.2f}" if explained.step.state in {"ran", "failed"} else "",
                explained.why,
            )
            for explained in steps
        ),
        label=f"the steps of {image}",
        numbers=("seconds",),
        tight=("step", "result"),
    )


def _images(report: RunReport) -> Html:
    rows = (
        (
            tag("span", image.name, class_="name"),
            tag("span", image.status, class_=f"status {image.status}"),
            tag("ul", *(tag("li", reason) for reason in reasons_of(image.reasons)), class_="reasons"),
            f"{image.seconds:.1f}" if image.status == "built" else "",
            figures.size(image.size or None),
            figures.seconds(image.saved.seconds) if image.saved else figures.NONE,
            _digest(image),
        )
        for image in report.run.images
    )
    headings = ("image", "action", "why", "seconds", "size", "saved", "digest")
    drawn = table(headings, rows, label="images", numbers=("seconds", "size", "saved"))
    return _section(
        "images", "The plan's decisions and the confirmed images.", tag("div", drawn, class_="card")
    )


def _digest(image: ImageRun) -> Html:
    if not image.digest:
        return Html(figures.NONE)
    return tag(
        "span",
        tag("code", image.digest),
        tag(
            "button", "copy", type="button", class_="copy", hidden=True,
            aria_label=f"Copy the digest of {image.name}",
        ),
        class_="digest",
    )  # fmt: skip


def _path(report: RunReport) -> Html:
    longest = max((step.seconds for step in report.path), default=0.0)
    part = f"{figures.seconds(spent(report.path))} of {wall(report.run)}"
    return _section(
        "path",
        f"The chain of steps that determined how long the run took: {part}. The rest is planning and waiting."
        if report.path
        else "Nothing ran.",
        tag(
            "div",
            tag(
                "ol",
                *(_path_row(step, longest) for step in report.path if step.seconds >= _WORTH),
                class_="path",
            ),
            class_="card",
        )
        if report.path
        else None,
    )


def _path_row(step: StepRecord, longest: float) -> Html:
    bar = tag("rect", width=f"{max(1.0, 100 * step.seconds / longest):.2f}%", height=8, rx=2)
    return tag(
        "li",
        tag("span", figures.seconds(step.seconds), class_="number"),
        tag("span", step.image, class_="name"),
        tag("code", step_line(step.name)),
        tag("svg", bar, width="100%", height=8, aria_hidden="true"),
    )


def _slowest(report: RunReport) -> Html:
    rows = (
        (
            tag("span", each.image, class_="name"),
            tag("code", step_line(each.instruction)),
            str(each.times),
            figures.seconds(each.longest),
            figures.seconds(each.total),
        )
        for each in report.slowest
    )
    headings = ("image", "step", "times", "longest", "in all")
    drawn = table(headings, rows, label="the slowest steps", numbers=("times", "longest", "in all"))
    return _section(
        "slowest",
        f"Over the last {figures.counted(len(report.runs), 'run')}."
        if report.slowest
        else "No step ran in the last runs.",
        tag("div", drawn, class_="card") if report.slowest else None,
    )


def _history(report: RunReport) -> Html:
    rows = ((tag("span", row[0], class_="name"), *row[1:]) for row in run_rows(report.runs))
    drawn = table(
        RUN_HEADINGS,
        rows,
        label="runs",
        numbers=("seconds", "built", "skipped", "failed", "cached", "saved"),
    )
    return _section(
        "history",
        f"The last {figures.counted(len(report.runs), 'run')}, in seconds; hatched: nothing had to be built.",
        tag("div", chart(report.runs, report.run), drawn, class_="card"),
    )


def _footer() -> Html:
    return tag("footer", *(tag("p", line) for line in (_COLD, _BYTES, _LOGS)))


def _section(name: str, lead: str, *content: Html | None) -> Html:
    title = dict(_SECTIONS)[name]
    return tag(
        "section",
        tag("h2", title, id=f"{name}-title"),
        tag("p", lead, class_="lead"),
        *content,
        id=name,
        aria_labelledby=f"{name}-title",
        tabindex="-1",
    )


def _reasons(image: ImageRun) -> Html:
    return join((reason for reason in reasons_of(image.planned or image.reasons)), "; ")


def _hash(text: str) -> str:
    """Return the content security policy source of an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
