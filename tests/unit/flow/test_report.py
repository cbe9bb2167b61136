"""A run by its name."""

from __future__ import annotations

import pytest

from lamina.errors import SelectionError
from lamina.flow.report import find_run

IDS = ("20261125T110000-bbbbbb", "20261125T100000-aaaaaa", "20261124T100000-cccccc")


@pytest.mark.parametrize(
    ("wanted", "found"), [("", IDS[0]), (IDS[1], IDS[1]), ("20261124", IDS[2]), ("20261125T10", IDS[1])]
)
def test_the_latest_or_the_one_that_begins_so(wanted: str, found: str) -> None:
    assert find_run(IDS, wanted) == found


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("20261125", f"2 runs begin with '20261125'\n[^$]*next: {IDS[0]}, {IDS[1]}; all"),
        ("20261124T100000-ccccc0", f"there is no run '20261124T100000-ccccc0'\n[^$]*next: {IDS[2]}"),
        ("x", f"there is no run 'x'\n[^$]*next: {IDS[0]}"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(wanted: str, told: str) -> None:
    with pytest.raises(SelectionError, match=told):
        find_run(IDS, wanted)
