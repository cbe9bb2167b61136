"""The project's registry in ECR: ``ecr`` of ``[tool.lamina]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from lamina.declare.accounts import (
    ACCOUNT,
    CACHE_PREFIX,
    EXTERNAL_ID,
    KMS_KEY,
    MOST_DAYS,
    PREFIX,
    PRINCIPAL,
    ROLE,
    SECRET,
    account_of,
    check_count,
    check_external_id,
    check_shape,
)
from lamina.declare.document import TEXTS, Document, Entries, Key
from lamina.declare.grammar import without_login
from lamina.patterns import regex
from lamina.refs import REGION, UPSTREAMS, PullThrough, Reference, partition_of
from lamina.values import dataclass

ROOT = "ROOT"
"""ECR's name for the creation template of all repositories without a template of their own."""
_TAG = regex(r"(?!(?i:aws):)[\w .:/=+@-]{1,128}")
_TAG_VALUE = regex(r"[\w .:/=+@-]{0,256}")
_MOST_TAGS = 50
"""https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html"""
# fmt: off
_CACHE_KEYS: Mapping[str, Key] = {
    "registry": Key(kind=str, choices=tuple(UPSTREAMS), help="host of the registry that is cached"),
    "prefix": Key(kind=str, pattern=CACHE_PREFIX.pattern, help="prefix of the repositories of its cache"),
    "secret": Key(kind=str, pattern=SECRET.pattern,
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
    "untagged-days": Key(kind=int, least=1, most=MOST_DAYS, help="days until replaced caches expire"),
    "cache-days": Key(kind=int, least=1, most=MOST_DAYS,
                      help="days until all other caches expire after their last write"),
    "readers": Key(kind=list, values=(Key(kind=str, pattern=f"{ACCOUNT.pattern}|{PRINCIPAL.pattern}"),),
                   help="accounts, and ARNs of roles and users, that may pull"),
    "template": Key(kind=str, pattern=PREFIX.pattern,
                    help="prefix of the repositories that a push may create; ROOT: all of the registry"),
    "template-role": Key(kind=str, pattern=ROLE.pattern,
                         help="ARN of the role with which ECR creates them; needed with kms-key and tags"),
    "kms-key": Key(kind=str, pattern=KMS_KEY.pattern,
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


def read_ecr(document: Document, *, account: str | None = None, region: str | None = None) -> Ecr:
    """Read ``[tool.lamina.ecr]``. Problems go to the document.

    account, region: The defaults, of the stack. The account of a role comes before that of the stack.
    """
    given = dict(document.known(document.table.get("ecr", {}), ECR_KEYS, "ecr"))
    for key in ("account", "region", "role", "external-id", "template", "template-role", "kms-key"):
        check_shape(document, key, given.get(key), "ecr", key)
    check_external_id(document, given, "ecr")
    for key in ("untagged-days", "cache-days"):
        check_count(document, key, given, 1, "ecr")
    if host := given.get("host"):
        _check_host(document, host)
    given["readers"] = tuple(_readers(document, given.get("readers", ())))
    given["tags"] = read_tags(document, given.get("tags", {}), "ecr")
    _check_template_role(document, given)
    given["regions"] = tuple(_regions(document, given.get("regions", ()), given.get("region", region)))
    _check_key_of_regions(document, given)
    given["pull-through"] = tuple(_caches(document, given.get("pull-through", ())))
    account = account_of(given["role"]) if "role" in given else account
    given = {"account": account, "region": region, **given}
    return Ecr(**{key.replace("-", "_"): value for key, value in given.items()})


def _readers(document: Document, given: Iterable[object]) -> Iterator[str]:
    for item in given:
        if isinstance(item, str) and (ACCOUNT.fullmatch(item) or PRINCIPAL.fullmatch(item)):
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
        elif home and partition_of(str(item)) != partition_of(home):
            document.problem(
                f"{item} is in another partition of AWS than {home}: no account is in both",
                where=where,
                hint="give the functions there a stack of their own, and promote images to it",
            )
        seen.add(str(item))
        yield str(item)


def _check_key_of_regions(document: Document, given: Entries) -> None:
    """Report the ARN of a key for the registries of several regions: each needs a key of its own region."""
    if given["regions"] and str(given.get("kms-key")).startswith("arn:"):
        document.problem(
            f"kms-key is an ARN, and the key has to be in {', '.join(given['regions'])} too",
            where=document.where("ecr", "kms-key"),
            allowed="alias/<name>, which each of these regions has",
        )


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
