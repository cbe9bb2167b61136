"""Interpret a function's response: its result, its cost, and the failure that Lambda would report. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lamina.json_data import Json
from lamina.preflight.check import matching

_NUMBER = r"(\d+(?:\.\d+)?)"
_INIT = re.compile(rf"INIT REPORT\(durationMs: {_NUMBER}\)")
_INVOKE = re.compile(rf"INVOKE RTDONE\([^)]*duration: {_NUMBER}ms\)")
_REPORT = re.compile(rf"^REPORT RequestId: .*?\tDuration: {_NUMBER} ms\tBilled Duration: {_NUMBER} ms", re.M)
_TIMED_OUT = "Task timed out after "
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")
_EMULATORS = re.compile(r"\(rapid\)|^(?:START|END|REPORT) RequestId: |\tLAMBDA_WARNING: ")
"""Log lines written by the emulator and the runtime client, not by the function."""
_ENDED = re.compile(r'\(rapid\) Init failed (?:InvokeID=\S* )?error="?(.*?)"?(?: InvokeID=\S*)?$', re.M)
_LAST_LINES = 40
"""Lines of a log in which a cause is looked for."""
NO_ANSWER = "NoAnswer"
TIMED_OUT = "Sandbox.Timedout"
OUT_OF_MEMORY = "Runtime.OutOfMemory"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawResponse:
    """The raw result of one event.

    Attributes:
        status: HTTP status, None without a response.
        fault: the reason, then.
        body: as received.
        log: the container's output.
        peak: KiB of the function's processes at most, None if they had ended.
        killed: whether the kernel killed the function for its memory.
    """

    status: int | None = None
    body: str = ""
    fault: str | None = None
    log: str = ""
    peak: int | None = None
    killed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The failure that Lambda would report.

    Attributes:
        type: such as ``Runtime.ExitError``.
        trace: lines.
        advice: the rule whose effect the last lines show, with the next step; None if no rule is about them.
    """

    type: str
    message: str
    trace: tuple[str, ...] = ()
    advice: str | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A function's response.

    Attributes:
        payload: its return value, None for a failure.
        log: the function's own lines.
        init_ms, duration_ms, billed_ms: measured by the emulator, None for a phase that was not reached.
        memory_mb: the peak memory of the function's processes, None if they had ended.
    """

    payload: Json = None
    failure: Failure | None = None
    init_ms: float | None = None
    duration_ms: float | None = None
    billed_ms: float | None = None
    memory_mb: int | None = None
    log: tuple[str, ...] = ()


def judge(raw: RawResponse, *, memory: int) -> Invocation:
    """Interpret a raw result. memory: the limit in MB."""
    payload, failure = _read(raw)
    if failure and raw.killed:
        failure = Failure(type=OUT_OF_MEMORY, message=f"more than {memory} MB: {failure.message}")
    if failure:
        failure = replace(failure, advice=_advice(raw.log, failure))
    init, report = _INIT.search(raw.log), _REPORT.search(raw.log)
    ran = _INVOKE.search(raw.log) or report
    return Invocation(
        payload=payload,
        failure=failure,
        init_ms=float(init.group(1)) if init else None,
        duration_ms=float(ran.group(1)) if ran else None,
        billed_ms=float(report.group(2)) if report else None,
        memory_mb=-(-raw.peak // 1024) if raw.peak else None,
        log=tuple(_own_lines(raw.log)),
    )


def _advice(log: str, failure: Failure) -> str | None:
    """Return the preflight rule that explains a failure, by the emulator's and the function's last lines."""
    rule = matching([*log.splitlines()[-_LAST_LINES:], *failure.trace, str(failure)])
    missing = _NO_MODULE.search(failure.message)
    if rule and missing and rule.id == "LAM631":
        top = missing[1].partition(".")[0]
        return (
            f"the function finds no module {top}: add the distribution that provides {top} to what the image "
            f"installs, or COPY the module; if it is installed into a folder such as .venv, see "
            f"invoke rule {rule.id}"
        )
    return rule.next_step if rule and rule.advice else None


def _read(raw: RawResponse) -> tuple[Json, Failure | None]:
    if raw.status is None:
        return None, Failure(type=NO_ANSWER, message=raw.fault or "the emulator ended without an answer")
    if raw.body.startswith(_TIMED_OUT):  # not JSON: a function's own text would be in quotes
        return None, Failure(type=TIMED_OUT, message=raw.body.strip())
    try:
        payload = json.loads(raw.body)
    except ValueError:
        payload = raw.body
    if isinstance(payload, dict) and {"errorType", "errorMessage"} <= payload.keys():
        trace = "\n".join(str(each).rstrip("\n") for each in payload.get("stackTrace") or ())
        return None, Failure(
            type=str(payload["errorType"]),
            message=str(payload["errorMessage"]),
            trace=tuple(trace.splitlines()),
        )
    if raw.status >= 300:
        ended = _ENDED.search(raw.log)
        why = f": {ended[1]}" if ended else ""
        words = raw.body.strip() or f"the runtime ended before it was ready{why}"
        return None, Failure(type=NO_ANSWER, message=f"{words} (HTTP {raw.status})")
    return payload, None


def _own_lines(log: str) -> Iterator[str]:
    """Yield the function's own lines; the runtime client separates a traceback's by carriage returns."""
    for written in log.split("\n"):
        if not _EMULATORS.search(written):
            yield from (line for line in written.splitlines() if line.strip())
