"""The page: everything is text until it is markup, and nothing comes from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lamina.report.analysis import RunReport, analyse
from lamina.report.console import Screen
from lamina.report.inits import keep_inits, measured_inits
from lamina.report.page import headline, render, render_runs
from lamina.report.summary import report_document, show
from lamina.report.trends import image_trends

from .runs import COLD, EDITED, A, B, image, put_edit, put_pair, read

EVIL = "<script>alert('x')</script>\"' onload=\"alert(1)\" &amp; \udc80"


class Outline(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.tags if each == name]


def columns(page: str) -> list[list[str]]:
    """The headings of each table."""
    tables = page.split("<table ")[1:]
    return [re.findall(r"<th scope=\"col\"[^>]*>([^<]*)<", each) for each in tables]


def report(state: Path, run: str) -> RunReport:
    found, steps = read(state, run)
    return analyse(found, steps, {found: steps})


def test_nothing_that_a_user_wrote_becomes_markup(tmp_path: Path) -> None:
    told = [
        image(EVIL, reasons=[EVIL] * 9, planned=[EVIL], tag=EVIL, ref=EVIL, digest=EVIL, status=EVIL),
        image(A, planned=[EVIL]),
        image(B, parents=[A]),
    ]
    folder = put_pair(
        tmp_path, "fail", images=told, command=EVIL, registry=EVIL, push=True, problems=[{"what": EVIL}]
    )
    events = folder / "events-1.jsonl"
    events.write_text(events.read_text().replace("RUN echo about-to-fail", "RUN <script>alert(2)</script>"))

    page = render(report(tmp_path, COLD))

    outline = Outline(page)
    assert len(outline.all("script")) == 1
    assert "<script>alert" not in page
    assert not [
        attributes for _, attributes in outline.tags if {"onload", "onclick", "style"} & attributes.keys()
    ]
    assert "<script>alert('x')</script>" in outline.text
    assert "RUN <script>alert(2)</script>" in outline.text


def test_only_the_pages_own_style_and_script_may_run(tmp_path: Path) -> None:
    put_edit(tmp_path)

    page = render(report(tmp_path, EDITED))

    policy = next(str(each["content"]) for each in Outline(page).all("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'; ")
    for name in ("style", "script"):
        (content,) = re.findall(rf"(?s)<{name}>(.*?)</{name}>", page)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    outline = Outline(page)
    assert not outline.all("link") + outline.all("img") + outline.all("iframe")
    assert not re.findall(r"(?:https?:)?//\w", page.replace("public.ecr.aws//", ""))
    assert all(str(each["href"]).startswith("#") for each in outline.all("a"))


def test_the_output_of_steps_is_not_shown(tmp_path: Path) -> None:
    put_pair(tmp_path, "fail", problems=[{"what": "lambda-b failed", "where": None, "hint": None}])

    page = render(report(tmp_path, COLD))

    assert "lambda-b failed" in page
    assert "RUN echo hello-from-deps" in Outline(page).text
    assert not re.search("(?<!echo )hello-from-deps", Outline(page).text)


def test_bars_can_be_reached_and_say_what_they_are(tmp_path: Path) -> None:
    put_edit(tmp_path)

    bars = [
        each for each in Outline(render(report(tmp_path, EDITED))).all("g") if each.get("tabindex") == "0"
    ]

    assert len(bars) == 4
    assert {str(each["class"]) for each in bars} == {"step ran", "step cached"}
    labels = [str(each["aria-label"]) for each in bars]
    assert any("from the cache" in label for label in labels)
    assert any(label.endswith("(handler.py modified and 1 more)") for label in labels)


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (["built", "skipped", "skipped"], "1 image built, 2 skipped"),
        (["skipped"], "Nothing to build: 1 image up to date"),
        (["cancelled", "failed"], "1 image failed, 1 cancelled"),
        (["built", "built"], "2 images built"),
    ],
)
def test_the_headline_says_what_came_of_it(statuses: list[str], told: str, tmp_path: Path) -> None:
    images = [image(f"i{number}", status=status) for number, status in enumerate(statuses)]
    put_pair(tmp_path, "ok", images=images)

    assert headline(read(tmp_path, COLD)[0]) == told


def test_a_run_that_was_killed_has_a_page(tmp_path: Path) -> None:
    (put_pair(tmp_path, "fail") / "run.json").unlink()

    page = render(report(tmp_path, COLD))

    assert "<h1>A build that did not end</h1>" in page
    assert 'class="timeline"' in page


def test_a_run_of_nothing_has_a_page(tmp_path: Path) -> None:
    folder = put_pair(tmp_path, "ok", images=[image(A, status="skipped")])
    (folder / "bake-1.json").unlink()

    page = render(report(tmp_path, COLD))

    assert "Nothing to build" in page
    assert 'class="timeline"' not in page
    sections = [each["id"] for each in Outline(page).all("section")]
    assert sections == ["images", "history"]
    assert [each["href"] for each in Outline(page).all("a")] == ["#main", "#images", "#history"]
    images, _ = columns(page)
    assert images == ["image", "action", "why", "size", "saved", "digest"]
    (tmp_path / "built").mkdir()
    put_pair(tmp_path / "built", "ok")
    built = columns(render(report(tmp_path / "built", COLD)))
    assert ["image", "action", "why", "seconds", "size", "saved", "digest"] in built


def test_images_have_trends_over_the_runs(tmp_path: Path) -> None:
    def put_run(number: int, *images: dict[str, object]) -> str:
        run = f"2026112{number}T100000-aaaaaa"
        put_pair(tmp_path, "ok", run, images=[*images], started=f"2026-11-2{number}T10:00:00+00:00")
        return run

    digest = "sha256:0"
    ids = [
        put_run(1, image(A, digest=digest, size=100_000_000, seconds=20.0)),
        put_run(2, image(A, digest=digest, size=100_000_000, status="skipped")),
        put_run(3, image(A, digest=digest, size=150_000_000, seconds=5.0), image(B)),
    ]
    init = {"phases": {}, "cpu_ms": 1.0, "memory_mb": 1, "slowest": [{"name": "x", "ms": 1.0}]}
    for init_ms in (400.0, 200.0):
        keep_inits(tmp_path, {(A, "h.h"): {"tag": "sha-1", "init_ms": init_ms, "init": init}})
    found = [read(tmp_path, each) for each in reversed(ids)]
    inits = measured_inits(tmp_path, {A, B})

    (trend,) = image_trends([A, B], [run for run, _ in found], inits)
    page = render_runs([analyse(run, steps, {run: steps}) for run, steps in found], inits)

    assert trend.size
    assert trend.seconds
    assert (trend.size.now, len(trend.size.columns)) == ("150 MB, +50 %", 3)
    assert (trend.seconds.now, len(trend.seconds.columns)) == ("5.0 s, -75 %", 2)
    assert [each.now for each in trend.inits] == ["200 ms, -50 %"]
    assert {round(each.height) for each in trend.size.columns} == {16, 24}
    assert "<h1>3 runs</h1>" in page
    outline = Outline(page)
    assert [each["id"] for each in outline.all("section")] == ["history", "trends", "runs"]
    assert len([each for each in outline.all("details") if each.get("class") == "run"]) == 3
    assert not re.findall(r"(?:https?:)?//\w", page)
    summed = render_runs([analyse(run, steps, {run: steps}) for run, steps in found], inits, ["3 < 4"])
    assert next(each["id"] for each in Outline(summed).all("section")) == "totals"
    assert "3 &lt; 4" in summed
    assert ["image", "size", "seconds of a build", "init"] in columns(page)
    without = render_runs([analyse(run, steps, {run: steps}) for run, steps in found], ())
    assert ["image", "size", "seconds of a build"] in columns(without)


def test_the_init_of_functions_has_a_bar_for_each_slow_package(tmp_path: Path) -> None:
    put_pair(tmp_path, "fail", images=[image(A), image(B, parents=[A])])
    phases = {"imports": {"wall_ms": 812.4, "cpu_ms": 700.0}}
    slowest = [{"name": "chromadb", "ms": 310.2, "modules": 85}, {"name": EVIL, "ms": 1.0, "modules": 1}]
    slowest.append({"name": "too-quick", "ms": 0.4, "modules": 1})
    init = {"phases": phases, "cpu_ms": 770.0, "memory_mb": 96, "slowest": slowest}
    for init_ms in (2534.0, 1034.0):
        keep_inits(tmp_path, {(A, "handler.handler"): {"tag": "sha-1", "init_ms": init_ms, "init": init}})
    keep_inits(tmp_path, {(B, "handler.handler"): {"damaged": True}})
    found, steps = read(tmp_path, COLD)

    inits = measured_inits(tmp_path, {A, B})
    page = render(analyse(found, steps, {found: steps}, inits))

    outline = Outline(page)
    assert [(each.image, each.before) for each in inits] == [(A, 2534.0)]
    assert "1034 ms (-59 % since the run before), imports 812, CPU 770, 96 MB of memory" in outline.text
    assert "310 ms" in outline.text
    assert "too-quick" not in outline.text
    assert "<script>alert('x')" not in page
    assert {"href": "#init"} in outline.all("a")
    assert report_document(analyse(found, steps, {}, inits))["inits"][0]["before_ms"] == 2534.0
    assert measured_inits(tmp_path, {"other"}) == ()
    assert "#init" not in render(report(tmp_path, COLD))
    out = io.StringIO()
    show(Screen(stream=out, env={"COLUMNS": "200"}), analyse(found, steps, {}, inits))
    assert re.search(r"handler\.handler +1034 +2534 +chromadb 310", out.getvalue())


def test_a_short_phase_has_no_label_on_a_narrow_screen(tmp_path: Path) -> None:
    put_edit(tmp_path)

    page = render(report(tmp_path, EDITED))

    labels = re.findall(r'<text x="[^"]*" y="\d+" dx="4"( class="tight")?>(\w+) ', page)
    assert {name: bool(tight) for tight, name in labels} == {"plan": False, "build": True, "confirm": True}
