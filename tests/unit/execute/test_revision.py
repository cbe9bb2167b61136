"""The revision of a worktree, as git itself tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.execute.revision import Revision, read_revision
from lamina.process import Command, SubprocessRunner

RUNNER = SubprocessRunner()
PERSON = {
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Test"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "test@example.org"),
}


def git(folder: Path, *words: str) -> str:
    done = RUNNER.run(Command(argv=("git", "-C", str(folder), *words), env=PERSON))
    assert done.ok, done.stderr
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A worktree with one commit."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "handler.py").write_text("one\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def test_a_worktree_is_clean_until_a_file_changes_or_comes(tree: Path) -> None:
    commit = git(tree, "rev-parse", "HEAD")
    assert read_revision(RUNNER, tree) == Revision(commit=commit, clean=True)

    (tree / "new.py").write_text("")
    assert read_revision(RUNNER, tree) == Revision(commit=commit, clean=False)

    (tree / "new.py").unlink()
    git(tree, "checkout", "--quiet", "--detach")
    assert read_revision(RUNNER, tree) == Revision(commit=commit, clean=True)


def test_there_is_none_outside_git_and_before_the_first_commit(tmp_path: Path) -> None:
    assert read_revision(RUNNER, tmp_path) is None

    git(tmp_path, "init", "--quiet")
    assert read_revision(RUNNER, tmp_path) is None


def test_a_worktree_that_git_cannot_compare_has_its_commit_and_is_not_clean(tree: Path) -> None:
    commit = git(tree, "rev-parse", "HEAD")
    (tree / ".git/index").write_text("damaged")

    assert read_revision(RUNNER, tree) == Revision(commit=commit, clean=False)


def test_the_commits_since_the_upstream_are_not_counted(tree: Path) -> None:
    git(tree, "branch", "upstream")
    for message in ("two", "three"):
        git(tree, "commit", "--quiet", "--allow-empty", "-m", message)
    git(tree, "branch", "--quiet", "--set-upstream-to=upstream")
    between = git(tree, "rev-parse", "HEAD~1")
    (tree / ".git/objects" / between[:2] / between[2:]).unlink()  # counting would have to read it

    assert read_revision(RUNNER, tree) == Revision(commit=git(tree, "rev-parse", "HEAD"), clean=True)
