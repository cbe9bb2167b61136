"""Read `.dockerignore` exactly as BuildKit does: the same lines, the same patterns, the same walk.

The rules have three sources. Lines are read as in ``ignorefile.ReadAll`` of moby/patternmatcher. Paths are
matched as in its ``PatternMatcher``: Go's ``filepath.Match`` defines well-formed patterns and Go's ``regexp``
their meaning. Folders are entered as in ``filter.go`` of tonistiigi/fsutil. Oddities are kept: ``\\d`` is a
digit, ``[[:alpha:]]`` a letter, ``/!a`` re-includes, and a folder may stay excluded although a ``!`` line
names something in it.

One check is stricter: BuildKit refuses some patterns only when a path reaches their line, Lamina always.
"""

from __future__ import annotations

import codecs
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from functools import cache

from lamina.errors import ConfigError, Problem
from lamina.identify.goregexp import PatternError, compile_go
from lamina.patterns import regex
from lamina.values import dataclass

# The characters that Go trims (unicode.IsSpace). str.strip() would also trim \x1c to \x1f.
_EN_QUAD_TO_HAIR_SPACE = "".join(map(chr, range(0x2000, 0x200B)))
_BLANK = f"\t\n\v\f\r \x85\xa0\u1680{_EN_QUAD_TO_HAIR_SPACE}\u2028\u2029\u202f\u205f\u3000"
_LONGEST_LINE = 64 * 1024 - 1  # bytes that Go's bufio.Scanner reads in one line
_BAD_BYTES = r"[\udc80-\udcff]"
_ALLOWED = "shell patterns with *, ?, **, [a-z], [^a-z], and \\ before a literal character"


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """One line of an ignore file: ``text`` as written, ``pattern`` as matched, without its ``!``."""

    source: str
    line: int
    text: str
    pattern: str
    negated: bool

    def __str__(self) -> str:
        return f"line {self.line} `{self.text}` of {self.source}"

    def unsendable(self) -> Problem:
        """Return the problem of control characters: plain ASCII patterns are sent as gRPC headers."""
        what = f"`{self.text!r}` has a control character, which BuildKit's client cannot send"
        return Problem(what=what, where=f"{self.source}:{self.line}", hint="replace it with ?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """The rules of an ignore file in order. The last one that matches a path decides.

    Attributes:
        source: The file, for messages. The rules may come from several files.
    """

    source: str | None
    rules: tuple[IgnoreRule, ...]
    everywhere: bool = False
    """Whether a ``!`` rule makes every excluded folder be entered, as in `patterns`."""
    _folders: dict[str, Folder] = field(default_factory=dict, init=False, repr=False, compare=False)
    _longer: dict[tuple[str, ...], Ignore] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def parse(cls, text: bytes, source: str) -> Ignore:
        """Read an ignore file. Raises ConfigError with ``source:line`` of every malformed line."""
        rules: list[IgnoreRule] = []
        problems: list[Problem] = []
        for number, raw in enumerate(text.split(b"\n"), start=1):
            try:
                if rule := _read(raw, number, source):
                    rules.append(rule)
            except PatternError as error:
                where = f"{source}:{number}"
                problems.append(Problem(what=str(error), where=where, allowed=_ALLOWED, hint=error.hint))
        if all(rule.pattern.isascii() for rule in rules):
            problems += [rule.unsendable() for rule in rules if not rule.pattern.isprintable()]
        ConfigError.check(problems)
        return cls(source=source, rules=tuple(rules))

    @classmethod
    def patterns(cls, patterns: Iterable[str], source: str) -> Ignore:
        """Read independent patterns, as in ``--exclude``: no comments, and ``/a`` differs from ``a``.

        Raises:
            PatternError: For the first malformed pattern.
        """
        stripped = ((each, each.strip(_BLANK)) for each in patterns)
        rules = (_rule(_clean(pattern), text, 0, source) for text, pattern in stripped if pattern)
        return cls(source=source, rules=tuple(rules), everywhere=True)

    def plus(self, patterns: Iterable[str], source: str = "the default excludes") -> Ignore:
        """Return these rules followed by others, which take precedence. Raises ConfigError like `parse`."""
        key = (source, *patterns)
        if key not in self._longer:
            self._longer[key] = Ignore(source=self.source, rules=self.rules + _more(key[1:], source))
        return self._longer[key]

    def folder(self, path: str = "") -> Folder:
        """Return the folder ``path`` (relative, POSIX) as seen by the rules; "" is the root."""
        known = self._folders.get(path)
        if known is None:
            parent, _, name = path.rpartition("/")
            known = self._folders[path] = self.folder(parent).enter(name) if path else Folder.root(self)
        return known

    def hides(self, path: str) -> IgnoreRule | None:
        """Return the rule that excludes ``path`` (relative, POSIX) from the context; None if included."""
        parent, _, name = path.rpartition("/")
        return self.folder(parent).hides(name)

    def may_reinclude_below(self, directory: str) -> bool:
        """Whether BuildKit enters an excluded ``directory`` because of a ``!`` line.

        The rule compares text. If any ``!`` pattern has a wildcard (apart from a final ``/*`` or ``/**``),
        all folders are entered; else only the ancestors of the paths that ``!`` patterns name.
        """
        if self.everywhere:
            return any(rule.negated for rule in self.rules)
        stems = [rule.pattern.removesuffix("/**").removesuffix("/*") for rule in self.rules if rule.negated]
        if any(not _WILD.isdisjoint(stem) for stem in stems):
            return True
        return any(f"{stem}/".startswith(f"{directory}/") for stem in stems)


EMPTY = Ignore(source=None, rules=())


@cache
def _more(patterns: tuple[str, ...], source: str) -> tuple[IgnoreRule, ...]:
    return Ignore.parse("\n".join(patterns).encode(), source).rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder met on a walk, and the state of the rules that already matched it.

    Attributes:
        path: Relative to the root, which is "".
        hidden_by: The rule that excludes the folder. It is still included when anything below it is.
        walked: Whether anything below can be included.
    """

    path: str
    hidden_by: IgnoreRule | None
    walked: bool
    _ignore: Ignore = field(repr=False)
    _pairs: tuple[tuple[IgnoreRule, Match], ...] = field(repr=False)
    _may_hide: Match = field(repr=False)
    _hits: tuple[bool, ...] = field(repr=False)

    @classmethod
    def root(cls, ignore: Ignore) -> Folder:
        """Return the context's root, which no rule can exclude."""
        pairs = tuple((rule, _matcher(rule.pattern)) for rule in ignore.rules)
        return cls(
            path="",
            hidden_by=None,
            walked=True,
            _ignore=ignore,
            _pairs=pairs,
            _may_hide=_any_of(rule.pattern for rule in ignore.rules if not rule.negated),
            _hits=(False,) * len(pairs),
        )

    def hides(self, name: str) -> IgnoreRule | None:
        """Return the rule that excludes the entry ``name`` of this folder, or None."""
        return self._decide(name)[0] if self.walked else self.hidden_by

    def enter(self, name: str) -> Folder:
        """Return the subfolder ``name``."""
        path = f"{self.path}/{name}" if self.path else name
        if not self.walked:
            return replace(self, path=path)
        rule, hits = self._decide(name)
        walked = rule is None or self._ignore.may_reinclude_below(path)
        return replace(self, path=path, hidden_by=rule, walked=walked, _hits=tuple(hits))

    def _decide(self, name: str) -> tuple[IgnoreRule | None, Sequence[bool]]:
        path = f"{self.path}/{name}" if self.path else name
        decided: IgnoreRule | None = None
        if not self._may_hide(path) and True not in self._hits:
            return None, self._hits
        hits = list(self._hits)
        for index, (rule, matches) in enumerate(self._pairs):
            if not hits[index]:
                # A rule that would not change the result is skipped, and counts as no match for all below.
                if rule.negated is (decided is None) or not matches(path):
                    continue
                hits[index] = True
            decided = None if rule.negated else decided or rule
        return decided, hits


# Read a line

_WILD = frozenset("*[]?^\\")
# The parts of filepath.Match: a chunk reaches up to the next free *; the rest defines well-formed chunks.
_CHUNK = regex(r"\**((?:\\.?|\[(?:\\.?|[^\\\]])*\]?|[^*\\\[])*)", re.DOTALL)
_MEMBER = r"(\\[^\udc80-\udcff]|[^\\\]\-\udc80-\udcff])"
_SPAN = rf"{_MEMBER}(?:-{_MEMBER})?"
_SET = rf"\[(\^?+)((?:{_SPAN})++)\]"
_WELL_FORMED = rf"(?:\\.|{_SET}|[^\\\[])*+"
# As texts: few patterns have a set or a backslash, and these expressions take long to compile.


def _read(raw: bytes, number: int, source: str) -> IgnoreRule | None:
    if len(raw) > _LONGEST_LINE:
        raise PatternError(f"the line has {len(raw)} bytes; BuildKit reads up to {_LONGEST_LINE}")
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    line = raw.decode(errors="surrogateescape")
    if line.startswith("#"):  # only in the first column; " #a" is a pattern
        return None
    whole = _normal(line)
    return _rule(whole, line.strip(_BLANK), number, source) if whole else None


def _rule(whole: str, text: str, number: int, source: str) -> IgnoreRule:
    """Make the rule of a cleaned pattern, which may begin with ``!``. text: as written."""
    negated = whole.startswith("!")
    pattern = whole[1:] if negated else whole
    if not pattern:
        raise PatternError(f"`{text}` re-includes nothing", "write the path to re-include after the `!`")
    try:
        _check(pattern)
        pattern = _valid(pattern)
        _matcher(pattern)
    except PatternError as error:
        raise PatternError(f"malformed pattern `{text}`: {error}", error.hint) from None
    return IgnoreRule(source=source, line=number, text=_valid(text), pattern=pattern, negated=negated)


def _valid(text: str) -> str:
    """Return a text with U+FFFD for each byte that is not UTF-8, as in Go's JSON."""
    return text if text.isascii() else re.sub(_BAD_BYTES, "\ufffd", text)


def _check(pattern: str) -> None:
    """Refuse what ``filepath.Match(pattern, ".")`` refuses. It stops at the first chunk that cannot match."""
    if "[" not in pattern and "\\" not in pattern:
        return
    for chunk in (found[1] for found in _CHUNK.finditer(pattern)):
        well_formed = re.match(_WELL_FORMED, chunk, re.DOTALL)
        fault = chunk[well_formed.end() :] if well_formed else chunk
        if fault == "\\":
            raise PatternError("nothing follows the last backslash", "write \\\\ for a literal backslash")
        if fault:
            raise PatternError(f"`{fault}` is not a set of characters", "write \\[ for a literal bracket")
        if not _takes_dot(chunk):
            return


def _takes_dot(chunk: str) -> bool:
    if found := re.fullmatch(_SET, chunk, re.DOTALL):
        spans = [(low[-1], (high or low)[-1]) for low, high in re.findall(_SPAN, found[2], re.DOTALL)]
        return any(low <= "." <= high for low, high in spans) is not bool(found[1])
    return chunk in {".", "?", "\\."}


def _normal(line: str) -> str:
    """Trim and clean the line as BuildKit's two readers do in turn: ``/ a`` is ``a``, ``/!a`` is ``!a``."""
    line = line.strip(_BLANK)
    mark, body = ("!", line[1:].strip(_BLANK)) if line.startswith("!") else ("", line)
    if body:
        body = _clean(body)
        body = body[1:] if body.startswith("/") and body != "/" else body
    whole = (mark + body).strip(_BLANK)
    return whole and _clean(whole)


def _clean(path: str) -> str:
    """Clean a path like Go's ``filepath.Clean``. Unlike in `posixpath.normpath`, ``//`` is not special."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


# Match a path: a pattern becomes a simple comparison if possible, else Go's regular expression

Match = Callable[[str], object]
_TOKEN = regex(r"\*\*/?|\\?.", re.DOTALL)
_MEANING = {"*": "[^/]*", "?": "[^/]", "[": "[", "]": "]"}


@cache
def _matcher(pattern: str) -> Match:
    kind, expression = _understand(pattern)
    if kind == "exact":
        return pattern.__eq__
    if kind == "prefix":
        start = pattern[:-2]
        return lambda path: path.startswith(start)
    if kind == "suffix":
        tail = pattern.encode()[2:].decode(errors="surrogateescape")  # Go cuts bytes, even of a BOM
        whole = tail[1:] if tail.startswith("/") else None
        return lambda path: path.endswith(tail) or path == whole
    return compile_go(expression).search


def _any_of(patterns: Iterable[str]) -> Match:
    """Combine many patterns into one quick check that is false only if none of them matches.

    Almost no file matches any pattern, and most patterns are plain texts or end in one.
    """
    texts: set[str] = set()
    tails: list[str] = []
    others: list[Match] = []
    for pattern in patterns:
        kind, _ = _understand(pattern)
        tail = re.fullmatch(r"\*\*/\*?([\w.-]+)", pattern, re.ASCII)
        if kind == "exact":
            texts.add(pattern)
        elif tail:
            tails.append(tail[1])
        else:
            others.append(_matcher(pattern))
    ends = tuple(tails)
    if not others:
        return lambda path: path.endswith(ends) or path in texts
    return lambda path: path.endswith(ends) or path in texts or any(matches(path) for matches in others)


@cache
def _understand(pattern: str) -> tuple[str, str]:
    """Return how to match the pattern (exact, prefix, suffix, regexp) and Go's regular expression for it."""
    kind, expression = "exact", "^"
    scanned = pattern.removeprefix("\ufeff")  # Go's scanner drops a byte order mark
    for token in _TOKEN.finditer(scanned):
        text, last = token[0], token.end() == len(scanned)
        if text.startswith("**"):
            kind = "prefix" if last and kind == "exact" else "regexp"
            expression += ".*" if last else "(.*/)?"
            if token.start() == 0:
                kind = "suffix"
        elif text in _MEANING or len(text) == 2:
            kind = "regexp"
            expression += _MEANING.get(text, text)
        else:
            expression += f"\\{text}" if text in ".+()$" else text
    return kind, f"{expression}$"
