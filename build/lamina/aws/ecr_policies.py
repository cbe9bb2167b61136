"""Who else may use a repository of ECR, as its policy says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient


def repository_policy(client: ECRClient, name: str, account: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The policy of a repository; None without one. name: whole. account: ``registryId``, or nothing.

    Raises what the client raises; RepositoryNotFoundException where there is no such repository.
    """
    try:
        told = client.get_repository_policy(repositoryName=name, **account)
    except client.exceptions.RepositoryPolicyNotFoundException:
        return None
    policy: Mapping[str, Any] = json.loads(told["policyText"])
    return policy
