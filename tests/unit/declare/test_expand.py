"""Cases from the tests of BuildKit's shell lexer and from its documentation."""

from __future__ import annotations

import pytest

from lamina.declare.expand import ExpansionError, UnknownVariableError, expand

SCOPE = {
    "PWD": "/home",
    "SHELL": "bash",
    "EMPTY": "",
    "NONE": None,
    "WORD": "xyzzyzy",
    "naïve": "yes",
    "é": "ok",
} | {
    "STARS": "*a*b",
    "SLASHES": "a/b/c",
    "LINES": "a\nb",
}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ('he"ll"o', "hello"),
        ("he\\'llo", "he'llo"),
        ("he\\\\llo", "he\\llo"),
        ('"he\\"llo"', 'he"llo'),
        ('"he\\llo"', "he\\llo"),
        ("'he$PWD'", "he$PWD"),
        ('"he$PWD"', "he/home"),
        ("$PWD", "/home"),
        ("he${PWD}x", "he/homex"),
        ("$PWD.txt", "/home.txt"),
        ("$PWDx", ""),
        ("\\$PWD", "$PWD"),
        ("$", "$"),
        ("$.", "$."),
        ("a$$b", "ab"),
        ("a$1b", "ab"),
        ("$naïve", "yes"),
        ("$EMPTY$NONE$MISSING", ""),
        ("${MISSING:-aa}", "aa"),
        ("${PWD:-aa}", "/home"),
        ("${EMPTY:-aa}", "aa"),
        ("${EMPTY-aa}", ""),
        ("${NONE-aa}", "aa"),
        ("${MISSING:-${PWD}}", "/home"),
        ("${MISSING:-'a}b'}", "a}b"),
        ("${MISSING:-}", ""),
        ("${PWD:+aa}", "aa"),
        ("${EMPTY:+aa}", ""),
        ("${EMPTY+aa}", "aa"),
        ("${MISSING+aa}", ""),
        ("${PWD:?no}", "/home"),
        ("${WORD#x}", "yzzyzy"),
        ("${WORD#*z}", "zyzy"),
        ("${WORD##*z}", "y"),
        ("${WORD%zy}", "xyzzy"),
        ("${WORD%y*}", "xyzzyz"),
        ("${WORD%%y*}", "x"),
        ("${WORD#nope}", "xyzzyzy"),
        ("${WORD/zz/__}", "xy__yzy"),
        ("${WORD//z/_}", "xy__y_y"),
        ("${WORD/?y/}", "zzyzy"),
        ("${WORD//y/}", "xzzz"),
        # what docker 28.5 was seen to do in its oddest corners
        ("${WORD#'x'}", "yzzyzy"),
        ("${STARS#\\*a}", "*b"),
        ("${STARS%\\*?}", "*a"),
        ("${STARS%%\\**}", ""),
        ("${STARS#?\\}}", "*a*b"),
        ("${STARS/\\*/x}", "xa*b"),
        ("${STARS//\\*/}", "ab"),
        ("${STARS/\\//}", "*a*b"),
        ("${SLASHES//\\//-}", "a-b-c"),
        ("${SLASHES//Z/\\/}", "a/b/c"),
        ("${WORD//Z/\\/}", "xyzzyzy"),
        ("${WORD//y/\\/}", "x\\/zz\\/z\\/"),
        ("${WORD//*/_}", "_"),
        ("${WORD///_}", "_x_y_z_z_y_z_y_"),
        ("${WORD//x*z/_}", "_y"),
        ("${WORD//?/'$0'}", "xyzzyzy"),
        ("${WORD//zz/'<${0}>$1$$'}", "xy<zz>$yzy"),
        ("${WORD/zz/'$0'}", "xy$0yzy"),
        ("${LINES#*a}", "\nb"),
        ("${LINES%*b}", "a\n"),
        ("${LINES%%?b}", "a\nb"),
        ("${/x/y}", ""),
        ('"a\\b"', "a\\b"),
        ('${MISSING:-"a b"}', "a b"),
        ("${MISSING-<<x}", "<<x"),
        ("$é$MISSINGé", "ok"),
        ("a\\", "a"),
    ],
)
def test_words_expand_as_in_buildkit(word: str, expected: str) -> None:
    assert expand(word, SCOPE, open_world=False) == expected


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("'open", "a single quote is not closed"),
        ('"open', "a double quote is not closed"),
        ("${PWD", "is not an expansion|is not closed"),
        ("${}", "without a name"),
        ("${PWD:-x", "is not closed"),
        ("${PWD^}", "is not an expansion"),
        ("${PWD:=x}", "is not an expansion"),
        ("${MISSING:?set it}", "MISSING: set it"),
        ("${EMPTY:?}", "EMPTY: is not set"),
        ("${WORD//y}", "is not closed: no '/'"),
        ("${WORD/y/z", "is not closed: no '}'"),
        ("${WORD:#x}", "is not an expansion"),
        ("${WORD#\\x}", "is not an escape in the pattern"),
        ("${WORD#x\\", "is not closed"),
        ("${:-x}", "without a name"),
    ],
)
def test_malformed_words_are_refused(word: str, says: str) -> None:
    with pytest.raises(ExpansionError, match=says):
        expand(word, SCOPE, open_world=False)


def test_another_escape_character_takes_its_place() -> None:
    assert expand("a`$PWD\\b", SCOPE, escape="`") == "a$PWD\\b"


def test_in_an_open_world_an_unknown_name_is_not_an_empty_one() -> None:
    with pytest.raises(UnknownVariableError, match="LAMBDA_TASK_ROOT"):
        expand("$LAMBDA_TASK_ROOT/x", SCOPE)
    assert expand("$NONE$PWD$1", SCOPE) == "/home"
