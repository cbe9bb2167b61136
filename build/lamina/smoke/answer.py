"""What a function's answer means: whether it is well, what it cost, what Lambda would say. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_NUMBER = r"(\d+(?:\.\d+)?)"
_INIT = re.compile(rf"INIT REPORT\(durationMs: {_NUMBER}\)")
_INVOKE = re.compile(rf"INVOKE RTDONE\([^)]*duration: {_NUMBER}ms\)")
_REPORT = re.compile(rf"^REPORT RequestId: .*?\tDuration: {_NUMBER} ms\tBilled Duration: {_NUMBER} ms", re.M)
_TIMED_OUT = "Task timed out after "
_EMULATORS = re.compile(r"\(rapid\)|^(?:START|END|REPORT) RequestId: |\tLAMBDA_WARNING: ")
"""Lines of the log that the emulator and the runtime client write themselves."""
NO_ANSWER = "NoAnswer"
TIMED_OUT = "Sandbox.Timedout"
OUT_OF_MEMORY = "Runtime.OutOfMemory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of one event.

    status: of HTTP, None when nobody answered; fault: why, then. body: as it came. log: all that the
    container wrote. peak: KiB of the function's processes, where they lived to tell. killed: for memory.
    """

    status: int | None = None
    body: str = ""
    fault: str | None = None
    log: str = ""
    peak: int | None = None
    killed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What Lambda would tell the caller. type: ``ValueError``, ``Runtime.ExitError``. trace: lines."""

    type: str
    message: str
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A function's answer. payload: what it returned, None for a failure. log: the function's own lines.

    init_ms, duration_ms, billed_ms: as the emulator measured them, None where it did not come so far.
    memory_mb: the most that the function's processes held, None when they were gone.
    """

    payload: Any = None
    failure: Failure | None = None
    init_ms: float | None = None
    duration_ms: float | None = None
    billed_ms: float | None = None
    memory_mb: int | None = None
    log: tuple[str, ...] = ()


def judge(heard: Heard, *, memory: int) -> Invocation:
    """Read an answer. memory: the limit in MB."""
    payload, failure = _read(heard)
    if failure and heard.killed:
        failure = Failure(type=OUT_OF_MEMORY, message=f"more than {memory} MB: {failure.message}")
    init, report = _INIT.search(heard.log), _REPORT.search(heard.log)
    ran = _INVOKE.search(heard.log) or report
    return Invocation(
        payload=payload,
        failure=failure,
        init_ms=float(init.group(1)) if init else None,
        duration_ms=float(ran.group(1)) if ran else None,
        billed_ms=float(report.group(2)) if report else None,
        memory_mb=-(-heard.peak // 1024) if heard.peak else None,
        log=tuple(_own_lines(heard.log)),
    )


def _read(heard: Heard) -> tuple[Any, Failure | None]:
    if heard.status is None:
        return None, Failure(type=NO_ANSWER, message=heard.fault or "the emulator ended without an answer")
    if heard.body.startswith(_TIMED_OUT):  # no JSON: a function's own text would be in quotes
        return None, Failure(type=TIMED_OUT, message=heard.body.strip())
    try:
        payload = json.loads(heard.body)
    except ValueError:
        payload = heard.body
    if isinstance(payload, dict) and {"errorType", "errorMessage"} <= payload.keys():
        trace = "\n".join(str(each).rstrip("\n") for each in payload.get("stackTrace") or ())
        return None, Failure(
            type=str(payload["errorType"]),
            message=str(payload["errorMessage"]),
            trace=tuple(trace.splitlines()),
        )
    if heard.status >= 300:
        words = heard.body.strip() or "the runtime ended before it was ready"
        return None, Failure(type=NO_ANSWER, message=f"{words} (HTTP {heard.status})")
    return payload, None


def _own_lines(log: str) -> Iterator[str]:
    """The runtime client parts the lines of a traceback by carriage returns."""
    for written in log.split("\n"):
        if not _EMULATORS.search(written):
            yield from (line for line in written.splitlines() if line.strip())
