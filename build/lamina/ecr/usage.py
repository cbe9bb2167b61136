"""Who runs which images: whom to ask, that nobody is left out, and what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lamina.aws.clients import CONNECTIONS, Access
from lamina.aws.lambda_usage import Usage, read_usage
from lamina.declare.accounts import AwsAccount
from lamina.ecr.pullers import (
    AccountRegion,
    OpenPrincipal,
    PullingAccount,
    declared,
    let_in,
    missing,
    places,
    unbounded,
)
from lamina.errors import AwsError, ConfigError, Problem
from lamina.flow.session import Session
from lamina.registries.ecr import EcrRegistry

_UNKNOWN = "nothing is deleted: as long as not all functions can be seen, any image may be in use"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSources:
    """Whom to ask for the images that functions run. doubts: why that may not be everybody."""

    accesses: tuple[Access, ...]
    doubts: tuple[Problem, ...] = ()

    def ask(self) -> tuple[Usage, ...]:
        """Ask all of them at once. Raises AwsError when one does not answer."""
        if not self.accesses:
            return ()
        try:
            with ThreadPoolExecutor(len(self.accesses), thread_name_prefix="usage") as pool:
                usages = tuple(pool.map(read_usage, self.accesses))
        except AwsError as error:
            raise AwsError(*error.problems, Problem(what=_UNKNOWN)) from error
        return tuple({(each.account, each.region): each for each in usages}.values())


def plan_usage_sources(session: Session, repositories: Iterable[str]) -> UsageSources:
    """Whom to ask about the images of some repositories: everybody who may pull them.

    Raises ConfigError when an account may that no entry of look-in is of.
    """
    look_in = session.project.retention.look_in
    region = session.project.ecr.region
    doubts: tuple[Problem, ...] = ()
    if session.ecr:
        look_in, doubts = _everybody(session, session.ecr, repositories)
    accesses = tuple(Access(region=each.region or region, role=each.role) for each in look_in)
    return UsageSources(accesses=accesses, doubts=doubts)


def check_declared(session: Session, usages: Iterable[Usage]) -> None:
    """Raise ConfigError for functions that are declared by ARN in a place that was not asked."""
    seen = {(each.account, each.region): str(each) for each in usages}
    ConfigError.check(
        Problem(
            what=f"the function {function.arn} runs {name}, and gc does not look there",
            where=session.project.images[name].source,
            allowed="; ".join(seen.values()),
            hint="name its region, and a role of its account, in look-in of [tool.lamina.gc]",
        )
        for name, spec in session.project.images.items()
        for function in spec.functions
        if function.arn and tuple(function.arn.split(":")[4:2:-1]) not in seen
    )


def used_by(usages: Iterable[Usage]) -> Mapping[str, tuple[str, ...]]:
    """Digest -> the functions that run it, for people."""
    used: dict[str, list[str]] = {}
    for usage in usages:
        for each in usage.deployed:
            used.setdefault(each.digest, []).append(f"{each} ({usage})")
    return {digest: tuple(functions) for digest, functions in used.items()}


def _everybody(
    session: Session, registry: EcrRegistry, repositories: Iterable[str]
) -> tuple[tuple[AwsAccount, ...], tuple[Problem, ...]]:
    """The entries of look-in, and the caller where it is needed and not among them; and what is in doubt."""
    project, who = session.project, registry.setup.identity()
    caller = AccountRegion(account=who.account, region=project.ecr.region or who.region)
    told: tuple[PullingAccount | OpenPrincipal, ...] = ()
    if project.retention.accounts is None:
        own = project.ecr.account in {None, who.account}
        told = _by_policies(registry, project.ecr.account if not own else None, repositories)
    pullers = (*declared(project, caller), *(each for each in told if isinstance(each, PullingAccount)))
    asked = places(project, caller, pullers)
    ConfigError.check(missing(pullers, caller.region, asked))
    return tuple(asked.values()), tuple(unbounded(each for each in told if isinstance(each, OpenPrincipal)))


def _by_policies(
    registry: EcrRegistry, stranger: str | None, repositories: Iterable[str]
) -> tuple[PullingAccount | OpenPrincipal, ...]:
    """Who may pull by the policies of repositories and registry. stranger: its owner, if not the caller."""
    names = tuple(repositories)
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ecr") as pool:
        policies = tuple(pool.map(registry.stock.policy, names))
    found = dict.fromkeys(
        each
        for name, policy in zip(names, policies, strict=True)
        for each in let_in(policy, f"the policy of {registry.stock.full(name)}")
    )
    if stranger:  # only the account itself may read the registry's own policy
        who = f"accounts that the registry of {stranger} lets in"
        found[OpenPrincipal(who=who, where=f"the policy of the registry of {stranger}")] = None
    else:
        found |= dict.fromkeys(let_in(registry.stock.registry_policy(), "the registry's policy"))
    return tuple(found)
