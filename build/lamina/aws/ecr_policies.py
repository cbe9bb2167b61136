"""The policy of an ECR repository."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypedDict

from lamina.json_data import JsonTable

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient


class RegistryOwner(TypedDict, total=False):
    """The parameter of a request that names the registry's owner; empty for the caller's own registry."""

    registryId: str


def registry_owner(account: str | None) -> RegistryOwner:
    """Return the parameter for a registry's owner; None is the caller."""
    return {"registryId": account} if account else {}


def repository_policy(client: ECRClient, name: str, owner: RegistryOwner) -> JsonTable | None:
    """Return the policy of a repository; None without one.

    Args:
        client: the boto3 client.
        name: the full name of the repository.
        owner: of the registry.

    Raises:
        botocore.exceptions.ClientError: as the client raises it; RepositoryNotFoundException when the
            repository does not exist.
    """
    try:
        answer = client.get_repository_policy(repositoryName=name, **owner)
    except client.exceptions.RepositoryPolicyNotFoundException:
        return None
    policy: JsonTable = json.loads(answer["policyText"])
    return policy
