"""Outputs are pip 23.2's and uv 0.13's own, as they write them where there is no terminal."""

from __future__ import annotations

import pytest

from lamina.execute.installs import InstallLog

UV = """\
Using CPython 3.11.7 interpreter at: /usr/bin/python3
Resolved 2 packages in 292ms
   Building my-pkg @ file:///src/loc
      Built my-pkg @ file:///src/loc
Prepared 2 packages in 9.90s
Uninstalled 2 packages in 7ms
Installed 2 packages in 3ms
 - iniconfig==2.3.1
 ~ my-pkg==0.1.0 (from file:///src/loc)
 + python-dateutil==2.9.0.post0
"""
PIP = """\
Collecting six<1.17
  Downloading six-1.16.0-py2.py3-none-any.whl (11 kB)
Installing collected packages: six, My_Pkg
  Attempting uninstall: six
    Found existing installation: six 1.17.0
    Uninstalling six-1.17.0:
      Successfully uninstalled six-1.17.0
Successfully built My_Pkg
Successfully installed My_Pkg-0.1.0 six-1.16.0 python-dateutil-2.9.0.post0
"""


def read(*pieces: str, stream: int = 2) -> dict[str, str]:
    log = InstallLog()
    for piece in pieces:
        log.feed(stream, piece)
    return log.versions


def test_packages_that_uv_installed_are_read() -> None:
    assert read(UV) == {"my-pkg": "0.1.0", "python-dateutil": "2.9.0.post0"}


def test_packages_that_pip_installed_are_read() -> None:
    assert read(PIP) == {"my-pkg": "0.1.0", "six": "1.16.0", "python-dateutil": "2.9.0.post0"}


@pytest.mark.parametrize("at", [1, 7, 40, len(PIP) - 30, len(PIP) - 2])
def test_a_log_comes_in_any_pieces(at: int) -> None:
    assert read(PIP[:at], PIP[at:]) == read(PIP)
    assert read(*UV) == read(UV)


def test_the_two_streams_do_not_mix() -> None:
    log = InstallLog()
    log.feed(2, " + six==")
    log.feed(1, "Successfully installed a-1\n")
    log.feed(2, "1.17.0\n")

    assert log.versions == {"six": "1.17.0", "a": "1"}


def test_the_last_word_counts() -> None:
    assert read(" + six==1.16.0\n", " - six==1.16.0\n + six==1.17.0\n") == {"six": "1.17.0"}
    assert read(" + six==1.16.0\n", " - six==1.16.0\n") == {}
    assert read("Successfully installed a-1\n", "  Successfully uninstalled a-1\n") == {}


@pytest.mark.parametrize(
    "line",
    [
        "+ six==1.17.0",  # what `sh -x` prints of a command
        "+ pip install six==1.17.0",
        " + six==1.17.0 and more",
        "Would install six-1.17.0",
        "Successfully installed",
        "Successfully installed everything you need",
        "six==1.17.0",
        " +six==1.17.0",
    ],
)
def test_lines_that_only_look_like_it(line: str) -> None:
    assert read(line + "\n") == {}


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    assert read("x" * (1 << 20), "\n + six==1.17.0\n") == {"six": "1.17.0"}
