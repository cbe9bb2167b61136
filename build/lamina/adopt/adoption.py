"""The result of ``init``: a repository's images, its problems and possible savings."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.adopt.ignore_file import IgnoreFile
from lamina.adopt.proposal import Proposal
from lamina.adopt.savings import Repeated
from lamina.decide.plan import Plan
from lamina.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The result of ``init``.

    Attributes:
        configured: the images that are already declared.
        text: ``pyproject.toml`` with the proposal.
        toml: only the proposal; None if there is nothing to add.
        plan: None if there are errors, which findings list.
        installs: installs that several images repeat.
    """

    configured: tuple[str, ...]
    proposal: Proposal
    text: str | None
    toml: str | None
    plan: Plan | None
    findings: tuple[Problem, ...]
    ignores: tuple[IgnoreFile, ...]
    installs: tuple[Repeated, ...]
