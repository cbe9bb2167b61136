"""Find what a Python source may import by searching for the word: a hundred times faster than parsing.

The result never has less than the syntax tree, but may have more: text in strings and comments counts too.
Sources in which a search could miss an import are refused: those need the parser.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from lamina.patterns import regex


class Mention(NamedTuple):
    """A possible import. level: number of dots of a relative import. names: those of ``from … import``."""

    level: int
    module: str
    names: tuple[str, ...]


class Scanned(NamedTuple):
    """What a search finds.

    Attributes:
        opens: Whether the source may open files beside itself or in a package.
        notable: Whether it may have a trait: see `lamina.identify.traits`.
    """

    imports: tuple[Mention, ...] = ()
    opens: bool = False
    notable: bool = False


class UnusualError(Exception):
    """The source writes imports in a way that a search does not recognise."""


_WORD = regex(rb"import(?![\w\x80-\xff])")
_FROM = regex(rb"from(?![\w\x80-\xff])([\w. \t\f]*)\Z")
_INSIDE = regex(rb"[ \t\f]*\(((?:[^()#]|#[^\n]*\n)*+)\)")
_IN_LINE = regex(rb"(?:[^\n;#\\]|\\\n)*")
_COMMENT = regex(rb"#[^\n]*|\\\n")
_ALIAS = regex(rb"([\w.\s]+?)(?:\s+as\s+\w+)?")
_CODING = regex(rb"coding[:=]\s*([-\w.]+)")
_PLAIN = frozenset({b"utf-8", b"utf8", b"ascii", b"us-ascii", b"latin-1", b"iso-8859-1"})
_FILES = (b"__file__", b"importlib", b"pkgutil", b"pkg_resources")
_NESTED = (rb'f"[^"\n{]*\{[^"\n}]*["\\]', rb"f'[^'\n{]*\{[^'\n}]*['\\]")
"""f-strings of Python 3.12; older versions cannot parse a module with one, so there it matters not."""
_OPENS = (
    rb"\n(?!def |class |#)\S[^\n]*"
    rb"(?:\bopen\s*\(|read_text|read_bytes|FileSystemLoader|mkdir|makedirs|write_|FileHandler)"
)
_IMPORTS = (
    rb"\n(?:import|from)\s+(?:imp|distutils|asyncore|asynchat|smtpd|aifc|audioop|cgi|cgitb|chunk|crypt|imghdr"
    rb"|mailcap|nntplib|pipes|sndhdr|spwd|sunau|telnetlib|uu|xdrlib|lib2to3|zoneinfo|graphlib|tomllib)\b"
)
_NOTABLE = tuple(
    regex(pattern)
    for pattern in (
        _OPENS,
        _IMPORTS,
        rb"\n[ \t]*match\b[^\n]*:",
        rb"\n[ \t]*type\s+\w+",
        rb"except\s*\*",
        rb"def\s+\w+\s*\[",
        rb"class\s+\w+\s*\[",
        rb"multiprocessing",
        rb"ProcessPoolExecutor",
        *(_NESTED if sys.version_info >= (3, 12) else ()),
    )
)
"""What may make a trait; only statements of the module's own level open files when it is imported.

Each begins with a literal, which makes a search several times as fast as one pattern for all.
"""
_BLANK = b" \t\f"
_MARK = b"\xef\xbb\xbf"


def scan(source: bytes) -> Scanned:
    """Return all imports that a source may have, except of the standard library. Raises UnusualError."""
    if b"\r" in source:
        source = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    source = source.removeprefix(_MARK)
    head = b"\n".join(source.split(b"\n", 2)[:2])
    if any(each.lower() not in _PLAIN for each in _CODING.findall(head)):
        raise UnusualError
    found: dict[Mention, None] = {}
    for word in _WORD.finditer(source):
        found.update(dict.fromkeys(_mentions(source, word.start(), word.end())))
    return Scanned(tuple(found), names_files(source), is_notable(source))


def names_files(source: bytes) -> bool:
    """Whether a source may open files beside itself or in a package."""
    return any(word in source for word in _FILES)


def is_notable(source: bytes) -> bool:
    """Whether a source may have a trait, or import a module that some versions of Python lack."""
    lines = b"\n" + source
    return any(each.search(lines) for each in _NOTABLE)


def _mentions(source: bytes, start: int, end: int) -> Iterator[Mention]:
    """Yield the imports of a statement that may have its keyword there. Statements begin lines or clauses."""
    line = source.rfind(b"\n", 0, start) + 1
    if source.endswith(b"\\\n", 0, line):
        raise UnusualError
    begin = max(line, source.rfind(b":", line, start) + 1, source.rfind(b";", line, start) + 1)
    statement = source[begin:start].lstrip(_BLANK)
    if not statement:
        yield from _modules(source, end)
    elif leading := _FROM.fullmatch(statement):
        yield from _names(leading[1], source, end)
    elif statement.startswith(b"from") and not statement.isascii():
        raise UnusualError


def _modules(source: bytes, end: int) -> Iterator[Mention]:
    """Yield the modules of ``import a.b as c, d``."""
    for name in _listed(source, end):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            yield Mention(0, name, ())


def _names(written: bytes, source: bytes, end: int) -> Iterator[Mention]:
    """Yield the import of ``from ..a.b import c as d, e``. written: what is between the keywords."""
    module = b"".join(written.split()).decode("ascii")
    name = module.lstrip(".")
    level = len(module) - len(name)
    if (name or level) and (level or name.partition(".")[0] not in sys.stdlib_module_names):
        yield Mention(level, name, tuple(_listed(source, end)))


def _listed(source: bytes, end: int) -> Iterator[str]:
    """Yield the names that follow the keyword, without their aliases."""
    found = _INSIDE.match(source, end) or _IN_LINE.match(source, end)
    text = found[found.lastindex or 0] if found else b""
    if not text.isascii():
        text = _COMMENT.sub(b" ", text)
        if not text.isascii():
            raise UnusualError
    for part in _COMMENT.sub(b" ", text).split(b","):
        written = part.strip()
        if written == b"*":
            yield "*"
        elif named := _ALIAS.fullmatch(written):
            yield b"".join(named[1].split()).decode("ascii")
