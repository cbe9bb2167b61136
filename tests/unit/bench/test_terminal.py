"""The terminal of the README is a well-formed picture of what was printed."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.terminal import PICTURE, draw, shown

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_the_picture_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    picture = PICTURE.read_text("utf-8")

    assert "lamina plan" in texts(picture)
    assert "prefers-color-scheme: dark" in picture
    assert picture.count("http") == 1, "its namespace"


def test_what_a_terminal_shows_is_drawn_in_its_colours() -> None:
    printed = "STAND-IN RUNTIME: x\r\n\033[2mskip\033[0m   a<b\r\n"

    picture = draw(shown("printf", printed))

    assert texts(picture) == ["$", "printf", "skip", "a<b"]
    assert 'class="dim">skip' in picture
