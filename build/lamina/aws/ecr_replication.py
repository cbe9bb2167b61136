"""How far ECR is with the replicas of an image in other regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lamina.aws.clients import Clients
from lamina.aws.ecr_policies import registry_owner
from lamina.aws.errors import aws_errors

IN_PROGRESS: Final = "IN_PROGRESS"
COMPLETE: Final = "COMPLETE"


def read_replication(
    clients: Clients, repository: str, digest: str, *, account: str | None, of: str
) -> Mapping[str, str]:
    """Return region -> state of the replica of an image in an account; empty without replication.

    Args:
        clients: of the registry's region.
        repository: its full name.
        account: the registry's owner; None for the caller's own registry.
        of: the account of the replicas. An image may have some in other accounts too.

    Raises RegistryError.
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageReplicationStatus.html
    """
    with aws_errors(repository):
        answer = clients("ecr").describe_image_replication_status(
            repositoryName=repository, imageId={"imageDigest": digest}, **registry_owner(account)
        )
    return {
        each["region"]: each["status"]
        for each in answer.get("replicationStatuses", ())
        if "region" in each and "status" in each and each.get("registryId", of) == of
    }
