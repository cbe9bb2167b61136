from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from lamina.execute.masked_events import MaskedEvents
from lamina.execute.progress import Trace
from lamina.masks import Mask

SECRET = "s3cr3t-of-the-build"
STEP = {"digest": "sha256:1", "name": "[1/1] RUN show", "started": "2026-01-01T00:00:00Z"}
END = {**STEP, "completed": "2026-01-01T00:00:01Z"}


def log(text: str, vertex: str = "sha256:1", stream: int = 1) -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {"logs": [{"vertex": vertex, "stream": stream, "data": data, "timestamp": "2026-01-01T00:00:00Z"}]}


def masked(events: Iterable[dict[str, Any] | str]) -> list[str]:
    made = MaskedEvents(Mask([SECRET]))
    lines = [each if isinstance(each, str) else json.dumps(each) for each in events]
    return [*(told for line in lines for told in made.feed(line)), *made.close()]


def printed(lines: Iterable[str]) -> list[str]:
    trace = Trace({"app": "app"})
    for line in lines:
        trace.feed(line)
    return trace.steps[0].log


def test_an_event_without_secrets_stays_as_it_is() -> None:
    line = '{"vertexes": [{"digest":"sha256:1",  "name": "x"}]}'
    assert masked([line]) == [line]


def test_names_errors_and_lines_of_buildx_are_reported_without_secrets() -> None:
    error = {**END, "error": f"process {SECRET} failed"}
    lines = masked([{"vertexes": [error]}, f"ERROR: {SECRET}", {"warnings": [{"detail": [SECRET]}]}])
    assert SECRET not in "\n".join(lines)
    assert json.loads(lines[0])["vertexes"][0]["error"] == "process *** failed"
    assert lines[1] == "ERROR: ***"


def test_a_secret_in_two_pieces_of_a_log_is_not_reported() -> None:
    first, second = log(f"it is {SECRET[:7]}"), log(f"{SECRET[7:]}\nnext")
    lines = masked([{"vertexes": [STEP]}, first, second, {"vertexes": [END]}])
    assert printed(lines) == ["it is ***", "next"]
    assert SECRET[:7] not in "".join(lines)
    told = [base64.b64decode(each["data"]) for line in lines for each in json.loads(line).get("logs", ())]
    assert b"".join(told) == b"it is ***\nnext"


def test_streams_and_steps_are_kept_apart() -> None:
    pieces = [log(SECRET[:7]), log(SECRET[7:], stream=2), log(SECRET[7:], vertex="sha256:2")]
    lines = masked([{"vertexes": [STEP]}, *pieces, {"vertexes": [END]}])
    assert printed(lines) == [SECRET[:7], SECRET[7:]]


def test_the_end_of_a_log_is_reported_with_the_end_of_its_step() -> None:
    lines = masked([{"vertexes": [STEP]}, log("no line end"), {"vertexes": [END]}])
    assert len(lines) == 2
    assert json.loads(lines[1])["vertexes"][0]["completed"]
    assert printed(lines) == ["no line end"]


def test_a_log_that_comes_after_the_end_of_its_step_is_reported() -> None:
    assert printed(masked([{"vertexes": [END]}, log("late")])) == ["late"]


def test_keys_that_join_events_are_never_changed() -> None:
    made = MaskedEvents(Mask(["sha256:1"]))
    (line,) = made.feed(json.dumps({"vertexes": [END]}))
    assert json.loads(line)["vertexes"][0]["digest"] == "sha256:1"
