"""Read the git revision of the worktree. It is never part of a fingerprint, only a tag and an annotation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lamina.process import Command, Runner
from lamina.values import dataclass

_COMMIT = "# branch.oid "


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The commit that is checked out. clean: whether the worktree has no changes."""

    commit: str
    clean: bool

    @property
    def tag(self) -> str:
        """``git-<short sha>``."""
        return f"git-{self.commit[:7]}"


def read_revision(runner: Runner, root: Path) -> Revision | None:
    """Return the revision of a worktree; None outside git, or before the first commit.

    A worktree that git cannot compare, for example because a submodule is damaged, is not clean.
    """
    status = runner.run(_git(root, "status", "--porcelain=v2", "--branch", "--no-ahead-behind"))
    if not status.ok:
        commit = read_commit(runner, root)
        return Revision(commit=commit, clean=False) if commit else None
    lines = status.stdout.splitlines()
    commits = [line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)]
    if not commits or commits[0] == "(initial)":
        return None
    return Revision(commit=commits[0], clean=all(line.startswith("#") for line in lines))


def read_commit(runner: Runner, root: Path) -> str | None:
    """Return the commit that is checked out; None outside git, or before the first commit."""
    head = runner.run(_git(root, "rev-parse", "--verify", "--quiet", "HEAD"))
    return head.stdout.strip() if head.ok else None


def read_branch(runner: Runner, root: Path) -> str:
    """Return the branch that is checked out; empty outside git and for a detached HEAD."""
    named = runner.run(_git(root, "symbolic-ref", "--quiet", "--short", "HEAD"))
    return named.stdout.strip() if named.ok else ""


def merge_base(runner: Runner, root: Path, revision: str) -> str | None:
    """Return the commit at which HEAD and a revision parted; None if git does not know."""
    found = runner.run(_git(root, "merge-base", "HEAD", revision))
    return found.stdout.strip() if found.ok and found.stdout.strip() else None


def check_out(runner: Runner, root: Path, revision: str, folder: Path) -> Path | None:
    """Write the files of a revision below ``folder``, byte for byte. Return the path of ``root`` among them.

    The worktree and the index are not touched. None if git does not know the revision.
    """
    commit = runner.run(
        _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    )
    top = runner.run(_git(root, "rev-parse", "--show-toplevel"))
    if not commit.ok or not top.ok:
        return None
    repository = Path(top.stdout.strip())
    tree = folder / "tree"
    index = {"GIT_INDEX_FILE": str(folder / "index")}
    for words in (("read-tree", commit.stdout.strip()), ("checkout-index", "--all", f"--prefix={tree}/")):
        done = runner.run(_git(repository, *words, env=index))
        if not done.ok:
            return None
    return tree / root.resolve().relative_to(repository.resolve())


def _git(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Command:
    return Command(argv=("git", "-C", str(folder), *words), env={"GIT_OPTIONAL_LOCKS": "0", **(env or {})})
