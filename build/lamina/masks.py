"""What must not be read: the values of secrets, replaced in everything that is printed or kept.

A `Mask` is told the secrets of a command as they become known, and hides them in texts, in JSON and in output
that comes in pieces. Some things are secrets by their shape, whoever wrote them: see `_SHAPES`.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
SHORTEST = 8
"""Bytes. What is shorter is hidden nowhere: it would be found in every second word."""
MOST_SECRET = 500 * 1024
"""Bytes that BuildKit takes of one secret."""
_LONGEST = 64 * 1024
_TRANSFORMED = 200
_NAME = re.compile(
    r"(?i)(.*_)?(token|passw(or)?d|passphrase|secret|(secret|api|access|private|signing|encryption)_?key|credentials?)"
    r"|aws_(secret_access_key|access_key_id|session_token)"
)
_KEY = re.compile(
    r"(?i)token|passw(or)?d|passphrase|secret|(api|access|private|signing)[_-]?key|auth$|credential"
)
_ASSIGNED = re.compile(
    r"""(?<![\w.:/-])([\w.:/-]{1,128}?)(?:["']?[ \t]*=[ \t]*|["'][ \t]*:[ \t]*|:[ \t]+)["']?([^\s"',;]+)"""
)
_NETRC = re.compile(r"\b(password|passwd|token)[ \t]+(\S+)")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_HEADING = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----|\[.*\]")
_USERINFO = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://([^\s/:@\"']*):([^\s/@\"']+)@(?!sha256:)", re.IGNORECASE)
_SHAPES = tuple(
    re.compile(pattern.encode(), re.IGNORECASE)
    for pattern in (
        r"(?P<before>\bhttps?://)[^\s/@\"'\\]+(?P<after>@)",
        r"(?P<before>\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@\"'\\]*:[^\s/@\"'\\]+(?P<after>@(?!sha256:))",
        r"(?P<before>\bauthorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:basic|bearer)\s+)[A-Za-z0-9+/=._~-]+(?P<after>)",
        r"(?P<before>\bx-amz-(?:signature|credential|security-token)=)[^\s&\"'\\]+(?P<after>)",
    )
)
"""Who logs in by a URL, the headers of HTTP Basic and Bearer, and what signs the URLs that AWS hands out."""


def looks_secret(name: str) -> bool:
    """Whether a variable or an argument holds a secret, by its name."""
    return _NAME.fullmatch(name) is not None


def password_of(url: str) -> str | None:
    """The password in a URL, as it stands there; None where there is none."""
    found = _USERINFO.search(url)
    return found[2] if found else None


def is_secret(name: str, value: str) -> bool:
    """Whether an argument or a variable holds a secret, by its name or because of a password in a URL."""
    return bool(value) and (looks_secret(name) or password_of(value) is not None)


def secret_values(text: str) -> frozenset[str]:
    """What is to be hidden of a file that holds secrets, be it plain text, ini, JSON or netrc.

    Its lines; what stands behind a name such as ``password`` or ``_authToken``; passwords in its URLs.
    Certificates are public, and a file that holds nothing else gives nothing.
    """
    text = _CERTIFICATE.sub("", text.removeprefix("\ufeff"))
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if len(lines) == 1 or not line.startswith(("#", ";"))]
    if not any(told):
        return frozenset()
    found = {line for line in lines if len(lines) == 1 or not _HEADING.fullmatch(line)}
    for line in told:
        pairs = (*_ASSIGNED.findall(line), *_NETRC.findall(line))
        found.update(value for name, value in pairs if _KEY.search(name))
        found.update(_forms(match[2]) if (match := _USERINFO.search(line)) else ())
    return frozenset(value for value in found if _is_worth_it(value))


def read_secret(file: Path) -> frozenset[str]:
    """The same of a file; nothing of one that cannot be read, which is no secret of ours then."""
    try:
        with file.open("rb") as source:
            return secret_values(source.read(MOST_SECRET).decode("utf-8", "surrogateescape"))
    except OSError:
        return frozenset()


def environment_values(env: Mapping[str, str]) -> frozenset[str]:
    """The secrets among variables: by their names, and passwords in URLs. Paths are none."""
    found: set[str] = set()
    for name, value in env.items():
        if looks_secret(name) and not os.path.exists(value):  # noqa: PTH110 - a value may be no path at all
            found.add(value)
        if password := password_of(value):
            found.update(_forms(password))
    return frozenset(found)


class Mask:
    """Hides what it was told, from then on. Values of fewer than `SHORTEST` bytes are left."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: set[bytes] = set()
        self._by_head: dict[bytes, list[bytes]] = {}
        self._longest = 0
        self.learn(*values)

    def learn(self, *values: str) -> None:
        """Hide these from now on, also as a URL, JSON or base64 has them."""
        few = len(values) <= _TRANSFORMED
        forms = {form for value in values for form in _transformed(value, few=few)}
        for raw in {_encoded(form)[0] for form in forms} - self._known:
            if len(raw) >= SHORTEST:
                self._known.add(raw)
                head = self._by_head.setdefault(raw[:SHORTEST], [])
                head.append(raw)
                head.sort(key=len, reverse=True)
                self._longest = max(self._longest, len(raw))

    @property
    def longest(self) -> int:
        """Bytes of the longest value."""
        return self._longest

    def hide(self, text: str) -> str:
        """The text without secrets."""
        raw, errors = _encoded(text)
        hidden = self.hide_bytes(raw)
        return text if hidden is raw else hidden.decode("utf-8", errors)

    def hide_bytes(self, raw: bytes) -> bytes:
        """The same of bytes; the very object when there is nothing to hide."""
        hidden = self._hide_known(raw) if self._known else raw
        for shape in _SHAPES:
            if shape.search(hidden):
                hidden = shape.sub(rb"\g<before>" + HIDDEN.encode() + rb"\g<after>", hidden)
        return raw if hidden == raw else hidden

    def hide_in(self, document: Any) -> Any:
        """A JSON document in whose strings nothing can be read; names of keys stay."""
        if isinstance(document, str):
            return self.hide(document)
        if isinstance(document, Mapping):
            return {key: self.hide_in(value) for key, value in document.items()}
        if isinstance(document, list | tuple):
            return [self.hide_in(each) for each in document]
        return document

    def _hide_known(self, raw: bytes) -> bytes:
        parts: list[bytes] = []
        done = at = 0
        last = len(raw) - SHORTEST
        heads = self._by_head
        while at <= last:
            values = heads.get(raw[at : at + SHORTEST])
            found = next((each for each in values if raw.startswith(each, at)), None) if values else None
            if found is None:
                at += 1
                continue
            parts += (raw[done:at], HIDDEN.encode())
            done = at = at + len(found)
        return b"".join((*parts, raw[done:])) if parts else raw


class MaskedOutput:
    """Output that comes in pieces: a line is handed on when it is whole, for a secret may be cut in two."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._waiting = b""

    def feed(self, piece: bytes) -> bytes:
        """What can be told by now, without secrets."""
        self._waiting += piece
        end = max(self._waiting.rfind(b"\n"), self._waiting.rfind(b"\r")) + 1
        if end == 0 and len(self._waiting) > _LONGEST:
            # A line without end: all but what may be the beginning of a secret.
            self._waiting = self._mask.hide_bytes(self._waiting)
            end = max(0, len(self._waiting) - self._mask.longest)
        told, self._waiting = self._waiting[:end], self._waiting[end:]
        return self._mask.hide_bytes(told)

    def close(self) -> bytes:
        """The rest."""
        told, self._waiting = self._waiting, b""
        return self._mask.hide_bytes(told)


def _is_worth_it(value: str) -> bool:
    return len(_encoded(value)[0]) >= SHORTEST and any(map(str.isalnum, value))


def _forms(password: str) -> set[str]:
    """A password of a URL as it stands there, and as it is meant."""
    return {password, unquote(password)}


def _transformed(value: str, *, few: bool) -> Iterator[str]:
    yield value
    if few and len(_encoded(value)[0]) >= SHORTEST:
        raw, _ = _encoded(value)
        yield quote(raw, safe="")
        yield json.dumps(value)[1:-1]
        yield json.dumps(value, ensure_ascii=False)[1:-1]
        yield base64.b64encode(raw).decode().rstrip("=")


def _encoded(text: str) -> tuple[bytes, str]:
    """The bytes of a text that came from anywhere, and how they become that text again."""
    try:
        return text.encode("utf-8", "surrogateescape"), "surrogateescape"
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte, as JSON may have it
        return text.encode("utf-8", "surrogatepass"), "surrogatepass"
