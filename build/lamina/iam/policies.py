"""The policies of commands: the documents beside this module, filled for an account.

A document has REGION, ACCOUNT, PREFIX, KEY and ROLE where a project has names.
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
_REPOSITORY, _KEY, _ROLE = "PREFIX*", "key/KEY", "role/ROLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyScope:
    """What the policies are for.

    Attributes:
        account, region: Of the functions.
        registry_account, registry_region: Of the repositories.
        repositories: Their names, or patterns of names.
        caches: Patterns of the repositories of pull-through caches.
        key: The ARN of the key of repositories.
        roles: Statement -> ARNs of the roles it is about.
    """

    partition: str
    account: str
    region: str
    registry_account: str
    registry_region: str
    repositories: tuple[str, ...]
    caches: tuple[str, ...] = ()
    key: str | None = None
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
    if name in _OF_CACHES and not scope.caches:
        return []
    if isinstance(given, list):  # of pull-through caches, whose names are examples
        return [_repository(scope, each) for each in scope.caches]
    resource = str(given)
    if resource.endswith(_REPOSITORY):
        return [_repository(scope, each) for each in scope.repositories]
    if resource.endswith(_KEY):
        return [scope.key] if scope.key else []
    if resource.endswith(_ROLE):
        return [*scope.roles.get(name, ())]
    account = scope.registry_account if ":iam:" in resource else scope.account
    filled = resource.replace("REGION", scope.region).replace("ACCOUNT", account)
    return [filled.replace("arn:aws:", f"arn:{scope.partition}:", 1)]


def _repository(scope: PolicyScope, name: str) -> str:
    where = f"{scope.registry_region}:{scope.registry_account}"
    return f"arn:{scope.partition}:ecr:{where}:repository/{name}"
