"""The policy of an ECR repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient


def repository_policy(client: ECRClient, name: str, account: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the policy of a repository; None without one.

    Args:
        client: the boto3 client.
        name: the full name of the repository.
        account: ``registryId``, or empty for the caller's own registry.

    Raises:
        botocore.exceptions.ClientError: as the client raises it; RepositoryNotFoundException when the
            repository does not exist.
    """
    try:
        answer = client.get_repository_policy(repositoryName=name, **account)
    except client.exceptions.RepositoryPolicyNotFoundException:
        return None
    policy: Mapping[str, Any] = json.loads(answer["policyText"])
    return policy
