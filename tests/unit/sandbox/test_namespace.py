"""Reading bytes off a namespace's links."""

from __future__ import annotations

from lamina.sandbox.namespace import Traffic, parse_traffic

TABLE = """\
Inter-|   Receive                                             |  Transmit
 face |bytes    packets errs drop fifo frame compressed multi |bytes    packets errs drop
    lo: 46564092    2210    0    0    0     0          0     0 46564092    2210    0    0
  eth0:2006883     140    0    0    0     0          0     0    36066      99    0    0
lm-808d0bde:  777      1    0    0    0     0          0     0      888       1    0    0
"""


def test_what_came_in_from_outside_and_what_went_between_programs() -> None:
    assert parse_traffic(TABLE) == Traffic(internet=2006883, loopback=46564092)


def test_a_namespace_without_a_way_out_has_seen_nothing() -> None:
    assert parse_traffic("    lo: 12 1\n") == Traffic(internet=0, loopback=12)


def test_traffic_is_counted_from_a_moment_on() -> None:
    assert Traffic(internet=9, loopback=7) - Traffic(internet=4, loopback=5) == Traffic(
        internet=5, loopback=2
    )
