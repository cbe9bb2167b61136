"""Reading the machine's package mirror out of its apt sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.sandbox.sources import (
    AptSource,
    parse_deb822,
    parse_one_line,
    parse_os_release,
    pick_source,
    read_sources,
    render_sources,
)

BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian GNU/Linux 12"}
RING = "/usr/share/keyrings/ring.gpg"
MODERN = """\
# the main mirror
Types: deb deb-src
URIs: http://mirror.test/debian
# a comment between the fields
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/ring.gpg

Types: deb-src
URIs: http://sources.test/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
"""


def test_deb822_gives_a_source_for_each_binary_suite() -> None:
    assert parse_deb822(MODERN) == tuple(
        AptSource(
            uri="http://mirror.test/debian",
            suite=suite,
            components=("main", "contrib"),
            trust=(("signed-by", RING),),
        )
        for suite in ("bookworm", "bookworm-updates")
    )


def test_an_inline_key_survives_to_the_rendered_file() -> None:
    text = (
        "Types: deb\nURIs: http://m.test/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n"
        " -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    (source,) = parse_deb822(text)
    assert source.keyring() is None
    (again,) = parse_deb822(render_sources(source, ["trixie"], "amd64"))
    assert again == source


def test_one_line_sources_with_and_without_options() -> None:
    text = f"""\
# deb http://commented.test/debian bookworm main
deb [arch=amd64 signed-by={RING}] http://a.test/debian bookworm main contrib # trailing
deb-src http://a.test/debian bookworm main
deb http://b.test/debian-security bookworm-security main
deb [trusted=yes] file:/srv/debian ./
"""
    first, second = parse_one_line(text)
    assert (first.uri, first.suite, first.components) == (
        "http://a.test/debian",
        "bookworm",
        ("main", "contrib"),
    )
    assert first.keyring() == Path(RING)
    assert (second.suite, second.keyring()) == ("bookworm-security", None)


def test_all_files_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.test/debian bookworm main\n")
    (tmp_path / "sources.list.d/b.sources").write_text(MODERN)
    (tmp_path / "sources.list.d/a.list").write_text("deb http://two.test/debian bookworm main\n")
    (tmp_path / "sources.list.d/c.save").write_text("deb http://no.test/debian bookworm main\n")
    hosts = [source.uri.split("/")[2] for source in read_sources(tmp_path)]
    assert hosts == ["one.test", "two.test", "mirror.test", "mirror.test"]


def test_the_mirror_of_the_release_is_picked() -> None:
    sources = (
        AptSource(uri="cdrom:[Debian]/", suite="bookworm", components=("main",)),
        AptSource(uri="http://vendor.test/apt", suite="tool-bookworm", components=("main",)),
        AptSource(uri="http://extra.test/debian", suite="bookworm", components=("contrib",)),
        AptSource(uri="http://good.test/debian", suite="bookworm", components=("main",)),
    )
    assert pick_source(sources, BOOKWORM).uri == "http://good.test/debian"


def test_a_release_may_be_called_by_its_alias() -> None:
    source = AptSource(uri="http://m.test/debian", suite="unstable", components=("main",))
    assert pick_source([source], {"ID": "debian", "VERSION_CODENAME": "forky"}) == source


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ({"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": "Ubuntu 24.04"}, "this is Ubuntu 24.04"),
        ({}, "an unknown system"),
        (BOOKWORM, "no apt source serves bookworm"),
    ],
)
def test_a_machine_without_a_debian_mirror_gets_the_next_step(release: dict[str, str], words: str) -> None:
    with pytest.raises(EngineError, match=words) as caught:
        pick_source((), release)
    assert "DOCKER_HOST" in str(caught.value)


def test_only_the_suites_change_when_rendered() -> None:
    source = AptSource(
        uri="http://m.test/debian", suite="bookworm", components=("main",), trust=(("signed-by", RING),)
    )
    assert render_sources(source, ["bookworm", "sid", "bookworm"], "arm64") == (
        "Types: deb\nURIs: http://m.test/debian\nSuites: bookworm sid\nComponents: main\n"
        f"Architectures: arm64\nsigned-by: {RING}\n"
    )


def test_os_release_values_lose_their_quotes() -> None:
    text = '# c\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n'
    assert parse_os_release(text) == {
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "ID": "debian",
        "VERSION_CODENAME": "bookworm",
    }
