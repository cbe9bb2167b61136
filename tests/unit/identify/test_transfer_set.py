"""The files of a context that are sent. Every case was observed with docker 28.5."""

from __future__ import annotations

import pytest

from lamina.identify.transfer_set import TransferSet, within
from lamina.identify.tree import DiskFiles

from ..conftest import Repo


@pytest.mark.parametrize(
    ("links", "sources", "sent", "unsent"),
    [
        ({}, ["d"], "d d/a", "a da"),
        ({}, ["d/a"], "d/a", "d d/b"),
        ({}, ["", "d"], "a d d/a", ""),
        ({}, ["*.py"], "x.py", "a d/x.py"),
        ({}, ["**/x.py"], "x.py d/x.py", "a"),
        ({}, ["[a]"], "a", "[a]"),
        ({}, [" a"], "a", ""),
        ({}, ["!a"], "", "a !a"),
        ({"l": "d"}, ["l/a"], "l d/a", "d/b"),
        ({"l": "d"}, ["l/a", "l/b"], "l d/a", "d/b"),
        ({"l": "/d"}, ["l"], "l d", "a"),
        ({"l": "../../d"}, ["l"], "l d", "a"),
        ({"l": "m", "m": "d"}, ["l/a"], "l m d/a", "d/b"),
        ({"l": "m", "m": "l"}, ["l"], "l m", "d"),
        ({"l": "l/x"}, ["l"], "l", "d"),
        ({"l": "."}, ["l"], "l a d d/a", ""),
        ({"d/l": "a"}, ["d/l"], "d/l d/a", "d/b"),
        ({"d/l": "a"}, ["d/*l"], "d/l d/a", "d/b"),
        ({"d/l": "a"}, ["*/l"], "d/l", "d/a"),
        ({"l": "d"}, ["*/a"], "l a d/a d/b", ""),
    ],
)
def test_links_and_their_targets_are_sent(
    repo: Repo, links: dict[str, str], sources: list[str], sent: str, unsent: str
) -> None:
    for path in ("a", "x.py", "d/a", "d/b", "d/x.py"):
        repo.write(path)
    for path, target in links.items():
        repo.link(path, target)

    found = TransferSet(DiskFiles(repo.root), sources)

    assert [path for path in sent.split() if not found.holds(path)] == []
    assert [path for path in unsent.split() if found.holds(path)] == []
    assert found.fault is None


def test_a_folder_is_reached_for_what_is_in_it(repo: Repo) -> None:
    repo.write("d/e/a")
    found = TransferSet(DiskFiles(repo.root), ["d/e/a"])

    assert found.reaches("d")
    assert not found.holds("d")
    assert not TransferSet(DiskFiles(repo.root), ["d/e/b"]).reaches("d")


def test_a_name_that_is_not_a_pattern_makes_all_fail(repo: Repo) -> None:
    repo.write("a[")
    repo.link("l", "a[")
    found = TransferSet(DiskFiles(repo.root), ["l", "b"])

    assert not found.holds("l")
    assert found.fault == "malformed pattern `a[`: `[` is not a set of characters"
    assert not found.holds("b")


@pytest.mark.parametrize(
    ("link", "target", "place"),
    [
        ("d/l", "a", "d/a"),
        ("d/l", "../a", "a"),
        ("d/l", "../../../a", "a"),
        ("d/l", "/a/", "a"),
        ("l", ".", ""),
        ("l", "//a//b/../c", "a/c"),
    ],
)
def test_a_link_leads_nowhere_but_into_the_context(link: str, target: str, place: str) -> None:
    assert within(link, target) == place
