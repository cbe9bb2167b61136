"""Read images back from a registry or an engine's store, and compare each blob with its digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from faults.judge import StoredTag
from faults.project import EDITION, Content, Oracle, Snapshot

FINGERPRINT = "dev.lamina.fingerprint"
_FOLDER = "var/task/"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1"
_BYTES = "application/octet-stream"
_ACCEPT = f"{_MANIFEST}, application/vnd.oci.image.index.v1+json"
_SECONDS = 30

ReadBlob = Callable[[str], bytes]
"""Digest -> content. Raises BrokenError."""


class BrokenError(Exception):
    """Raised for an image that cannot be read back; the text says why."""


class Store(Protocol):
    """An image store."""

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository; empty if there is no such repository."""
        ...

    def open(self, repository: str, tag: str) -> tuple[bytes, ReadBlob]:
        """Return the manifest of a tag, and a function that reads its blobs. Raises BrokenError."""
        ...


@dataclass(frozen=True, slots=True)
class RegistryStore:
    """A registry without a password, at ``host:port``."""

    address: str

    def tags(self, repository: str) -> list[str]:
        """See `Store.tags`."""
        try:
            return list(json.loads(self._get(f"{repository}/tags/list")).get("tags") or ())
        except BrokenError:
            return []

    def open(self, repository: str, tag: str) -> tuple[bytes, ReadBlob]:
        """See `Store.open`."""
        manifest = self._get(f"{repository}/manifests/{tag}")
        return manifest, lambda digest: self._get(f"{repository}/blobs/{digest}")

    def put(self, repository: str, tag: str, config: Mapping[str, object]) -> None:
        """Push an image that has only a configuration, and no layers."""
        raw = json.dumps(config).encode()
        upload = self._send("POST", f"http://{self.address}/v2/{repository}/blobs/uploads/", b"", _BYTES)
        self._send("PUT", f"{upload}&digest={_sha256(raw)}", raw, _BYTES)
        described = {"mediaType": f"{_CONFIG}+json", "digest": _sha256(raw), "size": len(raw)}
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": []}
        address = f"http://{self.address}/v2/{repository}/manifests/{tag}"
        self._send("PUT", address, json.dumps(manifest).encode(), _MANIFEST)

    def _send(self, method: str, address: str, body: bytes, media_type: str) -> str:
        """Send a body; return the ``Location`` of the response."""
        headers = {"Content-Type": media_type}
        request = urllib.request.Request(address, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return str(answer.headers["Location"])

    def _get(self, path: str) -> bytes:
        address = f"http://{self.address}/v2/{path}"
        request = urllib.request.Request(address, headers={"Accept": _ACCEPT})
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise BrokenError(f"{path} answers {error.code}") from None
        except (OSError, ValueError) as error:
            raise BrokenError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class EngineStore:
    """The image store of an engine. docker: the matching docker program."""

    docker: Path
    host: str

    def tags(self, repository: str) -> list[str]:
        """See `Store.tags`."""
        listed = self._call("image", "ls", "--format", "{{.Tag}}", repository).decode().split()
        return [tag for tag in listed if tag != "<none>"]

    def open(self, repository: str, tag: str) -> tuple[bytes, ReadBlob]:
        """See `Store.open`; reads the output of ``docker save``."""
        with tarfile.open(fileobj=io.BytesIO(self._call("image", "save", f"{repository}:{tag}"))) as tar:
            files = {path: content for path, (_, content) in _files(tar).items()}

        def blob(digest: str) -> bytes:
            try:
                return files[f"blobs/{digest.replace(':', '/')}"]
            except KeyError:
                raise BrokenError(f"{digest} is not in the engine's store") from None

        try:
            (entry,) = json.loads(files["index.json"])["manifests"]
        except (KeyError, ValueError) as error:
            raise BrokenError(f"docker save gives no manifest: {error!r}") from None
        return blob(entry["digest"]), blob

    def _call(self, *words: str) -> bytes:
        done = subprocess.run(
            [str(self.docker), "--host", self.host, *words], capture_output=True, check=False, timeout=120
        )
        if done.returncode:
            raise BrokenError(f"docker {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout


def read_tags(store: Store, repositories: Mapping[str, str], oracle: Oracle) -> list[StoredTag]:
    """Read every content tag of the images. repositories: image -> its repository."""
    return [
        read_tag(store, image, repository, tag, oracle)
        for image, repository in repositories.items()
        for tag in store.tags(repository)
        if is_content_tag(tag)
    ]


def is_content_tag(tag: str) -> bool:
    """Whether a tag is a content tag, not that of a cache or a moving tag."""
    return tag.startswith("sha-")


def read_tag(store: Store, image: str, repository: str, tag: str, oracle: Oracle) -> StoredTag:
    """Read one tag, and compute the fingerprint of the tree that its files give."""
    try:
        raw, blob = store.open(repository, tag)
        tree, fingerprint = read_image(raw, blob)
    except BrokenError as error:
        return StoredTag(image=image, tag=tag, broken=str(error))
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    made = oracle.fingerprints(tree)[image]
    return StoredTag(image=image, tag=tag, digest=digest, fingerprint=fingerprint, made=made)


def read_image(raw: bytes, blob: ReadBlob) -> tuple[Snapshot, str | None]:
    """Return the tree of an image's files, and the fingerprint in its label. Raises BrokenError."""
    try:
        manifest = json.loads(raw)
        config = json.loads(_checked(manifest["config"]["digest"], blob))
        described = list(zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True))
    except (ValueError, KeyError) as error:
        raise BrokenError(f"the manifest or the configuration is not an image's: {error!r}") from None
    files: dict[str, Content] = {}
    for descriptor, diff_id in described:
        content = _checked(descriptor["digest"], blob)
        tar_bytes = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if _sha256(tar_bytes) != diff_id:
            raise BrokenError(f"layer {descriptor['digest']} is not {diff_id}")
        with tarfile.open(fileobj=io.BytesIO(tar_bytes)) as tar:
            files |= _files(tar)
    labels = config["config"].get("Labels") or {}
    ours = {path.removeprefix(_FOLDER): content for path, content in files.items()}
    return Snapshot(files=ours, edition=labels.get(EDITION, "")), labels.get(FINGERPRINT)


def _checked(digest: str, blob: ReadBlob) -> bytes:
    content = blob(digest)
    if _sha256(content) != digest:
        raise BrokenError(f"blob {digest} has the content of {_sha256(content)}")
    return content


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _files(tar: tarfile.TarFile) -> dict[str, Content]:
    """Return path -> content of the files in a tar."""
    found = {}
    for member in tar.getmembers():
        if member.isfile() and (source := tar.extractfile(member)):
            found[member.name.removeprefix("./")] = (bool(member.mode & 0o100), source.read())
    return found
