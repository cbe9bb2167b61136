from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.dockerfile import Dockerfile, Heredoc, parse_dockerfile, read_dockerfile
from lamina.errors import ConfigError


def parse(*lines: str) -> Dockerfile:
    return parse_dockerfile("\n".join(lines) + "\n", "d/Dockerfile")


def test_stages_hold_their_instructions_with_lines() -> None:
    file = parse(
        "ARG V=1",
        "FROM --platform=$BUILDPLATFORM python:${V} AS Deps",
        "RUN one \\",
        "  # not part of it",
        "  two",
        "",
        "FROM scratch",
        "copy --from=deps --link a b",
    )

    assert [each.words for each in file.header] == [("V=1",)]
    deps, last = file.stages
    assert (deps.index, deps.name, deps.base, deps.platform) == (0, "deps", "python:${V}", "$BUILDPLATFORM")
    assert (deps.line, deps.instructions[0].line) == (2, 3)
    assert deps.instructions[0].words == ("one   two",)
    assert (last.name, last.base, last.platform) == (None, "scratch", None)
    assert last.instructions[0].name == "COPY"
    assert file.where(3) == "d/Dockerfile:3"


def test_flags_are_read_by_name() -> None:
    copy = parse("FROM a", "COPY --from=x --link --exclude=a --exclude=b s d").stages[0].instructions[0]

    assert copy.flag("from") == "x"
    assert copy.flag("link") == ""
    assert copy.flag("chown") is None
    assert copy.flags_of("exclude") == ("a", "b")


def test_json_form_keeps_spaces() -> None:
    copy = parse("FROM a", 'COPY ["a file", "to/"]').stages[0].instructions[0]

    assert copy.json
    assert copy.words == ("a file", "to/")


def test_heredocs_keep_their_bodies_and_quotes() -> None:
    copy, run = (
        parse("FROM a", "COPY <<EOF <<'B' /x/", "$one", "EOF", "two", "B", "RUN <<-E", "\tthree", "E")
        .stages[0]
        .instructions
    )

    assert copy.words == ("<<EOF", "<<'B'", "/x/")
    assert copy.heredocs == (Heredoc(name="EOF", content="$one\n"), Heredoc(name="B", content="two\n"))
    assert run.heredocs[0].content.strip() == "three"


def test_an_onbuild_holds_a_whole_instruction() -> None:
    first, second = (
        parse(
            "FROM a",
            "onbuild copy --from=x --chown=1 \\",
            "   a b",
            "ONBUILD COPY <<EOF /x",
            "body",
            "EOF",
        )
        .stages[0]
        .instructions
    )

    assert first.trigger is not None
    assert (first.trigger.name, first.trigger.flags) == ("COPY", ("--from=x", "--chown=1"))
    assert (first.trigger.words, first.trigger.line) == (("a", "b"), 2)
    assert second.trigger is not None
    assert second.trigger.heredocs == (Heredoc(name="EOF", content="body\n"),)


@pytest.mark.parametrize(
    ("lines", "directives"),
    [
        (("# syntax=docker/dockerfile:1", "FROM a"), ("syntax=docker/dockerfile:1",)),
        (("#Syntax = x ", "# escape=`", "FROM a"), ("syntax=x", "escape=`")),
        (("# a comment", "# escape=`", "FROM a"), ()),
        (("# check=skip=all", " # escape=`", "FROM a"), ("escape=`",)),
        (("# a comment", "# syntax=x", "FROM a"), ("syntax=x",)),
        (("FROM a", "# escape=`"), ()),
        (("", "# syntax=x", "FROM a"), ()),
        (("# check=skip=all", "FROM a"), ()),
    ],
)
def test_directives_stand_in_the_first_lines(lines: tuple[str, ...], directives: tuple[str, ...]) -> None:
    assert parse(*lines).directives == directives


def test_line_ends_and_a_byte_order_mark_mean_nothing() -> None:
    plain = parse("# syntax=x", "FROM a", "RUN one \\", " two")
    other = parse_dockerfile("\ufeff# syntax=x\r\nFROM a\r\nRUN one \\\r\n two\r\n", "d/Dockerfile")

    assert other.stages == plain.stages
    assert other.directives == plain.directives


def test_a_stage_is_found_by_any_case_and_by_number_and_the_last_of_a_name_counts() -> None:
    file = parse("FROM a AS One", "FROM b AS two", "FROM c AS ONE")

    assert file.stage("oNe") is file.stages[2]
    assert file.stage("1") is file.stages[1]
    assert file.stage("three") is None


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("FROM a", "", "FOO x"), "d/Dockerfile:3: unknown instruction FOO\n  allowed: ADD, ARG"),
        (("FROM a", "ENV A"), "d/Dockerfile:2: not a valid Dockerfile: ENV must have two arguments"),
        (
            ("FROM a", "COPY <<X /x", "x", "X", "RUN \\", " <<EOF sh", "never", "ending"),
            "d/Dockerfile:6: not a valid Dockerfile: unterminated heredoc",
        ),
        (("FROM a b",), "d/Dockerfile:1: FROM takes one image\n  allowed: FROM <image> [AS <name>]"),
        (("FROM a FOR b",), "d/Dockerfile:1: FROM takes one image"),
        (
            ("ARG A", "RUN x", "FROM a"),
            "d/Dockerfile:2: RUN before the first FROM\n  allowed: ARG, then FROM",
        ),
        (("FROM a", "COPY x"), "d/Dockerfile:2: COPY needs a source and a destination"),
        (("ARG A=1",), "d/Dockerfile:1: no FROM"),
        (("FROM a", "WORKDIR"), "d/Dockerfile:2: WORKDIR needs an argument"),
        (("FROM a", "", "SHELL []"), "d/Dockerfile:3: SHELL needs an argument"),
        (("FROM a", "COPY --lnk a b"), "d/Dockerfile:2: COPY has no flag --lnk; did you mean --link?"),
        (("FROM --platfrm=x a",), "d/Dockerfile:1: FROM has no flag --platfrm; did you mean --platform?"),
        (("# nothing",), "d/Dockerfile:1: not a valid Dockerfile: file with no instructions"),
    ],
)
def test_a_syntax_error_names_file_and_line(lines: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(*lines)
    assert str(caught.value).startswith(says)


def test_all_syntax_errors_are_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("FROM a", "FOO", "COPY x", "BAR")
    assert [each.where for each in caught.value.problems] == [f"d/Dockerfile:{line}" for line in (2, 3, 4)]


def test_a_frontend_of_its_own_may_take_other_flags() -> None:
    assert parse("# syntax=x", "FROM a", "COPY --new a b").stages[0].instructions[0].flag("new") == ""


def test_a_missing_or_unreadable_dockerfile_is_reported(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"FROM \xff\n")
    for name, says in (
        ("none", "shown: there is no such Dockerfile"),
        ("binary", "shown: cannot be read: 'utf-8'"),
        (".", "shown: cannot be read: .*directory"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_dockerfile(tmp_path / name, "shown")
