from __future__ import annotations

import pytest

from lamina.errors import ConfigError
from lamina.identify.goregexp import PatternError
from lamina.identify.ignore import EMPTY, Folder, Ignore


def ignore(*lines: str) -> Ignore:
    return Ignore.parse("\n".join(lines).encode(), "app/.dockerignore")


# moby/patternmatcher's published cases: TestMatches
MOBY = [
    ("**", "file", True),
    ("**/", "file", True),
    ("**", "dir/file", True),
    ("**/", "dir/file", True),
    ("**/**", "dir/file", True),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir/dir2/file", True),
    ("**/dir", "dir", True),
    ("**/dir", "dir/file", True),
    ("**/dir2/*", "dir/dir2/file", True),
    ("**/dir2/**", "dir/dir2/dir3/file", True),
    ("**file", "file", True),
    ("**file", "dir/file", True),
    ("**/file", "dir/file", True),
    ("**file", "dir/dir/file", True),
    ("**/file", "dir/dir/file", True),
    ("**/file*", "dir/dir/file", True),
    ("**/file*", "dir/dir/file.txt", True),
    ("**/file*txt", "dir/dir/file.txt", True),
    ("**/file*.txt", "dir/dir/file.txt", True),
    ("**/file*.txt*", "dir/dir/file.txt", True),
    ("**/**/*.txt", "dir/dir/file.txt", True),
    ("**/**/*.txt2", "dir/dir/file.txt", False),
    ("**/*.txt", "file.txt", True),
    ("**/**/*.txt", "file.txt", True),
    ("a**/*.txt", "a/file.txt", True),
    ("a**/*.txt", "a/dir/file.txt", True),
    ("a**/*.txt", "a/dir/dir/file.txt", True),
    ("a/*.txt", "a/dir/file.txt", False),
    ("a/*.txt", "a/file.txt", True),
    ("a/*.txt**", "a/file.txt", True),
    ("a[b-d]e", "ae", False),
    ("a[b-d]e", "ace", True),
    ("a[b-d]e", "aae", False),
    ("a[^b-d]e", "aze", True),
    (".*", ".foo", True),
    (".*", "foo", False),
    ("abc.def", "abcdef", False),
    ("abc.def", "abc.def", True),
    ("abc.def", "abcZdef", False),
    ("abc?def", "abcZdef", True),
    ("abc?def", "abcdef", False),
    ("a\\\\", "a\\", True),
    ("a\\*b", "a*b", True),
    ("**/foo/bar", "foo/bar", True),
    ("**/foo/bar", "dir/foo/bar", True),
    ("**/foo/bar", "dir/dir2/foo/bar", True),
    ("abc/**", "abc", False),
    ("abc/**", "abc/def", True),
    ("abc/**", "abc/def/ghi", True),
    ("**/.foo", ".foo", True),
    ("**/.foo", "bar.foo", False),
    ("a(b)c/def", "a(b)c/def", True),
    ("a(b)c/def", "a(b)c/xyz", False),
    ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
    ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", True),
]
# ... and TestMatch, which are Go's own for filepath.Match
GO = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "abc", True),
    ("a*", "ab/c", True),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^b-d]", "abc", False),
    ("ab[^e-g]", "abc", True),
    ("a\\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("a[^a][^a][^a]b", "a☺b", False),
    ("[a-\u03b6]*", "\u03b1", True),
    ("*[a-\u03b6]", "A", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    ("[\\]a]", "]", True),
    ("[\\-]", "-", True),
    ("[x\\-]", "x", True),
    ("[x\\-]", "-", True),
    ("[x\\-]", "z", False),
    ("[\\-x]", "x", True),
    ("[\\-x]", "-", True),
    ("[\\-x]", "a", False),
    ("*x", "xxx", True),
]
# What only the sources tell; each was seen to be so in a build.
ODD = [
    ("docs", "DOCS", False),
    ("./docs/", "docs/a", True),
    ("a/../b", "b", True),
    ("../b", "b", False),
    (".", "a", False),
    ("/", "a", False),
    ("//a", "a", True),
    (" /a ", "a", True),
    ("/ a", "a", True),
    ("a/ ", "a", True),
    ("a b", "a b", True),
    ("\u3000a\x85", "a", True),
    ("\u200ba", "a", False),
    (" #a", "#a", True),
    ("\\#a", "#a", True),
    ("\\!a", "!a", True),
    ("[!a]", "!", True),
    ("[!a]", "b", False),
    ("^a", "^a", True),
    ("^a*", "ab", True),
    ("a^b*", "a^bc", False),
    ("**.py", "a/b.py", True),
    ("**/x\n", "x", True),
    ("?", "/", False),
    ("{a,b}", "a", False),
    ("{a,b}", "{a,b}", True),
    ("a*|b", "ac", True),
    ("a*|b", "c/d/b", True),
    ("a*|b", "xa|b", True),
    ("a|b", "a", False),
    ("a?{2}", "abc", True),
    ("\\d*", "1a", True),
    ("\\d*", "d", False),
    ("\\Qa*\\E", "a[^/]*", True),
    ("[[:alpha:]]1", "b1", True),
    ("[*]", "[^]", True),
    ("[*]", "*", False),
    ("x*[]]", "xy]", True),
    ("x*\\", "xy$z", True),
    ("\ufeff\ufeff*a", "ba", True),
    ("\ufeff\ufeff**a", "ba", False),
]


@pytest.mark.parametrize(("pattern", "path", "hidden"), [*MOBY, *GO, *ODD])
def test_a_pattern_hides_what_it_hides_from_buildkit(pattern: str, path: str, hidden: bool) -> None:
    assert (ignore(pattern).hides(path) is not None) is hidden


@pytest.mark.parametrize(
    ("lines", "path", "hidden"),
    [
        (("**", "!util/docker/web"), "util/docker/web/foo", False),
        (("**", "!util/docker/web", "util/docker/web/foo"), "util/docker/web/foo", True),
        (("**", "!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"), "dist/proxy.py", True),
        (("**", "!dist/*.whl"), "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", False),
        (("!fileutils.go", "*.go"), "fileutils.go", True),
        (("*.go", "!fileutils.go"), "fileutils.go", False),
        (("docs", "!docs/README.md"), "docs/README.md", False),
        (("docs/", "!docs/README.md"), "docs/README.md", False),
        (("docs/*", "!docs/README.md"), "docs/README.md", False),
        (("docs", "  !docs/README.md"), "docs/README.md", False),
        (("docs", "!docs/README.md  "), "docs/README.md", False),
        (("docs", "! /docs/README.md"), "docs/README.md", False),
        (("docs", "!docs", "docs"), "docs/README.md", True),
        (("a", "/!a"), "a", False),
        (("*", "./!a"), "a", False),
        (("*", "!!a"), "!a", False),
        (("*", "!\\!a"), "!a", False),
        (("*", "!**/*.py"), "a/b.py", False),
        (("*", "!**/*.py"), "a/b.txt", True),
        # The last rule is not tried on the folder, hidden already, and so does not reach what is in it.
        (("a", "!a/x", "a*"), "a/x", False),
    ],
)
def test_the_last_rule_that_matches_decides(lines: tuple[str, ...], path: str, hidden: bool) -> None:
    assert (ignore(*lines).hides(path) is not None) is hidden


def test_the_rule_that_decides_says_where_it_stands() -> None:
    found = ignore("*.md", "", "docs/ ", "!docs/keep", "docs/keep/me").hides("docs/a/b")
    assert found is not None
    assert (found.line, found.text, found.pattern, found.negated) == (3, "docs/", "docs", False)
    assert str(found) == "line 3 `docs/` of app/.dockerignore"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (b"", []),
        (b"\n \n\t\n", []),
        (b"# a comment\n#\n", []),
        (b"\xef\xbb\xbf# a comment", []),
        (b"\xef\xbb\xbfa\r\nb\r\n", [(1, "a"), (2, "b")]),
        (b"a\n\xef\xbb\xbfb", [(1, "a"), (2, "\ufeffb")]),
        (b"a # b", [(1, "a # b")]),
        (
            b"test1\n/test2\n/a/file/here\n\nlastfile",
            [(1, "test1"), (2, "test2"), (3, "a/file/here"), (5, "lastfile")],
        ),
        (b"! /inverted/abs/path", [(1, "!inverted/abs/path")]),
        (b"/ /", []),
        (b"a//b/./c/..", [(1, "a/b")]),
        (b"\xe2\x82(", [(1, "\ufffd\ufffd(")]),
    ],
)
def test_lines_are_read_as_buildkit_reads_them(text: bytes, rules: list[tuple[int, str]]) -> None:
    read = Ignore.parse(text, "x").rules
    assert [(rule.line, "!" * rule.negated + rule.pattern) for rule in read] == rules


MALFORMED = (
    *[
        "[",
        "[^",
        "[^bc",
        "a[",
        "[]a]",
        "[-]",
        "[x-]",
        "[-x]",
        "[a-b-c]",
        "\\",
        "a\\",
        "!",
        "! ",
        "!/",
        "![",
        ".[",
        ".*[",
    ],
    # Go finds these only when a path is held against them.
    *[
        "[z-a]",
        "x*[",
        "\\y",
        "\\é",
        "\\pL",
        "\\8",
        "[[:foo:]]",
        "[[:alpha:]",
        "[\\b]",
        "\\x{110000}",
        "?{1001}",
        "*{2}",
    ],
)


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_an_error(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ignore(line)
    assert [problem.where for problem in caught.value.problems] == ["app/.dockerignore:1"]


def test_all_malformed_lines_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ignore("a", "b[", "!", "", "[z-a]", "c")
    assert str(caught.value).splitlines()[::3] == [
        "app/.dockerignore:2: malformed pattern `b[`: `[` is not a set of characters",
        "app/.dockerignore:3: `!` re-includes nothing",
        "app/.dockerignore:5: malformed pattern `[z-a]`: the range z-a runs backwards",
    ]


def test_a_line_that_gos_scanner_cannot_hold_is_an_error() -> None:
    assert len(Ignore.parse(b"a" * 65535, "x").rules) == 1
    with pytest.raises(ConfigError, match="65536 bytes"):
        Ignore.parse(b"a" * 65536, "x")


def test_a_control_character_is_an_error_unless_buildkit_encodes_the_patterns() -> None:
    with pytest.raises(ConfigError, match="control character"):
        ignore("a\tb")
    assert ignore("a\tb", "é").hides("a\tb")


@pytest.mark.parametrize(
    ("lines", "directory", "walked"),
    [
        (("a",), "a", False),
        (("a", "!a/b/c"), "a", True),
        (("a", "!a/b/c"), "a/b", True),
        (("a", "!a/b/c"), "a/x", False),
        (("a", "!a/b/**"), "a/b", True),
        (("a", "!a/*"), "a", True),
        (("a", "!b"), "a", False),
        (("a", "!b/*/c"), "a", True),
        (("a", "!**/c"), "a", True),
        (("a", "!x\\."), "a", True),
    ],
)
def test_a_hidden_folder_is_walked_when_buildkit_walks_it(
    lines: tuple[str, ...], directory: str, walked: bool
) -> None:
    assert ignore(*lines).may_reinclude_below(directory) is walked


def test_a_file_in_a_folder_that_is_not_walked_stays_out_although_a_rule_names_it() -> None:
    # Once the trailing /** is off, no wildcard is left in "foo/*", so only folders above foo are walked.
    rules = ignore("foo", "!foo/*/**")
    folder = rules.folder("foo").enter("bar")
    assert not folder.walked
    assert (
        rules.hides("foo/bar/x") == folder.hides("x") == folder.enter("deeper").hides("y") == rules.rules[0]
    )


def test_a_walk_and_a_question_give_the_same_answer() -> None:
    rules = ignore("*", "!src", "**/*.pyc", "src/gen/*", "!src/gen/keep.py", "**/tmp", "!src/tmp/a")
    paths = [
        "a",
        "src/a.py",
        "src/a.pyc",
        "src/gen/b.py",
        "src/gen/keep.py",
        "src/tmp/a",
        "src/tmp/b",
        "src/x/y/z",
    ]
    assert {path: bool(rules.hides(path)) for path in paths} == {
        path: bool(walk_to(rules, path)) for path in paths
    }
    assert [path for path in paths if not rules.hides(path)] == [
        "src/a.py",
        "src/gen/keep.py",
        "src/tmp/a",
        "src/x/y/z",
    ]


def walk_to(rules: Ignore, path: str) -> object:
    folder: Folder = rules.folder()
    *parents, name = path.split("/")
    for parent in parents:
        folder = folder.enter(parent)
    return folder.hides(name)


def test_without_rules_everything_is_in() -> None:
    assert EMPTY.hides("a/b") is None
    assert EMPTY.folder("a").walked


def test_rules_may_be_added_and_have_the_last_word() -> None:
    rules = ignore("*", "!a").plus(("**/*.pyc", "**/.git"), "the defaults")
    assert rules.source == "app/.dockerignore"
    assert str(rules.hides("a/b.pyc")) == "line 1 `**/*.pyc` of the defaults"
    assert rules.hides("a/b.py") is None


def test_equal_rules_are_equal_whatever_was_asked_of_them() -> None:
    asked, unasked = ignore("a"), ignore("a")
    asked.hides("a/b/c")
    assert asked == unasked
    assert hash(asked) == hash(unasked)


def test_patterns_that_stand_by_themselves_are_no_lines_of_a_file() -> None:
    found = Ignore.patterns(["#a", "/b", " c ", "", "d/", "!d/e"], "COPY")

    hidden = {path: found.hides(path) is not None for path in ("#a", "b", "c", "d/x", "d/e", "d/e/y")}
    assert hidden == {"#a": True, "b": False, "c": True, "d/x": True, "d/e": False, "d/e/y": False}
    assert found.may_reinclude_below("elsewhere")  # in a file a "!d/e" opens d alone
    assert not Ignore.patterns(["d"], "COPY").may_reinclude_below("d")


@pytest.mark.parametrize("pattern", ["[", "!", " ! ", "a\\"])
def test_a_malformed_pattern_that_stands_by_itself_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Ignore.patterns(["a", pattern], "COPY")
