"""Reading bytes off a namespace's links."""

from __future__ import annotations

import pytest

from lamina.errors import EngineError
from lamina.sandbox.namespace import Traffic, parse_traffic, traffic

TABLE = """\
Inter-|   Receive                                             |  Transmit
 face |bytes    packets errs drop fifo frame compressed multi |bytes    packets errs drop
    lo: 46564092    2210    0    0    0     0          0     0 46564092    2210    0    0
  eth0:2006883     140    0    0    0     0          0     0    36066      99    0    0
lm-808d0bde:  777      1    0    0    0     0          0     0      888       1    0    0
"""


def test_bytes_from_outside_are_counted_apart_from_those_between_programs() -> None:
    assert parse_traffic(TABLE) == Traffic(internet=2006883, loopback=46564092)


@pytest.mark.parametrize(("link", "left"), [("eth0", "    lo: 12 1\n"), ("lo", "  eth0: 12 1\n")])
def test_a_link_that_is_gone_is_not_one_without_traffic(link: str, left: str) -> None:
    with pytest.raises(EngineError, match=f"lost its link {link}"):
        parse_traffic(left)


def test_a_process_that_is_gone_took_its_network_along() -> None:
    with pytest.raises(EngineError, match="is gone"):
        traffic(2**22 + 1)


def test_traffic_is_counted_from_a_moment_on() -> None:
    assert Traffic(internet=9, loopback=7) - Traffic(internet=4, loopback=5) == Traffic(
        internet=5, loopback=2
    )
