from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lamina.errors import ConfigError, Problem
from lamina.execute.outcome import Outcome, Result
from lamina.execute.progress import Trace
from lamina.report.console import Screen

from ..conftest import DIGEST, Repo

DATA = Path(__file__).parents[1] / "execute" / "data"
ACTIONS = {"GITHUB_ACTIONS": "true", "CI": "true"}
TIME = "2026-01-01T00:00:00Z"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def job(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a job whose project is in a folder of the repository that was checked out."""
    monkeypatch.chdir(repo.root)
    return {**ACTIONS, "GITHUB_WORKSPACE": str(repo.root.parent)}


def test_a_problem_of_a_line_is_an_annotation_there(repo: Repo, job: dict[str, str], capsys: Capture) -> None:
    repo.write("a,b:c/Dockerfile")

    Screen(env=job).error(
        ConfigError(
            Problem(what="100% wrong\r", where="dockerfiles/a/Dockerfile:3", hint="mend it"),
            Problem(what="no key", where="--image"),
        )
    )
    repo.image("a", "FROM scratch")
    Screen(env=job).error(
        ConfigError(Problem(what="100% wrong", where="dockerfiles/a/Dockerfile:3", hint="mend it"))
    )

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    assert told == [
        "::error::dockerfiles/a/Dockerfile:3: 100%25 wrong%0D%0A  next: mend it",
        "::error::--image: no key",
        "::error file=repo/dockerfiles/a/Dockerfile,line=3::100%25 wrong%0A  next: mend it",
    ]


def test_characters_that_separate_the_parts_of_a_command_are_escaped(
    repo: Repo, job: dict[str, str], capsys: Capture
) -> None:
    repo.write("a,b 100%/Dockerfile")

    Screen(env=job).notes([Problem(what="odd: a, b", where="a,b 100%/Dockerfile:1")])

    assert capsys.readouterr().out.splitlines()[0] == (
        "::warning file=repo/a%2Cb 100%25/Dockerfile,line=1::odd: a, b"
    )


def test_headlines_are_warnings(job: dict[str, str], capsys: Capture) -> None:
    Screen(env=job).headline("STATIC MODE\nsecond")
    Screen(env=job).headline(None)

    assert capsys.readouterr().out.splitlines() == [
        "::warning::STATIC MODE%0Asecond",
        "STATIC MODE",
        "second",
    ]


def test_the_log_of_each_image_is_a_fold(capsys: Capture) -> None:
    trace = Trace({"base-a": "base-a", "lambda-b": "lambda-b"})
    with Screen(env=ACTIONS).progress(("base-a", "lambda-b")) as view:
        for line in (DATA / "fail.jsonl").read_text().splitlines():
            trace.feed(line)
            view.watch(trace)

    lines = capsys.readouterr().out.splitlines()
    starts = [line for line in lines if line.startswith("::group::")]
    assert sorted(starts) == ["::group::base-a", "::group::lambda-b"]
    assert lines.count("::endgroup::") == 2
    assert "[2/3] RUN echo about-to-fail && exit 3 FAILED" in lines
    assert "    about-to-fail" in lines


def test_output_of_a_build_is_not_a_command(capsys: Capture) -> None:
    log = base64.b64encode(b"::add-mask::x\n").decode()
    vertex = {"digest": "d", "name": "[1/1] RUN x", "started": TIME, "completed": TIME, "error": "exit 1"}
    trace = Trace({"app": "app"})
    with Screen(env=ACTIONS).progress(("app",)) as view:
        trace.feed(json.dumps({"vertexes": [{**vertex, "completed": None, "error": ""}]}))
        trace.feed(json.dumps({"logs": [{"vertex": "d", "data": log}]}))
        trace.feed(json.dumps({"vertexes": [vertex]}))
        view.watch(trace)
    Screen(env=ACTIONS).error(ConfigError.of("failed\n  ::add-mask::x"))

    captured = capsys.readouterr()
    for text, inside in (
        (captured.out, ["[1/1] RUN x FAILED", "    ::add-mask::x"]),
        (captured.err, ["error: failed", "  ::add-mask::x"]),
    ):
        lines = text.splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith("::stop-commands::"))
        stop = lines[start].removeprefix("::stop-commands::")
        assert len(stop) == 32
        assert lines[start + 1 : lines.index(f"::{stop}::")] == inside


def test_the_summary_of_the_job_has_the_closing_table(
    receipts: Repo, job: dict[str, str], tmp_path: Path, capsys: Capture
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n\n")
    images = receipts.images()
    names = sorted(images)
    screen = Screen(env={**job, "GITHUB_STEP_SUMMARY": str(summary)})
    screen.headline("STAND-IN RUNTIME")
    results = {
        names[0]: Result(
            image=images[names[0]],
            status="built",
            reasons=("a|b.py modified", "two", "three", "four"),
            digest=DIGEST,
            seconds=1.26,
        ),
        names[1]: Result(image=images[names[1]], status="failed", reasons=("broken",)),
    }

    screen.outcome(Outcome(results=results), seconds=2)

    assert summary.read_text().splitlines() == [
        "before",
        "",
        "> STAND-IN RUNTIME",
        "",
        "| image | action | why | seconds | digest |",
        "| --- | --- | --- | ---: | --- |",
        f"| {names[0]} | built | a\\|b.py modified<br>two<br>three<br>and 1 more | 1.3 | `{DIGEST[:19]}` |",
        f"| {names[1]} | failed | broken |  |  |",
        "",
    ]


def test_with_json_standard_output_has_nothing_of_it(job: dict[str, str], capsys: Capture) -> None:
    screen = Screen(as_json=True, env=job)
    screen.headline("STATIC MODE")
    screen.error(ConfigError.of("bad"))
    screen.finish("plan", ok=False, images=[])

    captured = capsys.readouterr()
    assert json.loads(captured.out)["ok"] is False
    assert "::warning::STATIC MODE" in captured.err
    assert "::error::bad" in captured.err


@pytest.mark.parametrize("value", ["", "false", "0"])
def test_elsewhere_nothing_is_reported(value: str, capsys: Capture) -> None:
    Screen(env={"GITHUB_ACTIONS": value}).headline("STATIC MODE")

    assert capsys.readouterr().out == "STATIC MODE\n"
