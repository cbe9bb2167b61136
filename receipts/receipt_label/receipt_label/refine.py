"""A second opinion from a model on the words of which the rules are not sure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from receipt_dynamo import Word
from receipt_label.lines import lines_of
from receipt_label.models import LabelledReceipt, WordLabel
from receipt_label.vocabulary import Vocabulary, default_vocabulary

if TYPE_CHECKING:
    from openai import OpenAI

MODEL = "gpt-4o-mini"
SURE = 0.8
CONFIDENCE = 0.8  # a model gives no figure of its own; this is between the rules for amounts and for names

_TASK = """\
You label the words of a receipt. You get its lines, the labels with their meaning, and the words in question.
For each word in question give the label that fits, or null when none does."""


class RefinementError(Exception):
    """The model could not be asked, or gave no answer that can be used."""


class _Choice(BaseModel):
    model_config = ConfigDict(extra="forbid")

    line_id: int
    word_id: int
    label: str | None


class _Choices(BaseModel):
    model_config = ConfigDict(extra="forbid")

    words: list[_Choice]


def refine(
    client: OpenAI,
    words: Sequence[Word],
    labelled: LabelledReceipt,
    *,
    model: str = MODEL,
    vocabulary: Vocabulary | None = None,
) -> LabelledReceipt:
    """Ask a model about the words with no label or one of less than 0.8 confidence.

    Other words keep their labels whatever the model says of them. Where the model knows no label, that of the
    rules stays. Nothing is asked when no word is in question. Raises RefinementError.
    """
    vocabulary = vocabulary or default_vocabulary()
    before = {(word.line_id, word.word_id): word for word in labelled.words}
    questions = {
        (word.line_id, word.word_id): word
        for word in words
        if (known := before.get((word.line_id, word.word_id))) is None or known.confidence < SURE
    }
    if not questions:
        return labelled
    after = dict(before)
    for choice in _ask(client, model, _prompt(words, list(questions.values()), vocabulary)):
        word = questions.get((choice.line_id, choice.word_id))
        if word is None or choice.label is None:
            continue
        if choice.label not in vocabulary.labels:
            raise RefinementError(f"{model} gave the label {choice.label!r}, which is not in the vocabulary")
        after[word.line_id, word.word_id] = WordLabel(
            line_id=word.line_id,
            word_id=word.word_id,
            text=word.text,
            label=choice.label,
            confidence=CONFIDENCE,
            source="openai",
        )
    return labelled.model_copy(update={"words": tuple(after[key] for key in sorted(after))})


def _prompt(words: Sequence[Word], questions: Sequence[Word], vocabulary: Vocabulary) -> str:
    prompt: dict[str, Any] = {
        "lines": [{"line_id": line.line_id, "text": line.text} for line in lines_of(words)],
        "labels": vocabulary.labels,
        "words_in_question": [
            {"line_id": word.line_id, "word_id": word.word_id, "text": word.text} for word in questions
        ],
    }
    return json.dumps(prompt, ensure_ascii=False)


def _ask(client: OpenAI, model: str, prompt: str) -> list[_Choice]:
    # Here and not above: openai is slow to load, and who labels by rules alone need not wait for it.
    from openai import OpenAIError

    try:
        completion = client.chat.completions.create(
            model=model,
            messages=[{"role": "system", "content": _TASK}, {"role": "user", "content": prompt}],
            temperature=0,
            response_format={
                "type": "json_schema",
                "json_schema": {
                    "name": "word_labels",
                    "schema": _Choices.model_json_schema(),
                    "strict": True,
                },
            },
        )
    except OpenAIError as error:
        raise RefinementError(f"{model} could not be asked: {error}") from error
    if not completion.choices:
        raise RefinementError(f"{model} gave no answer")
    message = completion.choices[0].message
    if message.refusal or not message.content:
        raise RefinementError(f"{model} gave no answer: {message.refusal or 'it is empty'}")
    try:
        return _Choices.model_validate_json(message.content).words
    except ValidationError as error:
        raise RefinementError(f"{model} gave an answer of another shape: {error}") from error
