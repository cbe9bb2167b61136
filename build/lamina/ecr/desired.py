"""Compare the desired settings of a registry in ECR with the current ones, and list the changes. Pure.

A resource is a repository, the account or a creation template. Its aspects are a mapping of name to a JSON
value; `LIFECYCLE` and `POLICY` are documents, or None if there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.declare.accounts import account_of
from lamina.declare.ecr import Ecr
from lamina.errors import Problem
from lamina.json_data import Json, JsonTable, as_list, as_table, as_texts

EXISTENCE = "repository"
MUTABILITY, SCAN, LIFECYCLE, POLICY = "tag mutability", "scan on push", "lifecycle policy", "pull policy"
MOUNTING = "blob mounting"
APPLIED = "applies to"
KEY, TAGS, ROLE = "KMS key", "tags", "role"
UPSTREAM = "cache of"
ACCOUNT = "the account"
TEMPLATE = "template "
"""A creation template's resource name is this and its prefix."""
CACHE = "pull-through cache "
"""A pull-through cache rule's resource name is this and its prefix."""
CREATE_ON_PUSH = "CREATE_ON_PUSH"
EXCLUDED = ("append-*", "cache-*", "git-*", "stable")
"""The tags that move: caches, revisions, and the bases of static mode."""
IMMUTABLE: JsonTable = {"mode": "IMMUTABLE_WITH_EXCLUSION", "except": list(EXCLUDED)}
MUTABLE: JsonTable = {"mode": "MUTABLE", "except": []}
_OURS = "Lamina"
"""The prefix of our statements' ids. All other statements are left as they are."""
_READ = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_WHY: Mapping[str, str] = {
    EXISTENCE: "a push does not create it",
    MUTABILITY: "a content tag names one image for good; stable, git-* and caches move",
    SCAN: "set by scan-on-push",
    LIFECYCLE: "caches expire; only `gc` knows which images are in use",
    POLICY: "Lambda pulls images again after weeks without calls",
    MOUNTING: "a base's layers are pushed once, not with every image based on it",
    KEY: "set by kms-key",
    TAGS: "set by tags; other tags stay",
    ROLE: "set by template-role: ECR creates repositories with it",
    APPLIED: "a push creates the repositories below this prefix",
    UPSTREAM: "builds pull these base images from this registry",
}

Aspects = JsonTable


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrCaller:
    """The caller.

    Attributes:
        account: the caller's account.
        registry: the account that owns the registry.
    """

    partition: str
    account: str
    registry: str
    region: str

    @property
    def own(self) -> bool:
        """Whether the registry is the caller's own. Another account's settings cannot be changed."""
        return self.account == self.registry


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """A change of one aspect of a resource. was, will: the values before and after; None: not set."""

    resource: str
    aspect: str
    was: Json
    will: Json

    @property
    def why(self) -> str:
        """The reason for the setting."""
        return _WHY[self.aspect]

    @property
    def before(self) -> str:
        """The current value, for people."""
        return "absent" if self.aspect == EXISTENCE else shown(self.aspect, self.was)

    @property
    def after(self) -> str:
        """The new value, for people."""
        if self.aspect == EXISTENCE:
            return "; ".join(f"{name}: {shown(name, value)}" for name, value in as_table(self.will).items())
        return shown(self.aspect, self.will)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """The result of a comparison: the changes to make, and the names of all resources compared.

    Attributes:
        fixed: differences that AWS does not let anyone change.
    """

    changes: tuple[SettingChange, ...]
    resources: tuple[str, ...]
    caller: EcrCaller
    notes: tuple[Problem, ...] = ()
    fixed: tuple[SettingChange, ...] = ()


def wanted_resources(
    ecr: Ecr, caller: EcrCaller, *, bases: Iterable[str], functions: Iterable[str], caches: Iterable[str]
) -> Mapping[str, Aspects]:
    """Return the desired aspects of every resource.

    Args:
        bases: repositories of base images, with their prefix.
        functions: repositories of Lambda images, with their prefix.
        caches: repositories that hold only caches, with their prefix.
    """
    wanted: dict[str, Aspects] = {}
    more: Aspects = {
        **({KEY: ecr.kms_key} if ecr.kms_key else {}),
        **({TAGS: dict(ecr.tags)} if ecr.tags else {}),
    }
    if caller.own and ecr.blob_mounting:
        wanted[ACCOUNT] = {MOUNTING: True}
    if caller.own and ecr.template:
        policy = _statements(ecr, caller, runs=True)
        wanted[TEMPLATE + ecr.template] = {
            MUTABILITY: IMMUTABLE,
            LIFECYCLE: None,
            POLICY: policy,
            APPLIED: [CREATE_ON_PUSH],
            **({ROLE: ecr.template_role} if ecr.template_role else {}),
            **more,
        }
    if caller.own:
        for each in ecr.pull_through:
            wanted[CACHE + each.prefix] = {UPSTREAM: cache_rule(each.url, each.secret)}
    for runs, names in ((False, bases), (True, functions)):
        for name in names:
            policy = _statements(ecr, caller, runs=runs)
            wanted[name] = {
                MUTABILITY: IMMUTABLE,
                SCAN: ecr.scan_on_push,
                LIFECYCLE: None,
                POLICY: policy,
                **more,
            }
    for name in caches:
        lifecycle = _lifecycle(ecr)
        wanted[name] = {MUTABILITY: MUTABLE, SCAN: False, LIFECYCLE: lifecycle, POLICY: [], **more}
    return wanted


def cache_rule(url: str, secret: str | None) -> JsonTable:
    """Return the value of `UPSTREAM`: the registry that is cached, and its credentials."""
    return {"registry": url, "secret": secret}


def changes(wanted: Mapping[str, Aspects], seen: Mapping[str, Aspects | None]) -> tuple[SettingChange, ...]:
    """Return the changes to make, resource by resource. seen: None for a resource that does not exist."""
    return tuple(
        change for name, aspects in wanted.items() for change in _changes(name, aspects, seen.get(name))
    )


def fixed(wanted: Mapping[str, Aspects], seen: Mapping[str, Aspects | None]) -> tuple[SettingChange, ...]:
    """Return the differences that cannot be changed: the keys of repositories that exist."""
    return tuple(
        SettingChange(resource=name, aspect=KEY, was=found.get(KEY), will=aspects[KEY])
        for name, aspects in wanted.items()
        if SCAN in aspects and KEY in aspects and (found := seen.get(name)) and found.get(KEY) != aspects[KEY]
    )


def _changes(name: str, wanted: Aspects, seen: Aspects | None) -> Iterator[SettingChange]:
    if seen is None and SCAN in wanted:  # a repository; a template is created with its first aspect
        made = {aspect: wanted[aspect] for aspect in (MUTABILITY, SCAN, KEY, TAGS) if aspect in wanted}
        yield SettingChange(resource=name, aspect=EXISTENCE, was=None, will=made)
        seen = {**made, LIFECYCLE: None, POLICY: None}
    for aspect, value in wanted.items():
        if aspect == KEY and SCAN in wanted:  # for good; see `fixed`
            continue
        was = seen.get(aspect) if seen else None
        will = value
        if aspect == POLICY:
            will = merged(was, as_list(value))
        elif aspect == APPLIED:
            will = sorted({*as_texts(was), *as_texts(value)})
        elif aspect == TAGS:
            will = {**as_table(was), **as_table(value)}
        elif aspect == UPSTREAM and was:  # a rule keeps a secret that is not configured
            will = {**as_table(value), "secret": as_table(value)["secret"] or as_table(was)["secret"]}
        same = was == will if aspect == TAGS else canonical(was) == canonical(will)
        if not same:
            yield SettingChange(resource=name, aspect=aspect, was=was, will=will)


def merged(was: Json, ours: Iterable[Json]) -> JsonTable | None:
    """Merge our statements into a repository's policy and keep all others. None: no statement is left."""
    policy = as_table(was)
    theirs = [each for each in one_or_more(policy.get("Statement")) if not _is_ours(as_table(each))]
    statements = [*theirs, *ours]
    return {**(policy or {"Version": "2012-10-17"}), "Statement": statements} if statements else None


def _is_ours(statement: JsonTable) -> bool:
    return str(statement.get("Sid", "")).startswith(_OURS)


def _statements(ecr: Ecr, caller: EcrCaller, *, runs: bool) -> list[Json]:
    """Return the statements that allow pulls.

    Args:
        runs: whether functions run the image, in the registry's account and in the accounts of readers.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#gettingstarted-images-permissions
    """
    found: list[Json] = []
    accounts = sorted({caller.registry, *(account_of(each) for each in ecr.readers)})
    if runs:
        sources = [f"arn:{caller.partition}:lambda:{caller.region}:{each}:function:*" for each in accounts]
        found.append(
            {
                "Sid": f"{_OURS}FunctionsPull",
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": list(_READ),
                "Condition": {"ArnLike": {"aws:sourceArn": sources}},
            }
        )
    if ecr.readers:
        readers = [_principal(each, caller.partition) for each in ecr.readers]
        found.append(
            {
                "Sid": f"{_OURS}ReadersPull",
                "Effect": "Allow",
                "Principal": {"AWS": readers},
                "Action": list(_READ),
            }
        )
    return found


def _principal(reader: str, partition: str) -> str:
    return f"arn:{partition}:iam::{reader}:root" if _ACCOUNT_ID.fullmatch(reader) else reader


def _lifecycle(ecr: Ecr) -> JsonTable:
    """Return the policy of a repository of caches: replaced caches expire early, all others when old."""
    rules = (
        ("untagged", ecr.untagged_days, "a cache that was replaced"),
        ("any", ecr.cache_days, "a cache that nobody wrote again"),
    )
    return {
        "rules": [
            {
                "rulePriority": number,
                "description": why,
                "selection": {
                    "tagStatus": status,
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": days,
                },
                "action": {"type": "expire"},
            }
            for number, (status, days, why) in enumerate(rules, start=1)
        ]
    }


def canonical(value: Json) -> Json:
    """Return a value in a form in which values that mean the same to AWS are equal.

    A list of one item equals the item, order does not matter, and an account equals its root's ARN.
    """
    if isinstance(value, Mapping):
        return {
            str(key).lower(): _without_partition(each) if key == "AWS" else canonical(each)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = sorted((canonical(each) for each in value), key=repr)
        return items[0] if len(items) == 1 else items
    return value


def _without_partition(principals: Json) -> Json:
    return canonical(
        [re.sub(r"^arn:[a-z-]+:iam::([0-9]{12}):root$", r"\1", str(each)) for each in one_or_more(principals)]
    )


def shown(aspect: str, value: Json) -> str:
    """Format a value for people."""
    if value is None or value in ([], {}):
        return "none"
    if aspect == TAGS:
        return ", ".join(f"{name}={each}" for name, each in sorted(as_table(value).items()))
    if aspect == MUTABILITY:
        mutability = as_table(value)
        return " except ".join(
            filter(None, (str(mutability["mode"]), ", ".join(as_texts(mutability["except"]))))
        )
    if aspect == UPSTREAM:
        return ", ".join(str(each) for each in as_table(value).values() if each)
    if aspect == LIFECYCLE:
        return "; ".join(_shown_rule(as_table(each)) for each in as_list(as_table(value).get("rules")))
    if aspect == POLICY:
        statements = one_or_more(as_table(value).get("Statement"))
        return "; ".join(_shown_statement(as_table(each)) for each in statements)
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else ", ".join(as_texts(value))


def _shown_rule(rule: JsonTable) -> str:
    chosen = as_table(rule.get("selection"))
    names = (*as_texts(chosen.get("tagPatternList")), *as_texts(chosen.get("tagPrefixList")))
    parts = (
        chosen.get("tagStatus"),
        " ".join(names),
        as_table(rule.get("action")).get("type"),
        chosen.get("countType"),
        chosen.get("countNumber"),
        chosen.get("countUnit"),
    )
    return " ".join(str(part) for part in parts if part)


def _shown_statement(statement: JsonTable) -> str:
    who = statement.get("Principal", statement.get("NotPrincipal"))
    kinds = who.values() if isinstance(who, Mapping) else [who]
    named = [item for each in kinds for item in one_or_more(each)]
    sources = [
        item
        for test in as_table(statement.get("Condition")).values()
        for each in as_table(test).values()
        for item in one_or_more(each)
    ]
    name = statement.get("Sid") or "(no Sid)"
    text = f"{name}: {statement.get('Effect')} {', '.join(map(str, named))}"
    text += f" for {', '.join(map(str, sources))}" if sources else ""
    actions = [str(each) for each in one_or_more(statement.get("Action"))]
    return text if sorted(actions) == sorted(_READ) else f"{text}: {', '.join(actions)}"


def one_or_more(value: Json) -> Sequence[Json]:
    """Return the items of a value in a policy, where one item may stand without a list."""
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)
