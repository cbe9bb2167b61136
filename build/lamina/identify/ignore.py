"""`.dockerignore` as BuildKit reads it: the same lines, the same patterns, the same walk.

Three sources make the rule, and each has its part below. Reading the lines is ``ignorefile.ReadAll`` of
moby/patternmatcher; matching is its ``PatternMatcher``, for which Go's ``filepath.Match`` says what is well
formed and Go's ``regexp`` what it means; which folders are entered is ``filter.go`` of tonistiigi/fsutil.
Their oddities are kept: ``\\d`` is a digit, ``[[:alpha:]]`` a letter, ``/!a`` re-includes, and a folder may
stay closed although a ``!`` line reaches into it.

One thing is stricter: BuildKit refuses some patterns only once a path gets as far as their line, we at once.
"""

from __future__ import annotations

import codecs
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from lamina.errors import ConfigError, Problem
from lamina.identify.goregexp import PatternError, compile_go

# What Go trims (unicode.IsSpace); str.strip() would take \x1c to \x1f as well.
_EN_QUAD_TO_HAIR_SPACE = "".join(map(chr, range(0x2000, 0x200B)))
_BLANK = f"\t\n\v\f\r \x85\xa0\u1680{_EN_QUAD_TO_HAIR_SPACE}\u2028\u2029\u202f\u205f\u3000"
_LONGEST_LINE = 64 * 1024 - 1  # bytes that Go's bufio.Scanner takes in one line
_BAD_BYTES = re.compile(r"[\udc80-\udcff]")
_ALLOWED = "shell patterns with *, ?, **, [a-z], [^a-z], and \\ before a character to be taken as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """One line of an ignore file: ``text`` as written, ``pattern`` as it is matched, without its ``!``."""

    source: str
    line: int
    text: str
    pattern: str
    negated: bool

    def __str__(self) -> str:
        return f"line {self.line} `{self.text}` of {self.source}"

    def unsendable(self) -> Problem:
        """BuildKit sends plain ASCII patterns as gRPC headers, which hold no control character."""
        what = f"`{self.text!r}` has a control character, and BuildKit's client fails to send it"
        return Problem(what=what, where=f"{self.source}:{self.line}", hint="let a ? stand for it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """The rules of an ignore file, in order: the last one that matches a path decides.

    source: the file they come from, for messages. Rules of several files may be joined into one tuple.
    """

    source: str | None
    rules: tuple[IgnoreRule, ...]
    everywhere: bool = False
    """Whether a ``!`` rule opens every hidden folder, as in `patterns`."""
    _folders: dict[str, Folder] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: bytes, source: str) -> Ignore:
        """Read an ignore file; ConfigError names every malformed line as ``source:line``."""
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
        """Patterns that stand by themselves, as in ``--exclude``: no comments, and ``/a`` is not ``a``.

        Raises PatternError for the first that is malformed.
        """
        stripped = ((each, each.strip(_BLANK)) for each in patterns)
        rules = (_rule(_clean(pattern), text, 0, source) for text, pattern in stripped if pattern)
        return cls(source=source, rules=tuple(rules), everywhere=True)

    def plus(self, patterns: Iterable[str], source: str = "the default excludes") -> Ignore:
        """These rules and then more, which have the last word; ConfigError as from `parse`."""
        return Ignore(source=self.source, rules=self.rules + _more(tuple(patterns), source))

    def folder(self, path: str = "") -> Folder:
        """The directory ``path`` (relative, POSIX) as the rules see it; "" is the root, where walks begin."""
        known = self._folders.get(path)
        if known is None:
            parent, _, name = path.rpartition("/")
            known = self._folders[path] = self.folder(parent).enter(name) if path else Folder.root(self)
        return known

    def hides(self, path: str) -> IgnoreRule | None:
        """The rule that keeps ``path`` (relative, POSIX) out of the context, or None when it goes in."""
        parent, _, name = path.rpartition("/")
        return self.folder(parent).hides(name)

    def may_reinclude_below(self, directory: str) -> bool:
        """Whether BuildKit enters ``directory`` although it is hidden, for the sake of a ``!`` line.

        It compares text: once any ``!`` pattern has a wildcard (a last ``/*`` or ``/**`` apart), all folders
        are entered; else only those on the way to what a ``!`` pattern names.
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
    """A directory met on a walk, with what is known of the rules that already matched it.

    path: relative to the root, which is "". hidden_by: the rule that hides the directory itself; it goes into
    the context all the same when something below does. walked: whether anything below can.
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
        """The context's root, which no rule can hide."""
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
        """The rule that hides the entry ``name`` of this directory, or None."""
        return self._decide(name)[0] if self.walked else self.hidden_by

    def enter(self, name: str) -> Folder:
        """The subdirectory ``name``."""
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
                # A rule that could change nothing is not tried, and counts as no match for all below.
                if rule.negated is (decided is None) or not matches(path):
                    continue
                hits[index] = True
            decided = None if rule.negated else decided or rule
        return decided, hits


# Reading a line

_WILD = frozenset("*[]?^\\")
# filepath.Match's parts: a chunk reaches up to the next free *; the rest says what is well formed there.
_CHUNK = re.compile(r"\**((?:\\.?|\[(?:\\.?|[^\\\]])*\]?|[^*\\\[])*)", re.DOTALL)
_MEMBER = r"(\\[^\udc80-\udcff]|[^\\\]\-\udc80-\udcff])"
_SPAN = re.compile(rf"{_MEMBER}(?:-{_MEMBER})?", re.DOTALL)
_SET = re.compile(rf"\[(\^?+)((?:{_SPAN.pattern})++)\]", re.DOTALL)
_WELL_FORMED = re.compile(rf"(?:\\.|{_SET.pattern}|[^\\\[])*+", re.DOTALL)


def _read(raw: bytes, number: int, source: str) -> IgnoreRule | None:
    if len(raw) > _LONGEST_LINE:
        raise PatternError(f"a line of {len(raw)} bytes; BuildKit reads up to {_LONGEST_LINE}")
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    line = raw.decode(errors="surrogateescape")
    if line.startswith("#"):  # only in the first column: " #a" is a pattern
        return None
    whole = _normal(line)
    return _rule(whole, line.strip(_BLANK), number, source) if whole else None


def _rule(whole: str, text: str, number: int, source: str) -> IgnoreRule:
    """A cleaned pattern, with its ``!`` where it has one. text: as written."""
    negated = whole.startswith("!")
    pattern = whole[1:] if negated else whole
    if not pattern:
        raise PatternError(f"`{text}` re-includes nothing", "name what to re-include after the `!`")
    try:
        _check(pattern)
        pattern = _BAD_BYTES.sub("\ufffd", pattern)  # as Go's JSON carries it
        _matcher(pattern)
    except PatternError as error:
        raise PatternError(f"malformed pattern `{text}`: {error}", error.hint) from None
    text = _BAD_BYTES.sub("\ufffd", text)
    return IgnoreRule(source=source, line=number, text=text, pattern=pattern, negated=negated)


def _check(pattern: str) -> None:
    """Refuse what ``filepath.Match(pattern, ".")`` refuses, which reads no further than "." matches."""
    for chunk in (found[1] for found in _CHUNK.finditer(pattern)):
        well_formed = _WELL_FORMED.match(chunk)
        fault = chunk[well_formed.end() :] if well_formed else chunk
        if fault == "\\":
            raise PatternError("nothing follows the last backslash", "write \\\\ for the character itself")
        if fault:
            raise PatternError(f"`{fault}` is no set of characters", "write \\[ for the character itself")
        if not _takes_dot(chunk):
            return


def _takes_dot(chunk: str) -> bool:
    if found := _SET.fullmatch(chunk):
        spans = [(low[-1], (high or low)[-1]) for low, high in _SPAN.findall(found[2])]
        return any(low <= "." <= high for low, high in spans) is not bool(found[1])
    return chunk in {".", "?", "\\."}


def _normal(line: str) -> str:
    """The line as BuildKit's two readers trim and clean it in turn: ``/ a`` is ``a``, ``/!a`` is ``!a``."""
    line = line.strip(_BLANK)
    mark, body = ("!", line[1:].strip(_BLANK)) if line.startswith("!") else ("", line)
    if body:
        body = _clean(body)
        body = body[1:] if body.startswith("/") and body != "/" else body
    whole = (mark + body).strip(_BLANK)
    return whole and _clean(whole)


def _clean(path: str) -> str:
    """Go's ``filepath.Clean``, which unlike `posixpath.normpath` knows no root named ``//``."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


# Matching a path: a pattern becomes a comparison where one is enough, else Go's regular expression

Match = Callable[[str], object]
_TOKEN = re.compile(r"\*\*/?|\\?.", re.DOTALL)
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
        tail = pattern.encode()[2:].decode(errors="surrogateescape")  # Go cuts bytes, of a BOM as well
        whole = tail[1:] if tail.startswith("/") else None
        return lambda path: path.endswith(tail) or path == whole
    return compile_go(expression).search


def _any_of(patterns: Iterable[str]) -> Match:
    """One quick look for many patterns: false only where none of them matches.

    Almost no file matches any, and most patterns end in a plain text or are one.
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
    """How to match the pattern (exact, prefix, suffix, regexp), and the regular expression Go makes of it."""
    kind, expression = "exact", "^"
    scanned = pattern.removeprefix("\ufeff")  # Go's scanner drops it
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
