"""Put aliases back after a failure or Ctrl-C. What another client moved meanwhile stays as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from lamina.aws.lambda_ import Functions
from lamina.aws.live import Alias
from lamina.deploy.alias_moves import AliasMoves, in_words
from lamina.deploy.record import read_note
from lamina.deploy.results import DeployResult, name_of
from lamina.errors import AwsError, LaminaError

_TRIES = 3


class _MovedError(AwsError):
    """Another client moved the alias."""


@dataclass(slots=True, kw_only=True)
class Returning:
    """The return of an alias of several functions.

    Attributes:
        before: by function name, the alias as it is to be; functions without one had none.
        moves: those that are undone.
        name: of the deployment that made them.
        weights: shares that new versions were given; others are of another client.
        queue: functions whose alias may have moved.
        patient: whether the first Ctrl-C is ignored; the next one ends the return.
        left: by function name, how its alias is, and why it could not be put back.
        theirs: by function name, what another client did to its alias meanwhile.
    """

    moves: AliasMoves
    name: str
    before: Mapping[str, Alias]
    say: Callable[[str], None]
    queue: list[DeployResult]
    weights: Collection[float] = ()
    patient: bool = False
    left: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Put the aliases back."""
        while True:
            try:
                if self.queue and not self.patient:
                    with suppress(OSError):  # Ctrl-C also ended what reads the output: deploy | tee
                        self.say(f"{self.moves.alias} is being put back (Ctrl-C again: leave it as it is)")
                while self.queue:
                    self._next()
            except KeyboardInterrupt:
                if not self.patient:
                    for each in self.queue:
                        self._leave(each, "its return was not waited for")
                    return
                self.patient = False
            else:
                return

    def _next(self) -> None:
        each = self.queue[0]
        try:
            self._bring(each)
        except _MovedError as error:
            self.theirs[name_of(each.move)] = error.problems[0].what
        except LaminaError as error:
            self._leave(each, error.problems[0].what)
        del self.queue[0]

    def _leave(self, each: DeployResult, why: str) -> None:
        name = name_of(each.move)
        self.left[name] = f"{self.moves.asked[name]}: {why}"

    def _bring(self, each: DeployResult) -> None:
        """Put one alias back, if it is where it was put or may be."""
        name, client = name_of(each.move), self.moves.deployment.client(each.move)
        for further in reversed(range(_TRIES)):
            try:
                self._try(name, client, str(each.version))
            except _MovedError:
                raise
            except LaminaError:
                if not further:
                    raise
            else:
                return

    def _try(self, name: str, client: Functions, version: str) -> None:
        """Put an alias back.

        A move without an answer may come later: putting the alias back changes its revision, so that Lambda
        refuses the move then.
        """
        now, before = client.aliases(name).get(self.moves.alias), self.before.get(name)
        if _is_same(now, before) and (before is None or name not in self.moves.unanswered):
            return
        if now is None or not (_is_same(now, before) or self._is_ours(name, now, before, version)):
            change = f"{in_words(now.version, now.routes)}, moved" if now else "was deleted"
            raise _MovedError.of(f"{change} by another client meanwhile, which stays", where="AWS Lambda")
        self.moves.asked[name] = in_words(now.version, now.routes)
        until = time.monotonic() + self.moves.timeout
        if before is None:
            client.drop_alias(name, self.moves.alias, until=until)
            return
        client.point(
            name, self.moves.alias, before.version, now, before.shares, note=before.description, until=until
        )

    def _is_ours(self, name: str, now: Alias, before: Alias | None, version: str) -> bool:
        """Whether an alias is as it was moved: at the new version, or with a share for it.

        Two deployments of one image have one new version: notes and revisions tell whose move it was.
        """
        if now.version == version:
            described = before.description if before else ""
            note = read_note(now.description) if now.description != described else None
            ours = note is None or note.run == self.name
            return ours and set(now.routes) <= ({before.version} if before else set())
        known = self.moves.known.get(name)
        return (
            before is not None
            and now.version == before.version
            and set(now.routes) == {version}
            and now.routes[version] in self.weights
            and (name in self.moves.unanswered or (known is not None and known.revision == now.revision))
        )


def _is_same(now: Alias | None, before: Alias | None) -> bool:
    if now is None or before is None:
        return now is before
    return (now.version, dict(now.routes)) == (before.version, dict(before.shares))
