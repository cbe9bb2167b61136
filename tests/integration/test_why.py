"""`why`: two states of an image, down to the file that started it; no engine is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import Repo, write_tiny


@pytest.fixture
def tree(tmp_path: Path) -> Repo:
    root = tmp_path / "repo"
    root.mkdir()
    repo = Repo(root)
    write_tiny(repo)
    return repo


def changes(repo: Repo, *words: str) -> dict[str, list[str]]:
    """Image -> what differs, by `why` of the function."""
    images = repo.ok("why", "lambda-tiny", "--json", *words).json["images"]
    return {each["name"]: each["changes"] for each in images}


def test_a_commit_and_the_worktree_down_to_the_file(tree: Repo) -> None:
    tree.commit()
    tree.append("src/dynamo.py", "KEY = 1\n")

    assert changes(tree, "--from", "HEAD") == {
        "lambda-tiny": ["parent base-label"],
        "base-label": ["parent base-dynamo"],
        "base-dynamo": ["src/dynamo.py modified"],
    }
    text = tree.ok("why", "lambda-tiny", "--from", "HEAD").stdout
    assert "      base-dynamo: src/dynamo.py modified" in text


def test_two_commits_leave_worktree_and_index_alone(tree: Repo) -> None:
    tree.commit()
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "handler.handler", "handler.other")
    tree.git("commit", "--quiet", "--all", "--message", "Other handler")
    tree.append("src/label.py", "# under way\n")
    before = tree.git("status", "--porcelain=v2")

    assert changes(tree, "--from", "HEAD~1", "--to", "HEAD") == {"lambda-tiny": ["Dockerfile: CMD changed"]}
    assert tree.git("status", "--porcelain=v2") == before


def test_nothing_differs(tree: Repo) -> None:
    tree.commit()

    assert changes(tree, "--from", "HEAD") == {"lambda-tiny": []}
    assert "nothing differs" in tree.ok("why", "lambda-tiny", "--from", "HEAD").stdout


def test_an_image_that_was_never_built_here(tree: Repo) -> None:
    assert changes(tree) == {"lambda-tiny": ["nothing is known of it before"]}


def test_a_state_that_is_nowhere(tree: Repo) -> None:
    done = tree.fails(2, "why", "lambda-tiny", "--from", "nosuch")

    assert "'nosuch' is no state of lambda-tiny" in done.text
    assert "worktree, last, a git revision" in done.text


def test_an_image_that_is_nowhere(tree: Repo) -> None:
    assert "there is no image 'nosuch'" in tree.fails(3, "why", "nosuch").text
