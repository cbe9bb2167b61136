"""A team's functions in `Here`, and the deploys and rollbacks of them by the code of the commands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from doubles.here import CloudWatchDouble, Here
from doubles.lambda_ import LambdaDouble

from lamina.aws.lambda_ import Functions
from lamina.declare.functions import Function
from lamina.deploy.canary import Waiting
from lamina.deploy.deploy import Deployment, DeployOptions, plan_functions
from lamina.deploy.results import Rollout
from lamina.deploy.rollback import plan_rollback
from lamina.deploy.rollout import apply
from lamina.deploy.rules import DesiredFunction
from lamina.deploy.run import make_record
from lamina.deploy.shift import read_shift
from lamina.flow.flags import Flags
from lamina.flow.session import Session
from lamina.report.console import Screen

REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app-dev"
OLD, NEW, OTHER = ("sha256:" + each * 64 for each in "129")
CONFIG = '[tool.lamina.images.app]\nplatform = "linux/amd64"\nfunctions = ["one", "two"]\n'
RUNS = [f"2026010{day}T000000-aaaaaa" for day in range(1, 9)]


@dataclass
class Time:
    """A clock that moves only when somebody sleeps. at: what happens then, by second."""

    seconds: float = 0
    at: dict[float, Any] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for second in [each for each in self.at if each <= self.seconds]:
            self.at.pop(second)()

    def waiting(self) -> Waiting:
        return Waiting(sleep=self.sleep, clock=lambda: self.seconds, now=lambda: f"at {self.seconds:.0f}")


@dataclass
class Team:
    """Functions ``one`` and ``two``, whose alias ``live`` is version 1 of `OLD`."""

    root: Path
    names: tuple[str, ...] = ("one", "two")
    said: list[str] = field(default_factory=list)
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        (self.root / "pyproject.toml").write_text(CONFIG)
        (self.root / "dockerfiles/app").mkdir(parents=True)
        (self.root / "dockerfiles/app/Dockerfile").write_text("FROM public.ecr.aws/lambda/python:3.13\n")
        self.here = Here(doubles=[])
        self.client = self.here("lambda")
        self.functions = Functions(self.here, sleep=lambda _: None)
        self.session = Session(Flags(), Screen(env={}, stream=_Said(self.said)), root=self.root)
        self.begin()

    def begin(self) -> None:
        """Begin again, with new functions."""
        self.lambdas = LambdaDouble(exists=lambda _: True, updates=0, looks=0)
        self.alarms = CloudWatchDouble()
        self.here.doubles = [self.lambdas, self.alarms]
        self.here.fine()
        self.said.clear()
        self.time = Time()
        self.runs = iter(RUNS)
        for name in self.names:
            self.lambdas.put(name, latest=f"{REPOSITORY}@{OLD}")
        self.apply(self.plan(OLD, self.options()), self.options())

    def options(
        self, canary: str | None = None, *alarms: str, linear: str | None = None, **more: Any
    ) -> DeployOptions:
        shift = read_shift("canary", canary, "") if canary else None
        shift = read_shift("linear", linear, "") if linear else shift
        run = next(self.runs)
        return DeployOptions(alias="live", shift=shift, alarms=alarms, run=run, take_over=True, **more)

    def connect(self, session: Session, functions: Iterable[Function]) -> dict[str | None, Functions]:
        return {None: self.functions}

    def plan(self, digest: str, options: DeployOptions) -> Deployment:
        wanted = [
            DesiredFunction(
                function=Function(name=name),
                image="app",
                uri=f"{REPOSITORY}@{digest}",
                digest=digest,
                platform="linux/amd64",
                tag=f"sha-{digest[7:19]}",
            )
            for name in self.names
        ]
        events = dict.fromkeys(self.names, b"{}")
        return plan_functions(self.session, wanted, events, options, connect=self.connect)

    def apply(self, plan: Deployment, options: DeployOptions) -> Rollout:
        return apply(plan, options, say=self.said.append, waiting=self.time.waiting())

    def deploy(self, options: DeployOptions, digest: str = NEW) -> Rollout:
        return self.apply(self.plan(digest, options), options)

    def roll_back(self) -> Rollout:
        options = replace(self.options(), rollback=True)
        return self.apply(plan_rollback(self.session, options, None, connect=self.connect), options)

    def recorded(self, options: DeployOptions, digest: str = NEW) -> Any:
        plan = self.plan(digest, options)
        return make_record("deploy", "dev", options, plan, self.apply(plan, options))

    def live(self) -> dict[str, tuple[str, dict[str, float]]]:
        """The version of the alias of each function, and the shares of others."""
        found = {name: self.lambdas._functions[name].aliases["live"] for name in self.names}
        return {
            name: (each["FunctionVersion"], each["RoutingConfig"].get("AdditionalVersionWeights", {}))
            for name, each in found.items()
        }

    def reach(self) -> set[str]:
        """The digests that calls reach."""
        return {
            self.lambdas.runs(name, each)
            for name, (version, shares) in self.live().items()
            for each in (version, *shares)
        }

    def point(self, name: str, version: str, **shares: float) -> None:
        """Move an alias as another client does. shares: ``v3`` -> the share of version 3."""
        weights = {version.removeprefix("v"): share for version, share in shares.items()}
        self.client.update_alias(
            FunctionName=name,
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": weights},
        )


class _Said:
    """A stream of which a list gets the text."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def write(self, text: str) -> int:
        self.said.append(text)
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


def statuses(done: Rollout) -> list[str]:
    return [each.status for each in done.results]


def words(done: Rollout) -> str:
    """All problems."""
    return "\n".join(map(str, done.all_problems))
