from __future__ import annotations

import pytest

from lamina.identify.goregexp import PatternError
from lamina.identify.wildcard import compile_wildcard, fixed_part, is_wildcard

# Go's own table for filepath.Match (path/filepath/match_test.go), without Windows.
GO = [
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "abc", True),
    ("a*", "ab/c", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^b-d]", "abc", False),
    ("ab[^e-g]", "abc", True),
    ("a\\*b", "a*b", True),
    ("a\\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("a[^a][^a][^a]b", "a☺b", False),
    ("[a-ζ]*", "β", True),
    ("*[a-ζ]", "A", False),
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
    ("[z-a]", "m", False),
    ("[^z-a]", "m", True),
    ("a.b", "axb", False),
    ("a\nb*", "a\nbc", True),
    ("]", "]", True),
]
MALFORMED = ["[^]12", "[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "a[b", "\\", "a*\\", "[a-b-c]"]


@pytest.mark.parametrize(("pattern", "path", "matches"), GO)
def test_wildcards_match_as_in_go(pattern: str, path: str, matches: bool) -> None:
    assert (compile_wildcard(pattern, deep=False).fullmatch(path) is not None) is matches


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_pattern_that_go_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="is not a set of characters"):
        compile_wildcard(pattern, deep=False)


@pytest.mark.parametrize(
    ("path", "deep", "matches"),
    [("a/b/c.py", True, True), ("a/c.py", True, True), ("a/b/x/c.py", True, True), ("a/b/c.py", False, True)],
)
def test_two_stars_span_folders_only_with_parents(path: str, deep: bool, matches: bool) -> None:
    assert (compile_wildcard("a/**/*.py", deep=deep).fullmatch(path) is not None) is matches
    assert not compile_wildcard("a/**/*.py", deep=False).fullmatch("a/b/x/c.py")


@pytest.mark.parametrize(
    ("path", "wild", "fixed"),
    [
        ("a/b*", True, "a"),
        ("a/b/[cd]/e", True, "a/b"),
        ("?", True, ""),
        ("a\\*", False, ""),
        ("a\\\\*", True, ""),
        ("a/b", False, ""),
    ],
)
def test_the_part_before_the_first_wildcard_is_fixed(path: str, wild: bool, fixed: str) -> None:
    assert is_wildcard(path) is wild
    if wild:
        assert fixed_part(path) == fixed
