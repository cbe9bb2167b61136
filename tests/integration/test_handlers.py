"""The Lambda images do what they are for: they answer events, under the conditions that Lambda gives them."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import TestEngine
from doubles.runtime_api import Answer, RuntimeApi
from projects import ROOT, Done, Repo

pytestmark = pytest.mark.engine

# As on Lambda: nobody's user, nothing to write to but /tmp, and an instance of a known size.
LIMITS = ("--read-only", "--tmpfs", "/tmp:size=64m", "--user", "993:990", "--cap-drop", "ALL")
SETTINGS = {
    "AWS_LAMBDA_FUNCTION_NAME": "test",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_REGION": "eu-west-1",
    "HOME": "/tmp",
}

Ask = Callable[[Any], Answer]


def event(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "receipts" / folder / "event.json").read_text())
    return found


@contextmanager
def function(engine: TestEngine, ref: str) -> Iterator[Ask]:
    """A running instance of a Lambda image; yields what sends it an event."""
    with RuntimeApi() as api:
        settings = {**SETTINGS, "AWS_LAMBDA_RUNTIME_API": api.address}
        env = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
        container = engine.call("run", "--detach", "--network", "host", *LIMITS, *env, ref).strip()

        def ask(what: Any) -> Answer:
            try:
                return api.ask(what)
            except queue.Empty:
                pytest.fail(f"no answer:\n{engine.call('logs', container)}")

        try:
            yield ask
        finally:
            engine.call("rm", "--force", container)


def image(first_build: tuple[Repo, Done], name: str) -> str:
    return str(first_build[1].images("ref")[name]).partition("@")[0]


def test_the_word_label_image_answers(first_build: tuple[Repo, Done], engine: TestEngine) -> None:
    with function(engine, image(first_build, "lambda-word-label")) as ask:
        answer = ask(event("word_label_step_functions"))
        assert not answer.error, answer.body
        assert answer.body == {
            "receipt_id": "receipt-1",
            "table": None,
            "words": 4,
            "labelled": 3,
            "by_label": {"MERCHANT_NAME": ["GREEN", "MARKET"], "TOTAL": ["$8.11"]},
            "unlabelled": ["TOTAL"],
        }
        wrong = ask({"receipt_id": "receipt-1", "words": []})
        assert wrong.error
        assert wrong.body["errorType"] == "ValueError"
        assert "at least one word" in wrong.body["errorMessage"]
        assert ask(event("word_label_step_functions")).body == answer.body


def test_the_embedding_image_answers(first_build: tuple[Repo, Done], engine: TestEngine) -> None:
    with function(engine, image(first_build, "lambda-embedding")) as ask:
        answer = ask(event("embedding_step_functions"))
        assert not answer.error, answer.body
        assert answer.body["action"] == "embed_and_query"
        assert [line["line_id"] for line in answer.body["embedded"]] == [1, 2, 3, 4, 5, 6, 7]
        nearest = answer.body["results"][0]
        assert (nearest["line_id"], nearest["text"]) == (4, "ORGANIC BANANAS 2.49")
        assert len(answer.body["results"]) == 2
        # The same instance keeps what it has embedded.
        again = ask({"action": "query", "text": "oat milk", "n_results": 1})
        assert [each["text"] for each in again.body["results"]] == ["OAT MILK 4.99"]


def test_files_written_under_a_narrow_umask_can_be_read(sample: Repo, engine: TestEngine) -> None:
    for file in Path(sample.root / "receipts").rglob("*"):
        file.chmod(file.stat().st_mode & ~0o077)
    sample.append("receipts/word_label_step_functions/handler.py", "# for a build of its own\n")
    done = sample.ok("build-all", "--json")
    assert done.built == ["lambda-word-label"]
    with function(engine, done.images("ref")["lambda-word-label"].partition("@")[0]) as ask:
        assert ask(event("word_label_step_functions")).body["labelled"] == 3
