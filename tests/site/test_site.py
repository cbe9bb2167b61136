"""The documentation's site, as `nox -s docs` has just built it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".nox/site"
PAGES = sorted(each for each in SITE.rglob("*.html") if each.name != "404.html")
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}
"""What a browser fetches by itself: element and attribute."""


class Page(HTMLParser):
    """A page's targets and identifiers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[tuple[str, str, str]] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if found.get("rel") not in {"canonical", "next", "prev"}:
            self.targets += [(tag, name, found[name]) for name in ("href", "src") if name in found]


@cache
def read(file: Path) -> Page:
    return Page(file.read_text("utf-8"))


def broken(page: Path) -> Iterator[str]:
    for tag, name, target in read(page).targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            if (tag, name) in LOADED:
                yield f"{target} is loaded from elsewhere"
            continue
        file = (page.parent / unquote(parts.path)) if parts.path not in {"", "."} else page
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or not has_fragment(file, unquote(parts.fragment)):
            yield target


def has_fragment(file: Path, fragment: str) -> bool:
    return not fragment or file.suffix != ".html" or fragment in read(file).ids


@pytest.mark.parametrize(
    "page", [each for each in PAGES if each.name != "404.html"], ids=lambda each: each.name
)
def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda each: each.name)
def test_commands_can_be_copied(page: Path) -> None:
    """In a table GitHub needs a backslash before a bar, and the site would show it."""
    assert "\\|" not in page.read_text("utf-8")


def test_there_are_pages() -> None:
    assert len(PAGES) > 40


def test_every_page_is_in_the_navigation() -> None:
    def pages(entry: Any) -> Iterator[str]:
        for each in entry.values() if isinstance(entry, dict) else entry:
            yield from [each] if isinstance(each, str) else pages(each)

    listed = list(pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))

    assert sorted(each for each in listed if "/" not in each) == sorted(
        file.name for file in ROOT.glob("docs/*.md")
    ), "a page of docs/ is missing in, or gone from, the nav of zensical.toml"


def test_the_search_knows_the_pages() -> None:
    found = json.loads((SITE / "search.json").read_text())

    locations = {each["location"].partition("#")[0] for each in found["items"]}
    assert {"tutorial.html", "commands.html", "settings.html", "rules.html"} <= locations
