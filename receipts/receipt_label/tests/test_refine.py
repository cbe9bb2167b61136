from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from openai import OpenAI

from receipt_label import LabelledReceipt, WordLabel, label_words, words_of_line
from receipt_label.refine import RefinementError, refine

# Line 1 gets an unsure label from the rules, line 2 a sure one, line 3 none.
WORDS = [
    *words_of_line("r-1", 1, "Bananas"),
    *words_of_line("r-1", 2, "TOTAL $13.10"),
    *words_of_line("r-1", 3, "cashier Ann"),
]
LABELLED = label_words("r-1", WORDS)


@dataclass
class Model:
    """Stands for the service: answers every request with `status` and `body`, and keeps what it was asked."""

    status: int = 200
    body: Any = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def says(self, *words: tuple[int, int, str | None]) -> None:
        content = {"words": [{"line_id": a, "word_id": b, "label": label} for a, b, label in words]}
        self.answers(json.dumps(content))

    def answers(self, content: str | None, refusal: str | None = None) -> None:
        message = {"role": "assistant", "content": content, "refusal": refusal}
        self.body = {
            "id": "c-1",
            "object": "chat.completion",
            "created": 0,
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def client(model: Model) -> Iterator[OpenAI]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            model.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            payload = json.dumps(model.body).encode()
            self.send_response(model.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            with closing(OpenAI(api_key="none", base_url=url, max_retries=0, timeout=10)) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def test_unsure_words_get_the_label_of_the_model(client: OpenAI, model: Model) -> None:
    model.says((1, 1, "PRODUCT_NAME"), (3, 1, None), (3, 2, None))

    refined = refine(client, WORDS, LABELLED)

    assert LABELLED.texts("MERCHANT_NAME") == ("Bananas",)
    assert refined.texts("MERCHANT_NAME") == ()
    assert refined.words[0] == WordLabel(
        line_id=1, word_id=1, text="Bananas", label="PRODUCT_NAME", confidence=0.8, source="openai"
    )
    assert refined.words[1:] == LABELLED.words[1:]


def test_the_model_is_asked_for_unsure_words_only_and_for_structured_output(
    client: OpenAI, model: Model
) -> None:
    model.says()

    refine(client, WORDS, LABELLED, model="other-model")

    (request,) = model.asked
    prompt = json.loads(request["messages"][1]["content"])
    assert request["model"] == "other-model"
    assert [word["text"] for word in prompt["words_in_question"]] == ["Bananas", "TOTAL", "cashier", "Ann"]
    assert prompt["lines"][1] == {"line_id": 2, "text": "TOTAL $13.10"}
    assert request["response_format"]["json_schema"]["strict"] is True


def test_the_schema_is_one_that_strict_output_accepts(client: OpenAI, model: Model) -> None:
    model.says()

    refine(client, WORDS, LABELLED)

    schema = model.asked[0]["response_format"]["json_schema"]["schema"]
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])


def test_a_sure_word_keeps_its_label_whatever_the_model_says(client: OpenAI, model: Model) -> None:
    model.says((2, 2, "TAX"), (9, 9, "TAX"))

    assert refine(client, WORDS, LABELLED) == LABELLED


def test_nothing_is_asked_when_all_is_sure(client: OpenAI, model: Model) -> None:
    words = words_of_line("r-1", 1, "2025-03-14")

    assert refine(client, words, label_words("r-1", words)).texts("DATE") == ("2025-03-14",)
    assert model.asked == []


def test_new_labels_are_in_reading_order(client: OpenAI, model: Model) -> None:
    model.says((3, 1, "PAYMENT_METHOD"), (1, 1, "PRODUCT_NAME"))

    refined = refine(client, WORDS, LabelledReceipt(receipt_id="r-1"))

    assert [word.line_id for word in refined.words] == [1, 3]


@pytest.mark.parametrize(
    ("content", "refusal", "message"),
    [
        ("no JSON", None, "an answer of another shape"),
        ('{"words": [{"line_id": 1}]}', None, "an answer of another shape"),
        ("", None, "gave no answer: it is empty"),
        (None, "I cannot do that", "gave no answer: I cannot do that"),
        ('{"words": [{"line_id": 1, "word_id": 1, "label": "FRUIT"}]}', None, "'FRUIT'"),
    ],
)
def test_an_answer_that_is_of_no_use_is_an_error(
    client: OpenAI, model: Model, content: str | None, refusal: str | None, message: str
) -> None:
    model.answers(content, refusal)

    with pytest.raises(RefinementError, match=message):
        refine(client, WORDS, LABELLED)


def test_a_service_that_fails_is_an_error(client: OpenAI, model: Model) -> None:
    model.status, model.body = 429, {"error": {"message": "slow down"}}

    with pytest.raises(RefinementError, match=r"gpt-4o-mini could not be asked: .*slow down"):
        refine(client, WORDS, LABELLED)
