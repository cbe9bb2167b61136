"""ECR beyond moto: missing operations, and the images of the real registry behind it."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubles.aws_front import ACCOUNT, ASKED_REGION, Fault

_INDEXES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        *sorted(_INDEXES),
    )
)


@dataclass(slots=True)
class EcrDouble:
    """The account's ECR. endpoint: ``https://host:port`` of the registry, opened by user and password; it may
    have ``{region}`` in it.

    token_seconds: how long tokens live; None answers with a moment of 2015, as moto does.
    storage: the registry's folder; without it nobody knows what is in there. page: images in an answer.
    pushed: digest -> seconds since the epoch, in place of the real moment. held: digest -> why not deleted.
    """

    endpoint: str
    password: str
    user: str = "AWS"
    token_seconds: float | None = 12 * 3600.0
    service: str = "ecr"
    account: str = ACCOUNT
    settings: dict[str, str] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    replicas: dict[str, str] = field(default_factory=dict)
    """Region -> the state of the replica of every image."""
    caches: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Prefix -> its pull-through cache rule."""
    storage: Path | None = None
    page: int = 100
    pushed: dict[str, float] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    scans: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Digest -> what DescribeImageScanFindings answers."""

    def answer(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault | None:
        """See `Double.answer`."""
        if operation == "GetAuthorizationToken":
            moment = 1420070400.0 if self.token_seconds is None else time.time() + self.token_seconds
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            endpoint = self.endpoint.replace("{region}", body.get(ASKED_REGION, ""))
            entry = {"authorizationToken": pair, "expiresAt": moment, "proxyEndpoint": endpoint}
            return {"authorizationData": [entry]}
        if operation == "PutAccountSetting":
            self.settings[body["name"]] = body["value"]
            return {"name": body["name"], "value": body["value"]}
        if operation == "GetAccountSetting":
            return {"name": body["name"], "value": self.settings.get(body["name"], "DISABLED")}
        if operation == "DescribeImageReplicationStatus":
            found = [
                {"region": name, "registryId": self.account, "status": state}
                for name, state in self.replicas.items()
            ]
            return {
                "repositoryName": body["repositoryName"],
                "imageId": body["imageId"],
                "replicationStatuses": found,
            }
        if operation == "DescribeImageScanFindings":
            scan = self.scans.get(body["imageId"]["imageDigest"])
            return scan or Fault(code="ScanNotFoundException", message="Image scan does not exist")
        if operation.endswith(("PullThroughCacheRule", "PullThroughCacheRules")):
            return self._cache_rule(operation, body)
        if operation.endswith(("RepositoryCreationTemplate", "RepositoryCreationTemplates")):
            return self._template(operation, body)
        if operation in {"DescribeImages", "ListImages", "BatchGetImage", "BatchDeleteImage"}:
            return self._about_images(operation, body)
        return None

    def age(self, digest: str, *, days: float) -> None:
        """Let an image have been pushed so many days ago."""
        self.pushed[digest] = time.time() - days * 86_400

    def images(self, repository: str) -> dict[str, list[str]]:
        """Digest -> tags of all that the registry has in a repository, tagged or not."""
        found: dict[str, list[str]] = {
            f"sha256:{link.parent.name}": []
            for link in self._folder(repository).glob("revisions/sha256/*/link")
        }
        for link in self._folder(repository).glob("tags/*/current/link"):
            found.setdefault(link.read_text().strip(), []).append(link.parents[1].name)
        return found

    def _about_images(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        repository = body["repositoryName"]
        if self.storage is None or not self._folder(repository).is_dir():
            return None  # moto knows whether it was created
        if operation == "DescribeImages":
            return self._paged(body, "imageDetails", list(self._details(repository)))
        if operation == "ListImages":
            ids = [
                {"imageDigest": digest, **({"imageTag": tag} if tag else {})}
                for digest, tags in self.images(repository).items()
                for tag in tags or [""]
            ]
            return self._paged(body, "imageIds", ids)
        if operation == "BatchGetImage":
            return self._got(repository, body["imageIds"])
        failures = [each for each in (self._deleted(repository, each) for each in body["imageIds"]) if each]
        stays = [each["imageId"] for each in failures]
        return {"imageIds": [each for each in body["imageIds"] if each not in stays], "failures": failures}

    def _paged(self, body: Mapping[str, Any], key: str, items: list[Any]) -> Mapping[str, Any]:
        start = int(body.get("nextToken") or 0)
        end = start + min(self.page, int(body.get("maxResults") or 100))
        more = {"nextToken": str(end)} if end < len(items) else {}
        return {key: items[start:end], **more}

    def _details(self, repository: str) -> Iterator[dict[str, Any]]:
        for digest, tags in sorted(self.images(repository).items()):
            found = self._manifest(repository, digest)
            if found is None:
                continue
            document, media_type = found
            parts = [document.get("config") or {}, *(document.get("layers") or ())]
            link = self._folder(repository) / "revisions/sha256" / digest.removeprefix("sha256:") / "link"
            yield {
                "registryId": self.account,
                "repositoryName": repository,
                "imageDigest": digest,
                **({"imageTags": sorted(tags)} if tags else {}),
                "imageSizeInBytes": sum(part.get("size", 0) for part in parts),
                "imagePushedAt": self.pushed.get(digest) or link.stat().st_mtime,
                "imageManifestMediaType": media_type,
                **({"artifactMediaType": parts[0]["mediaType"]} if parts[0] else {}),
                **({"subjectManifestDigest": document["subject"]["digest"]} if "subject" in document else {}),
            }

    def _got(self, repository: str, ids: list[dict[str, str]]) -> Mapping[str, Any]:
        images, failures = [], []
        for each in ids:
            found = self._manifest(repository, each.get("imageDigest") or each["imageTag"])
            if found is None:
                failures.append(_failure(each, "ImageNotFound"))
            else:
                image = {"repositoryName": repository, "registryId": self.account, "imageId": each}
                images.append(
                    {**image, "imageManifest": json.dumps(found[0]), "imageManifestMediaType": found[1]}
                )
        return {"images": images, "failures": failures}

    def _deleted(self, repository: str, image: dict[str, str]) -> dict[str, Any] | None:
        """Delete an image of the registry; ECR's failure if that is not possible."""
        handle = image.get("imageDigest") or image["imageTag"]
        if handle in self.held:
            return _failure(image, self.held[handle])
        for digest in self.images(repository):
            found = self._manifest(repository, digest)
            if found and any(each["digest"] == handle for each in found[0].get("manifests") or ()):
                return _failure(image, "ImageReferencedByManifestList")
        try:
            self._ask("DELETE", f"{repository}/manifests/{handle}").close()
        except urllib.error.HTTPError as error:
            error.close()
            return _failure(image, "ImageNotFound" if error.code == 404 else f"Http{error.code}")
        return None

    def _manifest(self, repository: str, handle: str) -> tuple[dict[str, Any], str] | None:
        try:
            with self._ask("GET", f"{repository}/manifests/{handle}") as answer:
                return json.loads(answer.read()), answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            error.close()
            return None

    def _ask(self, method: str, path: str) -> Any:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Accept": _ACCEPT}
        request = urllib.request.Request(f"{self.endpoint}/v2/{path}", headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=10)

    def _folder(self, repository: str) -> Path:
        assert self.storage is not None
        return self.storage / "docker/registry/v2/repositories" / repository / "_manifests"

    def _cache_rule(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if operation.startswith("Describe"):
            wanted = body.get("ecrRepositoryPrefixes") or list(self.caches)
            if missing := [each for each in wanted if each not in self.caches]:
                return Fault(code="PullThroughCacheRuleNotFoundException", message=missing[0])
            return {"pullThroughCacheRules": [self.caches[each] for each in wanted]}
        prefix = body["ecrRepositoryPrefix"]
        if operation.startswith("Create") and prefix in self.caches:
            return Fault(code="PullThroughCacheRuleAlreadyExistsException", message=prefix)
        if (
            operation.startswith("Create")
            and "docker" in body["upstreamRegistryUrl"]
            and "credentialArn" not in body
        ):
            return Fault(code="InvalidParameterException", message="credentialArn is required")
        self.caches[prefix] = {"registryId": self.account, **self.caches.get(prefix, {}), **body}
        return self.caches[prefix]

    def _template(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | Fault:
        if operation.startswith("Describe"):
            found = [self.templates[each] for each in body.get("prefixes", ()) if each in self.templates]
            return {"registryId": self.account, "repositoryCreationTemplates": found}
        prefix = body["prefix"]
        if operation.startswith("Create") and prefix in self.templates:
            return Fault(code="TemplateAlreadyExistsException", message=prefix)
        if not operation.startswith("Create") and prefix not in self.templates:
            return Fault(code="TemplateNotFoundException", message=prefix)
        if operation.startswith("Delete"):
            return {"repositoryCreationTemplate": self.templates.pop(prefix)}
        self.templates[prefix] = {**self.templates.get(prefix, {}), **body}
        return {"registryId": self.account, "repositoryCreationTemplate": self.templates[prefix]}


def _failure(image: Mapping[str, str], code: str) -> dict[str, Any]:
    return {"imageId": dict(image), "failureCode": code, "failureReason": f"{code} it is"}
