"""Interpret the emulator's responses; the logs are as it writes them."""

from __future__ import annotations

import json

import pytest

from lamina.smoke.answer import NO_ANSWER, OUT_OF_MEMORY, TIMED_OUT, RawResponse, judge

LOG = (
    "25 Nov 2026 23:42:51,933 [INFO] (rapid) exec '/lambda-entrypoint.sh' (cwd=/var/task, handler=app.ok)\n"
    "START RequestId: 26ce35c8 Version: $LATEST\n"
    "25 Nov 2026 23:42:53,449 [INFO] (rapid) INIT START(type: on-demand, phase: init)\n"
    "loading the model\n"
    "25 Nov 2026 23:42:53,932 [INFO] (rapid) INIT REPORT(durationMs: 482.533000)\n"
    "hello\n"
    "25 Nov 2026 23:42:53,935 [INFO] (rapid) INVOKE RTDONE(status: success, produced bytes: 0, "
    "duration: 2.928000ms)\n"
    "END RequestId: 26ce35c8\n"
    "REPORT RequestId: 26ce35c8\tInit Duration: 3.40 ms\tDuration: 486.46 ms\tBilled Duration: 487 ms\t"
    "Memory Size: 256 MB\tMax Memory Used: 256 MB\t\n"
)


def error(**fields: object) -> str:
    return json.dumps({"errorMessage": "no good", "errorType": "ValueError", **fields})


def test_an_answer_has_its_figures_and_the_lines_that_the_function_wrote() -> None:
    answer = judge(RawResponse(status=200, body='{"a": 1}', log=LOG, peak=19_000), memory=256)

    assert (answer.payload, answer.failure) == ({"a": 1}, None)
    assert (answer.init_ms, answer.duration_ms, answer.billed_ms) == (482.533, 2.928, 487)
    assert answer.memory_mb == 19  # the emulator would say 256
    assert answer.log == ("loading the model", "hello")


@pytest.mark.parametrize("status", [200, 502], ids=["raised", "not started"])
def test_an_error_is_a_failure_whatever_the_status(status: int) -> None:
    body = error(stackTrace=['  File "app.py", line 5, in bad\n    raise ValueError("no good")\n'])

    answer = judge(RawResponse(status=status, body=body), memory=256)

    assert answer.payload is None
    assert str(answer.failure) == "ValueError: no good"
    assert answer.failure is not None
    assert answer.failure.trace == ('  File "app.py", line 5, in bad', '    raise ValueError("no good")')


def test_a_traceback_in_the_log_is_parted_into_its_lines() -> None:
    log = '[ERROR] ValueError: no good\rTraceback (most recent call last):\r  File "app.py", line 5\n\n'

    assert judge(RawResponse(status=200, body=error(), log=log), memory=256).log == (
        "[ERROR] ValueError: no good",
        "Traceback (most recent call last):",
        '  File "app.py", line 5',
    )


def test_a_timeout_is_a_failure_and_a_payload_that_says_so_is_not() -> None:
    words = "Task timed out after 2.00 seconds"
    late = judge(RawResponse(status=200, body=words, log=LOG), memory=256)
    text = judge(RawResponse(status=200, body=json.dumps(words), log=LOG), memory=256)

    assert late.failure is not None
    assert (late.failure.type, late.failure.message) == (TIMED_OUT, words)
    assert (text.payload, text.failure) == (words, None)


def test_a_function_that_was_killed_for_memory_says_its_limit() -> None:
    body = error(errorType="Runtime.ExitError", errorMessage="Runtime exited with error: signal: killed")

    answer = judge(RawResponse(status=502, body=body, killed=True), memory=128)

    assert str(answer.failure) == (
        f"{OUT_OF_MEMORY}: more than 128 MB: Runtime exited with error: signal: killed"
    )


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (RawResponse(), "the emulator ended without an answer"),
        (RawResponse(fault="the image has no python3"), "the image has no python3"),
        (RawResponse(status=502), "the runtime ended before it was ready (HTTP 502)"),
        (RawResponse(status=500, body="oh\n"), "oh (HTTP 500)"),
    ],
    ids=["silence", "fault", "empty", "status"],
)
def test_no_answer_says_why(raw: RawResponse, says: str) -> None:
    answer = judge(raw, memory=128)

    assert answer.failure is not None
    assert (answer.failure.type, answer.failure.message) == (NO_ANSWER, says)
    assert (answer.init_ms, answer.duration_ms, answer.billed_ms, answer.memory_mb) == (
        None,
        None,
        None,
        None,
    )


def test_an_answer_that_is_not_json_is_a_text() -> None:
    assert judge(RawResponse(status=200, body="plain"), memory=128).payload == "plain"
