from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lamina.decide.plan import StoreLookup, make_plan
from lamina.errors import ConfigError, Problem
from lamina.execute.outcome import Outcome, Result, Saved
from lamina.execute.progress import Trace
from lamina.identify.explain import InputChange
from lamina.report.console import Screen, saved_line
from lamina.smoke.answer import Failure, Invocation
from lamina.smoke.container import Smoked
from lamina.smoke.show import show_smoke

from ..conftest import DIGEST, Repo, Shelf

DATA = Path(__file__).parents[1] / "execute" / "data"
D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"
Capture = pytest.CaptureFixture[str]


def test_a_plan_has_a_line_an_image_with_its_reasons(receipts: Repo, shelf: Shelf, capsys: Capture) -> None:
    shelf.put(receipts.images().values())
    receipts.write("embedding/handler.py", "new\n")
    plan = receipts.plan(shelf)

    Screen(env={}).plan(plan)

    out = capsys.readouterr().out
    (line,) = [each for each in out.splitlines() if each.startswith(E)]
    assert line.split() == [E, "build", "embedding/handler.py", "modified", plan.decisions[E].image.tag]
    assert out.splitlines()[-1] == "1 to build, 0 to retag, 3 to skip; looked in the shelf"


def test_the_headline_is_the_first_line(receipts: Repo, capsys: Capture) -> None:
    plan = make_plan(
        receipts.images(),
        [],
        StoreLookup(store="", unknown="--offline"),
        last={},
        headline="STATIC MODE",
        notes=(Problem(what="odd", where="here"),),
    )

    Screen(env={}).plan(plan)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "STATIC MODE"
    assert lines[1] == "note: here: odd"
    assert lines[-1].endswith("; not looked: --offline")


def test_why_no_engine_was_asked_is_said_once_with_the_next_step(receipts: Repo, capsys: Capture) -> None:
    silent = "no Docker engine answers at unix:///var/run/docker.sock: no such file or directory"
    cause = Problem(what=silent, hint="invoke build starts it")
    lookup = StoreLookup(store="", unknown="no engine answers", cause=cause)
    images = receipts.images()

    Screen(env={}).plan(make_plan(images, images, lookup, last={}))

    lines = capsys.readouterr().out.splitlines()
    assert sum(silent in line for line in lines) == 1
    assert sum("unknown whether it exists: no engine answers" in line for line in lines) == 4
    assert lines[-2:] == [
        f"4 to build, 0 to retag, 0 to skip; not looked: {silent}",
        "  next: invoke build starts it",
    ]
    screen = Screen(as_json=True, env={})
    screen.plan(make_plan(images, images, lookup, last={}))
    messages = json.loads(screen.result("plan", ok=True, images=[]))["messages"]
    assert [each["text"] for each in messages] == [f"not looked: {cause}"]


def test_many_reasons_are_counted(receipts: Repo, shelf: Shelf, capsys: Capture) -> None:
    shelf.put(receipts.images().values())
    for number in range(6):
        receipts.write(f"receipt_dynamo/receipt_dynamo/{number}.py")

    Screen(env={}).plan(receipts.plan(shelf))

    out = capsys.readouterr().out
    assert "2.py added" in out
    assert "3.py added" not in out
    assert "and 3 more" in out


def test_changes_have_a_line_each_and_below_it_what_there_is_to_show(capsys: Capture) -> None:
    changes = (
        InputChange(kind="parent", subject="b", text="parent b"),
        InputChange(
            kind="instruction", subject="RUN", text="Dockerfile: RUN changed", diff=("- RUN a", "+ RUN b")
        ),
    )

    Screen(env={}).changes("  app: ", changes)
    Screen(env={}).changes("  app: ", ())

    assert capsys.readouterr().out.splitlines() == [
        "  app: parent b",
        "  app: Dockerfile: RUN changed",
        "      - RUN a",
        "      + RUN b",
        "  app: nothing differs",
    ]


def test_a_character_that_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))

    Screen(env={}).say("né")

    assert raw.getvalue() == b"n\\xe9\n"


def test_text_of_the_user_is_not_markup(capsys: Capture) -> None:
    screen = Screen(env={})

    screen.say("[red]not red[/red]")
    screen.rows(("a", "b"), [("[bold]x", "[/]y")])

    out = capsys.readouterr().out
    assert "[red]not red[/red]" in out
    assert "[bold]x" in out
    assert "[/]y" in out


def test_errors_go_to_standard_error_all_of_them(capsys: Capture) -> None:
    Screen(env={}).error(ConfigError(Problem(what="one", where="a:1", hint="do"), Problem(what="two")))

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: a:1: one\n  next: do\nerror: two\n"


def test_nothing_that_is_written_holds_a_secret(capsys: Capture) -> None:
    screen = Screen(as_json=True, env={"GITHUB_TOKEN": "ghp_0123456789"})
    screen.mask.learn("hunter2hunter2")

    screen.say("hunter2hunter2 and ghp_0123456789")
    screen.error(ConfigError.of("https://bob:secret@h/ hunter2hunter2"))
    screen.finish("x", ok=False, images=[{"name": "hunter2hunter2"}])

    told = "".join(capsys.readouterr())
    assert "hunter2" not in told
    assert "ghp_" not in told
    assert "bob" not in told
    assert told.count("***") == 7


def test_long_lines_are_not_folded_in_a_pipe(capsys: Capture) -> None:
    line = "word " * 100

    Screen(env={}).say(line.strip())

    assert capsys.readouterr().out == line.strip() + "\n"


def test_an_outcome_has_a_table_and_a_count(receipts: Repo, capsys: Capture) -> None:
    images = receipts.images()
    outcome = Outcome(
        results={
            D: Result(image=images[D], status="skipped", reasons=("up to date",), digest=DIGEST),
            W: Result(
                image=images[W],
                status="built",
                reasons=("new",),
                digest=DIGEST,
                seconds=1.26,
                cached=3,
                total=5,
            ),
            L: Result(image=images[L], status="failed", reasons=("broken",)),
        }
    )

    Screen(env={}).outcome(outcome, seconds=2.04)

    lines = capsys.readouterr().out.splitlines()
    (built,) = [each.split() for each in lines if each.startswith(W)]
    assert built == [W, "built", "new", "3/5", "1.3", images[W].tag, DIGEST[:19]]
    assert lines[-1] == "1 built, 1 skipped, 1 failed in 2.0 s"


@pytest.mark.parametrize(
    ("saved", "known", "line"),
    [
        (None, 0, None),
        (Saved(seconds=0.0, bytes=None), 3, None),
        (Saved(seconds=0.004, bytes=0), 3, None),
        (
            Saved(seconds=41.2, bytes=285_000_000),
            3,
            "41 s and 285 MB against the last cold build of these images",
        ),
        (Saved(seconds=0.0, bytes=54_000), 3, "54 kB against the last cold build of these images"),
        (Saved(seconds=0.5, bytes=None), 2, "0.50 s against the last cold build of 2 of these 3 images"),
    ],
)
def test_savings_are_reported_when_they_are_known(saved: Saved | None, known: int, line: str | None) -> None:
    assert saved_line(saved, known, 3) == (f"saved {line}" if line else None)


def test_json_is_one_object_on_standard_output_and_nothing_else(
    receipts: Repo, shelf: Shelf, capsys: Capture
) -> None:
    screen = Screen(as_json=True, env={})
    screen.headline("STATIC MODE")
    screen.notes([Problem(what="odd")])
    screen.plan(receipts.plan(shelf))
    screen.say("hello")
    screen.error(ConfigError.of("bad"))
    screen.finish("plan", ok=False, images=[{"name": "a"}], extra=1)

    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "schema": 1,
        "command": "plan",
        "ok": False,
        "images": [{"name": "a"}],
        "messages": [
            {"level": "warning", "text": "STATIC MODE"},
            {"level": "note", "text": "odd"},
            {"level": "error", "text": "bad"},
        ],
        "extra": 1,
    }
    assert "hello" in captured.err


def test_without_json_nothing_is_printed_at_the_end(capsys: Capture) -> None:
    Screen(env={}).finish("plan", ok=True, images=[])

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("env", "plain"),
    [({}, False), ({"CI": "true"}, False), ({"BUILDKIT_PROGRESS": "plain"}, False), ({}, True)],
)
def test_there_is_no_live_view_without_a_terminal(env: dict[str, str], plain: bool, capsys: Capture) -> None:
    assert not Screen(env=env, plain=plain).live


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "live"),
    [
        ({}, True),
        ({"CI": "false"}, True),
        ({"BUILDKIT_PROGRESS": "auto"}, True),
        ({"CI": "true"}, False),
        ({"BUILDKIT_PROGRESS": "plain"}, False),
        ({"GITHUB_ACTIONS": "true"}, False),
    ],
)
def test_in_a_terminal_the_view_is_live_unless_switched_off(
    env: dict[str, str], live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())

    assert Screen(env={"TERM": "xterm", **env}).live is live


@pytest.mark.parametrize(
    ("env", "terminal", "coloured"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colours_are_for_terminals_and_for_those_who_ask(
    env: dict[str, str], terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    screen = Screen(env={"TERM": "xterm-256color", **env})
    screen.headline("STATIC MODE")

    assert ("\x1b[1;33m" in out.getvalue()) is coloured
    assert "STATIC MODE" in out.getvalue()


def test_forced_colours_make_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    assert not Screen(env={"TERM": "xterm", "FORCE_COLOR": "1"}).live


def test_plain_progress_is_a_line_for_each_step_that_ended(capsys: Capture) -> None:
    trace = Trace({"base-a": "base-a", "lambda-b": "lambda-b"})
    with Screen(env={}).progress(("base-a", "lambda-b")) as view:
        for line in (DATA / "fail.jsonl").read_text().splitlines():
            trace.feed(line)
            view.watch(trace)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(lines)) == 5
    assert "base-a: [deps 2/2] RUN echo hello-from-deps 0.3s" in lines
    assert lines[-1] == "lambda-b: [2/3] RUN echo about-to-fail && exit 3 FAILED"
    assert any(line.startswith("base-a: [deps 1/2] FROM ") and line.endswith(" CACHED") for line in lines)


SMOKED = (
    Smoked(
        image=W,
        function="handler.handler",
        answer=Invocation(
            payload={"all": "x" * 500}, init_ms=219.6, duration_ms=2.4, billed_ms=222, memory_mb=19
        ),
    ),
    Smoked(
        image=E,
        function="handler.handler",
        answer=Invocation(
            failure=Failure(type="KeyError", message="'r-1'", trace=("  in handler",)), log=("looking",)
        ),
    ),
    Smoked(image="arm", function="", skipped="built for linux/arm64"),
)


def test_functions_have_a_line_with_their_figures_and_below_what_they_said(capsys: Capture) -> None:
    show_smoke(Screen(env={}), SMOKED)

    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [W, "handler.handler", "ok", "220", "2", "222", "19"]
    assert lines[2].split() == [E, "handler.handler", "KeyError"]
    assert lines[3].split() == ["arm", "skipped"]
    assert lines[4].startswith(f'{W} handler.handler answered {{"all": "xxx')
    assert lines[4].endswith("x…")
    assert lines[5:] == [
        f"{E} handler.handler failed; its last lines:",
        "    in handler",
        "arm is skipped: built for linux/arm64",
    ]


def test_a_headline_is_printed_once(capsys: Capture) -> None:
    screen = Screen(env={})
    for line in ("STAND-IN", "STAND-IN", None, "STATIC MODE"):
        screen.headline(line)

    assert capsys.readouterr().out.splitlines() == ["STAND-IN", "STATIC MODE"]


def test_a_brief_outcome_leaves_out_what_was_skipped(receipts: Repo, capsys: Capture) -> None:
    images = receipts.images()
    results = {
        D: Result(image=images[D], status="skipped", reasons=("up to date",)),
        W: Result(image=images[W], status="built", reasons=("handler.py modified",)),
    }

    Screen(env={}).outcome(Outcome(results=results), seconds=0.8, brief=True)

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [W]
    assert lines[-1] == "1 built, 1 skipped in 0.8 s"


def test_notes_that_say_the_same_about_many_images_are_printed_once(capsys: Capture) -> None:
    screen = Screen(env={})
    notes = [
        Problem(what=f"app-{n}: {n} requirements are not pinned (a{n})", where=f"{n}/x.toml", hint="pin them")
        for n in range(2, 6)
    ]

    screen.notes([*notes, Problem(what="app-2: something else", hint="do it")])

    assert capsys.readouterr().out.splitlines() == [
        "note: 2/x.toml: app-2: 2 requirements are not pinned (a2)",
        "  next: pin them",
        "  and 3 more such notes: --json has them all",
        "note: app-2: something else",
        "  next: do it",
    ]
    assert json.loads(screen.result("plan", ok=True, images=[]))["messages"][3]["text"].startswith("5/x.toml")
