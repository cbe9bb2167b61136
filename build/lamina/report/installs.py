"""What steps installed, kept from run to run: BuildKit does not say it of a cached step again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.files import read_json, write_json
from lamina.identify.image import Image
from lamina.report.record import alone

if TYPE_CHECKING:
    from lamina.execute.run import Outcome

_INPUTS = ("instructions", "args", "bases", "requirements")
_KEPT = 20

_Record = dict[str, dict[str, dict[str, str]]]
"""Step -> what it ran on -> name -> version; the latest last. Steps by digest: their text may hold values."""


def with_resolved(state: Path, outcome: Outcome) -> Outcome:
    """Keep what the steps of a run installed, and fill in `Result.resolved`, from earlier runs where cached.

    What a step installed belongs to its text, the image's instructions, arguments, bases and requirements.
    """
    if not outcome.results:
        return outcome
    results = dict(outcome.results)
    with alone(state):
        for name, result in results.items():
            file = _file(state, result.image)
            before, inputs = _read(file), _inputs(result.image)
            after = _updated(before, outcome.installs.get(name, {}), inputs)
            if after != before:
                write_json(file, after)
            if result.digest:
                versions = [known[inputs] for known in after.values() if inputs in known]
                results[name] = replace(
                    result, resolved={key: each[key] for each in versions for key in each}
                )
    return replace(outcome, results=results)


def _updated(before: _Record, steps: Mapping[str, Mapping[str, str] | None], inputs: str) -> _Record:
    """The record after a run of these steps."""
    record = {step: dict(known) for step, known in before.items()}
    for text, told in steps.items():
        known = record.pop(_digest(text), {})  # the latest last
        record[_digest(text)] = known
        if told is not None:
            known.pop(inputs, None)
            known[inputs] = dict(told)
        elif known:  # cached: it ran on the same before, or on something else that does not concern it
            known.setdefault(inputs, next(reversed(known.values())))
    kept = [(step, dict([*known.items()][-_KEPT:])) for step, known in record.items() if any(known.values())]
    return dict(kept[-_KEPT:])


def _read(file: Path) -> _Record:
    """The record; an empty one when there is none or it is damaged: state is only a cache."""
    document = read_json(file)
    if not isinstance(document, dict):
        return {}
    return {
        step: {inputs: versions for inputs, versions in known.items() if isinstance(versions, dict)}
        for step, known in document.items()
        if isinstance(known, dict)
    }


def _inputs(image: Image) -> str:
    bill = image.bill.document()
    return _digest(json.dumps([bill[key] for key in _INPUTS], sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _file(state: Path, image: Image) -> Path:
    platform = image.node.spec.platform.replace("/", "-")
    return state / "installs" / f"{image.name}@{platform}.json"
