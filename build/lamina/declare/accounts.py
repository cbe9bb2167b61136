"""The project's AWS registry and its retention rules: ``ecr`` and ``gc`` of ``[tool.lamina]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace

from lamina.declare.document import TEXTS, Document, Entries, Key
from lamina.declare.grammar import REGIONS, without_login
from lamina.patterns import regex
from lamina.refs import REGION, UPSTREAMS, PullThrough, Reference
from lamina.values import dataclass

ROOT = "ROOT"
"""ECR's name for the creation template of all repositories without a template of their own."""
ACCOUNT = regex(r"[0-9]{12}")
_PRINCIPAL = regex(r"arn:[a-z-]+:iam::([0-9]{12}):(?:root|(?:role|user)/[\w+=,.@/-]+)")
ROLE = regex(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+")
EXTERNAL_ID = regex(r"[\w+=,.@:/-]{2,1224}")
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""
_PREFIX = regex(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*|ROOT")
_KMS_KEY = regex(
    r"(?:arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:)?alias/[\w/-]{1,250}"
    r"|arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+"
)
"""https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_EncryptionConfiguration.html"""
_TAG = regex(r"(?!(?i:aws):)[\w .:/=+@-]{1,128}")
_TAG_VALUE = regex(r"[\w .:/=+@-]{0,256}")
_MOST_TAGS = 50
"""https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html"""
_MOST_DAYS = 36500
_SECRET = regex(
    r"arn:aws(?:-\w+)*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:ecr-pullthroughcache/[\w/+=.@-]+"
)
_CACHE_PREFIX = regex(
    r"(?=.{2,30}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
CONTAINER_SERVICES = ("ecs", "batch", "sagemaker", "apprunner")
"""Services besides Lambda that gc can ask which images they use."""
_SHAPES: Mapping[str, tuple[re.Pattern[str], str, str]] = {
    "account": (ACCOUNT, "an AWS account", "its 12 digits in quotes"),
    "region": (REGION, "an AWS region", REGIONS),
    "template": (
        _PREFIX,
        "a repository prefix",
        'a path such as "team", for all repositories below it; or ROOT, for the whole registry',
    ),
    "kms-key": (_KMS_KEY, "a KMS key", "alias/<name>, or the ARN of a key or an alias"),
    "role": (ROLE, "a role ARN", "arn:aws:iam::<account>:role/<name>"),
    "template-role": (ROLE, "a role ARN", "arn:aws:iam::<account>:role/<name>"),
    "external-id": (EXTERNAL_ID, "an external id", "2 to 1224 letters, digits and any of _+=,.@:/-"),
    "prefix": (_CACHE_PREFIX, "the prefix of a cache", "2 to 30 characters of a repository name"),
    "secret": (
        _SECRET,
        "the secret of a registry",
        "arn:aws:secretsmanager:<region>:<account>:secret:ecr-pullthroughcache/<name>",
    ),
}
# fmt: off
_CACHE_KEYS: Mapping[str, Key] = {
    "registry": Key(kind=str, choices=tuple(UPSTREAMS), help="host of the registry that is cached"),
    "prefix": Key(kind=str, pattern=_CACHE_PREFIX.pattern, help="prefix of the repositories of its cache"),
    "secret": Key(kind=str, pattern=_SECRET.pattern,
                  help="ARN of the secret with its user and token, which Docker Hub, GitHub and GitLab need"),
}
ECR_KEYS: Mapping[str, Key] = {
    "account": Key(kind=str, pattern=ACCOUNT.pattern,
                   help="the registry's account; by default that of its role, or of the credentials"),
    "region": Key(kind=str, pattern=REGION.pattern,
                  help="the registry's region; by default as AWS is configured"),
    "role": Key(kind=str, pattern=ROLE.pattern,
                help="ARN of the role to assume for the registry; functions have that of their stack"),
    "external-id": Key(kind=str, pattern=EXTERNAL_ID.pattern,
                       help="external id that the role's trust policy asks for"),
    "host": Key(kind=str, help="host or host:port that replaces AWS's own"),
    "public-login": Key(kind=bool, help="log in to ECR Public; by default if credentials are configured"),
    "scan-on-push": Key(kind=bool, help="scan images as they are pushed"),
    "blob-mounting": Key(kind=bool, help="let repositories share layers"),
    "untagged-days": Key(kind=int, least=1, most=_MOST_DAYS, help="days until replaced caches expire"),
    "cache-days": Key(kind=int, least=1, most=_MOST_DAYS,
                      help="days until all other caches expire after their last write"),
    "readers": Key(kind=list, values=(Key(kind=str, pattern=f"{ACCOUNT.pattern}|{_PRINCIPAL.pattern}"),),
                   help="accounts, and ARNs of roles and users, that may pull"),
    "template": Key(kind=str, pattern=_PREFIX.pattern,
                    help="prefix of the repositories that a push may create; ROOT: all of the registry"),
    "template-role": Key(kind=str, pattern=ROLE.pattern,
                         help="ARN of the role with which ECR creates them; needed with kms-key and tags"),
    "kms-key": Key(kind=str, pattern=_KMS_KEY.pattern,
                   help="the KMS key that encrypts new repositories: alias/<name>, or the ARN of a key or an "
                        "alias; by default ECR's own encryption (AES-256)"),
    "tags": Key(kind=dict, names=_TAG.pattern, values=TEXTS,
                help="tags of the repositories; other tags of theirs stay"),
    "regions": Key(kind=list, values=(Key(kind=str, pattern=REGION.pattern),),
                   help="other regions with functions, to which deploy copies their images"),
    "pull-through": Key(kind=list,
                        values=(Key(kind=str, choices=tuple(UPSTREAMS)), Key(kind=dict, table=_CACHE_KEYS)),
                        help="registries whose images are pulled through a cache in this registry"),
}
_PLACE_KEYS: Mapping[str, Key] = {
    "region": Key(kind=str, pattern=REGION.pattern, help="by default the caller's own"),
    "role": Key(kind=str, pattern=ROLE.pattern, help="ARN of the role to assume"),
    "external-id": Key(kind=str, pattern=EXTERNAL_ID.pattern,
                       help="external id that the role's trust policy asks for"),
}
GC_KEYS: Mapping[str, Key] = {
    "keep-last": Key(kind=int, least=1, most=_MOST_DAYS,
                     help="how many of the newest images to keep in each repository"),
    "days": Key(kind=int, least=0, most=_MOST_DAYS, help="keep images pushed within this many days"),
    "pulled-days": Key(kind=int, least=0, most=_MOST_DAYS, help="keep images pulled within this many days"),
    "look-in": Key(kind=list, values=(Key(kind=dict, table=_PLACE_KEYS),),
                   help="accounts and regions in which to list functions that run images"),
    "accounts": Key(kind=list, values=(Key(kind=str, pattern=ACCOUNT.pattern),),
                    help="all accounts whose functions may run the images"),
    "services": Key(kind=list, values=(Key(kind=str, choices=CONTAINER_SERVICES),),
                    help="services besides Lambda that may use the images; by default all of these"),
}
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecr:
    """The ECR registry.

    Attributes:
        account: None uses AWS's own configuration chain; the same for `region`.
        role: The ARN of the role to assume for the registry. None uses the caller's own credentials.
        external_id: What the role's trust policy asks for.
        host: Registry host that replaces AWS's own.
        public_login: Whether to log in to ECR Public; None: where credentials are evident.
        untagged_days: Days until replaced caches expire.
        cache_days: Days until all other caches expire after their last write.
        readers: Accounts, and ARNs of roles and users, that may pull.
        template: Prefix of the repositories that a push may create.
        template_role: The ARN of the role with which ECR creates them.
        kms_key: An alias, or the ARN of a key or an alias. None leaves the encryption to ECR.
        tags: Names and values of the tags of repositories.
        regions: Other regions that get images, for the functions there.
        pull_through: Caches of other registries.
    """

    account: str | None = None
    region: str | None = None
    role: str | None = None
    external_id: str | None = None
    host: str | None = None
    public_login: bool | None = None
    scan_on_push: bool = True
    blob_mounting: bool = True
    untagged_days: int = 14
    cache_days: int = 30
    readers: tuple[str, ...] = ()
    template: str | None = None
    template_role: str | None = None
    kms_key: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    regions: tuple[str, ...] = ()
    pull_through: tuple[PullThrough, ...] = ()

    def in_region(self, region: str) -> Ecr:
        """Return the same registry in another region. Builds do not pull from it, so it has no caches."""
        return replace(self, region=region, host=None, regions=(), pull_through=())

    def cache_of(self, reference: Reference) -> PullThrough | None:
        """Return the cache through which an image is pulled; None if there is none."""
        return next((each for each in self.pull_through if each.registry == reference.pull_host), None)

    def creates(self, repository: str) -> bool:
        """Whether the template lets a push create this repository."""
        return self.template == ROOT or (
            self.template is not None and repository.startswith(f"{self.template}/")
        )


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
    found = _PRINCIPAL.fullmatch(reader)
    return found[1] if found else reader


def read_ecr(document: Document, *, account: str | None = None, region: str | None = None) -> Ecr:
    """Read ``[tool.lamina.ecr]``. Problems go to the document.

    account, region: The defaults, of the stack. The account of a role comes before that of the stack.
    """
    given = dict(document.known(document.table.get("ecr", {}), ECR_KEYS, "ecr"))
    for key in ("account", "region", "role", "external-id", "template", "template-role", "kms-key"):
        check_shape(document, key, given.get(key), "ecr", key)
    check_external_id(document, given, "ecr")
    for key in ("untagged-days", "cache-days"):
        _counted(document, key, given, 1, "ecr")
    if host := given.get("host"):
        _check_host(document, host)
    given["readers"] = tuple(_readers(document, given.get("readers", ())))
    given["tags"] = read_tags(document, given.get("tags", {}), "ecr")
    _check_template_role(document, given)
    given["regions"] = tuple(_regions(document, given.get("regions", ()), given.get("region", region)))
    given["pull-through"] = tuple(_caches(document, given.get("pull-through", ())))
    account = account_of(given["role"]) if "role" in given else account
    given = {"account": account, "region": region, **given}
    return Ecr(**{key.replace("-", "_"): value for key, value in given.items()})


def read_retention(document: Document) -> Retention:
    """Read ``[tool.lamina.gc]``. Problems go to the document."""
    given = dict(document.known(document.table.get("gc", {}), GC_KEYS, "gc"))
    for key, least in (("keep-last", 1), ("days", 0), ("pulled-days", 0)):
        _counted(document, key, given, least, "gc")
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


def _readers(document: Document, given: Iterable[object]) -> Iterator[str]:
    for item in given:
        if isinstance(item, str) and (ACCOUNT.fullmatch(item) or _PRINCIPAL.fullmatch(item)):
            yield item
        else:
            document.problem(
                f"{item!r} is not an account or a principal",
                where=document.where("ecr", "readers"),
                allowed="12 digits in quotes, or the ARN of a role, a user or an account root",
            )


def read_tags(document: Document, given: Entries, table: str) -> tuple[tuple[str, str], ...]:
    """Return the tags of a table by name. https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html"""
    tags = document.strings(given, table, "tags")
    for name, value in tags.items():
        if not (_TAG.fullmatch(name) and _TAG_VALUE.fullmatch(value)):
            document.problem(
                f"{name!r} = {value!r} is not a tag",
                where=document.where(table, "tags", name),
                allowed="up to 128 letters, digits, spaces and any of _.:/=+-@, not aws: first; "
                "values up to 256",
            )
    if len(tags) > _MOST_TAGS:
        document.problem(f"{len(tags)} tags", where=document.where(table, "tags"), allowed=f"{_MOST_TAGS}")
    return tuple(sorted(tags.items()))


def _check_template_role(document: Document, given: Entries) -> None:
    """Report a template with a key or tags that has no role, without which ECR cannot set them."""
    needing = [name for name in ("kms-key", "tags") if given.get(name)]
    if given.get("template") and needing and not given.get("template-role"):
        document.problem(
            f"template and {' and '.join(needing)} without template-role",
            where=document.where("ecr", "template"),
            allowed="the ARN of a role that ECR may assume, with which it creates such repositories",
            hint='template-role = "arn:aws:iam::<account>:role/<name>"',
        )


def _regions(document: Document, given: Iterable[object], home: str | None) -> Iterator[str]:
    where, seen = document.where("ecr", "regions"), {home}
    for item in given:
        check_shape(document, "region", str(item), "ecr", "regions")
        if item in seen:
            document.problem(
                f"{item} is the registry's own region, or listed twice", where=where, hint="leave it out"
            )
        seen.add(str(item))
        yield str(item)


def _caches(document: Document, given: Iterable[object]) -> Iterator[PullThrough]:
    where, seen = document.where("ecr", "pull-through"), set[str]()
    for item in given:
        entry = document.known(
            {"registry": item} if isinstance(item, str) else item, _CACHE_KEYS, "ecr", "pull-through"
        )
        registry = entry.get("registry", "")
        if registry not in UPSTREAMS:
            document.problem(
                f"{without_login(registry)!r} is not a registry that ECR caches",
                where=where,
                allowed=", ".join(UPSTREAMS),
            )
            continue
        _, usual, closed = UPSTREAMS[registry]
        cache = PullThrough(registry=registry, prefix=entry.get("prefix", usual), secret=entry.get("secret"))
        for key in ("prefix", "secret"):
            check_shape(document, key, entry.get(key), "ecr", "pull-through")
        if closed and cache.secret is None:
            document.problem(
                f"{registry} is cached only with a secret",
                where=where,
                allowed=f'{{ registry = "{registry}", secret = "arn:aws:secretsmanager:…" }}',
                hint="create it in the registry's account and region, with a name that begins with "
                'ecr-pullthroughcache/: {"username": "…", "accessToken": "…"}',
            )
        for name, what in ((registry, "registry"), (cache.prefix, "prefix")):
            if f"{what} {name}" in seen:
                document.problem(f"two caches have the {what} {name}", where=where, hint="leave one out")
            seen.add(f"{what} {name}")
        yield cache


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


def _counted(document: Document, key: str, given: Entries, least: int, table: str) -> None:
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
            f"{without_login(host)!r} is not a registry host",
            where=document.where("ecr", "host"),
            allowed="host or host:port, without a path",
        )
