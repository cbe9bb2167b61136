"""The JSON schemas in docs/schemas describe what commands print and write, key by key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from lamina.aws.changes import AwsCall, now
from lamina.errors import ConfigError
from lamina.flow.session import Session
from lamina.report.calls import KeptCall
from lamina.report.console import Screen
from lamina.tasks import images
from lamina.tasks.explain import report
from memory import Shop

FOLDER = Path(__file__).parents[2] / "docs/schemas"
Capture = pytest.CaptureFixture[str]


def faults(name: str, document: Any) -> list[str]:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    return [f"{each.json_path}: {each.message}" for each in Draft7Validator(schema).iter_errors(document)]


def printing(shop: Shop) -> Session:
    """A session that prints JSON."""
    return shop.open(push=True, screen=Screen(env={}, as_json=True))


def test_a_plan_and_a_build_print_what_their_schemas_say(shop: Shop, capsys: Capture) -> None:
    def printed() -> Any:
        return json.loads(capsys.readouterr().out)

    for content in ("def handler(event, context): return 1\n", "def handler(event, context): return 2\n"):
        shop.repo.write("embedding/handler.py", content)
        assert images.plan(printing(shop), json=True, check=False, since=None, form="table", shards=None) == 0
        assert faults("plan", printed()) == []
        assert images.build_all(printing(shop)) == 0
        assert faults("build", printed()) == []

    shop.programs.failing = {"lambda-embedding"}
    shop.repo.write("embedding/handler.py", "def handler(event, context): return 3\n")
    assert images.build_all(printing(shop)) == 1
    failed = printed()
    assert faults("build", failed) == []
    assert failed["messages"]

    state = shop.repo.root / ".lamina"
    assert faults("manifest", json.loads((state / "manifest.json").read_text())) == []
    runs = sorted(state.glob("runs/*/run.json"))
    assert len(runs) == 3
    for run in runs:
        assert faults("run", json.loads(run.read_text())) == []

    assert report(printing(shop), run="", last=10, list_=False, since="1d", html="") == 0
    period = printed()
    assert faults("period", period) == []
    assert period["total"]["results"]["failed"] == 1
    for other in ({"run": "2026"}, {"list_": True}):
        with pytest.raises(ConfigError, match="exclude each other"):
            report(printing(shop), **{"run": "", "last": 10, "list_": False, "html": "", **other}, since="1d")


def test_a_line_of_calls_is_as_its_schema_says() -> None:
    call = AwsCall(
        time=now(),
        action="ecr:PutImage",
        resource="app:sha-1",
        detail="",
        account="123456789012",
        region=None,
        request_id=None,
        error=None,
    )

    assert faults("aws", KeptCall(command="deploy", call=call).document()) == []


def test_the_schemas_refuse_what_is_not_in_them() -> None:
    assert faults("plan", {"schema": 1, "command": "plan", "ok": True, "images": [], "messages": [], "x": 1})
    assert faults("manifest", {"schema": 2, "run": "", "images": []})
    assert not faults("manifest", {"schema": 1, "run": "", "images": []})
