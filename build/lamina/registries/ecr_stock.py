"""A `Stock` in ECR: it knows untagged images and push dates, and deletes a hundred images a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lamina.registries.aws_clients import Clients
from lamina.registries.aws_errors import aws_errors
from lamina.registries.stock import Stored

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

_PAGE = 1000
_BATCH = 100
_GONE = "ImageNotFound"


class EcrStock:
    """See `Stock`. account: whose registry, None for the caller's own. prefix: path before every name."""

    says_when = True

    def __init__(self, clients: Clients, *, account: str | None, prefix: str) -> None:
        self._clients = clients
        self._account: dict[str, Any] = {"registryId": account} if account else {}
        self._prefix = prefix.strip("/")

    def full(self, name: str) -> str:
        """A repository's whole name."""
        return f"{self._prefix}/{name}" if self._prefix else name

    def stored(self, repository: str) -> tuple[Stored, ...]:
        """See `Stock.stored`. Archived images are left out."""
        full = self.full(repository)
        with aws_errors(full):
            client: ECRClient = self._clients("ecr")
            pages = client.get_paginator("describe_images").paginate(
                repositoryName=full, PaginationConfig={"PageSize": _PAGE}, **self._account
            )
            try:
                return tuple(_stored(each) for page in pages for each in page["imageDetails"])
            except client.exceptions.RepositoryNotFoundException:
                return ()

    def remove(self, repository: str, digests: Iterable[str]) -> Mapping[str, str]:
        """See `Stock.remove`."""
        full, wanted = self.full(repository), list(digests)
        left: dict[str, str] = {}
        with aws_errors(full):
            client: ECRClient = self._clients("ecr")
            for start in range(0, len(wanted), _BATCH):
                batch = [{"imageDigest": each} for each in wanted[start : start + _BATCH]]
                told = client.batch_delete_image(repositoryName=full, imageIds=batch, **self._account)  # type: ignore[arg-type]
                for failure in told.get("failures", ()):
                    code, digest = failure.get("failureCode", ""), failure["imageId"].get("imageDigest", "")
                    if code != _GONE:
                        left[digest] = f"{code}: {failure.get('failureReason', '')}"
        return left


def _stored(told: Any) -> Stored:
    return Stored(
        digest=told["imageDigest"],
        tags=tuple(sorted(told.get("imageTags") or ())),
        size=int(told.get("imageSizeInBytes") or 0),
        pushed=told.get("imagePushedAt"),
        media_type=told.get("imageManifestMediaType") or "",
        artifact=told.get("artifactMediaType") or "",
        subject=told.get("subjectManifestDigest"),
    )
