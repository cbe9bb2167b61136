"""Keep the versions that steps installed across runs: BuildKit does not repeat the log of a cached step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.files import read_json, write_json
from lamina.identify.image import Image
from lamina.report.record import alone, platform_file
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.execute.outcome import Outcome, Result

_INPUTS = ("instructions", "args", "bases", "requirements")
_KEPT = 20

_Versions = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _InstallRecord:
    """The installs of one image, the latest last.

    Attributes:
        steps: step -> inputs -> installed versions; steps and inputs as digests, as their text may hold
            values.
        images: image digest -> the versions that its steps installed.
    """

    steps: dict[str, dict[str, _Versions]] = field(default_factory=dict)
    images: dict[str, _Versions] = field(default_factory=dict)


def with_resolved(state: Path, outcome: Outcome) -> Outcome:
    """Keep the versions that the steps of a run installed, and fill in `Result.resolved`.

    A cached step gets the versions of an earlier run with the same text, and the same instructions,
    arguments, bases and requirements of the image; else the latest known. An image that was not built in this
    run gets the versions known of its digest: another machine may have built it.
    """
    if not outcome.results:
        return outcome
    results = dict(outcome.results)
    with alone(state):
        for name, result in results.items():
            file = platform_file(state / "installs", result.image)
            before = _read(file)
            after = _updated(before, result, outcome.installs.get(name, {}))
            if after != before:
                write_json(file, {"steps": after.steps, "images": after.images})
            results[name] = replace(result, resolved=after.images.get(result.digest or "", {}))
    return replace(outcome, results=results)


def _updated(
    before: _InstallRecord, result: Result, installed: Mapping[str, Mapping[str, str] | None]
) -> _InstallRecord:
    """Return the record after a run of these steps."""
    steps = {step: dict(known) for step, known in before.steps.items()}
    inputs = _inputs(result.image)
    resolved: _Versions = {}
    for text, versions in installed.items():
        known = steps.pop(_digest(text), {})
        if versions is not None:
            known.pop(inputs, None)
            known[inputs] = dict(versions)
        elif known:  # cached: it ran before on equal inputs, or on others that did not affect it
            known.setdefault(inputs, next(reversed(known.values())))
        if any(known.values()):
            steps[_digest(text)] = dict([*known.items()][-_KEPT:])
            resolved |= known.get(inputs, {})
    if result.appended:  # no step ran, and the kept layers are those of that image
        resolved = before.images.get(result.appended, {})
    images = dict(before.images)
    if result.digest and result.status == "built":
        images.pop(result.digest, None)
        images |= {result.digest: resolved} if resolved else {}
    return _InstallRecord(steps=dict([*steps.items()][-_KEPT:]), images=dict([*images.items()][-_KEPT:]))


def _read(file: Path) -> _InstallRecord:
    """Read the record; empty if the file is missing or damaged: the state folder is only a cache."""
    document: Any = read_json(file)
    try:
        return _InstallRecord(
            steps={
                step: {inputs: dict(versions) for inputs, versions in known.items()}
                for step, known in document["steps"].items()
            },
            images={digest: dict(versions) for digest, versions in document["images"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return _InstallRecord()


def _inputs(image: Image) -> str:
    inputs = image.inputs.document()
    return _digest(json.dumps([inputs[key] for key in _INPUTS], sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
