"""Find the accounts whose functions may run the images of a registry, and those gc does not ask. Pure.

A function runs an image of its own region. Its account needs access to the registry: the registry's own
account always has it, any other one gets it by a policy. Replicas in other regions are images of other
registries.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.declare.accounts import AwsAccount, account_of
from lamina.declare.config import Project
from lamina.ecr.desired import one_or_more
from lamina.errors import Problem
from lamina.json_data import JsonTable, as_table

_PULLING = ("ecr:batchgetimage", "ecr:getdownloadurlforlayer")
_LAMBDA = re.compile(r"\*|lambda(?:\.[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
_ACCOUNT = re.compile(r"[0-9]{12}")
_OF_ARN = re.compile(r"arn:[a-z*-]+:[a-z0-9*-]*:[a-z0-9*-]*:(?P<account>[0-9]{12}):.*", re.DOTALL)
_DELETED = re.compile(r"A(?:ID|RO)A[A-Z0-9]{12,}")
"""The id that a policy shows in place of a deleted user or role."""
_NARROWING = re.compile(r"(?:foranyvalue:)?(?:string(?:equals(?:ignorecase)?|like)|arn(?:equals|like))")
"""Condition operators that reject a request without the key; their ``IfExists`` forms do not."""
_BY_ACCOUNT = frozenset({"aws:principalaccount", "aws:sourceaccount"})
_BY_ARN = frozenset({"aws:principalarn", "aws:sourcearn"})
_BY_ORGANISATION = frozenset(
    {"aws:principalorgid", "aws:principalorgpaths", "aws:sourceorgid", "aws:sourceorgpaths"}
)
_ROLE_RIGHTS = "lambda:ListFunctions, lambda:ListVersionsByFunction and lambda:GetFunction"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRegion:
    """An account and a region in which its functions run."""

    account: str
    region: str

    def __str__(self) -> str:
        return f"account {self.account}, {self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullingAccount:
    """An account whose functions may run images.

    Attributes:
        where: the setting or policy that says so.
        by_policy: whether only a policy gives it access, which may be for other purposes than functions.
    """

    account: str
    where: str
    by_policy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPrincipal:
    """A principal that stands for accounts a policy does not name.

    Attributes:
        who: ``any account`` or ``the organisation o-1``.
        where: the policy.
    """

    who: str
    where: str


def let_in(policy: JsonTable | None, where: str) -> tuple[PullingAccount | OpenPrincipal, ...]:
    """Return the principals that may pull by a policy, besides the registry's own account.

    Deny statements are ignored: at worst gc asks an account that runs none of the images.

    Args:
        where: the name of the policy, for messages.
    """
    found: dict[PullingAccount | OpenPrincipal, None] = {}
    for statement in map(as_table, one_or_more((policy or {}).get("Statement"))):
        if str(statement.get("Effect", "")).lower() != "allow" or not _pulls(statement):
            continue
        origin = f"statement {statement['Sid']} of {where}" if statement.get("Sid") else where
        found |= dict.fromkeys(_principals(statement, origin))
    return tuple(found)


def declared(project: Project, caller: AccountRegion) -> Iterator[PullingAccount]:
    """Yield the accounts whose functions may run the images by the configuration, the owner first."""
    yield PullingAccount(account=project.ecr.account or caller.account, where="the registry's own account")
    for reader in project.ecr.readers:
        yield PullingAccount(account=account_of(reader), where="readers of [tool.lamina.ecr]")
    for account in project.retention.accounts or ():
        yield PullingAccount(account=account, where="accounts of [tool.lamina.gc]")
    for name, spec in project.images.items():
        if any(not each.arn for each in spec.functions):  # a function without an ARN is the caller's own
            yield PullingAccount(account=caller.account, where=f"functions of {name}")


def places(
    project: Project, caller: AccountRegion, pullers: Iterable[PullingAccount]
) -> Mapping[AccountRegion, AwsAccount]:
    """Return the accounts and regions to ask: of look-in, of the stack's role, and the caller's if needed.

    Args:
        caller: the caller's account, in the registry's region.
    """
    stack = project.stack
    of_stack = AwsAccount(region=stack.region, role=stack.role, external_id=stack.external_id)
    asked = {
        AccountRegion(
            account=account_of(each.role) if each.role else caller.account,
            region=each.region or caller.region,
        ): each
        for each in (*((of_stack,) if stack.role else ()), *project.retention.look_in)
    }
    if not project.retention.look_in or any(each.account == caller.account for each in pullers):
        asked.setdefault(caller, AwsAccount())
    return asked


def missing(
    pullers: Iterable[PullingAccount], region: str, asked: Iterable[AccountRegion]
) -> Iterator[Problem]:
    """Yield a problem for each account that is not asked in the registry's region."""
    places = tuple(asked)
    reported: set[str] = set()
    for each in pullers:
        if each.account in reported or AccountRegion(account=each.account, region=region) in places:
            continue
        reported.add(each.account)
        role = f'{{ role = "arn:aws:iam::{each.account}:role/<role>" }}'
        hint = f"add {role} to look-in of [tool.lamina.gc]: a role that may {_ROLE_RIGHTS}"
        if each.by_policy:
            hint += "; if no function there runs them, name the accounts whose functions do: accounts"
        yield Problem(
            what=f"functions of account {each.account} may run these images, but gc does not ask it "
            f"in {region}",
            where=each.where,
            allowed=f"asked: {'; '.join(map(str, places)) or 'no account'}",
            hint=hint,
        )


def unbounded(principals: Iterable[OpenPrincipal]) -> Iterator[Problem]:
    """Yield a problem for each principal that stands for accounts its policy does not name."""
    by_who: dict[str, list[str]] = {}
    for each in principals:
        by_who.setdefault(each.who, []).append(each.where)
    for who, places in by_who.items():
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        yield Problem(
            what=f"functions of {who} may run these images: gc cannot know which accounts to ask",
            where=places[0] + more,
            hint="name all other accounts whose functions run them, in [tool.lamina.gc]: "
            'accounts = ["<account>"], or [] for none',
        )


def _pulls(statement: JsonTable) -> bool:
    """Whether a statement covers pulling images or layers."""
    if "NotAction" in statement:
        patterns = [str(each).lower() for each in one_or_more(statement["NotAction"])]
        return any(not _matches(action, patterns) for action in _PULLING)
    patterns = [str(each).lower() for each in one_or_more(statement.get("Action"))]
    return any(_matches(action, patterns) for action in _PULLING)


def _matches(action: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(action, each.replace("[", "[[]")) for each in patterns)


def _principals(statement: JsonTable, where: str) -> Iterator[PullingAccount | OpenPrincipal]:
    if "NotPrincipal" in statement:
        yield OpenPrincipal(who="any account but some", where=where)
        return
    given = statement.get("Principal")
    named = given if isinstance(given, Mapping) else {"AWS": given}
    narrowed = tuple(_narrowed(as_table(statement.get("Condition")), where))
    for kind, values in named.items():
        for value in map(str, one_or_more(values)):
            account = _account_of(value)
            if account:
                yield PullingAccount(account=account, where=where, by_policy=True)
            elif kind == "Service":
                # Lambda without a named account means the registry's own. A function of another account also
                # needs a statement that names its account, and is found by that one.
                yield from narrowed if _LAMBDA.fullmatch(value) else ()
            elif not _DELETED.fullmatch(value):
                who = "any account" if value == "*" else value
                yield from narrowed or (OpenPrincipal(who=who, where=where),)


def _narrowed(condition: JsonTable, where: str) -> Iterator[PullingAccount | OpenPrincipal]:
    """Yield the principals to which a condition narrows ``*``: accounts, if a key names them.

    Yields nothing if no key narrows it.
    """
    accounts: dict[PullingAccount | OpenPrincipal, None] = {}
    others: dict[PullingAccount | OpenPrincipal, None] = {}
    for operator, keys in condition.items():
        if not _NARROWING.fullmatch(str(operator).lower()):
            continue
        for key, values in as_table(keys).items():
            texts = [str(each) for each in one_or_more(values)]
            name = str(key).lower()
            if name in _BY_ACCOUNT | _BY_ARN:
                found = [_account_of(each) for each in texts]
                if all(found):
                    accounts |= {
                        PullingAccount(account=str(each), where=where, by_policy=True): None for each in found
                    }
                else:
                    others[OpenPrincipal(who=f"accounts whose {key} is {', '.join(texts)}", where=where)] = (
                        None
                    )
            elif name in _BY_ORGANISATION:
                others[OpenPrincipal(who=f"the organisation {', '.join(texts)}", where=where)] = None
    yield from accounts or others


def _account_of(principal: str) -> str | None:
    if _ACCOUNT.fullmatch(principal):
        return principal
    found = _OF_ARN.fullmatch(principal)
    return found["account"] if found else None
