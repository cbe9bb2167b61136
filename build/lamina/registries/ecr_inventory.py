"""The inventory of ECR repositories: with untagged images and push times, deleted a hundred per call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from lamina.aws.clients import Clients
from lamina.aws.ecr_policies import registry_owner, repository_policy
from lamina.aws.errors import aws_errors
from lamina.json_data import JsonTable
from lamina.registries.inventory import StoredManifest

if TYPE_CHECKING:
    from mypy_boto3_ecr.type_defs import ImageDetailTypeDef, ImageFailureTypeDef, ImageIdentifierTypeDef

    from lamina.aws.ecr_findings import ImageScan

_PAGE = 1000
_BATCH = 100
_GONE = "ImageNotFound"
_UNCONFIRMED = "ECR did not confirm it"


class EcrInventory:
    """See `Inventory`.

    Args:
        account: the registry's owner, None for the caller.
        prefix: path before every name.
    """

    says_when = True

    def __init__(self, clients: Clients, *, account: str | None, prefix: str) -> None:
        self._clients = clients
        self._account = account
        self._owner = registry_owner(account)
        self._prefix = prefix.strip("/")

    def full(self, name: str) -> str:
        """Return a repository's full name."""
        return f"{self._prefix}/{name}" if self._prefix else name

    def stored(self, repository: str) -> tuple[StoredManifest, ...]:
        """See `Inventory.stored`. Archived images are left out."""
        full = self.full(repository)
        with aws_errors(full):
            client = self._clients("ecr")
            pages = client.get_paginator("describe_images").paginate(
                repositoryName=full, PaginationConfig={"PageSize": _PAGE}, **self._owner
            )
            try:
                return tuple(_stored(each) for page in pages for each in page["imageDetails"])
            except client.exceptions.RepositoryNotFoundException:
                return ()

    def policy(self, repository: str) -> JsonTable | None:
        """Return the policy of a repository; None without a policy or repository."""
        full = self.full(repository)
        with aws_errors(full):
            client = self._clients("ecr")
            try:
                return repository_policy(client, full, self._owner)
            except client.exceptions.RepositoryNotFoundException:
                return None

    def registry_policy(self) -> JsonTable | None:
        """Return the policy of the caller's own registry; None without one."""
        with aws_errors("the registry"):
            client = self._clients("ecr")
            try:
                policy: JsonTable = json.loads(client.get_registry_policy()["policyText"])
            except client.exceptions.RegistryPolicyNotFoundException:
                return None
            return policy

    def replication(self, full: str, digest: str, *, of: str) -> Mapping[str, str]:
        """Return region -> state of an image's replica in the account ``of``. Raises RegistryError.

        full: the repository's full name.
        """
        from lamina.aws.ecr_replication import read_replication

        return read_replication(self._clients, full, digest, account=self._account, of=of)

    def scan(self, full: str, digest: str) -> ImageScan:
        """Return the scan of an image in a repository, by its full name."""
        from lamina.aws.ecr_findings import read_scan

        return read_scan(self._clients, full, digest, account=self._account)

    def remove(self, repository: str, digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        """See `Inventory.remove`."""
        full, wanted = self.full(repository), list(digests)
        with aws_errors(full):
            client = self._clients("ecr")
        for start in range(0, len(wanted), _BATCH):
            asked = wanted[start : start + _BATCH]
            batch: list[ImageIdentifierTypeDef] = [{"imageDigest": each} for each in asked]
            with aws_errors(full):
                answer = client.batch_delete_image(repositoryName=full, imageIds=batch, **self._owner)
            gone = {each.get("imageDigest") for each in answer.get("imageIds", ())}
            failures = {each["imageId"].get("imageDigest", ""): each for each in answer.get("failures", ())}
            yield from ((each, _why(each in gone, failures.get(each))) for each in asked)


def _why(gone: bool, failure: ImageFailureTypeDef | None) -> str | None:
    """Return why an image was not deleted; None when it is gone."""
    if failure is None:
        return None if gone else _UNCONFIRMED
    code = failure.get("failureCode", "")
    return None if code == _GONE else f"{code}: {failure.get('failureReason', '')}"


def _stored(detail: ImageDetailTypeDef) -> StoredManifest:
    return StoredManifest(
        digest=detail["imageDigest"],
        tags=tuple(sorted(detail.get("imageTags") or ())),
        size=int(detail.get("imageSizeInBytes") or 0),
        pushed=detail.get("imagePushedAt"),
        pulled=detail.get("lastRecordedPullTime"),
        media_type=detail.get("imageManifestMediaType") or "",
        artifact=detail.get("artifactMediaType") or "",
        subject=detail.get("subjectManifestDigest"),
    )
