"""The policies of commands: the documents beside this module, filled for an account.

A document has REGION, OTHER_REGION, ACCOUNT, PREFIX, KEY and ROLE where a project has names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lamina.json_data import Json, JsonTable, as_list, as_table

DOCUMENTS = ("setup", "build", "deploy", "gc", "outputs")
"""In the order in which a team needs them."""
_OF_CACHES = ("OnlyForPullThroughCaches", "OnlyForTheFirstPullThroughCache")
_OF_REGIONS, _OTHER = "OnlyForRegions", "OTHER_REGION"
_REPOSITORY, _KEY, _ROLE = "PREFIX*", "key/KEY", "role/ROLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyScope:
    """What the policies are for.

    Attributes:
        account, region: Of the functions.
        registry_account, registry_region: Of the repositories.
        repositories: Their names, or patterns of names.
        regions: Other regions that get the images.
        functions_in: Other regions that have functions.
        caches: Patterns of the repositories of pull-through caches.
        key: The ARN of the key of repositories. keys_there: those in the other regions that get the images.
        roles: Statement -> ARNs of the roles it is about.
        unused: Further statements about what the project does not have.
    """

    partition: str
    account: str
    region: str
    registry_account: str
    registry_region: str
    repositories: tuple[str, ...]
    regions: tuple[str, ...] = ()
    functions_in: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    key: str | None = None
    keys_there: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@cache
def document(name: str) -> str:
    """Return the text of a document, with placeholders."""
    return Path(__file__).with_name(f"{name}.json").read_text("utf-8")


def policy(name: str, scope: PolicyScope) -> JsonTable:
    """Return the policy of a document; statements about what a project does not have are left out."""
    read = json.loads(document(name))
    return {**read, "Statement": list(_statements(as_list(read["Statement"]), scope))}


def _statements(statements: Json, scope: PolicyScope) -> Iterator[JsonTable]:
    for statement in map(as_table, as_list(statements)):
        resources = _resources(statement, scope)
        if resources:
            found: Json = resources[0] if len(resources) == 1 else resources
            yield {**statement, "Resource": found}


def _resources(statement: JsonTable, scope: PolicyScope) -> list[Json]:
    name, given = str(statement["Sid"]), statement["Resource"]
    if name in scope.unused or (name in _OF_CACHES and not scope.caches):
        return []
    if name == _OF_CACHES[0]:  # whose names are examples, and another registry's
        return [_repository(scope, each) for each in scope.caches] if given != "*" else ["*"]
    if name == _OF_REGIONS and not scope.regions:
        return []
    given = given if isinstance(given, list) else [given]
    return [*dict.fromkeys(each for resource in given for each in _filled(name, str(resource), scope))]


def _filled(name: str, resource: str, scope: PolicyScope) -> Iterator[str]:
    """Yield a resource of a statement with a project's names: none, one or several."""
    if resource.endswith(_REPOSITORY):
        regions = scope.regions if _OTHER in resource else (scope.registry_region,)
        yield from (_repository(scope, each, region) for region in regions for each in scope.repositories)
    elif resource.endswith(_KEY):
        key = (scope.key,) if scope.key else ()
        yield from scope.keys_there if _OTHER in resource else key
    elif resource.endswith(_ROLE):
        yield from scope.roles.get(name, ())
    else:
        account = scope.registry_account if ":iam:" in resource else scope.account
        regions = (scope.region, *scope.functions_in) if ":lambda:" in resource else (scope.region,)
        for region in regions if "REGION" in resource else regions[:1]:
            found = resource.replace("REGION", region).replace("ACCOUNT", account)
            yield found.replace("arn:aws:", f"arn:{scope.partition}:", 1)


def _repository(scope: PolicyScope, name: str, region: str = "") -> str:
    where = f"{region or scope.registry_region}:{scope.registry_account}"
    return f"arn:{scope.partition}:ecr:{where}:repository/{name}"
