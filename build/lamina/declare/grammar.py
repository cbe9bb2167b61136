"""Allowed names in the configuration. Each becomes part of a reference, a path or a list of options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lamina.patterns import regex
from lamina.refs import Reference

NAME = regex(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
NAMES = "lower-case letters and digits, between them '-', '.' or '_'"
BUILDER = regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
SECRET = regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SECRETS = "letters, digits, '_', '-', '.'"
_CONTEXT = regex(r"[A-Za-z0-9_][A-Za-z0-9_./:@-]*")
CONTEXTS = "letters, digits, '_', '-', '.', '/', ':', without '..'"
REGIONS = "a name such as eu-west-1, us-gov-west-1 or cn-north-1"
REGISTRIES = "local, ecr, or host[:port][/prefix]"
LONGEST = 128
_SAMPLE = "a"
_IN_VALUES = "\n\r\t"
_LONGEST_FILE = 255


def is_name(text: str) -> bool:
    """Whether a text can be part of a repository name and of a path."""
    return NAME.fullmatch(text) is not None and len(text) <= LONGEST


def is_context(text: str) -> bool:
    """Whether a text can name a build context: a word, or a reference to an image."""
    return _CONTEXT.fullmatch(text) is not None and ".." not in text and len(text) <= LONGEST


def is_registry(address: str) -> bool:
    """Whether a text is the address of a registry: ``ecr[/prefix]`` or ``host[:port][/prefix]``."""
    head, slash, prefix = address.partition("/")
    host = "ecr.invalid" if head == "ecr" else head
    try:
        return Reference.parse(f"{host}{slash}{prefix.rstrip('/')}/{_SAMPLE}".replace("//", "/")).host == host
    except ValueError:
        return False


def is_repository(text: str) -> bool:
    """Whether a text can be the name of a repository."""
    try:
        return str(Reference.parse(text)) == text and not text.startswith("@") and len(text) <= 2 * LONGEST
    except ValueError:
        return False


def is_image(text: str) -> bool:
    """Whether a text is a reference to an image."""
    try:
        Reference.parse(text)
    except ValueError:
        return False
    return True


def without_login(address: str) -> str:
    """Return an address with the part before ``@`` masked, since it may be a password."""
    return f"***@{address.rpartition('@')[2]}" if "@" in address else address


def unusable(table: object, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each unusable key or text in a table with the reason. Values of arguments may be any text."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            if fault := _fault(key):
                yield (*path, key), f"{fault} {key!r}"
            yield from unusable(value, *path, key)
    elif isinstance(table, list):
        for each in table:
            yield from unusable(each, *path)
    elif isinstance(table, str):
        is_value = "args" in path[-2:-1]
        if fault := _control(table, _IN_VALUES) if is_value else _fault(table):
            yield path, f"{fault} {path[-1]}" if is_value else f"{fault} {table!r}"


def _fault(text: str) -> str | None:
    if max(len(part.encode("utf-8", "replace")) for part in text.split("/")) > _LONGEST_FILE:
        return f"more than {_LONGEST_FILE} bytes without a slash:"
    return _control(text)


def _control(text: str, allowed: str = "") -> str | None:
    found = any((each < " " or each == "\x7f") and each not in allowed for each in text)
    return "control characters in" if found else None
