from __future__ import annotations

import pytest

from lamina.identify.goregexp import PatternError, compile_go


@pytest.mark.parametrize(
    ("expression", "text", "found"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        ("a", "bab", True),
        ("^a|b$", "cb", True),
        ("^(.*/)?a$", "x/y/a", True),
        ("^.*$", "a\nb", False),
        ("^[^a]$", "\n", True),
        ("^[]a]$", "]", True),
        ("^[^]a]$", "]", False),
        ("^[a-]$", "-", True),
        ("^[[a]$", "[", True),
        ("^[a&&b]$", "&", True),
        ("^\\d$", "7", True),
        ("^\\d$", "\u0667", False),
        ("^\\w$", "é", False),
        ("^\\s$", "\v", False),
        ("^[\\D]$", "7", False),
        ("^[^\\D]$", "7", True),
        ("^[\\d-z]$", "-", True),
        ("^[[:^digit:]x]$", "7", False),
        ("^[[:digit:][:upper:]]$", "Q", True),
        ("^[:alpha:]$", "p", True),
        ("^a{2}$", "aa", True),
        ("^a{2,}$", "aaa", True),
        ("^a{,2}$", "a{,2}", True),
        ("^a{02}$", "a{02}", True),
        ("^{2}a$", "a", True),
        ("^{0}a$", "ba", True),
        ("^\\x41\\x{42}\\103\\t$", "ABC\t", True),
        ("^\\0$", "\0", True),
        ("^\\Qa.b\\E.$", "a.bc", True),
        ("^\\Qa$", "a$", True),
        ("^a\\b.$", "a-", True),
        ("^a\\B.$", "a-", False),
        ("\\Aa\\z", "a", True),
        ("^\\_\\-\\/$", "_-/", True),
    ],
)
def test_an_expression_finds_what_it_finds_in_go(expression: str, text: str, found: bool) -> None:
    assert bool(compile_go(expression).search(text)) is found


@pytest.mark.parametrize(
    "expression",
    [
        *[
            "[",
            "[a",
            "[^]",
            "[z-a]",
            "[a-\\d]",
            "[\\b]",
            "[[:foo:]]",
            "\\y$",
            "\\é$",
            "\\C$",
            "\\E$",
            "\\1$",
            "\\8$",
        ],
        *["\\x1$", "\\x{}$", "\\x{110000}$", "\\pL$", "a{1001}", "a{2,1}", "a{2}{3}", "[^/]*{2}", "a|{2}"],
    ],
)
def test_what_go_refuses_is_refused(expression: str) -> None:
    with pytest.raises(PatternError):
        compile_go(expression)
