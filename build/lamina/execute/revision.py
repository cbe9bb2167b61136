"""What git says of the worktree. Never part of a fingerprint; only an alias and an annotation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lamina.process import Command, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The commit that is checked out. clean: nothing in the worktree differs from it."""

    commit: str
    clean: bool

    @property
    def tag(self) -> str:
        """``git-<short sha>``."""
        return f"git-{self.commit[:7]}"


def read_revision(runner: Runner, root: Path) -> Revision | None:
    """The revision of a worktree; None outside git, or before the first commit."""

    def git(*words: str) -> Command:
        return Command(argv=("git", "-C", str(root), *words), env={"GIT_OPTIONAL_LOCKS": "0"})

    head = runner.run(git("rev-parse", "--verify", "--quiet", "HEAD"))
    if not head.ok:
        return None
    changed = runner.run(git("status", "--porcelain"))
    return Revision(commit=head.stdout.strip(), clean=changed.ok and not changed.stdout.strip())
