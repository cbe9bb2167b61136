"""Progress as BuildKit tells it. data/ holds what buildx 0.29 wrote for two targets, statuses left out:

base-a (FROM runtime AS deps, RUN; FROM deps, COPY --link) and lambda-b (FROM base-a, COPY --link, RUN).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lamina.execute.progress import Trace
from lamina.execute.spans import join_spans

DATA = Path(__file__).with_name("data")
RUNTIME = (
    "runtime.invalid/python:3.13@sha256:6c4d39613e09bd094bbd22691e9f02d45c915975d1896a778fec5d99244cdfdb"
)
TARGETS = {"base-a": "base.a", "lambda-b": "lambda-b"}


def follow(name: str, targets: dict[str, str]) -> Trace:
    trace = Trace(targets)
    for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines():
        trace.feed(line)
    return trace


def instructions(trace: Trace, image: str) -> dict[str, str]:
    return {
        step.name: "failed" if step.error else "cached" if step.cached else "ran"
        for step in trace.of(image)
        if step.is_instruction and step.finished is not None
    }


def test_shared_steps_belong_to_the_base() -> None:
    trace = follow("fail", TARGETS)

    assert instructions(trace, "base.a") == {
        f"[deps 1/2] FROM {RUNTIME}": "cached",
        "[deps 2/2] RUN echo hello-from-deps": "ran",
        "[stage-1 1/1] COPY --link f /f": "ran",
    }
    assert instructions(trace, "lambda-b") == {
        "[1/3] COPY --link f /g": "ran",
        "[2/3] RUN echo about-to-fail && exit 3": "failed",
    }


def test_a_failed_step_has_its_error_and_its_log() -> None:
    trace = follow("fail", TARGETS)

    (failed,) = [step for step in trace.steps if step.error]

    assert failed.image == "lambda-b"
    assert "did not complete successfully: exit code: 3" in str(failed.error)
    assert failed.log == ["about-to-fail"]


def test_lines_that_are_no_events_are_kept_as_messages() -> None:
    trace = follow("fail", TARGETS)

    assert trace.messages[0] == "Dockerfile:3"
    assert trace.messages[-1].startswith("ERROR: target lambda-b: failed to solve: ")


def test_progress_counts_instructions_only() -> None:
    trace = follow("fail", TARGETS)

    base = trace.progress("base.a", now=0.0)
    failed = trace.progress("lambda-b", now=0.0)

    assert (base.done, base.cached, base.total, base.failed, base.current) == (3, 1, 3, False, "")
    assert (failed.done, failed.cached, failed.total, failed.failed) == (2, 0, 2, True)
    assert base.seconds == pytest.approx(0.32, abs=0.01)  # without the pauses between its steps


def test_steps_have_seconds_and_cached_ones_none() -> None:
    trace = follow("fail", TARGETS)
    seconds = {
        step.name.partition("] ")[2][:8]: step.seconds for step in trace.of("base.a") if step.is_instruction
    }

    assert seconds["RUN echo"] == pytest.approx(0.261, abs=0.001)
    assert seconds["FROM run"] == 0.0


def test_a_single_target_may_go_unnamed() -> None:
    trace = follow("one", {"base-a": "base.a"})

    assert len(instructions(trace, "base.a")) == 3
    assert trace.progress("base.a", now=0.0).total == 3


def test_all_is_cached_the_second_time() -> None:
    trace = follow("ok", TARGETS)

    assert set(instructions(trace, "base.a").values()) == {"cached"}
    assert trace.messages == []


def vertex(**values: object) -> str:
    return json.dumps({"vertexes": [{"digest": "sha256:1", "name": "[base-a 1/2] RUN x", **values}]})


def test_a_running_step_is_current_and_the_clock_runs() -> None:
    trace = Trace(TARGETS)
    trace.feed(vertex())
    assert trace.progress("base.a", now=100.0).seconds == 0.0

    (step,) = trace.feed(vertex(started="1970-01-01T00:01:30.123456789Z"))

    assert step.started == pytest.approx(90.123456)
    now = trace.progress("base.a", now=100.0)
    assert (now.current, now.done, now.total) == ("[1/2] RUN x", 0, 1)
    assert now.seconds == pytest.approx(9.876544)

    trace.feed(vertex(started="1970-01-01T00:01:30Z", completed="1970-01-01T00:01:32Z"))
    assert trace.progress("base.a", now=100.0).seconds == pytest.approx(2.0)


def test_a_step_moves_to_the_base_when_that_is_heard_of_later() -> None:
    trace = Trace(TARGETS)
    trace.feed(vertex(name="[lambda-b 2/5] RUN x"))
    assert trace.progress("lambda-b", now=0.0).total == 1

    trace.feed(vertex(name="[base-a 1/2] RUN x"))

    assert trace.of("lambda-b") == ()
    assert [step.name for step in trace.of("base.a")] == ["[1/2] RUN x"]
    trace.feed(vertex(name="[lambda-b 2/5] RUN x"))
    assert trace.of("lambda-b") == ()


def test_a_long_log_keeps_its_end() -> None:
    trace = Trace(TARGETS)
    trace.feed(vertex(started="1970-01-01T00:00:01Z"))
    for _ in range(100):
        trace.feed(json.dumps({"logs": [{"vertex": "sha256:1", "data": "bGluZQo="}]}))
    trace.feed(
        json.dumps({"logs": [{"vertex": "sha256:1", "data": "bGFzdP8K"}, {"vertex": "sha256:2", "data": ""}]})
    )

    (step,) = trace.steps

    assert len(step.log) == 40
    assert step.log[-1] == "last\ufffd"


@pytest.mark.parametrize("line", ["", "   ", "null", "{}", '{"vertexes": null}', '{"statuses": []}'])
def test_lines_without_news_change_nothing(line: str) -> None:
    trace = Trace(TARGETS)

    assert trace.feed(line) == ()
    assert trace.steps == ()


def told(trace: Trace, digest: str, name: str, *lines: str, **values: object) -> None:
    """A step that ran and wrote these lines, unless the values say that it did not."""
    ran = {"started": "1970-01-01T00:01:30Z", "completed": "1970-01-01T00:01:32Z"}
    trace.feed(json.dumps({"vertexes": [{"digest": digest, "name": name, **(values or ran)}]}))
    for line in lines:
        data = base64.b64encode(f"{line}\n".encode()).decode()
        trace.feed(json.dumps({"logs": [{"vertex": digest, "stream": 1, "data": data}]}))


def test_installs_belong_to_the_images_whose_own_steps_they_are() -> None:
    trace = Trace({"base-a": "base.a", "lambda-b": "lambda-b"})
    told(trace, "1", "[base-a 1/2] RUN pip install a", "Successfully installed a-1")
    told(trace, "1", "[lambda-b 1/2] RUN pip install a")  # the child tells the steps of its base as well
    told(trace, "2", "[lambda-b deps 2/2] RUN pip install b", "Successfully installed b-2 c-3")

    assert trace.installs("base.a", ()) == {"RUN pip install a": {"a": "1"}}
    assert trace.installs("lambda-b", {"base.a"}) == {"RUN pip install b": {"b": "2", "c": "3"}}


def test_more_lines_than_a_log_keeps_are_read() -> None:
    trace = Trace({"app": "app"})
    told(trace, "1", "[1/1] RUN uv pip install", *(f" + p{number}==1" for number in range(100)))

    (versions,) = trace.installs("app", ()).values()

    assert versions == {f"p{number}": "1" for number in range(100)}


def test_of_a_cached_step_nothing_is_known() -> None:
    trace = Trace({"a": "a", "b": "b"})
    told(trace, "1", "[a 1/1] RUN pip install -r r.txt", "Successfully installed a-1")
    told(trace, "2", "[b 1/1] RUN pip install -r r.txt", cached=True)

    assert trace.installs("b", ()) == {"RUN pip install -r r.txt": None}


def test_equal_steps_of_siblings_run_once_and_count_for_both() -> None:
    trace = Trace({"a": "a", "b": "b", "c": "c"})
    told(trace, "1", "[a 1/1] RUN pip install x", "Successfully installed x-1")
    told(trace, "1", "[b 1/1] RUN pip install x")
    told(trace, "2", "[c 1/1] RUN pip install x", inputs=[])

    for image in ("a", "b", "c"):
        assert trace.installs(image, ()) == {"RUN pip install x": {"x": "1"}}

    told(trace, "3", "[a 1/1] RUN pip install x", "Successfully installed x-2")
    assert trace.installs("c", ()) == {"RUN pip install x": None}, "nobody knows which of the two it was"


def test_a_failed_step_installed_nothing_that_counts() -> None:
    trace = Trace({"a": "a"})
    failed = {"started": "1970-01-01T00:01:30Z", "completed": "1970-01-01T00:01:32Z", "error": "exit 1"}
    told(trace, "1", "[1/1] RUN pip install x && false", "Successfully installed x-1", **failed)

    assert trace.installs("a", ()) == {"RUN pip install x && false": None}


def test_a_build_is_cold_when_nothing_of_its_own_came_from_a_cache() -> None:
    trace = Trace({"a": "a"})
    told(trace, "0", "[1/3] FROM runtime", cached=True)
    assert not trace.progress("a", now=0.0).cold, "nothing was made"

    told(trace, "1", "[2/3] RUN x")
    assert trace.progress("a", now=0.0).cold

    told(trace, "2", "[3/3] COPY y", cached=True)
    assert not trace.progress("a", now=0.0).cold


def test_fetched_layers_are_counted_and_existing_ones_are_not() -> None:
    trace = Trace({"a": "a"})
    told(trace, "1", "[internal] load build context")
    moments = {"started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:01Z"}
    for status in (
        {"id": "transferring context:", "current": 7},
        {"id": "transferring context:", "current": 9},
        {"id": "sha256:aa", "current": 100, **moments},
        {"id": "sha256:bb", "current": 1000, **moments, "completed": moments["started"]},
        {"id": "exporting layers", "current": 5},
        {"id": "sha256:cc", "vertex": "unheard of", "current": 5, **moments},
    ):
        trace.feed(json.dumps({"statuses": [{"vertex": "1", **status}]}))

    assert trace.progress("a", now=0.0).moved == 109


def test_spans_that_touch_are_one() -> None:
    assert join_spans([(5.0, 6.0), (1.0, 2.0), (1.5, 3.0), (3.0, 4.0), (7.0, 7.0)]) == (
        (1.0, 4.0),
        (5.0, 6.0),
    )
