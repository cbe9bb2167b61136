"""Show how functions responded, as a table and as JSON documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from lamina.errors import BuildError
from lamina.json_data import JsonDocument, JsonTable
from lamina.report.console import Screen, styled
from lamina.report.inits import Runs
from lamina.report.table import TextTable, cell
from lamina.smoke.answer import Failure
from lamina.smoke.container import Smoked
from lamina.smoke.show_init import init_document

_PAYLOAD = 400
_LOG_LINES = 20


def show_smoke(screen: Screen, smoked: Iterable[Smoked]) -> None:
    """Show the results as a table, then each payload, or the traceback or last lines of a failure."""
    tried = tuple(smoked)
    headings = ("image", "function", "result", "init ms", "duration ms", "billed ms", "memory MB")
    table = TextTable(headings, wide="result")
    for each in tried:
        answer = each.answer
        slow = cell("slow init", "bold red") if each.is_slow else styled("ok")
        failed = cell(answer.failure.type, "bold red") if answer.failure else slow
        result = styled("skipped") if each.skipped else failed
        figures = (answer.init_ms, answer.duration_ms, answer.billed_ms, answer.memory_mb)
        table.add_row(each.image, each.function, result, *(_figure(number) for number in figures))
    screen.table(table)
    for each in tried:
        _show_answer(screen, each)


def show_quick(screen: Screen, smoked: Smoked, *, seconds: float) -> None:
    """Show the answer of a running container. seconds: since the save."""
    _show_answer(screen, smoked)
    problem = smoked.problem
    if problem:
        screen.error(BuildError(problem))
    screen.aside(
        f"{seconds:.1f} s after the save, from a running container with the edited files; its image is next"
    )


def show_built(screen: Screen, smoked: Smoked, *, same: bool) -> None:
    """Show that an image does what the running container did. same: whether it answered the same."""
    subject = f"{smoked.image} {smoked.function}: {smoked.tag} is built"
    if smoked.answer.failure:
        screen.aside(f"{subject} and fails with {outcome_of(smoked)} too")
    elif same:
        screen.aside(f"{subject} and answers the same")
    else:
        screen.line(f"{subject} and answers {_payload(smoked)}: another answer than before", "yellow")


def outcome_of(smoked: Smoked) -> str:
    """Return how a function ended: ``ok``, or the type of its error."""
    return smoked.answer.failure.type if smoked.answer.failure else "ok"


def _payload(smoked: Smoked) -> str:
    payload = json.dumps(smoked.answer.payload, ensure_ascii=False)
    return payload if len(payload) <= _PAYLOAD else payload[: _PAYLOAD - 1] + "…"


def _show_answer(screen: Screen, smoked: Smoked) -> None:
    answer = smoked.answer
    if smoked.skipped:
        screen.line(f"{smoked.image} is skipped: {smoked.skipped}", "yellow")
    elif answer.failure is None:
        screen.say(f"{smoked.image} {smoked.function} answered {_payload(smoked)}")
    else:
        log = answer.log[-_LOG_LINES:] if answer.log else ("no output",)
        screen.say(f"{smoked.image} {smoked.function} failed; its last lines:")
        for line in answer.failure.trace or log:
            screen.line(f"  {line}", "dim")


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def smoke_documents(smoked: Iterable[Smoked]) -> list[JsonDocument]:
    """Return the functions that were tried. ok: null for a skipped one. memory_mb: peak memory.

    init: what the init consists of, where that was measured. size: bytes of the unpacked image.
    """
    return [
        {
            "name": each.image,
            "function": each.function,
            "ok": None if each.skipped else each.problem is None,
            "payload": each.answer.payload,
            "error": _failure(each.answer.failure),
            "init_ms": each.answer.init_ms,
            "duration_ms": each.answer.duration_ms,
            "billed_ms": each.answer.billed_ms,
            "memory_mb": each.answer.memory_mb,
            "log": list(each.answer.log),
            **_measured(each),
            **({"skipped": each.skipped} if each.skipped else {}),
        }
        for each in smoked
    ]


def measured_runs(smoked: Iterable[Smoked], documents: Iterable[JsonTable]) -> Runs:
    """Return the runs to keep. documents: of `smoke_documents`, in the same order."""
    return {
        (each.image, each.function): {"tag": each.tag, **document}
        for each, document in zip(smoked, documents, strict=True)
        if each.init
    }


def opened_by_image(smoked: Iterable[Smoked]) -> Mapping[tuple[str, str], frozenset[str]]:
    """Return image and tag -> the files that the starts of its functions opened, if all of them are known."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    unknown = set[tuple[str, str]]()
    for each in smoked:
        key, opened = (each.image, each.tag), each.init.opened if each.init else ()
        found[key] = found.get(key, frozenset()) | frozenset(opened)
        if not opened:
            unknown.add(key)
    return {key: opened for key, opened in found.items() if key not in unknown}


def _measured(smoked: Smoked) -> JsonDocument:
    init = init_document(smoked)
    return {"size": smoked.size, "layers": smoked.layers, "init": init} if init else {}


def _failure(failure: Failure | None) -> JsonDocument | None:
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "trace": list(failure.trace)}
