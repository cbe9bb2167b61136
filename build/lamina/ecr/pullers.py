"""Whose functions may run the images of a registry, and who of them was not asked. Pure.

A function runs an image of its own region. Its account must be let in by the registry: the registry's own
account always is, any other one by a policy. Replicas in other regions are images of other registries.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lamina.declare.accounts import AwsAccount, account_of
from lamina.declare.config import Project
from lamina.errors import Problem

_PULLING = ("ecr:batchgetimage", "ecr:getdownloadurlforlayer")
_LAMBDA = re.compile(r"\*|lambda(?:\.[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")
_ACCOUNT = re.compile(r"[0-9]{12}")
_OF_ARN = re.compile(r"arn:[a-z*-]+:[a-z0-9*-]*:[a-z0-9*-]*:(?P<account>[0-9]{12}):.*", re.DOTALL)
_DELETED = re.compile(r"A(?:ID|RO)A[A-Z0-9]{12,}")
"""What a policy has in the place of a user or role that was deleted: nobody."""
_NARROWING = re.compile(r"(?:foranyvalue:)?(?:string(?:equals(?:ignorecase)?|like)|arn(?:equals|like))")
"""Operators that no request passes which lacks the key; with ``IfExists`` it would."""
_BY_ACCOUNT = frozenset({"aws:principalaccount", "aws:sourceaccount"})
_BY_ARN = frozenset({"aws:principalarn", "aws:sourcearn"})
_BY_ORGANISATION = frozenset(
    {"aws:principalorgid", "aws:principalorgpaths", "aws:sourceorgid", "aws:sourceorgpaths"}
)
_ROLE_RIGHTS = "lambda:ListFunctions, lambda:ListVersionsByFunction and lambda:GetFunction"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRegion:
    """Functions of an account in one region."""

    account: str
    region: str

    def __str__(self) -> str:
        return f"account {self.account}, {self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullingAccount:
    """An account whose functions may run images. where: what says so.

    by_policy: whether only a policy lets it in, which may be for other things than functions.
    """

    account: str
    where: str
    by_policy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPrincipal:
    """More accounts than a policy names. who: ``anybody``, ``the organisation o-1``; where: what says so."""

    who: str
    where: str


def let_in(policy: Mapping[str, Any] | None, where: str) -> tuple[PullingAccount | OpenPrincipal, ...]:
    """Who may pull by a policy, besides the registry's own account. where: what the policy is of.

    Statements that deny are not counted: at worst an account is asked that runs nothing.
    """
    found: dict[PullingAccount | OpenPrincipal, None] = {}
    for statement in _listed((policy or {}).get("Statement")):
        if str(statement.get("Effect", "")).lower() != "allow" or not _pulls(statement):
            continue
        place = f"statement {statement['Sid']} of {where}" if statement.get("Sid") else where
        found |= dict.fromkeys(_principals(statement, place))
    return tuple(found)


def declared(project: Project, caller: AccountRegion) -> Iterator[PullingAccount]:
    """Whose functions may run the images by the project's own configuration; the registry's owner first."""
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
    """Where to ask: all of look-in, and the caller in the registry's region where that is wanted.

    caller: who asks, in the registry's region.
    """
    asked = {
        AccountRegion(
            account=account_of(each.role) if each.role else caller.account,
            region=each.region or caller.region,
        ): each
        for each in project.retention.look_in
    }
    if not asked or any(each.account == caller.account for each in pullers):
        asked.setdefault(caller, AwsAccount())
    return asked


def missing(
    pullers: Iterable[PullingAccount], region: str, asked: Iterable[AccountRegion]
) -> Iterator[Problem]:
    """Of each account that is not asked in the registry's region, what to do."""
    places = tuple(asked)
    told: set[str] = set()
    for each in pullers:
        if each.account in told or AccountRegion(account=each.account, region=region) in places:
            continue
        told.add(each.account)
        role = f'{{ role = "arn:aws:iam::{each.account}:role/<role>" }}'
        hint = f"add {role} to look-in of [tool.lamina.gc]: a role that may {_ROLE_RIGHTS}"
        if each.by_policy:
            hint += "; if no function there runs them, name the accounts whose functions do: accounts"
        yield Problem(
            what=f"functions of account {each.account} may run these images, and gc does not ask it "
            f"in {region}",
            where=each.where,
            allowed=f"asked: {'; '.join(map(str, places)) or 'no account'}",
            hint=hint,
        )


def unbounded(crowds: Iterable[OpenPrincipal]) -> Iterator[Problem]:
    """Of each policy that lets in accounts that cannot be told from it, what to do."""
    by_who: dict[str, list[str]] = {}
    for each in crowds:
        by_who.setdefault(each.who, []).append(each.where)
    for who, places in by_who.items():
        more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
        yield Problem(
            what=f"functions of {who} may run these images: gc cannot know whom to ask",
            where=places[0] + more,
            hint="name all other accounts whose functions run them, in [tool.lamina.gc]: "
            'accounts = ["<account>"], or [] for none',
        )


def _pulls(statement: Mapping[str, Any]) -> bool:
    """Whether a statement is about getting images, or parts of them."""
    if "NotAction" in statement:
        patterns = [str(each).lower() for each in _listed(statement["NotAction"])]
        return any(not _matches(action, patterns) for action in _PULLING)
    patterns = [str(each).lower() for each in _listed(statement.get("Action"))]
    return any(_matches(action, patterns) for action in _PULLING)


def _matches(action: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(action, each.replace("[", "[[]")) for each in patterns)


def _principals(statement: Mapping[str, Any], where: str) -> Iterator[PullingAccount | OpenPrincipal]:
    if "NotPrincipal" in statement:
        yield OpenPrincipal(who="anybody but some", where=where)
        return
    given = statement.get("Principal")
    named = given if isinstance(given, Mapping) else {"AWS": given}
    narrowed = tuple(_narrowed(statement.get("Condition") or {}, where))
    for kind, values in named.items():
        for value in map(str, _listed(values)):
            account = _account_of(value)
            if account:
                yield PullingAccount(account=account, where=where, by_policy=True)
            elif kind == "Service":
                # Lambda for no account in particular: the registry's own. A function of another account needs
                # a statement that names that account as well, and is told by it.
                yield from narrowed if _LAMBDA.fullmatch(value) else ()
            elif not _DELETED.fullmatch(value):
                who = "anybody" if value == "*" else value
                yield from narrowed or (OpenPrincipal(who=who, where=where),)


def _narrowed(condition: Mapping[str, Any], where: str) -> Iterator[PullingAccount | OpenPrincipal]:
    """Who is left of anybody: the accounts, if any key names them; nothing where no key says."""
    accounts: dict[PullingAccount | OpenPrincipal, None] = {}
    crowds: dict[PullingAccount | OpenPrincipal, None] = {}
    for operator, keys in condition.items():
        if not _NARROWING.fullmatch(str(operator).lower()):
            continue
        for key, values in keys.items():
            texts = [str(each) for each in _listed(values)]
            name = str(key).lower()
            if name in _BY_ACCOUNT | _BY_ARN:
                found = [_account_of(each) for each in texts]
                if all(found):
                    accounts |= {
                        PullingAccount(account=str(each), where=where, by_policy=True): None for each in found
                    }
                else:
                    crowds[OpenPrincipal(who=f"whoever {key} {', '.join(texts)} is", where=where)] = None
            elif name in _BY_ORGANISATION:
                crowds[OpenPrincipal(who=f"the organisation {', '.join(texts)}", where=where)] = None
    yield from accounts or crowds


def _account_of(principal: str) -> str | None:
    if _ACCOUNT.fullmatch(principal):
        return principal
    found = _OF_ARN.fullmatch(principal)
    return found["account"] if found else None


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
