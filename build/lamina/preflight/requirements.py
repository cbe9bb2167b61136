"""Requirements files: the files that they include, and repositories and URLs that move."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from lamina.identify.fingerprint import distribution
from lamina.patterns import regex
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, RunView
from lamina.values import dataclass

LOST = Rule(
    id="LAM623",
    slug="requirement-not-copied",
    summary="a requirements file that names a file or folder which the step cannot see",
    why="pip reads it when the step runs: the COPY or the mount must bring it as well",
    logs=(
        r"Could not open requirements file: \[Errno 2\]",
        r"is not a valid editable requirement",
        r"Requirement '[^']*' looks like a filename, but the file does not exist",
        r"[Ff]ailed to read from file `[^`]*`: No such file",
    ),
    advice="COPY the file that the requirements name to the same relative path, before the step",
    in_builds=True,
)
MOVING = Rule(
    id="LAM624",
    slug="moving-requirement",
    summary="a requirement of a branch, or of a URL without a hash",
    why="its content changes without any file of the project changing, and then the image is not built again",
)
RULES = (LOST, MOVING)
_INCLUDE = regex(r"(-r|--requirement|-c|--constraint)(?:\s+|=|(?<=-[rc]))(\S+)")
_EDITABLE = regex(r"(-e|--editable)(?:\s+|=)(\S+)")
_REPOSITORY = regex(r"(?:git|hg|svn|bzr)\+\w+://[^\s;#]+")
_ARCHIVE = regex(r"https?://[^\s;]+\.(?:whl|zip|tar\.gz|tgz)(?:#\S*)?")
_COMMIT = regex(r"[0-9a-f]{7,40}")
_VERSION = regex(r"v?\d+(?:[._-]?\w+)*|[\w.-]*\d+\.\d+[\w.-]*")
_BRANCHES = frozenset(
    {"main", "master", "develop", "dev", "trunk", "latest", "head", "staging", "release", "next"}
)
_NOTABLE = regex(
    r"^[ \t]*(?:-[rce]|--(?:requirement|constraint|editable)|[./]|file:|[^#\n]*://|[^#\n]*@ *file:).*", re.M
)
_REQUIREMENT = regex(rb"^[A-Za-z0-9][\w.-]*", re.M)
_MOST_FILES = 50
_NOT_FILES = ("http://", "https://", "git+", "file:///", "$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a requirements file, or of a pip command.

    Attributes:
        file: The image path of the file; empty for the command itself.
        origin: Its file in the repository; None for the command itself.
        number: Of the line, from 1.
        shown: The file, for messages.
    """

    text: str
    file: str
    origin: str | None
    number: int
    shown: str

    @property
    def where(self) -> str:
        """The file and line."""
        return f"{self.shown}:{self.number}"


def installed_lines(view: ImageView, step: RunView) -> Iterator[Line]:
    """Yield the requirements of all pip commands of a step that name a place; see `file_lines`."""
    for call, folder, _ in step.installs:
        for word in call.named:
            yield Line(text=word.text, file="", origin=None, number=step.instruction.line, shown=view.file)
        for listed in call.values("-r", "--requirement", "-c", "--constraint"):
            place = step.path(listed, folder)
            if place is not None:
                yield from file_lines(view, step, place)


def file_lines(view: ImageView, step: RunView, place: str, seen: set[str] | None = None) -> Iterator[Line]:
    """Yield the lines of a requirements file that name a place, and those of the files that it includes.

    Lines that only name a distribution are left out: a file may have a hundred thousand of them.
    Each file is read once, and at most `_MOST_FILES`.
    """
    seen = set() if seen is None else seen
    origin = step.sees.files.get(place)
    if origin is None or place in seen or len(seen) > _MOST_FILES:
        return
    seen.add(place)
    text = (view.content(origin) or b"").decode("utf-8", "replace")
    number, counted = 1, 0
    for found in _NOTABLE.finditer(text):
        number += text.count("\n", counted, found.start())
        counted = found.start()
        line = re.sub(r"(?:^|\s)#.*", "", found[0]).strip()
        if not line:
            continue
        yield Line(text=line, file=place, origin=origin, number=number, shown=view.shown(origin))
        if included := _INCLUDE.match(line):
            below = posixpath.normpath(posixpath.join(posixpath.dirname(place), included[2]))
            yield from file_lines(view, step, below, seen)


def installed_names(view: ImageView, step: RunView) -> frozenset[str]:
    """Return the normalised names of the distributions that the pip commands of a step require."""
    names: set[str] = set()
    for call, folder, _ in step.installs:
        names.update(word.text for word in call.requirements)
        for listed in call.values("-r", "--requirement"):
            origin = step.sees.files.get(step.path(listed, folder) or "")
            content = view.content(origin) if origin else None
            names.update(found.decode() for found in _REQUIREMENT.findall(content or b""))
    return frozenset(distribution(each) for each in names if each[:1].isalnum())


def lost_faults(view: ImageView) -> Iterator[Fault]:
    """Yield files that requirements name and that the step cannot see."""
    for step in view.runs:
        for call, folder, sure in step.installs:
            for listed in call.values("-r", "--requirement"):
                place = step.path(listed, folder)
                if place is None or folder == "$":
                    continue
                for line in file_lines(view, step, place):
                    yield from _lost(view, step, line, folder, sure=sure)


def _lost(view: ImageView, step: RunView, line: Line, folder: str, *, sure: bool) -> Iterator[Fault]:
    named = _named(line.text)
    if named is None:
        return
    relative, includes = named
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(line.file), relative))
    here = posixpath.normpath(posixpath.join(folder, relative))
    places = (beside,) if includes else (here, beside)
    if any(_exists(step, place) for place in places):
        return
    name = posixpath.basename(relative.rstrip("/")) or relative
    if name in step.text or any(
        name in each for each in step.before.split("\n") if not each.startswith("COPY")
    ):
        return
    known = step.base.system is not None and not step.sees.gaps
    source = _source(view, line, relative)
    yield view.fault(
        LOST,
        file=line.shown,
        line=line.number,
        message=f"{line.text} is not in {view.name} when {view.file}:{step.instruction.line} installs it: "
        f"it would be {places[0]}",
        hint=f"COPY {source} {places[0]}" if source else "drop the line, or COPY the file",
        certainty="certain" if sure and known else "likely",
        unless=f"{step.base.name} contains {places[0]}",
    )


def _named(text: str) -> tuple[str, bool] | None:
    """Return the path that a line names, and whether it is a requirements file; None for other lines."""
    if found := _INCLUDE.match(text):
        return None if found[2].startswith(_NOT_FILES) else (found[2], True)
    if found := _EDITABLE.match(text):
        path = found[2].partition("[")[0].removeprefix("file:")
        return None if found[2].startswith(_NOT_FILES) or "+" in found[2].partition(":")[0] else (path, False)
    path = text.partition(";")[0].partition("@ file:")[2].strip() or text.split()[0]
    path = path.partition("[")[0].removeprefix("file:").partition("#")[0]
    if path.startswith(("./", "../", "/")) and not path.startswith("//") and "$" not in path:
        return path, False
    return None


def _exists(step: RunView, place: str) -> bool:
    below = place.rstrip("/") + "/"
    return any(each == place or each.startswith(below) for each in step.sees.files)


def _source(view: ImageView, line: Line, relative: str) -> str | None:
    """Return the path in the context of a file that a line names, if it exists in the repository."""
    if line.origin is None:
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(line.origin), relative))
    return view.image.in_context(path)


def moving_faults(view: ImageView) -> Iterator[Fault]:
    """Yield requirements whose content changes although no file changes."""
    seen: set[tuple[str, int, str]] = set()
    for step in view.runs:
        for line in installed_lines(view, step):
            moving = _moving(line.text)
            key = (line.shown, line.number, line.text)
            if moving is None or key in seen:
                continue
            seen.add(key)
            yield view.fault(
                MOVING,
                file=line.shown,
                line=line.number,
                message=f"{moving}: {view.name} is not built again when it changes",
                hint="name a commit, a tag or a hash, or install from a lock file",
                certainty="likely",
                unless="what it names is never changed",
            )


def _moving(text: str) -> str | None:
    """Return a sentence about a requirement that moves; None if it does not."""
    if found := _REPOSITORY.search(text):
        address = found[0]
        path = address.partition("://")[2].partition("/")[2]
        _, at, revision = path.rpartition("@")
        revision = revision.partition("#")[0]
        bare = re.sub(r"://[^@/]+@", "://", address)
        if not at:
            return f"{bare} names no commit"
        is_version = _VERSION.fullmatch(revision) and revision.lower() not in _BRANCHES
        if is_version or _COMMIT.fullmatch(revision):
            return None
        known = revision.lower() in _BRANCHES or "/" in revision
        return f"{bare} is the branch {revision}" if known else None
    if (
        (found := _ARCHIVE.search(text))
        and "#sha" not in text
        and "--hash" not in text
        and "latest" in found[0]
    ):
        return f"{found[0]} is a URL without a hash"
    return None
