"""Find out which images functions run: the accounts to ask, whether any is left out, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from lamina.aws.caller import read_caller
from lamina.aws.clients import CONNECTIONS, Access, Clients, boto_clients
from lamina.aws.container_users import ContainerUsage, read_container_usage
from lamina.aws.lambda_usage import Usage, read_usage
from lamina.aws.live import LATEST
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
from lamina.parallel import gather
from lamina.refs import EcrHost, Reference
from lamina.registries.ecr import EcrRegistry

_UNKNOWN = "nothing is deleted: unless all functions can be read, any image may be in use"
_UNKNOWN_OTHERS = "nothing is deleted: services that can be asked did not answer, so any image may be in use"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSources:
    """The accounts and regions to ask for running images.

    Attributes:
        doubts: why there may be more of them.
        open_clients: makes the clients of one.
    """

    accesses: tuple[Access, ...]
    doubts: tuple[Problem, ...] = ()
    open_clients: Callable[[Access], Clients] = boto_clients

    def ask(self) -> tuple[Usage, ...]:
        """Ask all of them at once. Raises AwsError if one does not answer."""
        try:
            usages = gather(
                lambda each: read_usage(each, clients=self.open_clients(each)),
                self.accesses,
                threads=len(self.accesses),
            )
        except AwsError as error:
            raise AwsError(*error.problems, Problem(what=_UNKNOWN)) from error
        return tuple({(each.account, each.region): each for each in usages}.values())


def plan_usage_sources(session: Session, repositories: Iterable[str]) -> UsageSources:
    """Return the accounts to ask about the images of some repositories: all that may pull them.

    Raises ConfigError if an account may pull them that look-in does not name.
    """
    look_in = session.project.retention.look_in
    region = session.project.ecr.region
    doubts: tuple[Problem, ...] = ()
    if session.ecr:
        look_in, doubts = _all_accounts(session, session.ecr, repositories)
    accesses = tuple(
        Access(region=each.region or region, role=each.role, external_id=each.external_id) for each in look_in
    )
    return UsageSources(accesses=accesses, doubts=doubts, open_clients=session.aws)


def check_declared(session: Session, usages: Iterable[Usage]) -> None:
    """Raise ConfigError for functions declared by ARN in an account or region that was not asked.

    Those in another region than the registry do not run its images: Lambda does not allow that.
    """
    seen = {(each.account, each.region): str(each) for each in usages}
    registry = EcrHost.of(Reference.parse(f"{session.prefix}any"))
    ConfigError.check(
        Problem(
            what=f"the function {function.arn} runs {name}, but gc does not ask its account and region",
            where=session.project.images[name].source,
            allowed="; ".join(seen.values()),
            hint="add its region, and a role of its account, to look-in of [tool.lamina.gc]",
        )
        for name, spec in session.project.images.items()
        for function in spec.functions
        if function.arn and tuple(function.arn.split(":")[4:2:-1]) not in seen
        if registry is None or function.region == registry.region
    )


def used_by(
    usages: Iterable[Usage], without: Container[tuple[str, str, str, str]] = ()
) -> Mapping[str, tuple[str, ...]]:
    """Return digest -> the functions that run it, for people.

    without: account, region, function and version of those that do not count.
    """
    used: dict[str, list[str]] = {}
    for usage in usages:
        for each in usage.deployed:
            if (usage.account, usage.region, each.function, each.version) not in without:
                used.setdefault(each.digest, []).append(f"{each} ({usage})")
    return {digest: tuple(functions) for digest, functions in used.items()}


def only_by_number(usages: Iterable[Usage]) -> frozenset[str]:
    """Return the digests that published versions run, and no ``$LATEST``."""
    deployed = [each for usage in usages for each in usage.deployed]
    latest = {each.digest for each in deployed if each.version == LATEST}
    return frozenset(each.digest for each in deployed) - latest


def read_others(session: Session, usages: Iterable[Usage]) -> ContainerUsage:
    """Return the images of the registry that services besides Lambda use, where permissions allow.

    usages: of the accounts and regions to ask. Raises AwsError if a service that may be read does not answer.
    """

    def read(usage: Usage) -> ContainerUsage:
        return read_container_usage(
            session.aws(usage.access),
            session.project.retention.services,
            prefix=session.prefix,
            place=str(usage),
        )

    asked = tuple(usages)
    try:
        found = gather(read, asked, threads=CONNECTIONS)
    except AwsError as error:
        raise AwsError(*error.problems, Problem(what=_UNKNOWN_OTHERS)) from error
    used = {name: user for each in found for name, user in each.used.items()}
    return ContainerUsage(used=used, unknown=tuple(problem for each in found for problem in each.unknown))


def _all_accounts(
    session: Session, registry: EcrRegistry, repositories: Iterable[str]
) -> tuple[tuple[AwsAccount, ...], tuple[Problem, ...]]:
    """Return the entries of look-in, with the caller's own account if needed; and the doubts.

    Raises ConfigError if an account may pull that look-in does not name.
    """
    project, who = session.project, registry.setup.identity()
    region = project.ecr.region or who.region
    # With a role for the registry its identity is not that of the caller, whose functions are asked.
    mine = read_caller(session.aws(Access(region=region))).account if project.ecr.role else who.account
    caller = AccountRegion(account=mine, region=region)
    found: tuple[PullingAccount | OpenPrincipal, ...] = ()
    if project.retention.accounts is None:
        own = project.ecr.account in {None, who.account}
        found = _by_policies(registry, project.ecr.account if not own else None, repositories)
    pullers = (*declared(project, caller), *(each for each in found if isinstance(each, PullingAccount)))
    asked = places(project, caller, pullers)
    ConfigError.check(missing(pullers, caller.region, asked))
    return tuple(asked.values()), tuple(unbounded(each for each in found if isinstance(each, OpenPrincipal)))


def _by_policies(
    registry: EcrRegistry, owner: str | None, repositories: Iterable[str]
) -> tuple[PullingAccount | OpenPrincipal, ...]:
    """Return the principals that may pull by the policies of repositories and registry.

    Args:
        owner: the registry's account if it is not the caller's, else None.
    """
    names = tuple(repositories)
    policies = gather(registry.inventory.policy, names, threads=CONNECTIONS)
    found = dict.fromkeys(
        each
        for name, policy in zip(names, policies, strict=True)
        for each in let_in(policy, f"the policy of {registry.inventory.full(name)}")
    )
    if owner:  # only the account itself may read the registry's own policy
        who = f"accounts that the registry of {owner} lets in"
        found[OpenPrincipal(who=who, where=f"the policy of the registry of {owner}")] = None
    else:
        found |= dict.fromkeys(let_in(registry.inventory.registry_policy(), "the registry's policy"))
    return tuple(found)
