"""A project's registry in AWS, and what is kept there: ``ecr`` and ``gc`` of ``[tool.lamina]``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.declare.document import Document
from lamina.declare.grammar import without_login
from lamina.refs import Reference

ROOT = "ROOT"
"""The creation template of all repositories that no other one is for, as ECR calls it."""
_ECR_KEYS: Mapping[str, type] = {
    "account": str,
    "region": str,
    "host": str,
    "scan-on-push": bool,
    "blob-mounting": bool,
    "untagged-days": int,
    "cache-days": int,
    "readers": list,
    "template": str,
}
_GC_KEYS: Mapping[str, type] = {"keep-last": int, "days": int, "look-in": list, "accounts": list}
_PLACE_KEYS: Mapping[str, type] = {"region": str, "role": str}
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]{1,2}")
_PRINCIPAL = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):(?:root|(?:role|user)/[\w+=,.@/-]+)")
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_PREFIX = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*|ROOT")
_MOST_DAYS = 36500
_SHAPES: Mapping[str, tuple[re.Pattern[str], str, str]] = {
    "account": (_ACCOUNT, "AWS account", "its 12 digits in quotes"),
    "region": (_REGION, "AWS region", "a name such as eu-west-1"),
    "template": (
        _PREFIX,
        "prefix of repositories",
        'a path such as "team", for all repositories below it; or ROOT, for all of the registry',
    ),
    "role": (_ROLE, "ARN of a role", "arn:aws:iam::<account>:role/<name>"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecr:
    """The registry in ECR; None leaves it to AWS' own chain.

    host: registry host instead of the one AWS names. untagged_days, cache_days: how long caches live.
    readers: accounts, and ARNs of roles and users, that may pull. template: prefix of the repositories that
    a push may create.
    """

    account: str | None = None
    region: str | None = None
    host: str | None = None
    scan_on_push: bool = True
    blob_mounting: bool = True
    untagged_days: int = 14
    cache_days: int = 30
    readers: tuple[str, ...] = ()
    template: str | None = None

    def creates(self, repository: str) -> bool:
        """Whether a push to a repository creates it, by the template."""
        return self.template == ROOT or (
            self.template is not None and repository.startswith(f"{self.template}/")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAccount:
    """Where functions run. role: the ARN of one to take there. None: the caller's own."""

    region: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What `gc` keeps: the newest of each repository, and all that is younger.

    look_in: where to ask which functions run images. accounts: all whose functions may run them besides the
    registry's own and its readers; None leaves it to the policies of registry and repositories.
    """

    keep_last: int = 10
    days: int = 30
    look_in: tuple[AwsAccount, ...] = field(default=())
    accounts: tuple[str, ...] | None = None


def account_of(reader: str) -> str:
    """The account of a reader that is one, or that is of one."""
    found = _PRINCIPAL.fullmatch(reader)
    return found[1] if found else reader


def read_ecr(document: Document) -> Ecr:
    """``[tool.lamina.ecr]``. Faults go to the document."""
    given = dict(document.known(document.table.get("ecr", {}), _ECR_KEYS, "ecr"))
    for key in ("account", "region", "template"):
        _shaped(document, key, given.get(key), "ecr", key)
    for key in ("untagged-days", "cache-days"):
        _counted(document, key, given, 1, "ecr")
    if host := given.get("host"):
        _check_host(document, host)
    given["readers"] = tuple(_readers(document, given.get("readers", ())))
    return Ecr(**{key.replace("-", "_"): value for key, value in given.items()})


def read_retention(document: Document) -> Retention:
    """``[tool.lamina.gc]``. Faults go to the document."""
    given = dict(document.known(document.table.get("gc", {}), _GC_KEYS, "gc"))
    for key, least in (("keep-last", 1), ("days", 0)):
        _counted(document, key, given, least, "gc")
    given["look-in"] = tuple(_accounts(document, given.get("look-in", ())))
    if "accounts" in given:
        for item in given["accounts"]:
            _shaped(document, "account", str(item), "gc", "accounts")
        given["accounts"] = tuple(map(str, given["accounts"]))
    return Retention(**{key.replace("-", "_"): value for key, value in given.items()})


def _accounts(document: Document, given: list[Any]) -> Iterator[AwsAccount]:
    for item in given:
        entry = document.known(item, _PLACE_KEYS, "gc", "look-in")
        for key in _PLACE_KEYS:
            _shaped(document, key, entry.get(key), "gc", "look-in")
        yield AwsAccount(region=entry.get("region"), role=entry.get("role"))


def _readers(document: Document, given: list[Any]) -> Iterator[str]:
    for item in given:
        if isinstance(item, str) and (_ACCOUNT.fullmatch(item) or _PRINCIPAL.fullmatch(item)):
            yield item
        else:
            document.problem(
                f"{item!r} can read no repository",
                where=document.where("ecr", "readers"),
                allowed="the 12 digits of an account in quotes, or the ARN of a role, a user or a root",
            )


def _shaped(document: Document, key: str, value: str | None, *path: str) -> None:
    pattern, what, allowed = _SHAPES[key]
    if value is not None and not pattern.fullmatch(value):
        document.problem(
            f"{without_login(value)!r} is no {what}", where=document.where(*path), allowed=allowed
        )


def _counted(document: Document, key: str, given: Mapping[str, Any], least: int, table: str) -> None:
    if key in given and not least <= given[key] <= _MOST_DAYS:
        document.problem(
            f"{key} is {given[key]}", where=document.where(table, key), allowed=f"{least} to {_MOST_DAYS}"
        )


def _check_host(document: Document, host: str) -> None:
    try:
        fine = Reference.parse(f"{host}/any").host == host
    except ValueError:
        fine = False
    if not fine:
        document.problem(
            f"{without_login(host)!r} is no registry host",
            where=document.where("ecr", "host"),
            allowed="host or host:port, without a path",
        )
