"""A real registry with a password, as ECR has, and requests that tests send to it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
from projects import Repo

from lamina.process import SubprocessRunner
from lamina.sandbox import registry as sandbox
from lamina.sandbox.daemon import ServerFiles

USER, PASSWORD = "AWS", f"pw-{secrets.token_hex(16)}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEXES = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"


@dataclass(frozen=True)
class Served:
    """A real registry with a password: USER and PASSWORD. storage: its folder."""

    address: str
    storage: Path | None = None
    htpasswd: Path | None = None

    def get(self, path: str) -> tuple[bytes, dict[str, str]]:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Accept": f"{MANIFEST}, {INDEXES}"}
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read(), {name.lower(): value for name, value in answer.headers.items()}

    def put(self, repository: str, tag: str, media_type: str, manifest: dict[str, Any]) -> None:
        """Put any manifest under a tag."""
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Content-Type": media_type}
        url = f"http://{self.address}/v2/{repository}/manifests/{tag}"
        body = json.dumps(manifest).encode()
        request = urllib.request.Request(url, data=body, headers=headers, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()

    def manifest(self, ref: str) -> tuple[dict[str, Any], str, str]:
        """The manifest behind ``host/name:tag``, its media type and its digest."""
        name, _, tag = ref.removeprefix(f"{self.address}/").partition("@")[0].rpartition(":")
        body, headers = self.get(f"{name}/manifests/{tag}")
        return json.loads(body), headers["content-type"], headers["docker-content-digest"]

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest of a tag; None when there is no such tag."""
        try:
            return self.get(f"{repository}/manifests/{tag}")[1]["docker-content-digest"]
        except urllib.error.HTTPError:
            return None

    def has(self, uri: str) -> bool:
        """Whether an image is here, ``host/repository@digest``."""
        name, _, digest = uri.removeprefix(f"{self.address}/").partition("@")
        return self.digest(name, digest) is not None


def line_of(password: str) -> str:
    """A line of the password file."""
    return f"{USER}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}"


@contextmanager
def running_registry(folder: Path, *, name: str = "served") -> Iterator[Served]:
    """An empty one on loopback, gone at the end. folder: for its password file."""
    htpasswd = folder / "htpasswd"
    htpasswd.write_text(f"{line_of(PASSWORD)}\n")
    runner, name = SubprocessRunner(), f"tests-{name}-{os.getpid()}"
    running = sandbox.up(runner, name=name, port=0, htpasswd=htpasswd, say=lambda _: None)
    try:
        storage = ServerFiles.of("registry", name).data / "storage"
        yield Served(address=running.address, storage=storage, htpasswd=htpasswd)
    finally:
        sandbox.down(runner, name, purge=True)


def log_in(folder: Path, address: str, password: str = PASSWORD) -> str:
    """A folder for DOCKER_CONFIG."""
    folder.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))
    return str(folder)


def stack_of(repo: Repo) -> str:
    return repo.env["LAMINA_STACK"]


def assert_secret_nowhere(repo: Repo, *texts: str) -> None:
    """Neither the password nor the token with it was printed or written."""
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    told = [text.encode() for text in texts]
    files = [file for file in repo.root.parent.rglob("*") if file.is_file() and not file.is_symlink()]
    written = {str(file): file.read_bytes() for file in files if "docker" not in file.parts}
    for secret in (PASSWORD.encode(), token):
        assert not [text for text in told if secret in text]
        assert not [name for name, content in written.items() if secret in content]
