"""The source of a build on CodeBuild: a reproducible zip of staged files, bake files and buildspecs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.codebuild.buildspec import CONTEXTS, BundleEntry, source_key
from lamina.codebuild.steps import remote_stage
from lamina.files import EPOCH
from lamina.identify.stage import StagedContext

_DATE = (1980, 1, 1, 0, 0, 0)
_FILE = 0o100644
_NANO = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBundle:
    """The content of the zip.

    Attributes:
        key: its key in the bucket.
        contexts: a tar.
        texts: file name -> content.
    """

    key: str
    contexts: Path
    texts: Mapping[str, str]


def make_bundle(folder: Path, texts: Mapping[str, str], stages: Mapping[str, StagedContext]) -> SourceBundle:
    """Write the images' staged contexts into a tar in ``folder`` and return the bundle, keyed by content."""
    contexts = folder / CONTEXTS
    _write_tar(contexts, stages)
    with contexts.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    entries = [
        BundleEntry(name=name, sha256=hashlib.sha256(text.encode()).hexdigest())
        for name, text in texts.items()
    ]
    key = source_key((*entries, BundleEntry(name=CONTEXTS, sha256=digest)))
    return SourceBundle(key=key, contexts=contexts, texts=texts)


def write_zip(bundle: SourceBundle, file: Path) -> None:
    """Write the zip: files sorted by name, with one date and one mode."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted((*bundle.texts, CONTEXTS)):
            info = zipfile.ZipInfo(name, date_time=_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = _FILE << 16
            if name != CONTEXTS:
                archive.writestr(info, bundle.texts[name])
                continue
            info.file_size = bundle.contexts.stat().st_size  # decides whether the entry is ZIP64
            with bundle.contexts.open("rb") as source, archive.open(info, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def _write_tar(file: Path, stages: Mapping[str, StagedContext]) -> None:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for image in sorted(stages):
            stage = stages[image]
            for path in _paths(stage):
                name = (remote_stage(image).folder / path.relative_to(stage.folder)).as_posix()
                _add(archive, path, name)


def _paths(stage: StagedContext) -> Iterator[Path]:
    """Yield the paths of a stage that a build reads, folders before their content."""
    yield from (stage.dockerfile, stage.dockerfile.with_name("Dockerfile.dockerignore"))
    for root in (stage.context(), stage.folder / "contexts"):
        for folder, folders, files in os.walk(root):
            folders.sort()
            yield Path(folder)
            links = [name for name in folders if Path(folder, name).is_symlink()]
            yield from (Path(folder, name) for name in sorted((*files, *links)))


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file, link or folder with the mode it has in its stage.

    A file of a context keeps its time to the nanosecond; everything else gets the fixed time.
    """
    status = path.lstat()
    info = archive.gettarinfo(path, name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = EPOCH
    seconds, nano = divmod(status.st_mtime_ns, _NANO)
    if info.isfile() and seconds == EPOCH:
        info.pax_headers = {"mtime": f"{seconds}.{nano:09d}"}
    if info.islnk():  # stages share unchanged files by hard links; the tar has a copy of each
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", status.st_size
    if info.isreg():
        with path.open("rb") as source:
            archive.addfile(info, source)
    else:
        archive.addfile(info)
