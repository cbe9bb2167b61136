from __future__ import annotations

import os
import random

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
def test_an_expression_that_go_refuses_is_refused(expression: str) -> None:
    with pytest.raises(PatternError):
        compile_go(expression)


# What ignore patterns can turn into. Without \\p, which is refused, and \\C, which only RE2 has.
PIECES = [
    *"ab-/. ^$*?|[]\\Z0_é~#",
    *[
        "(.*/)?",
        "[^",
        "[a-",
        "[a-b]",
        "[]a]",
        "[^]a]",
        "[b-]",
        "[a&&b]",
        "&&",
        "{2}",
        "{,2}",
        "{02}",
        "{1,2}",
        "{0}",
    ],
    *["\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\b", "\\B", "\\A", "\\z", "\\Q", "\\E", "\\y", "\\1"],
    *["[:alpha:]", "[[:alpha:]]", "[[:^digit:]x]", "\\x41", "\\x{42}", "\\103", "\\0", "\\t", "\\n", "\\v"],
    *["\\_", "\\-", "\\.", "\\*"],
]
TEXT = "abZ0-/._ \t\n\v\0é{}[]^\\,2x&AB#~"


def test_random_expressions_mean_the_same_to_re2() -> None:
    """RE2 and Go's regexp have one syntax: https://github.com/google/re2/wiki/Syntax."""
    re2 = pytest.importorskip("re2", reason="google-re2 is in the dependency group tests")
    options = re2.Options()
    options.log_errors = False
    seed = int(os.environ.get("LAMINA_SEED", "1"))
    pick = random.Random(seed)
    understood = 0
    for _ in range(1000):
        expression = "".join(pick.choice(PIECES) for _ in range(pick.randint(1, 6)))
        try:
            theirs = re2.compile(expression, options)
        except re2.error:
            with pytest.raises(PatternError):
                compile_go(expression)
            continue
        ours = compile_go(expression)
        understood += 1
        for text in ("", *("".join(pick.choices(TEXT, k=pick.randint(1, 5))) for _ in range(10))):
            same = bool(ours.search(text)) is bool(theirs.search(text))
            assert same, f"seed {seed}: {expression!r} on {text!r}"
    assert understood > 300
