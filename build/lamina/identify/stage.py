"""The staged context: exactly the hashed files, with normalised modes and times.

A stage is named by its content and acts as a cache. Before it is sent, every byte is read, and each path that
differs from the fingerprint is repaired. Files that an earlier stage contains are linked instead of copied.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from urllib.parse import quote

from lamina.errors import BuildError, LaminaError
from lamina.files import EPOCH
from lamina.identify.context import CHANGED, Context, ContextFile
from lamina.identify.proof import MODES, Part, Proof, is_right, read_stamps
from lamina.values import dataclass

_KEPT_SECONDS = 24 * 3600
_UNFINISHED = ".new-"
_KEPT_STAGES = 2
_IGNORE = b"# chosen by Lamina\n"
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedContext:
    """A folder that a build may read: the Dockerfile, the main context and the named ones.

    Attributes:
        proof: Proof that it contains what was hashed; None if it was not checked.
    """

    folder: Path
    proof: Proof | None = field(default=None, repr=False, compare=False)

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile. The ignore file beside it excludes nothing, because the files are preselected."""
        return self.folder / "Dockerfile"

    @property
    def intact(self) -> bool:
        """Whether the proved files are still unchanged."""
        return self.proof is None or self.proof.holds()

    def context(self, name: str = "") -> Path:
        """Return the folder of a context; the main one has the empty name."""
        return self.folder / _place_of(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedTree:
    """One context to stage, and the folder that contains its files."""

    root: Path
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """The expected content of a stage, by path.

    Attributes:
        texts: Contents of the stage's own files.
        files: A file of a context and the context's folder.
    """

    parts: Mapping[str, Part]
    texts: Mapping[str, bytes]
    files: Mapping[str, tuple[ContextFile, Path]]


def stage(folder: Path, fingerprint: str, dockerfile: str, trees: Mapping[str, StagedTree]) -> StagedContext:
    """Stage the files of an image below ``folder``, or reuse an existing stage. Both are proved.

    Args:
        trees: Context name -> files; the main context has the empty name.

    Raises:
        BuildError: When a file changed since it was hashed, or the disk is full. No partial stage is left.
    """
    # Comments are not in the fingerprint, but errors name lines: each Dockerfile text gets its own stage.
    text = dockerfile.encode("utf-8", "surrogateescape")
    name = f"{fingerprint.removeprefix('sha256:')[:12]}-{hashlib.sha256(text).hexdigest()[:6]}"
    content = _content(text, trees)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / name).is_dir():
            _make(folder / name, content)
        proof = _prove(folder / name, content)
        os.utime(folder / name)
    except OSError as error:
        raise _failure(error, folder) from None
    _prune(folder, keep=folder / name)
    return StagedContext(folder=folder / name, proof=proof)


def _content(dockerfile: bytes, trees: Mapping[str, StagedTree]) -> _Content:
    texts = {"Dockerfile": dockerfile, "Dockerfile.dockerignore": _IGNORE}
    parts = {
        path: Part("file", hashlib.sha256(text).hexdigest(), dated=False) for path, text in texts.items()
    }
    files: dict[str, tuple[ContextFile, Path]] = {}
    for name, tree in trees.items():
        root = _place_of(name)
        _add_folders(parts, root)
        for file in tree.context.files:
            path = f"{root}/{file.path}"
            if file.kind == "dir":
                _add_folders(parts, path)
                continue
            _add_folders(parts, path.rpartition("/")[0])
            parts[path] = Part(file.kind, file.sha256)
            files[path] = file, tree.root
    return _Content(parts=parts, texts=texts, files=files)


def _place_of(context: str) -> str:
    return f"contexts/{quote(context, safe='')}" if context else "context"


def _add_folders(parts: dict[str, Part], path: str) -> None:
    """Add a folder and its ancestors."""
    while path and path not in parts:
        parts[path] = Part("dir")
        path = path.rpartition("/")[0]


def _make(place: Path, content: _Content) -> None:
    """Create a stage in one step. It is not proved yet."""
    earlier = _newest(place.parent)
    temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=_UNFINISHED))
    try:
        for path, part in sorted(content.parts.items()):  # a folder before what is in it
            if part.kind == "dir":
                os.mkdir(f"{temporary}/{path}")  # noqa: PTH102
            else:
                _put(content, path, Path(f"{temporary}/{path}"), earlier)
        _normalise_folders(temporary)
        temporary.chmod(0o755)
        if not place.is_dir():
            with suppress(OSError):  # another run may have put a folder there; the rename judges
                place.unlink()
        try:
            temporary.rename(place)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            # Another run staged the same files meanwhile.
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prove(place: Path, content: _Content) -> Proof:
    """Read every byte of a stage and repair differences. Raises BuildError if they keep coming back."""
    for _ in range(_TRIES):
        seen = read_stamps(place)  # before reading the bytes, so that the next look detects changes meanwhile
        extra = seen.keys() - content.parts.keys()
        wrong = [
            path
            for path, part in content.parts.items()
            if path not in seen or not is_right(place, path, seen[path], part)
        ]
        if not extra and not wrong:
            return Proof(folder=place, seen=seen, parts=content.parts)
        _repair(place, content, wrong, extra)
    raise BuildError.of(
        "the staged files keep changing",
        where=str(place),
        hint="stop programs that write below .lamina, and run again",
    )


def _repair(place: Path, content: _Content, wrong: Iterable[str], extra: Collection[str]) -> None:
    """Repair a stage in place. Each file is replaced atomically, since another run may be reading it."""
    for path in sorted(extra):
        _remove(place / path)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=_UNFINISHED) as scratch:
        made = Path(scratch) / "made"
        for path in sorted(wrong):
            if content.parts[path].kind == "dir":
                if not stat.S_ISDIR(_mode(place / path)):
                    _remove(place / path)
                (place / path).mkdir(exist_ok=True)
                continue
            if stat.S_ISDIR(_mode(place / path)):
                _remove(place / path)
            _put(content, path, made, None)
            # BuildKit may have received the wrong bytes under this file's time. A different time makes it
            # transfer the right ones.
            if content.parts[path].dated and content.parts[path].kind != "link":
                _date(made, secrets.randbelow(10**9))
            made.replace(place / path)
    _normalise_folders(place)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _remove(path: Path) -> None:
    if stat.S_ISDIR(_mode(path)):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _failure(error: OSError, folder: Path) -> LaminaError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return BuildError.of(
            f"the disk is full: {error.strerror}",
            where=str(folder),
            hint="free some space and run again; nothing was recorded",
        )
    return BuildError.of(f"cannot stage the context: {error.strerror}: {error.filename}", where=str(folder))


def _put(content: _Content, path: str, place: Path, earlier: Path | None) -> None:
    """Write one file or link. Link a file from an earlier stage if that seems to contain it."""
    part = content.parts[path]
    if path in content.texts:
        place.write_bytes(content.texts[path])
        place.chmod(0o644)
        return
    file, root = content.files[path]
    if part.kind == "link":
        target = os.readlink(root / file.path)  # noqa: PTH115 - as stored, not normalised
        _unchanged(file, hashlib.sha256(os.fsencode(target)).hexdigest())
        place.symlink_to(target)
        os.utime(place, (EPOCH, EPOCH), follow_symlinks=False)
        return
    # BuildKit sends only files whose size or time differ from its copy. Nanoseconds derived from the content
    # distinguish edits of equal length. Layers store whole seconds, so they stay the same.
    nanoseconds = int(file.sha256[:12], 16) % 10**9
    if earlier and _linked(f"{earlier}/{path}", place, MODES[part.kind], EPOCH * 10**9 + nanoseconds):
        return
    raw = (root / file.path).read_bytes()
    raw = file.excerpt(raw) if file.excerpt else raw
    _unchanged(file, hashlib.sha256(raw).hexdigest())
    place.write_bytes(raw)
    place.chmod(stat.S_IMODE(MODES[part.kind]))
    _date(place, nanoseconds)


def _linked(source: str, place: Path, mode: int, time: int) -> bool:
    """Link a file if its mode and time suggest the same content. The proof checks it later."""
    try:
        found = os.lstat(source)
        if found.st_mode != mode or found.st_mtime_ns != time:
            return False
        os.link(source, place)
    except OSError:
        return False
    return True


def _date(place: Path, nanoseconds: int) -> None:
    time = EPOCH * 10**9 + nanoseconds
    os.utime(place, ns=(time, time))


def _unchanged(file: ContextFile, digest: str) -> None:
    if digest != file.sha256:
        raise BuildError.of(CHANGED, where=file.path, hint="run again")


def _normalise_folders(place: Path) -> None:
    """Set mode and time of the folders below a stage."""
    for parent, folders, _ in os.walk(place, topdown=False):
        for each in folders:
            folder = os.path.join(parent, each)  # noqa: PTH118 - a third of the time
            if not os.path.islink(folder):  # noqa: PTH114
                os.chmod(folder, stat.S_IMODE(MODES["dir"]))  # noqa: PTH101
                os.utime(folder, (EPOCH, EPOCH))


def _stages(folder: Path) -> list[tuple[float, Path]]:
    """Return the finished stages and their times, newest first."""
    return _dated(each for each in folder.iterdir() if not each.name.startswith("."))


def _dated(folders: Iterable[Path]) -> list[tuple[float, Path]]:
    """Return the times of folders, newest first, without those that another run removed meanwhile."""
    found: list[tuple[float, Path]] = []
    for each in folders:
        with suppress(FileNotFoundError):
            found.append((each.stat().st_mtime, each))
    return sorted(found, reverse=True)


def _newest(folder: Path) -> Path | None:
    return next((each for _, each in _stages(folder)), None)


def _prune(folder: Path, *, keep: Path) -> None:
    """Delete stages that no run can still be using."""
    limit = time.time() - _KEPT_SECONDS
    for index, (modified, each) in enumerate(_stages(folder)):
        if index >= _KEPT_STAGES and each != keep and modified < limit:
            shutil.rmtree(each, ignore_errors=True)
    for modified, each in _dated(folder.glob(f"{_UNFINISHED}*")):  # left by a killed run
        if modified < limit:
            shutil.rmtree(each, ignore_errors=True)
