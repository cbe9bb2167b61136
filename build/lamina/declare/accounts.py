"""Accounts, regions and roles of AWS in the configuration; and ``gc`` of ``[tool.lamina]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from lamina.declare.document import Document, Entries, Key
from lamina.declare.grammar import REGIONS, without_login
from lamina.patterns import regex
from lamina.refs import REGION
from lamina.values import dataclass

ACCOUNT = regex(r"[0-9]{12}")
PRINCIPAL = regex(r"arn:[a-z-]+:iam::([0-9]{12}):(?:root|(?:role|user)/[\w+=,.@/-]+)")
ROLE = regex(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+")
EXTERNAL_ID = regex(r"[\w+=,.@:/-]{2,1224}")
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""
PREFIX = regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*|ROOT")
KMS_KEY = regex(
    r"(?:arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:)?alias/[\w/-]{1,250}"
    r"|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+"
)
"""https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_EncryptionConfiguration.html"""
MOST_DAYS = 36500
SECRET = regex(
    r"arn:aws(?:-\w+)*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:ecr-pullthroughcache/[\w/+=.@-]+"
)
CACHE_PREFIX = regex(
    r"(?=.{2,30}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
CONTAINER_SERVICES = ("ecs", "batch", "sagemaker", "apprunner")
"""Services besides Lambda that gc can ask which images they use."""
_SHAPES: Mapping[str, tuple[re.Pattern[str], str, str]] = {
    "account": (ACCOUNT, "an AWS account", "its 12 digits in quotes"),
    "region": (REGION, "an AWS region", REGIONS),
    "template": (
        PREFIX,
        "a repository prefix",
        'a path such as "team", for all repositories below it; or ROOT, for the whole registry',
    ),
    "kms-key": (KMS_KEY, "a KMS key", "alias/<name>, or the ARN of a key or an alias"),
    "role": (ROLE, "a role ARN", "arn:aws:iam::<account>:role/<name>"),
    "template-role": (ROLE, "a role ARN", "arn:aws:iam::<account>:role/<name>"),
    "external-id": (EXTERNAL_ID, "an external id", "2 to 1224 letters, digits and any of _+=,.@:/-"),
    "prefix": (CACHE_PREFIX, "the prefix of a cache", "2 to 30 characters of a repository name"),
    "secret": (
        SECRET,
        "the secret of a registry",
        "arn:aws:secretsmanager:<region>:<account>:secret:ecr-pullthroughcache/<name>",
    ),
}
# fmt: off
_PLACE_KEYS: Mapping[str, Key] = {
    "region": Key(kind=str, pattern=REGION.pattern, help="by default the caller's own"),
    "role": Key(kind=str, pattern=ROLE.pattern, help="ARN of the role to assume"),
    "external-id": Key(kind=str, pattern=EXTERNAL_ID.pattern,
                       help="external id that the role's trust policy asks for"),
}
GC_KEYS: Mapping[str, Key] = {
    "keep-last": Key(kind=int, least=1, most=MOST_DAYS,
                     help="how many of the newest images to keep in each repository"),
    "days": Key(kind=int, least=0, most=MOST_DAYS, help="keep images pushed within this many days"),
    "pulled-days": Key(kind=int, least=0, most=MOST_DAYS, help="keep images pulled within this many days"),
    "look-in": Key(kind=list, values=(Key(kind=dict, table=_PLACE_KEYS),),
                   help="accounts and regions in which to list functions that run images"),
    "accounts": Key(kind=list, values=(Key(kind=str, pattern=ACCOUNT.pattern),),
                    help="all accounts whose functions may run the images"),
    "services": Key(kind=list, values=(Key(kind=str, choices=CONTAINER_SERVICES),),
                    help="services besides Lambda that may use the images; by default all of these"),
}
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAccount:
    """An account and region where functions run.

    Attributes:
        region: None uses the caller's own; the same for `role`.
        role: The ARN of the role to assume.
        external_id: What the role's trust policy asks for.
    """

    region: str | None = None
    role: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The images that `gc` keeps: the newest of each repository, and those pushed or pulled lately.

    Attributes:
        look_in: Where to list the functions that run images.
        accounts: All accounts whose functions may run the images, apart from the registry's own and its
            readers. None derives them from the policies of the registry and its repositories.
        services: Services besides Lambda that may use the images.
    """

    keep_last: int = 10
    days: int = 30
    pulled_days: int = 30
    look_in: tuple[AwsAccount, ...] = field(default=())
    accounts: tuple[str, ...] | None = None
    services: tuple[str, ...] = CONTAINER_SERVICES


def account_of(reader: str) -> str:
    """Return the account of a reader: the reader itself, or the account in its ARN."""
    found = PRINCIPAL.fullmatch(reader)
    return found[1] if found else reader


def read_retention(document: Document) -> Retention:
    """Read ``[tool.lamina.gc]``. Problems go to the document."""
    given = dict(document.known(document.table.get("gc", {}), GC_KEYS, "gc"))
    for key, least in (("keep-last", 1), ("days", 0), ("pulled-days", 0)):
        check_count(document, key, given, least, "gc")
    given["look-in"] = tuple(_accounts(document, given.get("look-in", ())))
    if "accounts" in given:
        for item in given["accounts"]:
            check_shape(document, "account", str(item), "gc", "accounts")
        given["accounts"] = tuple(map(str, given["accounts"]))
    if "services" in given:
        given["services"] = tuple(_services(document, given["services"]))
    return Retention(**{key.replace("-", "_"): value for key, value in given.items()})


def _accounts(document: Document, given: Iterable[object]) -> Iterator[AwsAccount]:
    for item in given:
        entry = document.known(item, _PLACE_KEYS, "gc", "look-in")
        for key in _PLACE_KEYS:
            check_shape(document, key, entry.get(key), "gc", "look-in")
        check_external_id(document, entry, "gc", "look-in")
        yield AwsAccount(
            region=entry.get("region"), role=entry.get("role"), external_id=entry.get("external-id")
        )


def _services(document: Document, given: Iterable[object]) -> Iterator[str]:
    for item in given:
        if item in CONTAINER_SERVICES:
            yield str(item)
        else:
            document.problem(
                f"{item!r} is not a service that can be asked",
                where=document.where("gc", "services"),
                allowed=", ".join(CONTAINER_SERVICES),
            )


def check_shape(document: Document, key: str, value: str | None, *path: str) -> None:
    """Report a value that does not have the form of its key: an account, a region, a role, a template."""
    pattern, kind, allowed = _SHAPES[key]
    if value is not None and not pattern.fullmatch(value):
        document.problem(
            f"{without_login(value)!r} is not {kind}", where=document.where(*path), allowed=allowed
        )


def check_external_id(document: Document, given: Entries, *path: str) -> None:
    """Report an external id without a role."""
    if "external-id" in given and "role" not in given:
        document.problem(
            "external-id without role",
            where=document.where(*path, "external-id"),
            allowed="both, or neither: it is part of assuming a role",
        )


def check_count(document: Document, key: str, given: Entries, least: int, table: str) -> None:
    """Report a number that is less than allowed, or too large for days."""
    if key in given and not least <= given[key] <= MOST_DAYS:
        document.problem(
            f"{key} is {given[key]}", where=document.where(table, key), allowed=f"{least} to {MOST_DAYS}"
        )
