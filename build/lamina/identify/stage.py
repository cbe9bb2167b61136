"""The staged context: the hashed files, and nothing else, under normal modes and one time.

A stage is named by its content and never changed after it has been put in place, so that two runs
cannot disturb each other. Files that an earlier stage of the image holds are linked, not copied.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lamina.errors import BuildError, LaminaError
from lamina.files import EPOCH, read_json
from lamina.identify.context import Context, ContextFile

_INDEX = "files.json"
_KEPT_SECONDS = 24 * 3600
_UNFINISHED = ".new-"
_KEPT_STAGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A folder that a build may read: the Dockerfile, the main context and the named ones."""

    folder: Path

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile; the ignore file beside it hides nothing, for all was chosen before."""
        return self.folder / "Dockerfile"

    def context(self, name: str = "") -> Path:
        """The folder of a context by name; the main one under the empty string."""
        return self.folder / "contexts" / quote(name, safe="") if name else self.folder / "context"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedTree:
    """One context to stage: where its files are now."""

    root: Path
    context: Context


def stage(folder: Path, fingerprint: str, dockerfile: str, trees: Mapping[str, StagedTree]) -> Stage:
    """Put the files of an image in place below ``folder``, or find them there.

    trees: by context name, the main one under the empty string. Raises BuildError when a file changed
    since it was hashed, or when the disk is full; nothing half made is left.
    """
    # Comments are not in the fingerprint, but errors name lines: each text of the Dockerfile has its stage.
    text = hashlib.sha256(dockerfile.encode("utf-8", "surrogateescape")).hexdigest()
    done = Stage(folder=folder / f"{fingerprint.removeprefix('sha256:')[:12]}-{text[:6]}")
    if done.folder.is_dir():
        os.utime(done.folder)
        return done
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _newest(folder)
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=_UNFINISHED))
    try:
        _fill(Stage(folder=temporary), dockerfile, trees, earlier)
        temporary.chmod(0o755)
        try:
            temporary.rename(done.folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            # Another run staged the same files meanwhile.
    except OSError as error:
        raise _failure(error, folder) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _prune(folder, keep=done.folder)
    return done


def _failure(error: OSError, folder: Path) -> LaminaError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return BuildError.of(
            f"the disk is full: {error.strerror}",
            where=str(folder),
            hint="free some space and run again; nothing was recorded",
        )
    return BuildError.of(f"cannot stage the context: {error.strerror}: {error.filename}", where=str(folder))


def _fill(target: Stage, dockerfile: str, trees: Mapping[str, StagedTree], earlier: Path | None) -> None:
    index: dict[str, dict[str, str]] = {}
    old: Mapping[str, Any] = (read_json(earlier / _INDEX) if earlier else None) or {}
    for name, tree in trees.items():
        root = target.context(name)
        root.mkdir(parents=True)
        known = old.get(name, {})
        previous = Stage(folder=earlier).context(name) if earlier else None
        for file in tree.context.files:
            same = known.get(file.path) == _key(file)
            _place(file, tree.root, root, previous if same else None)
        index[name] = {file.path: _key(file) for file in tree.context.files}
        _settle_folders(root)
    target.dockerfile.write_text(dockerfile, "utf-8", newline="")
    target.dockerfile.with_name("Dockerfile.dockerignore").write_text("# chosen by Lamina\n")
    (target.folder / _INDEX).write_text(json.dumps(index))


def _key(file: ContextFile) -> str:
    return f"{file.kind} {file.sha256}"


def _place(file: ContextFile, source: Path, root: Path, previous: Path | None) -> None:
    """One file, link or folder under its path."""
    place = root / file.path
    if file.kind == "dir":
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if file.kind == "link":
        target = os.readlink(source / file.path)  # noqa: PTH115 - as stored, not normalised
        _unchanged(file, hashlib.sha256(os.fsencode(target)).hexdigest())
        place.symlink_to(target)
        os.utime(place, (EPOCH, EPOCH), follow_symlinks=False)
        return
    if previous is not None:
        os.link(previous / file.path, place)
        return
    content = (source / file.path).read_bytes()
    _unchanged(file, hashlib.sha256(content).hexdigest())
    place.write_bytes(content)
    place.chmod(0o755 if file.kind == "exec" else 0o644)
    # BuildKit sends only files whose size or time differ from what it has. Nanoseconds taken from the
    # content tell an edit of equal length apart; layers hold whole seconds, so they stay the same.
    nanoseconds = EPOCH * 10**9 + int(file.sha256[:12], 16) % 10**9
    os.utime(place, ns=(nanoseconds, nanoseconds))


def _unchanged(file: ContextFile, digest: str) -> None:
    if digest != file.sha256:
        raise BuildError.of("changed while it was being read", where=file.path, hint="run again")


def _settle_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        Path(folder).chmod(0o755)
        os.utime(folder, (EPOCH, EPOCH))


def _stages(folder: Path) -> Iterable[Path]:
    """The finished stages, newest first."""
    found = [each for each in folder.iterdir() if not each.name.startswith(".")]
    return sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)


def _newest(folder: Path) -> Path | None:
    return next(iter(_stages(folder)), None)


def _prune(folder: Path, *, keep: Path) -> None:
    """Forget stages that no run can be using any more."""
    limit = time.time() - _KEPT_SECONDS
    for index, each in enumerate(_stages(folder)):
        if index >= _KEPT_STAGES and each != keep and each.stat().st_mtime < limit:
            shutil.rmtree(each, ignore_errors=True)
    for each in folder.glob(f"{_UNFINISHED}*"):  # of a run that was killed
        if each.stat().st_mtime < limit:
            shutil.rmtree(each, ignore_errors=True)
