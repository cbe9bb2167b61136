"""What is known of a repository that is about to be taken over."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.proposal import Proposal
from lamina.adopt.savings import Repeated
from lamina.decide.plan import Plan
from lamina.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What ``init`` found out. configured: the images that need no proposal.

    text: ``pyproject.toml`` with the proposal, toml: the proposal alone; None where there is nothing to add.
    plan: None where something is wrong, which findings tell. installs: what several images install.
    """

    configured: tuple[str, ...]
    proposal: Proposal
    text: str | None
    toml: str | None
    plan: Plan | None
    findings: tuple[Problem, ...]
    ignores: tuple[IgnoreFile, ...]
    installs: tuple[Repeated, ...]
