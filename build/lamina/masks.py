"""Masking of secrets in everything Lamina prints or keeps.

A `Mask` learns the secrets of a command as they become known. It replaces them in text, JSON and streamed
output. Some strings are secrets by their shape alone: see `_SHAPES`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from lamina.json_data import Json
from lamina.patterns import regex

HIDDEN = "***"
SHORTEST = 8
"""Bytes. Shorter values are not masked: they would match ordinary words."""
MOST_SECRET = 500 * 1024
"""Bytes. The largest secret that BuildKit accepts."""
_LONGEST = 64 * 1024
_TRANSFORMED = 200
_NAME = regex(
    r"(?i)(.*_)?(token|passw(or)?d|passphrase|secret|(secret|api|access|private|signing|encryption)_?key|credentials?)"
    r"|aws_(secret_access_key|access_key_id|session_token)"
)
_KEY = regex(r"(?i)token|passw(or)?d|passphrase|secret|(api|access|private|signing)[_-]?key|auth$|credential")
_ASSIGNED = regex(
    r"""(?<![\w.:/-])([\w.:/-]{1,128}?)(?:["']?[ \t]*=[ \t]*|["'][ \t]*:[ \t]*|:[ \t]+)["']?([^\s"',;]+)"""
)
_NETRC = regex(r"\b(password|passwd|token)[ \t]+(\S+)")
_CERTIFICATE = regex(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_HEADING = regex(r"-----(BEGIN|END) [A-Z0-9 ]+-----|\[.*\]")
_USERINFO = regex(r"\b[a-z][a-z0-9+.-]{0,20}://([^\s/:@\"']*):([^\s/@\"']+)@(?!sha256:)", re.IGNORECASE)
_SHAPES = tuple(
    re.compile(pattern.encode(), re.IGNORECASE)
    for pattern in (
        r"(?P<before>\bhttps?://)[^\s/@\"'\\]+(?P<after>@)",
        r"(?P<before>\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@\"'\\]*:[^\s/@\"'\\]+(?P<after>@(?!sha256:))",
        r"(?P<before>\bauthorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:basic|bearer)\s+)[A-Za-z0-9+/=._~-]+(?P<after>)",
        r"(?P<before>\bx-amz-(?:signature|credential|security-token)=)[^\s&\"'\\]+(?P<after>)",
    )
)
"""Credentials in URLs, Basic and Bearer authorization headers, and the signatures in AWS' presigned URLs."""


def looks_secret(name: str) -> bool:
    """Whether the name of a variable or argument says that it holds a secret."""
    return _NAME.fullmatch(name) is not None


def password_of(url: str) -> str | None:
    """Return the password in a URL, not decoded; None when there is none."""
    found = _USERINFO.search(url)
    return found[2] if found else None


def is_secret(name: str, value: str) -> bool:
    """Whether an argument or variable holds a secret: by its name, or by a password in a URL."""
    return bool(value) and (looks_secret(name) or password_of(value) is not None)


def secret_values(text: str) -> frozenset[str]:
    """Return the values to mask from a file of secrets: plain text, ini, JSON or netrc.

    These are its lines, the values after names such as ``password`` or ``_authToken``, and passwords in its
    URLs. Certificates are public; a file that holds nothing else yields no values.
    """
    text = _CERTIFICATE.sub("", text.removeprefix("\ufeff"))
    lines = [line.strip() for line in text.splitlines()]
    active = [line for line in lines if len(lines) == 1 or not line.startswith(("#", ";"))]
    if not any(active):
        return frozenset()
    found = {line for line in lines if len(lines) == 1 or not _HEADING.fullmatch(line)}
    for line in active:
        pairs = (*_ASSIGNED.findall(line), *_NETRC.findall(line))
        found.update(value for name, value in pairs if _KEY.search(name))
        found.update(_forms(match[2]) if (match := _USERINFO.search(line)) else ())
    return frozenset(value for value in found if _is_worth_it(value))


def read_secret(file: Path) -> frozenset[str]:
    """Return the values to mask from a file; none when it cannot be read."""
    try:
        with file.open("rb") as source:
            return secret_values(source.read(MOST_SECRET).decode("utf-8", "surrogateescape"))
    except OSError:
        return frozenset()


def environment_values(env: Mapping[str, str]) -> frozenset[str]:
    """Return the secrets in environment variables: by name, and passwords in URLs. Paths do not count."""
    found: set[str] = set()
    for name, value in env.items():
        if looks_secret(name) and not os.path.exists(value):  # noqa: PTH110 - the value need not be a path
            found.add(value)
        if password := password_of(value):
            found.update(_forms(password))
    return frozenset(found)


class Mask:
    """Replaces the values it has learned. Values of fewer than `SHORTEST` bytes are not masked."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: set[bytes] = set()
        self._by_head: dict[bytes, list[bytes]] = {}
        self._longest = 0
        self.learn(*values)

    def learn(self, *values: str) -> None:
        """Mask these values from now on.

        At most `_TRANSFORMED` values at once are also masked in URL, JSON and base64 encoding.
        """
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
        """Length of the longest value in bytes."""
        return self._longest

    def hide(self, text: str) -> str:
        """Return the text with secrets masked."""
        raw, errors = _encoded(text)
        hidden = self.hide_bytes(raw)
        return text if hidden is raw else hidden.decode("utf-8", errors)

    def hide_bytes(self, raw: bytes) -> bytes:
        """Return the bytes with secrets masked; the same object when there are none."""
        hidden = self._hide_known(raw) if self._known else raw
        for shape in _SHAPES:
            if shape.search(hidden):
                hidden = shape.sub(rb"\g<before>" + HIDDEN.encode() + rb"\g<after>", hidden)
        return raw if hidden == raw else hidden

    def hide_in(self, document: Json) -> Json:
        """Return a JSON document with secrets masked in its strings; keys stay as they are."""
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
    """Masks streamed output line by line, since a piece may end inside a secret."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._waiting = b""

    def feed(self, piece: bytes) -> bytes:
        """Add a piece; return the complete lines so far, masked."""
        self._waiting += piece
        end = max(self._waiting.rfind(b"\n"), self._waiting.rfind(b"\r")) + 1
        if end == 0 and len(self._waiting) > _LONGEST:
            # A very long line: pass on all but a tail that may hold the beginning of a secret.
            self._waiting = self._mask.hide_bytes(self._waiting)
            end = max(0, len(self._waiting) - self._mask.longest)
        ready, self._waiting = self._waiting[:end], self._waiting[end:]
        return self._mask.hide_bytes(ready)

    def close(self) -> bytes:
        """Return the rest, masked."""
        rest, self._waiting = self._waiting, b""
        return self._mask.hide_bytes(rest)


def _is_worth_it(value: str) -> bool:
    return len(_encoded(value)[0]) >= SHORTEST and any(map(str.isalnum, value))


def _forms(password: str) -> set[str]:
    """Return a password from a URL both percent-encoded and decoded."""
    return {password, unquote(password)}


def _transformed(value: str, *, few: bool) -> Iterator[str]:
    yield value
    if few and len(_encoded(value)[0]) >= SHORTEST:
        import base64

        raw, _ = _encoded(value)
        yield quote(raw, safe="")
        yield json.dumps(value)[1:-1]
        yield json.dumps(value, ensure_ascii=False)[1:-1]
        yield base64.b64encode(raw).decode().rstrip("=")


def _encoded(text: str) -> tuple[bytes, str]:
    """Return the bytes of a text from any source, and the error handler that decodes them back."""
    try:
        return text.encode("utf-8", "surrogateescape"), "surrogateescape"
    except UnicodeEncodeError:  # a lone surrogate that is not an escaped byte, as JSON may contain
        return text.encode("utf-8", "surrogatepass"), "surrogatepass"
