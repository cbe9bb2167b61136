"""Run folders for tests, as a build leaves them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lamina.report.history import Run, StepRecord, read_run, read_steps

RECORDED = Path(__file__).parents[1] / "execute" / "data"
EDIT = Path(__file__).parent / "data" / "edit.jsonl"
COLD, EDITED = "20261125T100000-aaaaaa", "20261125T110000-bbbbbb"
A, B = "base-a", "lambda-b"


def image(name: str, **more: Any) -> dict[str, Any]:
    """An image of run.json."""
    return {
        "name": name, "kind": "lambda", "status": "built", "reasons": ["why"], "planned": ["why"],
        "tag": "sha-0", "ref": None, "digest": None, "platform": "linux/amd64", "size": 0, "seconds": 0.0,
        "cached": 0, "total": 0, "parents": [], "saved": None, **more,
    }  # fmt: skip


def put(state: Path, run: str, events: Path, targets: dict[str, dict[str, Any]], **told: Any) -> Path:
    """A run whose bake was called once. told: of run.json, which is not written when nothing is told."""
    folder = state / "runs" / run
    folder.mkdir(parents=True)
    (folder / "bake-1.json").write_text(json.dumps({"target": targets}))
    shutil.copy(events, folder / "events-1.jsonl")
    if told:
        document = {
            "schema": 1, "run": run, "command": "build-all", "started": "2026-11-23T16:51:18+00:00",
            "seconds": 4.0, "ok": True, "interrupted": False, "static": False, "push": False,
            "platform": "linux/amd64", "registry": "local", "builder": "", "images": [], "saved": None,
            "problems": [], **told,
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(document))
    return folder


def put_pair(state: Path, events: str, run: str = COLD, **told: Any) -> Path:
    """A base and what stands on it, as they were recorded: ``ok``, all from the cache, or ``fail``."""
    targets = {A: {}, B: {"contexts": {"base-a": "target:base-a"}}}
    images = [image(A, kind="base"), image(B, parents=[A])]
    return put(state, run, RECORDED / f"{events}.jsonl", targets, **{"images": images, **told})


def put_edit(state: Path) -> Path:
    """An edited handler of an image that installs: the only image of four that was built."""
    skipped = [image(name, status="skipped") for name in ("base-receipt-dynamo", "base-receipt-label")]
    edited = image(
        "lambda-embedding", planned=["handler.py modified", "x"], parents=["base-receipt-label"], cached=3
    )
    return put(
        state,
        EDITED,
        EDIT,
        {"lambda-embedding": {}},
        images=[*skipped, edited],
        started="2026-11-25T23:49:03+00:00",
    )


def read(state: Path, run: str) -> tuple[Run, tuple[StepRecord, ...]]:
    found = read_run(state, run)
    return found, read_steps(state, found)
