"""What checks of images found, kept by everything that they read: an unchanged image is not checked again.

An entry holds for the same Lamina, day, machine, rules, Dockerfile, settings and files of an image and its
bases, and only while the disk answers all other questions of all checks as before (see
`lamina.identify.readings`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lamina.declare.machine import native_platform
from lamina.identify.image import Image
from lamina.identify.kept_file import read_kept, write_kept
from lamina.identify.readings import Answers, Readings, still_so
from lamina.json_data import Json
from lamina.masks import Mask
from lamina.reachable import reachable
from lamina.values import dataclass

if TYPE_CHECKING:  # checks are imported for images that are not known
    from lamina.identify.facts import Facts
    from lamina.identify.runnable import Runnable
    from lamina.preflight.fault import Fault

_MOST = 2_000
"""Entries. Up to this number, those of other commands and earlier files stay."""
_RULES = ("declare", "identify", "preflight")
"""The packages whose code decides what is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCheck:
    """What was found in an image. runnable: None for nothing; never with the modules that it reaches."""

    runnable: Runnable | None
    faults: tuple[Fault, ...]

    def __bool__(self) -> bool:
        return self.runnable is not None or bool(self.faults)


class KeptChecks:
    """The checks of all commands. A missing or damaged file counts as empty.

    Args:
        file: The cache file; None disables saving.
        mask: Knows the secrets. Nothing is saved if one of them is in it.
    """

    def __init__(self, file: Path | None, mask: Mask) -> None:
        self._file = file
        self._mask = mask
        self._answers, self._before = _read(file) if file else ({}, {})
        self._now: dict[str, list[Json]] = {}

    def get(self, key: str) -> ImageCheck | None:
        """Return what was found under a key; None if that is not known."""
        row = self._now.get(key, self._before.get(key))
        if row is None:
            return None
        self._now[key] = row
        return _made(row) if row else ImageCheck(runnable=None, faults=())

    def learn(self, checks: Mapping[str, ImageCheck], readings: Readings) -> None:
        """Keep new checks, by key, and what they read; save all. If the disk refuses, only speed is lost."""
        for key, check in checks.items():
            self._now[key] = [_plain(check.runnable), _plain(check.faults)] if check else []
        if self._file is None:
            return
        answers = readings.answers()
        for question, known in self._answers.items():
            now = answers.setdefault(question, {})
            if any(now.get(path, answer) != answer for path, answer in known.items()):
                return  # the disk changed meanwhile: what is kept of other images may be wrong
            answers[question] = {**known, **now}
        rows = {**self._before, **self._now}
        document: list[Json] = [answers, rows if len(rows) < _MOST else self._now]
        if self._mask.hide_in(document) != document:
            return
        write_kept(self._file, document, _RULES)


def check(
    images: Mapping[str, Image],
    names: Iterable[str],
    kept: KeptChecks,
    facts: Callable[[], Facts],
    *,
    off: Collection[str] = (),
    builder: str | None = None,
) -> Mapping[str, ImageCheck]:
    """Return what fails on Lambda in the named images, without those in which nothing does.

    Args:
        images: The named ones and their bases.
        facts: Returns the facts of sources, if they are needed.
        off: Rules to leave out, by id or slug.
        builder: The platform of the build machine, by default this machine's; or `OF_THE_IMAGE`.
    """
    builder = builder or native_platform()
    keys = _keys(images, (time.strftime("%Y-%m-%d", time.gmtime()), sorted(off), builder))
    known = {name: kept.get(keys[name]) for name in names}
    fresh = [name for name, each in known.items() if each is None]
    made: Mapping[str, ImageCheck] = {}
    if fresh:
        made = _check_afresh(_with_bases(images, fresh), fresh, kept, facts(), keys, off, builder)
    return {name: each for name, old in known.items() if (each := old if old is not None else made[name])}


def _check_afresh(
    images: Mapping[str, Image],
    names: Collection[str],
    kept: KeptChecks,
    facts: Facts,
    keys: Mapping[str, str],
    off: Collection[str],
    builder: str,
) -> Mapping[str, ImageCheck]:
    from lamina.identify.image_layouts import lay_out_images
    from lamina.identify.runnable import check_runnable
    from lamina.preflight.check import check_images

    readings = Readings()
    layouts = lay_out_images(images, readings)
    runnable = check_runnable(images, names, facts, layouts, readings)
    faults = check_images(images, layouts, runnable, off=off, builder=builder, readings=readings)
    found = {name: ImageCheck(runnable=each.found, faults=faults[name]) for name, each in runnable.items()}
    facts.save()
    if not facts.moved:
        kept.learn({keys[name]: each for name, each in found.items()}, readings)
    return found


def _with_bases(images: Mapping[str, Image], names: Iterable[str]) -> Mapping[str, Image]:
    """Return the named images and all that they are based on, in the same order."""
    wanted = reachable(names, lambda name: images[name].node.parents if name in images else ())
    return {name: image for name, image in images.items() if name in wanted}


def _keys(images: Mapping[str, Image], run: object) -> Mapping[str, str]:
    """Return a digest of everything in an image and its bases that checks read. run: what they share."""
    keys: dict[str, str] = {}
    for name, image in images.items():
        below = [keys[parent] for parent in image.node.parents if parent in keys]
        text = repr((run, image.node, image.fingerprint, image.inputs.requirements, below))
        keys[name] = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return keys


# The file: what was read, and what was found


def _read(file: Path) -> tuple[Answers, Mapping[str, list[Json]]]:
    document = read_kept(file, _RULES)
    if document is None:
        return {}, {}
    answers, rows = cast("tuple[Answers, Mapping[str, list[Json]]]", document)
    return (answers, rows) if still_so(answers) else ({}, {})


def _plain(value: Any) -> Json:
    """Return a finding as JSON. A dataclass is an object with one key, its name; a mapping has no name."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {"": [[key, _plain(each)] for key, each in value.items()]}
    if value is None or isinstance(value, str | int):
        return value
    return {type(value).__name__: [_plain(getattr(value, each.name)) for each in fields(value)]}


def _made(row: Json) -> ImageCheck:
    from lamina.declare.dockerfile import Heredoc, Instruction
    from lamina.identify.missing import ImportFault
    from lamina.identify.runnable import Lacking, LocalProject, Runnable
    from lamina.identify.wheel import Dropped
    from lamina.preflight.fault import Fault

    known: dict[str, Any] = {
        each.__name__: each
        for each in (Dropped, Fault, Heredoc, ImportFault, Instruction, Lacking, LocalProject, Runnable)
    }

    def made(value: Json) -> Any:
        if isinstance(value, list):
            return tuple(made(each) for each in value)
        if not isinstance(value, dict):
            return value
        ((name, given),) = value.items()
        if not name:
            return {key: made(each) for key, each in given}
        return known[name](
            **{each.name: made(part) for each, part in zip(fields(known[name]), given, strict=True)}
        )

    runnable, faults = made(row)
    return ImageCheck(runnable=runnable, faults=faults)
