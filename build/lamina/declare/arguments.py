"""Check the arguments of instructions (``EXPOSE 80``, ``SHELL ["sh"]``) against BuildKit's built-in frontend.

Only certain refusals are reported, each with the allowed values. A frontend named by a ``# syntax=`` line may
accept more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lamina.patterns import regex

_STAGE = regex(r"[a-z][a-z0-9_.-]*")
_UNTRIGGERED = frozenset({"FROM", "MAINTAINER", "ONBUILD"})
_PORTS = regex(r"\+?(\d+)(?:-\+?(\d+))?(?:/(?:tcp|udp|sctp)?)?", re.IGNORECASE)
_LAST_PORT = 65535
_DURATIONS = frozenset({"--interval", "--start-interval", "--start-period", "--timeout"})
_DURATION = regex(r"\+?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
# https://github.com/moby/sys/blob/main/signal/signal_linux.go
_SIGNAL = regex(
    r"(?:SIG)?(?:ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IO|IOT|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT"
    r"|STOP|SYS|TERM|TRAP|TSTP|TTIN|TTOU|UNUSED|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ"
    r"|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)|[-+]?0*[1-9]\d*",
    re.IGNORECASE,
)


def argument_faults(
    name: str, words: Sequence[str], flags: Sequence[str], *, json: bool, trigger: str | None
) -> Iterator[tuple[str, str]]:
    """Yield what the frontend refuses in any stage. trigger: the instruction inside an ONBUILD."""
    if name == "FROM" and len(words) == 3 and not _STAGE.fullmatch(words[2].lower()):
        yield f"{words[2]!r} cannot name a stage", "a letter, then letters, digits, '-', '_' or '.'"
    elif name == "SHELL" and not json:
        yield "SHELL is not in JSON form", 'SHELL ["/bin/bash", "-c"]'
    elif name == "HEALTHCHECK" and words:
        yield from _healthcheck(words, flags)
    elif name == "ONBUILD" and trigger in _UNTRIGGERED:
        yield (
            f"ONBUILD cannot hold {trigger}",
            "any instruction except FROM, MAINTAINER and ONBUILD",
        )
    elif name == "VOLUME" and "" in words:
        yield "VOLUME names an empty path", "VOLUME <path>..."
    elif name in {"ENV", "LABEL"} and "" in words[::2]:
        yield f"{name} without a name before the =", f"{name} <name>=<value>"
    elif name == "ARG" and any(word.startswith("=") for word in words):
        yield "ARG without a name before the =", "ARG <name>[=<default>]"


def _healthcheck(words: Sequence[str], flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    kind = words[0].upper()
    if kind not in {"CMD", "NONE"}:
        yield f"HEALTHCHECK {words[0]} is unknown", "HEALTHCHECK [--flags] CMD <command>, HEALTHCHECK NONE"
    elif (kind == "CMD") is (len(words) == 1):
        what = "HEALTHCHECK CMD needs a command" if kind == "CMD" else "HEALTHCHECK NONE takes no arguments"
        yield what, "HEALTHCHECK [--flags] CMD <command>, HEALTHCHECK NONE"
    for flag in flags if kind == "CMD" else ():
        key, given, value = flag.partition("=")
        if key == "--retries" and given and not value.isdecimal():
            yield f"{flag} is not a number", "0, 1, 2, ..."
        elif key in _DURATIONS and given and not _DURATION.fullmatch(value):
            yield f"{flag} is not a duration", "30s, 1m30s, 500ms"


def value_faults(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield what the frontend refuses in a used stage. value: one word, with variables expanded."""
    if name == "STOPSIGNAL" and not _SIGNAL.fullmatch(value):
        yield f"STOPSIGNAL {value} is not a signal", "SIGTERM, TERM, SIGRTMIN+3, 15"
    elif name == "EXPOSE":
        for port in value.split():
            if ":" not in port and not _is_port(port):
                yield f"EXPOSE {port} is not a port", "80, 80/tcp, 8000-8010/udp; without a comment after it"


def _is_port(word: str) -> bool:
    found = _PORTS.fullmatch(word)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    return first <= last <= _LAST_PORT


def secret_fault(options: dict[str, str]) -> tuple[str, str] | None:
    """Return a problem if a ``--mount=type=secret`` does not name a secret. options: as written."""
    if any(options.get(key) for key in ("id", "source", "src", "target", "dst", "destination")):
        return None
    return "--mount=type=secret does not name a secret", "--mount=type=secret,id=<name>"
