"""The settings at the end of an image: instructions after its layers that change its configuration alone.

Only literal ones count: CMD in JSON form, ENV and LABEL without variables and escapes. Source:
``dispatchCmd``, ``dispatchEnv`` and ``dispatchLabel`` in ``dockerfile2llb`` of moby/buildkit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from lamina.patterns import regex

_NAME = regex(r"[A-Za-z0-9_./-]+")
_VALUE = regex(r"""(?P<quote>["']?)(?P<text>[^"'\\$]*)(?P=quote)""")
_JSON = '{"json": true}'
_RESERVED = "dev.lamina."


class LastSetting(NamedTuple):
    """An instruction. words: of a CMD; of the others, names and values by turns."""

    kind: Literal["CMD", "ENV", "LABEL"]
    words: tuple[str, ...]

    @property
    def pairs(self) -> Iterable[tuple[str, str]]:
        """Name and value of each variable or label."""
        return zip(self.words[::2], self.words[1::2], strict=True)

    @property
    def created_by(self) -> str:
        """The text in the history of an image."""
        if self.kind == "CMD":
            return f"CMD [{' '.join(json.dumps(each) for each in self.words)}]"
        return " ".join((self.kind, *(f"{name}={value}" for name, value in self.pairs)))


def last_settings(instructions: Sequence[str]) -> tuple[LastSetting, ...]:
    """Return the settings at the end, in order. instructions: in the canonical form of build inputs."""
    found: list[LastSetting] = []
    for line in reversed(instructions):
        setting = _read(line)
        if setting is None:
            break
        found.append(setting)
    return tuple(reversed(found))


def _read(line: str) -> LastSetting | None:
    kind, _, rest = line.partition(" ")
    if kind not in {"CMD", "ENV", "LABEL"}:
        return None
    words, end = json.JSONDecoder().raw_decode(rest)
    more = rest[end:].strip()
    if kind == "CMD":
        is_plain = all(each.isascii() and each.isprintable() and not {*'"\\'} & {*each} for each in words)
        return LastSetting("CMD", tuple(words)) if more == _JSON and is_plain else None
    names, values = words[::2], [_VALUE.fullmatch(each) for each in words[1::2]]
    if more or len(names) != len(values) or not all(map(_NAME.fullmatch, names)):
        return None
    texts = [each["text"] for each in values if each is not None]
    if len(texts) < len(names) or not all(each.isprintable() for each in texts):
        return None
    if any(each.startswith(_RESERVED) for each in names):
        return None
    pairs = zip(names, texts, strict=True)
    return LastSetting("ENV" if kind == "ENV" else "LABEL", tuple(word for pair in pairs for word in pair))
