"""The build inputs of an image, and its fingerprint: the sha256 over them."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import cache
from itertools import chain
from typing import Any

from lamina.declare.dockerfile import Instruction
from lamina.declare.recipe import Recipe, ResolvedStage
from lamina.identify.context import Context
from lamina.identify.tree import FileKind
from lamina.json_data import JsonDocument
from lamina.patterns import regex
from lamina.values import dataclass

SCHEMA = 1
TAG_PREFIX = "sha-"
FINGERPRINT_KEY, INPUTS_KEY = "dev.lamina.fingerprint", "dev.lamina.bill"
"""Annotations of a manifest. The fingerprint is also a label of the image."""
NOT_USED = " (not used by this image)"
"""The end of a shown requirement of a lock that the image does not install."""
_TAG_DIGITS = 12
_PYPROJECT = "pyproject.toml"
_REQUIREMENTS = regex(r"(.*[-_.])?(requirements|constraints)([-_.].*)?\.(txt|in)")
_CREDENTIALS = regex(r"://[^/@\s]+@")
_DISTRIBUTION = regex(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LETTER = {"file": "f", "exec": "x", "link": "l", "dir": "d"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """Everything an image is built from; `fingerprint` is the sha256 over it.

    Attributes:
        instructions: In canonical form, of used stages only.
        args: Name -> digest of the value at each of its ARGs; None for an ARG without a value.
        bases: External image -> identity.
        parents: Project image -> its fingerprint; in static mode the digest of its ``stable`` tag, or
            ``stable`` if that is unknown.
        files: Context name (empty for the main one) -> path -> ``<f|x|l|d> <sha256>``.
        requirements: File -> the Python requirements in it. For explanations; not hashed a second time.
    """

    platform: str
    target: str | None
    instructions: tuple[str, ...]
    args: Mapping[str, tuple[str | None, ...]]
    bases: Mapping[str, str]
    parents: Mapping[str, str]
    files: Mapping[str, Mapping[str, str]]
    secrets: tuple[str, ...] = ()
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def document(self) -> JsonDocument:
        """Return the build inputs in the form that is stored as JSON."""
        return {
            "schema": SCHEMA,
            "platform": self.platform,
            "target": self.target,
            "instructions": list(self.instructions),
            "args": {name: list(values) for name, values in self.args.items()},
            "bases": dict(self.bases),
            "parents": dict(self.parents),
            "files": {name: dict(files) for name, files in self.files.items()},
            "secrets": list(self.secrets),
            "requirements": {path: list(lines) for path, lines in self.requirements.items()},
        }

    @classmethod
    def from_document(cls, document: Any) -> BuildInputs | None:
        """Read what `document` wrote. Return None if the schema differs or the document is damaged."""
        try:
            if document["schema"] != SCHEMA:
                return None
            made = cls(
                platform=document["platform"],
                target=document["target"],
                instructions=tuple(document["instructions"]),
                args={name: tuple(values) for name, values in document["args"].items()},
                bases=document["bases"],
                parents=document["parents"],
                files=document["files"],
                secrets=tuple(document["secrets"]),
                requirements={path: tuple(lines) for path, lines in document.get("requirements", {}).items()},
            )
            made._check()
        except (KeyError, TypeError, AttributeError):
            return None
        return made

    def _check(self) -> None:
        """Raise TypeError or AttributeError unless all is text: a document may come from outside."""
        mappings = (self.bases, self.parents, *self.files.values())
        texts = chain(
            (self.platform, *self.instructions, *self.secrets),
            chain.from_iterable(each.values() for each in mappings),
            chain.from_iterable(self.requirements.values()),
        )
        optional = chain((self.target,), chain.from_iterable(self.args.values()))
        if not (set(map(type, texts)) <= {str} and set(map(type, optional)) <= {str, type(None)}):
            raise TypeError

    @property
    def fingerprint(self) -> str:
        """``sha256:<64 hex>`` of the canonical form: sorted keys, no spaces, ASCII with escapes."""
        hashed = {key: value for key, value in self.document().items() if key != "requirements"}
        canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def content_tag(fingerprint: str) -> str:
    """Return ``sha-`` and the first 12 hexadecimal digits."""
    return TAG_PREFIX + fingerprint.removeprefix("sha256:")[:_TAG_DIGITS]


def make_build_inputs(
    recipe: Recipe,
    contexts: Mapping[str, Context],
    *,
    bases: Mapping[str, str],
    parents: Mapping[str, str],
    requirements: Mapping[str, tuple[str, ...]],
) -> BuildInputs:
    """Assemble the build inputs. contexts: by name, the main one under the empty string."""
    args: dict[str, tuple[str | None, ...]] = {}
    for stage in recipe.stages:
        for name, value in stage.args:
            args[name] = (*args.get(name, ()), _digest(value))
    return BuildInputs(
        platform=recipe.platform,
        target=recipe.target,
        instructions=(
            *recipe.dockerfile.directives,
            *(line for stage in recipe.stages for line in _canonical(stage)),
        ),
        args=args,
        bases=bases,
        parents=parents,
        files={
            name: {each.path: _state(each.kind, each.sha256) for each in context.files}
            for name, context in contexts.items()
            if context.files or not name
        },
        secrets=recipe.secrets,
        requirements=requirements,
    )


@cache
def _state(kind: FileKind, sha256: str) -> str:
    """Return what counts of a file, as one text for all images that have it."""
    return f"{_LETTER[kind]} {sha256}".rstrip()


def _digest(value: str | None) -> str | None:
    if value is None:
        return None
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()


def _canonical(stage: ResolvedStage) -> Iterable[str]:
    """Yield the instructions of a stage without comments, blank lines and line continuations."""
    platform = f"--platform={stage.platform} " if stage.platform else ""
    alias = f" AS {stage.stage.name}" if stage.stage.name else ""
    yield f"FROM {platform}{stage.base}{alias}"
    for instruction in stage.stage.instructions:
        yield _line(instruction)


def _line(instruction: Instruction) -> str:
    """Return one instruction with its words as JSON, so that ``ENV A=b C=d`` differs from ``ENV A b C d``.

    ARG is written by name only, because its value is in `BuildInputs.args`.
    """
    if instruction.name == "ARG":
        return " ".join(["ARG", *(word.partition("=")[0] for word in instruction.words)])
    if instruction.trigger is not None:
        return f"ONBUILD {_whole_line(instruction.trigger)}"
    return _whole_line(instruction)


def _whole_line(instruction: Instruction) -> str:
    parts: JsonDocument = {
        "flags": instruction.flags,
        "json": instruction.json,
        "heredocs": [(each.name, each.content) for each in instruction.heredocs],
    }
    texts = [json.dumps(instruction.words), json.dumps({key: value for key, value in parts.items() if value})]
    return " ".join([instruction.name, *texts]).removesuffix(" {}")


def masked(requirements: Iterable[str]) -> tuple[str, ...]:
    """Return requirements without the credentials in their URLs."""
    return tuple(_CREDENTIALS.sub("://***@", line) for line in requirements)


def distribution(requirement: str) -> str:
    """Return a requirement's distribution, normalised as on PyPI; the text itself if it names none."""
    found = _DISTRIBUTION.match(requirement)
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else requirement


def declares_requirements(path: str) -> bool:
    """Whether a file may declare Python requirements, by its name."""
    name = path.rpartition("/")[2]
    return name == _PYPROJECT or _REQUIREMENTS.fullmatch(name) is not None


def read_requirements(path: str, content: bytes) -> tuple[str, ...] | None:
    """Return the Python requirements that a file declares, or None if it is not a file of requirements.

    Credentials in URLs are masked, since requirements are printed and stored with the image. Requirements of
    an extra carry it as a marker, as in a wheel's metadata.
    """
    found = _declared(path, content)
    return found and masked(found)


def _declared(path: str, content: bytes) -> tuple[str, ...] | None:
    if not declares_requirements(path):
        return None
    try:
        text = content.decode("utf-8")
        if path.rpartition("/")[2] == _PYPROJECT:
            project = tomllib.loads(text).get("project", {})
            extras = project.get("optional-dependencies", {})
            return (
                *(str(each) for each in project.get("dependencies", [])),
                *(
                    f"{each}{' and' if ';' in str(each) else ' ;'} extra == '{extra}'"
                    for extra, group in extras.items()
                    for each in group
                ),
            )
        lines = (line.split(" #")[0].strip() for line in text.splitlines())
        return tuple(line for line in lines if line and not line.startswith(("#", "-")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        return None
