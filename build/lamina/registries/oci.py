"""Any registry that speaks the OCI distribution protocol, on its own: no engine, no AWS.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import IO, TypeVar
from urllib.parse import urlencode, urljoin

from lamina.errors import Problem, RegistryError
from lamina.process import Runner
from lamina.refs import Reference
from lamina.registries import refusals
from lamina.registries.base import ACCEPTED, Descriptor, Manifest, sha256, sha256_of
from lamina.registries.credentials import Credential, DockerConfig, lookup
from lamina.registries.http import HttpResponse, Transport
from lamina.registries.session import RegistrySession
from lamina.registries.transport import HttpTransport

_Key = TypeVar("_Key")
_Told = TypeVar("_Told")
_HUB = "docker.io"
_THREADS = 16
_SPOOL_BYTES = 8 << 20
_PAGE = 1000
_NEXT = re.compile(r'<([^>]+)>;\s*rel="?next"?')


class OciRegistry:
    """One registry, ``host[:port][/prefix]``. Safe for threads; connections are reused between them."""

    def __init__(self, address: str, session: RegistrySession) -> None:
        self._address = address.strip("/")
        self._session = session

    @property
    def address(self) -> str:
        """See `Registry.address`."""
        return self._address

    def manifest(self, ref: Reference) -> Manifest | None:
        """See `Registry.manifest`. The bytes are checked against the digest they were asked or sent by."""
        answer = self._session.ask(
            "GET",
            self._path(ref, "manifests", _handle(ref)),
            what=f"read {ref}",
            scopes=(_scope(ref, "pull"),),
            headers={"Accept": ", ".join(ACCEPTED)},
            allowed=frozenset({404}),
        )
        if answer.status == 404:
            return None
        named = ref.digest or answer.headers.get("docker-content-digest", "")
        if named.startswith("sha256:") and named != sha256(answer.body):
            raise RegistryError.of(
                f"the bytes of {ref} are not those of their digest {named}",
                where=self._session.host,
                hint="try again; if it stays, a proxy in between changes answers",
            )
        try:
            return Manifest.of(answer.body, answer.headers.get("content-type", "").partition(";")[0])
        except ValueError as error:
            raise RegistryError.of(
                f"{ref} is no image manifest: {error}",
                where=self._session.host,
                hint="check host and port of the registry",
            ) from error

    def manifests(self, refs: Iterable[Reference]) -> Mapping[Reference, Manifest | None]:
        """See `Registry.manifests`; 16 threads. All that went wrong is told at once, each problem once."""
        return self._ask_all(self.manifest, refs)

    def lost(self, blobs: Mapping[Reference, Iterable[Descriptor]]) -> Mapping[Reference, tuple[str, ...]]:
        """See `Registry.lost`. A HEAD each; a role that may not ask for blobs is told nothing."""
        asked = {
            (replace(ref, tag=None, digest=None), each): (ref, each)
            for ref, wanted in blobs.items()
            for each in wanted
            if not _is_foreign(each)
        }
        there = self._ask_all(lambda key: self._has(*asked[key]), asked)
        return {
            ref: tuple(
                each.digest
                for each in dict.fromkeys(wanted)
                if not there.get((replace(ref, tag=None, digest=None), each), True)
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

    def _ask_all(self, ask: Callable[[_Key], _Told], keys: Iterable[_Key]) -> dict[_Key, _Told]:
        """Ask for each, some at once.

        After an answer that did not come nothing more is asked: each of them would wait as long.
        """
        wanted = tuple(dict.fromkeys(keys))
        if len(wanted) < 2:
            return {key: ask(key) for key in wanted}
        self._session.open()  # found before there are threads: what fails for all is told without trying all
        from concurrent.futures import ThreadPoolExecutor

        found: dict[_Key, _Told] = {}
        problems: dict[Problem, None] = {}
        silent: list[refusals.UnansweredError] = []

        def read(key: _Key) -> _Told:
            if silent:
                raise silent[0]
            try:
                return ask(key)
            except refusals.UnansweredError as error:
                silent.append(error)
                raise

        with ThreadPoolExecutor(min(_THREADS, len(wanted)), thread_name_prefix="registry") as pool:
            for key, future in [(key, pool.submit(read, key)) for key in wanted]:
                try:
                    found[key] = future.result()
                except refusals.UnansweredError:
                    problems.update(dict.fromkeys(silent[0].problems))
                except RegistryError as error:
                    problems.update(dict.fromkeys(error.problems))
                except BaseException:  # Ctrl-C above all: do not wait for what has not begun
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        RegistryError.check(problems)
        return found

    def tags(self, repository: Reference) -> tuple[str, ...]:
        """Every tag of a repository; none of one that does not exist."""
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
                f"the bytes of {blob.digest} in {ref} are not those of their digest",
                where=self._session.host,
                hint="try again; if it stays, a proxy in between changes answers",
            )

    def tail(self, ref: Reference, blob: Descriptor, count: int) -> bytes:
        """See `Registry.tail`. A registry that knows no ranges sends all of it."""
        path, what = self._path(ref, "blobs", blob.digest), f"read {ref}"
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
            headers = {"Range": f"bytes=-{count}"}
            scopes = (_scope(ref, "pull"),)
            self._session.ask(
                "GET", path, what=what, scopes=scopes, headers=headers, sink=spool, most=blob.size
            )
            spool.seek(-min(count, spool.tell()), os.SEEK_END)
            return spool.read()

    def retag(self, source: Reference, target: Reference) -> None:
        """See `Registry.retag`. Blobs are mounted, or copied where the registry does not mount."""
        manifest = self.manifest(source)
        if manifest is None:
            raise RegistryError.of(
                f"{source} is not there, cannot tag it as {target}",
                where=self._session.host,
                hint="build and push it first: invoke build-all --push",
            )
        if source.repository != target.repository:
            self._copy_content(manifest, source, target)
        self._put(manifest, target)

    def write(self, ref: Reference, manifest: Manifest, *blobs: bytes) -> None:
        """See `Registry.write`."""
        what, scopes = f"write {ref}", (_scope(ref, "pull,push"),)
        for blob in blobs:
            path = self._path(ref, "blobs", "uploads/")
            answer = self._session.ask("POST", path, what=what, scopes=scopes)
            self._upload(answer, sha256(blob), blob, what=what, scopes=scopes)
        self._put(manifest, ref)

    def delete(self, ref: Reference) -> None:
        """See `Registry.delete`."""
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
            hint = "switch deletion on in the registry (REGISTRY_STORAGE_DELETE_ENABLED=true)"
        else:
            hint = "delete by digest, which removes all tags of the image with it"
        raise RegistryError.of(f"the registry does not delete {ref}", where=self._session.host, hint=hint)

    def missing_repositories(self, names: Iterable[str]) -> tuple[str, ...]:
        """See `Registry.missing_repositories`: never any, the first push creates a repository."""
        del names
        return ()

    def create_repository(self, name: str) -> None:
        """See `Registry.create_repository`: nothing to do, the first push creates it."""

    def check(self) -> None:
        """Reach the registry and show our credentials, without naming any image; raises RegistryError."""
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
            return
        told = self._session.told(answer)
        if answer.status == 404 and "MANIFEST_UNKNOWN" not in told.codes:
            raise refusals.no_repository(target, advice=self._session.advice)
        # An immutable tag refuses even its own digest (ECR): then it is already what we want.
        there = self.manifest(target)
        if there is not None and there.digest == manifest.digest:
            return
        if there is not None and "immutable" in told.message.lower():
            raise RegistryError.of(
                f"the tag {target} is immutable and names another image ({there.digest[:19]}…)",
                where=self._session.host,
                hint="let this tag be mutable in the repository's settings (an exclusion), or choose another",
            )
        raise self._session.refused(answer.status, told, f"tag {target}")

    def _copy_content(self, manifest: Manifest, source: Reference, target: Reference) -> None:
        for child in manifest.manifests:
            part = self.manifest(source.with_digest(child.digest))
            if part is not None:  # an index may name platforms that were never pushed
                self._copy_content(part, source, target)
                self._put(part, target.with_digest(child.digest))
        for blob in dict.fromkeys(item for item in (manifest.config, *manifest.layers) if item):
            if not _is_foreign(blob):
                self._mount(blob, source, target)

    def _mount(self, blob: Descriptor, source: Reference, target: Reference) -> None:
        what = f"copy {blob.digest[:19]}… to {target}"
        scopes = (_scope(source, "pull"), _scope(target, "pull,push"))
        path = self._path(target, "blobs", blob.digest)
        there = self._session.ask("HEAD", path, what=what, scopes=scopes, allowed=frozenset({404}))
        if there.status == 200:
            return
        query = urlencode({"mount": blob.digest, "from": source.repository})
        answer = self._session.ask(
            "POST",
            self._path(target, "blobs", f"uploads/?{query}"),
            what=what,
            scopes=scopes,
            allowed=frozenset({404}),
        )
        if answer.status == 404:
            raise refusals.no_repository(target, advice=self._session.advice)
        if answer.status == 201:
            return
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:  # 202: an upload was opened
            fetch = self._path(source, "blobs", blob.digest)
            self._session.ask("GET", fetch, what=what, scopes=scopes, sink=spool, most=blob.size)
            self._upload(answer, blob.digest, spool, what=what, scopes=scopes)

    def _upload(
        self,
        opened: HttpResponse,
        digest: str,
        body: bytes | IO[bytes],
        *,
        what: str,
        scopes: tuple[str, ...],
    ) -> None:
        """Send a blob to where the registry opened an upload."""
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
        """``/v2/<name>/<kind>/<handle>``; Docker Hub keeps one-word names under ``library/``."""
        if ref.pull_host != self._session.host:
            raise RegistryError.of(
                f"{ref} does not live in this registry",
                where=self._session.host,
                allowed=f"{self._address}/…",
            )
        name = ref.repository
        if self._session.host == _HUB and "/" not in name:
            name = f"library/{name}"
        return f"/v2/{name}/{kind}/{handle}"


def oci_registry(
    runner: Runner,
    address: str,
    *,
    environ: Mapping[str, str] | None = None,
    transport: Transport | None = None,
    learn: Callable[..., None] = lambda *_: None,
    otherwise: Callable[[str], Credential | None] = lambda _: None,
) -> OciRegistry:
    """The registry at ``host[:port][/prefix]`` with docker's own credentials for the host.

    environ: where docker's configuration is looked for; proxies and CA bundles are the process' own.
    learn: gets the secrets that are used, as they become known. otherwise: the credential of a host for
    which docker has none, or one that was refused.
    """
    environ = os.environ if environ is None else environ
    host = address.partition("/")[0]

    def credential(*, fresh: bool) -> Credential | None:
        # A helper renews by itself; what `docker login` left may have ended.
        found = lookup(runner, host, config=DockerConfig.load(environ))
        if found is None or fresh:
            found = otherwise(host) or found
        learn(*(found.secrets if found else ()))
        return found

    session = RegistrySession(host, transport=transport or HttpTransport(), credential=credential)
    return OciRegistry(address, session)


def _is_foreign(blob: Descriptor) -> bool:
    """Whether it is kept somewhere else, as layers of Windows were."""
    return "foreign" in blob.media_type or "nondistributable" in blob.media_type


def _handle(ref: Reference) -> str:
    return ref.digest or ref.tag or "latest"


def _scope(ref: Reference, actions: str) -> str:
    name = ref.repository
    if ref.pull_host == _HUB and "/" not in name:
        name = f"library/{name}"
    return f"repository:{name}:{actions}"
