"""Embeds the lines of receipts and finds the lines nearest to a text.

Events, each an object:

- ``{"action": "embed", "receipt_id": "r-1", "lines": [{"line_id": 1, "text": "TOTAL 8.11"}, ...]}``
- ``{"action": "query", "text": "total", "n_results": 5}`` (``n_results`` may be left out)
- ``{"action": "embed_and_query", ...}`` with the fields of both

A line is known by its receipt and number: embedding it again replaces it. The vectors are in memory and last
as long as the function's instance does, or under the folder that CHROMA_PATH names; on Lambda only /tmp can
be written.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, cast

import chromadb
from chromadb.api.types import Documents, EmbeddingFunction, Embeddings
from chromadb.config import Settings

from receipt_label import label_words, words_of_line

COLLECTION = "receipt_lines"
ACTIONS = ("embed", "query", "embed_and_query")
N_RESULTS = 5
MAX_RESULTS = 100
UNLABELLED = "NONE"  # Chroma keeps no empty metadata


def handler(event: object, context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes both
    """Answer one event. Raises ValueError when the event is none of those above."""
    if not isinstance(event, Mapping):
        raise ValueError(f"the event must be an object, not {event!r}")
    action = event.get("action")
    if action not in ACTIONS:
        raise ValueError(f"action must be one of {', '.join(ACTIONS)}, not {action!r}")
    # Both are read before either runs: an event that is half wrong changes nothing.
    embed = Embed.parse(event) if action != "query" else None
    query = Query.parse(event) if action != "embed" else None
    answer: dict[str, Any] = {"action": action}
    if embed:
        answer |= embed.run()
    if query:
        answer |= query.run()
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Embed:
    """Lines of one receipt to keep. lines: line number -> text."""

    receipt_id: str
    lines: Mapping[int, str]

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Embed:
        """Read the fields of an event. Raises ValueError."""
        receipt_id = _text(event.get("receipt_id"), "receipt_id")
        entries = event.get("lines")
        if not isinstance(entries, list) or not entries:
            raise ValueError("lines must be a list of at least one line")
        lines: dict[int, str] = {}
        for index, entry in enumerate(entries):
            where = f"lines[{index}]"
            if not isinstance(entry, Mapping):
                raise ValueError(f"{where} must be an object with line_id and text, not {entry!r}")
            line_id = _number(entry.get("line_id"), f"{where}.line_id")
            if line_id in lines:
                raise ValueError(f"{where}.line_id {line_id} is there twice")
            lines[line_id] = _text(entry.get("text"), f"{where}.text")
        return cls(receipt_id=receipt_id, lines=lines)

    def run(self) -> dict[str, Any]:
        """Label the lines, embed them and keep both."""
        words = [
            word
            for line_id, text in self.lines.items()
            for word in words_of_line(self.receipt_id, line_id, text)
        ]
        labelled = label_words(self.receipt_id, words)
        labels = {line_id: labelled.line_label(line_id) or UNLABELLED for line_id in self.lines}
        collection(os.environ.get("CHROMA_PATH")).upsert(
            ids=[f"{self.receipt_id}#{line_id}" for line_id in self.lines],
            documents=list(self.lines.values()),
            metadatas=[
                {"receipt_id": self.receipt_id, "line_id": line_id, "label": labels[line_id]}
                for line_id in self.lines
            ],
        )
        return {
            "receipt_id": self.receipt_id,
            "embedded": [{"line_id": line_id, "label": label} for line_id, label in labels.items()],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A text to find near lines for."""

    text: str
    n_results: int

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Query:
        """Read the fields of an event. Raises ValueError."""
        n_results = _number(event.get("n_results", N_RESULTS), "n_results", most=MAX_RESULTS)
        return cls(text=_text(event.get("text"), "text"), n_results=n_results)

    def run(self) -> dict[str, Any]:
        """The nearest lines, nearest first; distance: 0 is the same text, 1 has nothing in common."""
        lines = collection(os.environ.get("CHROMA_PATH"))
        kept = lines.count()
        if kept == 0:
            return {"text": self.text, "results": []}
        found = lines.query(query_texts=[self.text], n_results=min(self.n_results, kept))
        documents, metadatas, distances = found["documents"], found["metadatas"], found["distances"]
        if documents is None or metadatas is None or distances is None:
            raise RuntimeError("Chroma left out a part of its answer that it gives by default")
        return {
            "text": self.text,
            "results": [
                {**metadata, "text": document, "distance": round(float(distance), 4)}
                for document, metadata, distance in zip(documents[0], metadatas[0], distances[0], strict=True)
            ],
        }


class HashedNgrams(EmbeddingFunction[Documents]):
    """Embeds a text by the trigrams of its words: each is hashed to one place and one sign of a unit vector.

    Texts that share spellings are near each other. It needs no model, and gives the same vector everywhere.
    dimensions: how many numbers a vector has.
    """

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = dimensions

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002 - Chroma checks for this name
        """One vector for each text."""
        # Early releases of Chroma take lists only; later ones turn them into the arrays of this type.
        return cast(Embeddings, [self._embed(text) for text in input])

    @staticmethod
    def name() -> str:
        """The name under which Chroma keeps the configuration."""
        return "receipt_hashed_ngrams"

    def get_config(self) -> dict[str, Any]:
        """What `build_from_config` needs to make this function again."""
        return {"dimensions": self.dimensions}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> HashedNgrams:
        """The function of a configuration."""
        return HashedNgrams(dimensions=config["dimensions"])

    def _embed(self, text: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in text.casefold().split():
            padded = f" {word} "
            for start in range(max(1, len(padded) - 2)):
                # Not hash(): that of text differs from one process to the next.
                digest = blake2b(padded[start : start + 3].encode(), digest_size=8).digest()
                place, sign = int.from_bytes(digest[:7]) % self.dimensions, 1 if digest[7] & 1 else -1
                vector[place] += sign
        length = math.hypot(*vector)
        return [value / length for value in vector] if length else vector


@cache
def collection(path: str | None) -> chromadb.Collection:
    """The collection of lines under a folder, or in memory when there is none; opened once in an instance."""
    settings = Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(path, settings) if path else chromadb.EphemeralClient(settings)
    return client.get_or_create_collection(
        COLLECTION,
        metadata={"hnsw:space": "cosine"},
        embedding_function=HashedNgrams(),  # type: ignore[arg-type] # Chroma's type asks for images as well
    )


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where} must be text that is not blank, not {value!r}")
    return value


def _number(value: object, where: str, *, most: int = 99_999) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{where} must be an integer from 1 to {most}, not {value!r}")
    return value


# x
