"""What a linked copy puts into its layer, and where that is not certain.

The layers themselves are held against BuildKit's in tests/integration/test_layer_differential.py.
"""

from __future__ import annotations

import pytest

from lamina.identify.copy_layer import CopyError, CopyTree, CopyWords

FILES = {
    "src/a.py": "f 1",
    "src/run.sh": "x 2",
    "src/sub/b.py": "f 3",
    "src/sub/link": "l 4",
    "src/empty": "d",
    "other/a.py": "f 5",
    "linked": "l 6",
    "handler.py": "f 7",
}


def layer(target: str, *sources: str) -> list[str]:
    entries = CopyTree(FILES).layer(CopyWords(sources=sources, target=target))
    return [f"{each.path} {each.kind[0]}{each.sha256}" for each in entries]


def test_a_file_goes_into_a_folder_or_takes_its_name() -> None:
    assert layer("/var/task/", "handler.py") == ["var d", "var/task d", "var/task/handler.py f7"]
    assert layer("/var/task", "handler.py") == ["var d", "var/task f7"]
    assert layer("/", "./handler.py") == ["handler.py f7"]


def test_of_a_folder_its_content_is_copied() -> None:
    assert layer("/x", "src") == [
        *("x d", "x/a.py f1", "x/empty d", "x/run.sh e2", "x/sub d", "x/sub/b.py f3", "x/sub/link l4"),
    ]


def test_wildcards_match_in_one_folder_and_the_last_file_wins() -> None:
    assert layer("/x/", "*/a.py") == ["x d", "x/a.py f1"]
    assert layer("/x/", "src/*.py", "other/*") == ["x d", "x/a.py f5"]


@pytest.mark.parametrize(
    ("target", "sources", "why"),
    [
        ("/x/", ("linked",), "leads through a link"),
        ("/x/", ("src/sub/link/y",), "leads through a link"),
        ("/x/", ("lin*",), "leads through a link"),
        ("/x/", ("missing",), "there is no missing"),
        ("/x/", ("*.txt",), "copies nothing"),
        ("/x/", ("[",), "malformed"),
    ],
)
def test_a_copy_that_is_not_certain_is_refused(target: str, sources: tuple[str, ...], why: str) -> None:
    with pytest.raises(CopyError, match=why):
        layer(target, *sources)


def test_a_file_in_the_place_of_a_folder_is_refused() -> None:
    tree = CopyTree({"a/x": "f 1", "b/x/y": "f 2"})
    for sources in (("a", "b"), ("b", "a")):
        with pytest.raises(CopyError, match="/t/x is a file and a folder"):
            tree.layer(CopyWords(sources=sources, target="/t/"))
