"""Move the alias of every function to its new version, all or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamina.aws.lambda_ import Functions
from lamina.aws.live import Alias
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.record import read_note
from lamina.deploy.results import DeployResult, Rollout, Status, failed, name_of, note_of
from lamina.deploy.rules import FunctionUpdate
from lamina.errors import AwsError, LaminaError

_POINTED: Mapping[Status, Status] = {"skipped": "pointed"}


@dataclass(slots=True, kw_only=True)
class Pointing:
    """The move of an alias of every function to its new version.

    Attributes:
        moved: functions whose alias would have to be put back.
        shifting: those of them whose calls move only when provisioned concurrency is ready.
    """

    deployment: Deployment
    alias: str
    options: DeployOptions
    say: Callable[[str], None]
    moved: list[DeployResult] = field(default_factory=list)
    shifting: list[DeployResult] = field(default_factory=list)

    def run(self, made: Sequence[DeployResult]) -> Rollout:
        """Move the aliases. After a failure or Ctrl-C, put all of them back."""
        try:
            first = self._move([each for each in made if each.move.pointed])
        except KeyboardInterrupt:
            self.say(self._put_back())
            stopped = (replace(each, status="stopped") if each.status == "skipped" else each for each in made)
            return Rollout(results=tuple(stopped), interrupted=True)
        return Rollout(results=tuple(self._result(each, first) for each in made))

    def _result(self, each: DeployResult, first: DeployResult | None) -> DeployResult:
        if first and first.move == each.move:
            return first
        if each not in self.moved:
            return each
        return replace(each, status="failed" if first else _POINTED.get(each.status, each.status))

    def _move(self, made: Sequence[DeployResult]) -> DeployResult | None:
        """Move the aliases and wait until calls have moved too.

        At the first failure put all aliases back, and return that failure.
        """
        for step, some in ((self._point, made), (self._come_over, self.shifting)):
            for each in some:
                try:
                    step(each)
                except LaminaError as error:
                    return failed(each, error, hint=self._put_back())
        return None

    def _point(self, each: DeployResult) -> None:
        name, client, version = name_of(each.move), self.deployment.client(each.move), str(each.version)
        self.moved.append(each)  # the alias may still move after Ctrl-C has ended the wait for the answer
        before, until = self.deployment.aliases.get(name), time.monotonic() + self.options.timeout
        try:
            note = self._description(each.move, version, before)
            now = client.point(name, self.alias, version, before, note=note, until=until)
        except LaminaError:
            if not _may_be_at(client, name, self.alias, version):
                self.moved.pop()
            raise
        if now.routes:
            self.say(f"{name}: {self.alias} moves to version {version} as provisioned concurrency is ready")
            self.shifting.append(each)
        else:
            self.say(f"{name}: {self.alias} is version {version}")

    def _description(self, move: FunctionUpdate, version: str, before: Alias | None) -> str | None:
        """Return the alias's description; None if somebody else described it."""
        theirs = before is not None and before.description and read_note(before.description) is None
        return None if theirs or not self.options.run else note_of(move, self.options, version)

    def _come_over(self, each: DeployResult) -> None:
        """Wait for provisioned concurrency. Until it is ready, calls go to the old version.

        Raises AwsError if Lambda cannot provide it.
        """
        name, client = name_of(each.move), self.deployment.client(each.move)
        try:
            found = client.allocated(name, self.alias, until=time.monotonic() + self.options.timeout)
        except LaminaError as error:
            self.say(f"{name}: cannot tell whether calls have moved: {error.problems[0].what}")
            return
        if found and found.status == "FAILED":
            raise AwsError.of(
                f"provisioned concurrency for version {each.version} cannot be made: {found.reason}",
                where="AWS GetProvisionedConcurrencyConfig",
            )
        still = found and found.under_way
        self.say(
            f"{name}: provisioned concurrency for version {each.version} is still being made: invoke status"
            if still
            else f"{name}: {self.alias} is version {each.version}"
        )

    def _put_back(self) -> str:
        """Point the aliases back at their old versions. Return a hint for the error message."""
        stuck: list[str] = []
        for each in self.moved:
            name, client = name_of(each.move), self.deployment.client(each.move)
            before, until = self.deployment.aliases.get(name), time.monotonic() + self.options.timeout
            try:
                if before is None:
                    client.drop_alias(name, self.alias, until=until)
                else:
                    known = replace(before, revision=None)
                    client.point(
                        name,
                        self.alias,
                        before.version,
                        known,
                        before.shares,
                        note=before.description,
                        until=until,
                    )
            except LaminaError:
                stuck.append(name)
        names = ", ".join(name_of(each.move) for each in self.moved)
        if stuck:
            return f"{self.alias} could not be put back for {', '.join(stuck)}: run invoke status"
        return f"{self.alias} is put back for {names}; run it again" if names else "run it again"


def _may_be_at(client: Functions, name: str, alias: str, version: str) -> bool:
    """Whether an alias names a version; also true if Lambda does not answer."""
    try:
        found = client.aliases(name).get(alias)
    except LaminaError:
        return True
    return found is not None and found.version == version
