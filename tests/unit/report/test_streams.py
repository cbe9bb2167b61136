"""Plain lines and tables are what rich would print; only a terminal, or what does not fit, needs rich."""

from __future__ import annotations

import io
import random

import pytest

from lamina.report.rich_console import make_console
from lamina.report.streams import PIPE_WIDTH, Output
from lamina.report.table import Span, TextTable

WORDS = (
    "a",
    "sha-0123456789ab",
    "two words",
    "",
    "  spaced  ",
    "x" * 30,
    "first\nsecond",
    "a [b] c",
    ":warning:",
)


def plain() -> tuple[Output, io.StringIO]:
    file = io.StringIO()
    return Output(file, {}, str), file


def by_rich(table: TextTable) -> str:
    file = io.StringIO()
    make_console(file, {}, width=PIPE_WIDTH).print(table.rich(), soft_wrap=False)
    return file.getvalue()


def random_table(rng: random.Random) -> TextTable:
    headings = tuple(rng.sample(("image", "action", "why", "tag", "seconds"), rng.randint(1, 5)))
    table = TextTable(headings, wide=rng.choice(("why", "tag", "none")))
    for _ in range(rng.randint(0, 4)):
        table.add_row(*((Span(rng.choice(WORDS)), Span(rng.choice(WORDS), "dim")) for _ in headings))
    return table


def test_random_tables_are_what_rich_prints() -> None:
    rng, fitting = random.Random(13), 0
    for _ in range(300):
        table = random_table(rng)
        lines = table.lines(PIPE_WIDTH)
        if lines is not None:
            fitting += 1
            assert "".join(f"{line}\n" for line in lines) == by_rich(table)
    assert fitting > 200


@pytest.mark.parametrize("text", ["é", "✓ done", "a\tb", "x" * PIPE_WIDTH])
def test_a_line_that_does_not_fit_is_left_to_rich(text: str) -> None:
    table = TextTable(("image", "why"))
    table.add_row("app", text)
    output, file = plain()

    assert table.lines(PIPE_WIDTH) is None
    output.table(table)
    assert file.getvalue() == by_rich(table)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "two\nlines", "end\n", "a\tb", "bell\a and\rreturn", "é ✓", "[b]x[/b] :smile:", "x" * 300),
        *("x" * 238 + "     ", "x" * 250 + "   ", "a\n" + " " * 250 + "\nb", "one\u2028two", "\x1b[31mred"),
    ],
)
def test_lines_are_what_rich_prints(text: str) -> None:
    from rich.text import Text

    output, file = plain()
    expected = io.StringIO()

    output.line(text, "bold red")
    make_console(expected, {}, width=PIPE_WIDTH).print(Text(text, style="bold red"))

    assert file.getvalue() == expected.getvalue()


def test_forced_colours_are_richs() -> None:
    file = io.StringIO()

    Output(file, {"FORCE_COLOR": "1", "TERM": "xterm"}, str).line("text", "red")

    assert file.getvalue() == "\x1b[31mtext\x1b[0m\n"


def test_every_text_is_rewritten() -> None:
    file = io.StringIO()
    output = Output(file, {}, lambda text: text.replace("secret", "***"))
    table = TextTable(("image",))
    table.add_row("secret")

    output.line("a secret")
    output.table(table)

    assert "secret" not in file.getvalue()
