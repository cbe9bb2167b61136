"""Registries that speak the OCI distribution protocol, without an engine or AWS.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import IO, TypeVar
from urllib.parse import urlencode, urljoin

from lamina.errors import RegistryError
from lamina.parallel import gather
from lamina.patterns import regex
from lamina.refs import Reference
from lamina.registries import refusals
from lamina.registries.base import ACCEPTED, Descriptor, Manifest, sha256, sha256_of
from lamina.registries.http import HttpResponse
from lamina.registries.session import RegistrySession
from lamina.registries.uploads import Uploads, spool_file

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_HUB = "docker.io"
_THREADS = 16
_PAGE = 1000
_OF_CONTENT = frozenset({"MANIFEST_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
"""Error codes of a 404 that say that content is missing, and not the repository."""
_NEXT = regex(r'<([^>]+)>;\s*rel="?next"?')


class OciRegistry:
    """A registry, ``host[:port][/prefix]``. Thread-safe; threads share connections."""

    def __init__(self, address: str, session: RegistrySession) -> None:
        self._address = address.strip("/")
        self._session = session
        self._known: dict[tuple[str, str], Manifest] = {}
        self._uploads = Uploads()

    @property
    def address(self) -> str:
        """See `Registry.address`."""
        return self._address

    def manifest(self, ref: Reference) -> Manifest | None:
        """See `Registry.manifest`. The bytes are checked against the requested or the reported digest.

        A digest that was read or written before is not asked for again.
        """
        known = self._known.get((ref.repository, ref.digest or ""))
        if known is not None:
            return known
        answer = self._ask_manifest("GET", ref)
        if answer.status == 404:
            return None
        named = ref.digest or answer.headers.get("docker-content-digest", "")
        if named.startswith("sha256:") and named != sha256(answer.body):
            raise RegistryError.of(
                f"the bytes of {ref} do not match their digest {named}",
                where=self._session.host,
                hint="try again; if it persists, a proxy changes responses",
            )
        try:
            found = Manifest.of(answer.body, answer.headers.get("content-type", "").partition(";")[0])
        except ValueError as error:
            raise RegistryError.of(
                f"{ref} is not an image manifest: {error}",
                where=self._session.host,
                hint="check host and port of the registry",
            ) from error
        self._known[ref.repository, found.digest] = found
        return found

    def digest(self, ref: Reference) -> str | None:
        """See `Registry.digest`. One HEAD, or a GET if the registry does not report digests."""
        answer = self._ask_manifest("HEAD", ref)
        if answer.status == 404:
            return None
        if named := answer.headers.get("docker-content-digest"):
            return named
        found = self.manifest(ref)
        return found.digest if found else None

    def _ask_manifest(self, method: str, ref: Reference) -> HttpResponse:
        return self._session.ask(
            method,
            self._path(ref, "manifests", _handle(ref)),
            what=f"read {ref}",
            scopes=(_scope(ref, "pull"),),
            headers={"Accept": ", ".join(ACCEPTED)},
            allowed=frozenset({404}),
        )

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        """See `Registry.manifests`. 16 threads; all problems are raised together, each once."""
        return self._ask_all(self.manifest, refs)

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        """See `Registry.lost`. One HEAD per blob; without the permission all blobs count as present."""
        asked = {
            (replace(ref, tag=None, digest=None), each): (ref, each)
            for ref, wanted in blobs.items()
            for each in wanted
            if not _is_foreign(each)
        }
        present = self._ask_all(lambda key: self._has(*asked[key]), asked)
        return {
            ref: tuple(
                each.digest
                for each in dict.fromkeys(wanted)
                if not present.get((replace(ref, tag=None, digest=None), each), True)
            )
            for ref, wanted in blobs.items()
        }

    def _has(self, ref: Reference, blob: Descriptor) -> bool:
        answer = self._session.ask(
            "HEAD",
            self._path(ref, "blobs", blob.digest),
            what=f"look for {blob.digest[:19]} of {ref}",
            scopes=(_scope(ref, "pull"),),
            allowed=frozenset({403, 404, 405}),
        )
        return answer.status != 404

    def _ask_all(self, ask: Callable[[_Key], _Value], keys: Iterable[_Key]) -> dict[_Key, _Value]:
        """Call ``ask`` for each key, in parallel.

        After one timeout no further request is sent, since each would wait as long.
        """
        wanted = tuple(dict.fromkeys(keys))
        if len(wanted) < 2:
            return {key: ask(key) for key in wanted}
        self._session.open()  # before there are threads: an error common to all is raised once
        silent: list[refusals.UnansweredError] = []

        def read(key: _Key) -> _Value | RegistryError:
            if silent:
                return silent[0]
            try:
                return ask(key)
            except refusals.UnansweredError as error:
                silent.append(error)
                return silent[0]
            except RegistryError as error:
                return error

        answers = dict(zip(wanted, gather(read, wanted, threads=_THREADS), strict=True))
        errors = [each for each in answers.values() if isinstance(each, RegistryError)]
        RegistryError.check(dict.fromkeys(problem for error in errors for problem in error.problems))
        return {key: each for key, each in answers.items() if not isinstance(each, RegistryError)}

    def tags(self, repository: Reference) -> tuple[str, ...]:
        """Return every tag of a repository; none when it does not exist."""
        found: list[str] = []
        path = f"{self._path(repository, 'tags', 'list')}?n={_PAGE}"
        while path:
            answer = self._session.ask(
                "GET",
                path,
                what=f"list {repository}",
                scopes=(_scope(repository, "pull"),),
                allowed=frozenset({404}),
            )
            if answer.status == 404:
                return tuple(found)
            found += json.loads(answer.body).get("tags") or ()
            link = _NEXT.match(answer.headers.get("link", ""))
            path = urljoin(path, link[1]) if link else ""
        return tuple(found)

    def blob(self, ref: Reference, blob: Descriptor, sink: IO[bytes]) -> None:
        """See `Registry.blob`."""
        path = self._path(ref, "blobs", blob.digest)
        self._session.ask(
            "GET", path, what=f"read {ref}", scopes=(_scope(ref, "pull"),), sink=sink, most=blob.size
        )
        sink.seek(0)
        if sha256_of(sink) != blob.digest:
            raise RegistryError.of(
                f"the bytes of {blob.digest} in {ref} do not match their digest",
                where=self._session.host,
                hint="try again; if it persists, a proxy changes responses",
            )

    def tail(self, ref: Reference, blob: Descriptor, count: int) -> bytes:
        """See `Registry.tail`. A registry without range requests sends the whole blob."""
        path, what = self._path(ref, "blobs", blob.digest), f"read {ref}"
        with spool_file() as spool:
            headers = {"Range": f"bytes=-{count}"}
            scopes = (_scope(ref, "pull"),)
            self._session.ask(
                "GET", path, what=what, scopes=scopes, headers=headers, sink=spool, most=blob.size
            )
            spool.seek(-min(count, spool.tell()), os.SEEK_END)
            return spool.read()

    def retag(self, source: Reference, target: Reference) -> None:
        """See `Registry.retag`. Blobs are mounted, or copied if the registry does not mount them."""
        manifest = self.manifest(source)
        if manifest is None:
            raise RegistryError.of(
                f"{source} does not exist, cannot tag it as {target}",
                where=self._session.host,
                hint="build and push it first: invoke build-all --push",
            )
        if source.repository != target.repository:
            self._copy_content(manifest, source, target)
        self._put(manifest, target)

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        """See `Registry.write`. A blob that was pushed to another repository before is mounted."""
        self._ask_all(lambda blob: self._push(ref, sha256(blob), blob), blobs)
        self._put(manifest, ref)

    def upload(self, ref: Reference, digest: str, body: IO[bytes]) -> None:
        """See `Registry.upload`."""
        self._push(ref, digest, body)

    def _push(self, ref: Reference, digest: str, body: bytes | IO[bytes]) -> None:
        what, scopes = f"write {ref}", (_scope(ref, "pull,push"),)
        with self._uploads.pushing(digest, ref) as source:
            answer = self._ask_mount(digest, source, ref, 403, 404) if source else None
            if answer is None or answer.status not in {201, 202}:
                path = self._path(ref, "blobs", "uploads/")
                answer = self._session.ask("POST", path, what=what, scopes=scopes)
            if answer.status != 201:
                self._upload(answer, digest, body, what=what, scopes=scopes)

    def share(self, source: Reference, target: Reference, blobs: Iterable[Descriptor]) -> None:
        """See `Registry.share`. They are mounted, or copied if the registry does not mount them."""
        own = (blob for blob in blobs if not _is_foreign(blob))
        self._ask_all(lambda blob: self._mount(blob, source, target), own)

    def delete(self, ref: Reference) -> None:
        """See `Registry.delete`."""
        self._known = {key: each for key, each in self._known.items() if key[0] != ref.repository}
        answer = self._session.ask(
            "DELETE",
            self._path(ref, "manifests", _handle(ref)),
            what=f"delete {ref}",
            scopes=(_scope(ref, "pull,delete"),),
            allowed=frozenset({400, 404, 405}),
        )
        if answer.status not in {400, 405}:
            return
        if ref.digest:
            hint = "enable deletion in the registry (REGISTRY_STORAGE_DELETE_ENABLED=true)"
        else:
            hint = "delete by digest, which also removes all tags of the image"
        raise RegistryError.of(f"the registry does not delete {ref}", where=self._session.host, hint=hint)

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `Registry.missing_repositories`. Always empty: the first push creates a repository."""
        del names
        return ()

    def create_repository(self, name: str) -> None:
        """See `Registry.create_repository`. Does nothing: the first push creates it."""

    def check(self) -> None:
        """Check that the registry answers and accepts the credentials. Raises RegistryError."""
        self._session.ask("GET", "/v2/", what="log in", scopes=(), allowed=frozenset({404}))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _put(self, manifest: Manifest, target: Reference) -> None:
        answer = self._session.ask(
            "PUT",
            self._path(target, "manifests", _handle(target)),
            what=f"tag {target}",
            scopes=(_scope(target, "pull,push"),),
            headers={"Content-Type": manifest.media_type},
            body=manifest.raw,
            allowed=frozenset({400, 404, 409}),
        )
        if answer.status < 400:
            self._known[target.repository, manifest.digest] = manifest
            return
        detail = self._session.error_detail(answer)
        if answer.status == 404 and _OF_CONTENT.isdisjoint(detail.codes):
            raise refusals.no_repository(target, advice=self._session.advice)
        # ECR refuses an immutable tag even for its own digest, which is success.
        existing = self.manifest(target)
        if existing is not None and existing.digest == manifest.digest:
            return
        if existing is not None and "immutable" in detail.message.lower():
            raise RegistryError.of(
                f"the tag {target} is immutable and names another image ({existing.digest[:19]}…)",
                where=self._session.host,
                hint="make this tag mutable in the repository's settings (an exclusion), or choose another",
            )
        raise self._session.refused(answer.status, detail, f"tag {target}")

    def _copy_content(self, manifest: Manifest, source: Reference, target: Reference) -> None:
        for child in manifest.manifests:
            part = self.manifest(source.with_digest(child.digest))
            if part is not None:  # an index may name platforms that were never pushed
                self._copy_content(part, source, target)
                self._put(part, target.with_digest(child.digest))
        for blob in dict.fromkeys(item for item in (manifest.config, *manifest.layers) if item):
            if not _is_foreign(blob):
                self._copy_blob(blob, source, target)

    def _copy_blob(self, blob: Descriptor, source: Reference, target: Reference) -> None:
        """Make a blob available in another repository, unless it is there."""
        what, scopes = _copying(blob.digest, source, target)
        path = self._path(target, "blobs", blob.digest)
        found = self._session.ask("HEAD", path, what=what, scopes=scopes, allowed=frozenset({404}))
        if found.status != 200:
            self._mount(blob, source, target)

    def _mount(self, blob: Descriptor, source: Reference, target: Reference) -> None:
        what, scopes = _copying(blob.digest, source, target)
        answer = self._ask_mount(blob.digest, source, target, 404)
        if answer.status == 404:
            raise refusals.no_repository(target, advice=self._session.advice)
        if answer.status == 201:
            return
        with spool_file() as spool:  # 202: an upload was started
            fetch = self._path(source, "blobs", blob.digest)
            self._session.ask("GET", fetch, what=what, scopes=scopes, sink=spool, most=blob.size)
            self._upload(answer, blob.digest, spool, what=what, scopes=scopes)

    def _ask_mount(self, digest: str, source: Reference, target: Reference, *allowed: int) -> HttpResponse:
        """Ask for a blob of another repository: 201 if the target has it now, 202 if it must be sent."""
        what, scopes = _copying(digest, source, target)
        query = urlencode({"mount": digest, "from": source.repository})
        path = self._path(target, "blobs", f"uploads/?{query}")
        return self._session.ask("POST", path, what=what, scopes=scopes, allowed=frozenset(allowed))

    def _upload(
        self,
        opened: HttpResponse,
        digest: str,
        body: bytes | IO[bytes],
        *,
        what: str,
        scopes: tuple[str, ...],
    ) -> None:
        """Send a blob to an upload that the registry has started."""
        url = opened.headers.get("location", "")
        joint = "&" if "?" in url else "?"
        self._session.ask(
            "PUT",
            f"{url}{joint}{urlencode({'digest': digest})}",
            what=what,
            scopes=scopes,
            headers={"Content-Type": "application/octet-stream"},
            body=body,
        )

    def _path(self, ref: Reference, kind: str, handle: str) -> str:
        """Return ``/v2/<name>/<kind>/<handle>``; Docker Hub keeps one-word names under ``library/``."""
        if ref.pull_host != self._session.host:
            raise RegistryError.of(
                f"{ref} is not in this registry",
                where=self._session.host,
                allowed=f"{self._address}/…",
            )
        name = ref.repository
        if self._session.host == _HUB and "/" not in name:
            name = f"library/{name}"
        return f"/v2/{name}/{kind}/{handle}"


def _is_foreign(blob: Descriptor) -> bool:
    """Whether the blob is stored elsewhere, as the base layers of Windows images were."""
    return "foreign" in blob.media_type or "nondistributable" in blob.media_type


def _copying(digest: str, source: Reference, target: Reference) -> tuple[str, tuple[str, ...]]:
    """Return the action for messages, and its scopes."""
    scopes = (_scope(source, "pull"), _scope(target, "pull,push"))
    return f"copy {digest[:19]}… to {target}", scopes


def _handle(ref: Reference) -> str:
    return ref.digest or ref.tag or "latest"


def _scope(ref: Reference, actions: str) -> str:
    name = ref.repository
    if ref.pull_host == _HUB and "/" not in name:
        name = f"library/{name}"
    return f"repository:{name}:{actions}"
