"""The moves of an alias of several functions: what was asked for, and what Lambda answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lamina.aws.answers import may_pass
from lamina.aws.live import Alias
from lamina.deploy.deploy import Deployment
from lamina.deploy.results import DeployResult, name_of
from lamina.errors import LaminaError


@dataclass(slots=True, kw_only=True)
class AliasMoves:
    """The moves of an alias of several functions.

    Attributes:
        timeout: seconds that one may take.
        known: by function name, the alias as it is now.
        moved: functions whose alias may have moved, in order.
        asked: by function name, how its alias was last asked to be.
        unanswered: names of functions whose alias may still move: Lambda has not answered.
    """

    deployment: Deployment
    alias: str
    timeout: float
    known: dict[str, Alias]
    moved: list[DeployResult] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    def point(
        self,
        each: DeployResult,
        version: str,
        routes: Mapping[str, float] | None = None,
        note: str | None = None,
    ) -> Alias:
        """Point the alias of a function; see `Functions.point`. Raises AwsError.

        A change of another client is not overwritten: Lambda refuses if the alias is not as it is known.
        """
        name = name_of(each.move)
        if each not in self.moved:
            self.moved.append(each)
        self.asked[name] = in_words(version, routes or {})
        self.unanswered.add(name)  # after Ctrl-C the request may still be carried out
        try:
            now = self.deployment.client(each.move).point(
                name,
                self.alias,
                version,
                self.known.get(name),
                routes,
                note=note,
                until=time.monotonic() + self.timeout,
            )
        except LaminaError as error:
            if not may_pass(error):
                self.unanswered.discard(name)
            raise
        self.unanswered.discard(name)
        self.known[name] = now
        return now


def in_words(version: str, shares: Mapping[str, float]) -> str:
    """Return how an alias is, or was asked to be."""
    parts = (f"sends {share:.0%} of its calls to version {each}" for each, share in shares.items())
    return ", ".join(parts) or f"is version {version}"
