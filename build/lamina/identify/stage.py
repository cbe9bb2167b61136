"""The staged context: the hashed files, and nothing else, under normal modes and one time.

A stage is named by its content, and is a cache: each time it is to be sent every byte of it is read, and what
is not as the fingerprint has it is put right. Files that an earlier stage holds are linked, not copied.
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
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lamina.errors import BuildError, LaminaError
from lamina.files import EPOCH
from lamina.identify.context import Context, ContextFile
from lamina.identify.proof import MODES, Part, Proof, is_right, look_at

_KEPT_SECONDS = 24 * 3600
_UNFINISHED = ".new-"
_KEPT_STAGES = 2
_IGNORE = b"# chosen by Lamina\n"
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedContext:
    """A folder that a build may read: the Dockerfile, the main context and the named ones.

    proof: that it holds what was hashed; None where nobody looked.
    """

    folder: Path
    proof: Proof | None = field(default=None, repr=False, compare=False)

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile; the ignore file beside it hides nothing, for all was chosen before."""
        return self.folder / "Dockerfile"

    @property
    def intact(self) -> bool:
        """Whether what was proved is still there, unchanged."""
        return self.proof is None or self.proof.holds()

    def context(self, name: str = "") -> Path:
        """The folder of a context by name; the main one under the empty string."""
        return self.folder / _place_of(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedTree:
    """One context to stage: where its files are now."""

    root: Path
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What a stage has to hold, by path. texts: of its own files. files: a file of a context and its root."""

    parts: Mapping[str, Part]
    texts: Mapping[str, bytes]
    files: Mapping[str, tuple[ContextFile, Path]]


def stage(folder: Path, fingerprint: str, dockerfile: str, trees: Mapping[str, StagedTree]) -> StagedContext:
    """Put the files of an image in place below ``folder``, or find them there; either way they are proved.

    trees: by context name, the main one under the empty string. Raises BuildError when a file changed
    since it was hashed, or when the disk is full; nothing half made is left.
    """
    # Comments are not in the fingerprint, but errors name lines: each text of the Dockerfile has its stage.
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
    """A folder and those above it."""
    while path and path not in parts:
        parts[path] = Part("dir")
        path = path.rpartition("/")[0]


def _make(place: Path, content: _Content) -> None:
    """A new stage, all at once. It is not proved yet."""
    earlier = _newest(place.parent)
    temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=_UNFINISHED))
    try:
        for path, part in sorted(content.parts.items()):  # a folder before what is in it
            if part.kind == "dir":
                os.mkdir(f"{temporary}/{path}")  # noqa: PTH102
            else:
                _put(content, path, Path(f"{temporary}/{path}"), earlier)
        _settle_folders(temporary)
        temporary.chmod(0o755)
        if not place.is_dir():
            place.unlink(missing_ok=True)
        try:
            temporary.rename(place)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            # Another run staged the same files meanwhile.
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prove(place: Path, content: _Content) -> Proof:
    """Read every byte of a stage, and put right what is wrong. Raises BuildError when that does not last."""
    for _ in range(_TRIES):
        seen = look_at(place)  # before the bytes are read: what changes meanwhile is seen by the next look
        extra = seen.keys() - content.parts.keys()
        wrong = [
            path
            for path, part in content.parts.items()
            if path not in seen or not is_right(place, path, seen[path], part)
        ]
        if not extra and not wrong:
            return Proof(folder=place, seen=seen, parts=content.parts)
        _put_right(place, content, wrong, extra)
    raise BuildError.of(
        "the staged files change while they are staged",
        where=str(place),
        hint="let no program write below .lamina, and run again",
    )


def _put_right(place: Path, content: _Content, wrong: Iterable[str], extra: Collection[str]) -> None:
    """Mend a stage where it is: each file in one step, for another run may be reading it."""
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
            # BuildKit may have been sent the wrong bytes under the time that this file should have: another
            # time makes it take the right ones.
            if content.parts[path].dated and content.parts[path].kind != "link":
                _date(made, secrets.randbelow(10**9))
            made.replace(place / path)
    _settle_folders(place)


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
    """One file or link; a file from an earlier stage where that seems to have it."""
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
    # BuildKit sends only files whose size or time differ from what it has. Nanoseconds taken from the
    # content tell an edit of equal length apart; layers hold whole seconds, so they stay the same.
    nanoseconds = int(file.sha256[:12], 16) % 10**9
    if earlier and _linked(f"{earlier}/{path}", place, MODES[part.kind], EPOCH * 10**9 + nanoseconds):
        return
    raw = (root / file.path).read_bytes()
    _unchanged(file, hashlib.sha256(raw).hexdigest())
    place.write_bytes(raw)
    place.chmod(stat.S_IMODE(MODES[part.kind]))
    _date(place, nanoseconds)


def _linked(source: str, place: Path, mode: int, time: int) -> bool:
    """Link a file whose mode and time say that it has the same content, if it is one; it is proved later."""
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
        raise BuildError.of("changed while it was being read", where=file.path, hint="run again")


def _settle_folders(place: Path) -> None:
    """Give the folders below a stage their mode and time."""
    for parent, folders, _ in os.walk(place, topdown=False):
        for each in folders:
            folder = os.path.join(parent, each)  # noqa: PTH118 - a third of the time
            if not os.path.islink(folder):  # noqa: PTH114
                os.chmod(folder, stat.S_IMODE(MODES["dir"]))  # noqa: PTH101
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
