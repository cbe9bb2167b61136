"""A private docker configuration: the user's plus registry tokens, which are never written to the user's."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lamina.errors import RegistryError
from lamina.files import read_json, write_atomic
from lamina.registries.credentials import Credential, DockerAuth, DockerConfig, DockerConfigFile

_LINKED = ("contexts", "buildx")
_STATE = "lamina.json"
_KEEP_UNKNOWN = timedelta(hours=12)  # no ECR token lives longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The login of an earlier run.

    Attributes:
        credential: None when a helper has it.
        expires: None when not known.
    """

    host: str
    credential: Credential | None
    expires: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateDockerConfig:
    """A folder for ``DOCKER_CONFIG`` that only its owner can read.

    Its config.json is the user's with credentials added. The user's contexts and builders are linked and the
    plugins' folder is named, so that ``docker buildx`` behaves as usual. There is one folder per identity, so
    that two profiles never share a token. user: the configuration it extends.
    """

    path: Path
    user: DockerConfig

    @classmethod
    def under(cls, cache: Path, identity: str, user: DockerConfig) -> PrivateDockerConfig:
        """Return the configuration of one identity (a short file name) in the cache."""
        return cls(path=cache / "credentials" / identity, user=user)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for docker commands. Builders stay where the user's own docker finds them."""
        builders = os.environ.get("BUILDX_CONFIG") or str(self.user.folder / "buildx")
        return {"DOCKER_CONFIG": str(self.path), "BUILDX_CONFIG": builders}

    def kept(self) -> Kept | None:
        """Return the login that `write` stored, expired or not; None when there is none or it is damaged."""
        try:
            state = read_json(self.path / _STATE) or {}
            host = str(state["host"])
            text = state.get("expires")
            expires = datetime.fromisoformat(text) if text else None
            document = read_json(self.path / "config.json") or {}
            entry = document.get("auths", {}).get(host, {}).get("auth", "")
        except (ValueError, LookupError, TypeError, AttributeError):
            return None  # only a cache: a new token replaces it
        own = DockerConfig(folder=self.path, document={"auths": {host: {"auth": entry}}})
        return Kept(host=host, credential=own.stored(host), expires=expires)

    def write(self, host: str, credential: Credential | None, expires: datetime | None) -> None:
        """Write the folder with this login. credential: None when a helper of the user has it."""
        self._lay_out({host: credential} if credential else {}, host, expires)

    def extend(self, credentials: Mapping[str, Credential]) -> None:
        """Write the folder with credentials for several hosts. Later runs do not reuse them."""
        self._lay_out(credentials, "", None)

    def _lay_out(self, credentials: Mapping[str, Credential], host: str, expires: datetime | None) -> None:
        try:
            self._folders()
            self._link()
            _write(self.path / "config.json", merge(self.user, credentials))
            _write(self.path / _STATE, {"host": host, "expires": expires.isoformat() if expires else None})
        except OSError as error:
            raise RegistryError.of(
                f"the registry token cannot be stored: {error.strerror}",
                where=str(self.path),
                hint="make the folder writable, or set LAMINA_CACHE to one that is",
            ) from error

    def sweep(self, now: datetime) -> None:
        """Remove the folders of other identities whose tokens can no longer be valid."""
        with suppress(OSError):
            for folder in self.path.parent.iterdir():
                if folder != self.path and _outlived(folder, now):
                    _remove(folder)

    def _folders(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.path.parent, self.path):
            folder.chmod(0o700)

    def _link(self) -> None:
        for name in _LINKED:
            # Resolved: a nested run extends this very folder, and must not link it to itself.
            target, link = (self.user.folder / name).resolve(), self.path / name
            if link.is_symlink() and link.readlink() == target:
                continue
            if not target.is_dir() or (link.exists() and not link.is_symlink()):
                continue
            with tempfile.TemporaryDirectory(dir=self.path) as scratch:
                made = Path(scratch) / name
                made.symlink_to(target)
                made.replace(link)


def merge(user: DockerConfig, credentials: Mapping[str, Credential]) -> DockerConfigFile:
    """Return the user's configuration with credentials added so that docker and buildx use them."""
    document = user.document.copy()
    if credentials:
        ours: dict[str, DockerAuth] = {host: {"auth": each.encoded} for host, each in credentials.items()}
        document["auths"] = {**(document.get("auths") or {}), **ours}
        # With a helper docker ignores `auths`; an empty one for a host makes it read them.
        helped = [host for host in ours if user.helper(host)]
        if helped:
            document["credHelpers"] = {**(document.get("credHelpers") or {}), **dict.fromkeys(helped, "")}
    plugins = [str(folder) for folder in document.get("cliPluginsExtraDirs") or ()]
    own = str((user.folder / "cli-plugins").absolute())
    document["cliPluginsExtraDirs"] = plugins if own in plugins else [*plugins, own]
    return document


def _write(path: Path, document: object) -> None:
    write_atomic(path, json.dumps(document, indent=2), mode=0o600)


def _outlived(folder: Path, now: datetime) -> bool:
    state = folder / _STATE
    try:
        if expires := (read_json(state) or {}).get("expires"):
            return datetime.fromisoformat(expires) < now
        return datetime.fromtimestamp(state.stat().st_mtime, UTC) + _KEEP_UNKNOWN < now
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)  # links are removed, never followed
