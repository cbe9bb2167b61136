"""Authorization at a registry: HTTP Basic, or a bearer token from the service it names."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol
from urllib.parse import urlencode, urlsplit

from lamina.masks import HIDDEN
from lamina.patterns import regex
from lamina.registries.credentials import Credential
from lamina.registries.http import HttpResponse, Request
from lamina.values import dataclass

_PARAMETER = regex(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = regex(r"\s*(basic|bearer)\b", re.IGNORECASE)
_TOKEN_SECONDS = 60.0  # a token's lifetime when its service does not report one (token specification)
_CLIENT = "lamina"


class CredentialSource(Protocol):
    """Returns the credential for a registry. Called only when the registry requires one."""

    def __call__(self, *, fresh: bool) -> Credential | None:
        """Return the credential, None for anonymous access. ``fresh``: the last one was refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A parsed ``WWW-Authenticate`` header."""

    scheme: Literal["none", "basic", "bearer"]
    realm: str = ""
    service: str = ""

    @classmethod
    def parse(cls, header: str) -> Challenge:
        """Parse the header (RFC 9110). Bearer is preferred over Basic; unknown schemes count as none."""
        found: dict[str, Challenge] = {}
        for part in re.split(r",\s*(?=(?:[Bb]asic|[Bb]earer|BASIC|BEARER)\b)", header):
            if match := _SCHEME.match(part):
                given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(part)}
                scheme: Literal["basic", "bearer"] = "bearer" if match[1].lower() == "bearer" else "basic"
                found[scheme] = cls(
                    scheme=scheme, realm=given.get("realm", ""), service=given.get("service", "")
                )
        return found.get("bearer") or found.get("basic") or cls(scheme="none")


class Refused(Exception):  # noqa: N818 - translated into a RegistryError before anyone sees it
    """The token service returned no token. answer: its response; None when there is none to quote."""

    def __init__(self, answer: HttpResponse | None, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer
        self.reason = reason


class Authorizer:
    """Makes ``Authorization`` headers for one registry. Tokens are kept per scope until they nearly expire.

    Thread-safe: the credential is fetched once, tokens of different scopes in parallel.
    """

    def __init__(
        self,
        challenge: Challenge,
        credential: CredentialSource,
        send: Callable[[Request], HttpResponse],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._challenge = challenge
        self._source = credential
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._credential: Credential | None = None
        self._asked = False
        self._renewed = False
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    def prepare(self) -> None:
        """Read the credential now, if the registry requires one."""
        if self._challenge.scheme != "none":
            self._current()

    @property
    def anonymous(self) -> bool:
        """Whether the registry requires a credential and there is none."""
        return self._challenge.scheme != "none" and self._current() is None

    def redact(self, text: str) -> str:
        """Mask the credential and tokens in a text, in case a registry echoes them."""
        known = self._credential
        with self._lock:
            tokens = [token for token, _ in self._tokens.values()]
        for secret in (*(known.secrets if known and known.secret else ()), *tokens):
            text = text.replace(secret, HIDDEN)
        return text

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """Return the header's value for these scopes (``repository:<name>:pull``). Raises Refused."""
        if self._challenge.scheme == "none":
            return None
        credential = self._current()
        if self._challenge.scheme == "basic":
            return f"Basic {credential.encoded}" if credential else None
        with self._lock:
            kept = self._tokens.get(scopes)
        if kept and self._clock() < kept[1]:
            return f"Bearer {kept[0]}"
        token, seconds = self._fetch(scopes, credential)
        with self._lock:
            self._tokens[scopes] = (token, self._clock() + 0.9 * seconds)
        return f"Bearer {token}"

    def renew(self, scopes: tuple[str, ...], refused: str | None) -> bool:
        """Forget the header that was refused with 401; return whether there is another one to try."""
        with self._lock:
            kept = self._tokens.get(scopes)
            if kept and refused == f"Bearer {kept[0]}":
                del self._tokens[scopes]
                return True
            if self._challenge.scheme != "basic":
                return kept is not None  # another thread has fetched a newer one
            before = self._credential
            if before is None:
                return False
            if refused != f"Basic {before.encoded}":
                return True  # another thread has renewed it
            if self._renewed:
                return False
            self._renewed = True
            self._credential = self._source(fresh=True) or before
            return self._credential != before

    def _current(self) -> Credential | None:
        with self._lock:
            if not self._asked:
                self._credential = self._source(fresh=False)
                self._asked = True
            return self._credential

    def _fetch(self, scopes: tuple[str, ...], credential: Credential | None) -> tuple[str, float]:
        """Fetch a token; return it and its lifetime in seconds.

        https://distribution.github.io/distribution/spec/auth/token/
        """
        realm = self._challenge.realm
        if urlsplit(realm).scheme not in {"https", "http"}:
            raise Refused(None, f"its token service {realm!r} is not a URL")
        named = {"service": self._challenge.service} if self._challenge.service else {}
        if credential and credential.identity:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": credential.secret}
            if scopes:
                form["scope"] = " ".join(scopes)
            request = Request(
                method="POST",
                url=realm,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode({**named, **form}).encode(),
            )
        else:
            query = urlencode([*named.items(), *(("scope", scope) for scope in scopes)])
            joint = "&" if "?" in realm else "?"
            headers = {"Authorization": f"Basic {credential.encoded}"} if credential else {}
            request = Request(method="GET", url=f"{realm}{joint}{query}", headers=headers)
        answer = self._send(request)
        if answer.status != 200:
            raise Refused(answer, f"its token service answered {answer.status}")
        try:
            document = json.loads(answer.body)
            token = document.get("token") or document["access_token"]
            return str(token), float(document.get("expires_in") or _TOKEN_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(None, "its token service answered without a token") from None
