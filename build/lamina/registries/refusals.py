"""Refusals of a registry turned into errors that name the next step."""

from __future__ import annotations

import json

from lamina.errors import RegistryError
from lamina.refs import Reference
from lamina.registries.http import HttpResponse, Unreachable
from lamina.registries.pace import STALL_HINT
from lamina.values import dataclass

_MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The next steps for one registry: commands to log in and to create a ``{repository}``."""

    login: str
    create: str = "invoke build-all --push --create"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetail:
    """The error in a registry's response: OCI error codes in capitals, and a message."""

    codes: frozenset[str]
    message: str

    @classmethod
    def read(cls, answer: HttpResponse) -> ErrorDetail:
        """Read an error body (distribution specification, "Error Codes"); other text is truncated."""
        try:
            errors = json.loads(answer.body)["errors"]
            codes = frozenset(str(error.get("code", "")).upper() for error in errors)
            sentences = [_sentence(error) for error in errors]
        except (ValueError, KeyError, TypeError, AttributeError):
            codes = frozenset()
            text = answer.body.decode("utf-8", errors="replace")
            sentences = [] if "<" in text else [text]  # leave out a proxy's HTML page
        message = " ".join("; ".join(sentence for sentence in sentences if sentence).split())
        clean = "".join(letter for letter in message if letter.isprintable())
        return cls(codes=codes, message=clean[:_MESSAGE_LENGTH])

    @property
    def expired(self) -> bool:
        """Whether the token has expired; ECR reports that with 403 instead of 401."""
        return "token has expired" in self.message.lower()


class UnansweredError(RegistryError):
    """The registry did not respond in time; a retry would wait as long again."""


def unreachable(host: str, error: Unreachable) -> RegistryError:
    """Return the error for a missing or endless response."""
    hints = {
        "name": "check the registry's name in the configuration, and the network",
        "refused": "start the registry, or check its port and any firewall",
        "timeout": f"check the network, HTTPS_PROXY and NO_PROXY; {STALL_HINT}",
        "tls": "for a private CA set SSL_CERT_FILE to its bundle, or add "
        f"/etc/docker/certs.d/{host}/ca.crt for docker and Lamina alike",
        "proxy": "check HTTPS_PROXY and NO_PROXY",
        "lost": "try again; a proxy or the registry dropped the connection",
        "endless": "check host and port of the registry, and any proxy",
    }
    kind = UnansweredError if error.kind == "timeout" else RegistryError
    return kind.of(f"the registry cannot be reached: {error.reason}", where=host, hint=hints[error.kind])


def no_registry(host: str, answer: HttpResponse) -> RegistryError:
    """Return the error for a host that answers but is not a registry."""
    return RegistryError.of(
        f"not an image registry: GET /v2/ was answered with {answer.status}",
        where=host,
        hint="check host and port; a path after the host belongs to the repository's name",
    )


def refused(
    status: int, detail: ErrorDetail, what: str, *, host: str, advice: Advice, anonymous: bool
) -> RegistryError:
    """Return the error for an unsuccessful status. what: the action as a verb phrase, ``read x:y``."""
    said = f": {detail.message}" if detail.message else ""
    if detail.expired:
        return RegistryError.of(
            f"the credentials have expired, cannot {what}", where=host, hint=f"run: {advice.login}"
        )
    if status == 401:
        problem = "there are no credentials" if anonymous else "the user name or password is wrong"
        return RegistryError.of(
            f"{problem}, cannot {what}{said}",
            where=host,
            allowed="credentials of the registry in docker's configuration, or an AWS login for ECR",
            hint=f"run: {advice.login}" + "; a repository that does not exist may look the same" * anonymous,
        )
    if status == 403:
        return RegistryError.of(
            f"not allowed to {what}{said}",
            where=host,
            hint="ask for this permission, or log in as a user who has it: " + advice.login,
        )
    if status == 429:
        return RegistryError.of(
            f"too many requests, cannot {what}{said}",
            where=host,
            hint="wait a minute and try again" + (f"; logged-in users get more: {advice.login}" * anonymous),
        )
    if status >= 500:
        return RegistryError.of(
            f"the registry failed with {status}, cannot {what}{said}",
            where=host,
            hint="try again later; the fault is on the registry's side",
        )
    return RegistryError.of(f"the registry answered {status}, cannot {what}{said}", where=host)


def no_repository(ref: Reference, *, advice: Advice) -> RegistryError:
    """Return the error for a repository that must be created first."""
    return RegistryError.of(
        f"the repository {ref.repository} does not exist",
        where=ref.pull_host,
        hint=f"run: {advice.create.format(repository=ref.repository)}",
    )


def _sentence(error: dict[str, object]) -> str:
    message = str(error.get("message") or error.get("code") or "")
    detail = error.get("detail")
    return f"{message} ({detail})" if isinstance(detail, str) and detail and detail != message else message
