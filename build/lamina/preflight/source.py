"""Whether the Python files of a function run in the image: syntax, modules, files that they open."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator, Mapping

from lamina.identify.reach import ReachedModule
from lamina.identify.traits import Trait
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView

SYNTAX = Rule(
    id="LAM641",
    slug="newer-python",
    summary="syntax or a standard module that the image's Python does not have",
    why="importing the file fails when the function starts",
    logs=(
        r"Runtime\.UserCodeSyntaxError",
        r"SyntaxError: ",
        r"No module named '(?:imp|distutils|asyncore|asynchat|cgi|telnetlib|pipes|tomllib|zoneinfo)",
    ),
    advice="build FROM a runtime of that Python, or write it for the image's",
)
SPELLING = Rule(
    id="LAM642",
    slug="spelling",
    summary="an import that differs from the file's name in upper and lower case",
    why="the image's file system is case-sensitive; that of macOS and Windows is not",
)
LEFT = Rule(
    id="LAM643",
    slug="file-left-behind",
    summary="a file that the function opens when it is imported, and that the image does not have",
    why="the function fails before its first event",
    logs=(r"FileNotFoundError: \[Errno 2\] No such file or directory: '/var/task",),
    general=(r"FileNotFoundError: \[Errno 2\] No such file or directory: '[^/]",),
    advice="COPY the file to the same place beside the module",
)
WRITES = Rule(
    id="LAM644",
    slug="read-only",
    summary="a write outside /tmp, or multiprocessing that needs /dev/shm",
    why="Lambda's file system is read-only except for /tmp, and it has no /dev/shm",
    logs=(
        r"\[Errno 30\] Read-only file system",
        r"\[Errno 38\] Function not implemented",
        r"_multiprocessing\.SemLock\(",
        r"Read-only file system: '/home/sbx_user",
    ),
    advice="write below /tmp; use threads, or Process with Pipe",
)
RULES = (SYNTAX, SPELLING, LEFT, WRITES)
Version = tuple[int, int]
GONE: Mapping[str, Version] = {
    "imp": (3, 12),
    "distutils": (3, 12),
    "asyncore": (3, 12),
    "asynchat": (3, 12),
    "smtpd": (3, 12),
    **dict.fromkeys(
        (
            "aifc",
            "audioop",
            "cgi",
            "cgitb",
            "chunk",
            "crypt",
            "imghdr",
            "mailcap",
            "msilib",
            "nis",
            "nntplib",
        ),
        (3, 13),
    ),
    **dict.fromkeys(("pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib", "lib2to3"), (3, 13)),
}
"""Module -> the first Python without it: https://peps.python.org/pep-0594/ and the "What's New" pages."""
CAME: Mapping[str, Version] = {"zoneinfo": (3, 9), "graphlib": (3, 9), "tomllib": (3, 11)}
_BROUGHT = {"distutils": "setuptools"}
_WRITABLE = ("/tmp", "/dev/", "/proc/")  # noqa: S108 - paths on Lambda


def source_faults(view: ImageView) -> Iterator[Fault]:
    """Yield what the modules of a function need and the image lacks."""
    modules = _roots(view) if view.reached else {}
    for place, each in view.reached.items():
        if each.module is None:
            continue
        yield from _syntax(view, each)
        yield from _modules(view, each)
        yield from _spelling(view, place, each, modules)
        for trait in each.module.traits:
            if trait.kind == "reads-beside":
                beside = posixpath.normpath(posixpath.join(posixpath.dirname(place), trait.text))
                yield from _left(view, each, trait, beside)
            elif trait.kind == "reads" and not trait.text.startswith("/"):
                yield from _left(
                    view, each, trait, posixpath.normpath(posixpath.join(view.layout.workdir, trait.text))
                )
            elif trait.kind in {"writes", "semaphores"}:
                yield from _written(view, each, trait)


def _fault(view: ImageView, rule: Rule, each: ReachedModule, line: int, message: str, **given: str) -> Fault:
    certain = each.certain and given.get("certainty", "certain") == "certain"
    return view.fault(
        rule,
        file=view.shown(each.origin),
        line=line,
        message=message,
        hint=given["hint"],
        certainty="certain" if certain else "hint" if given.get("certainty") == "hint" else "likely",
        unless=given["unless"] if certain or "certainty" in given else "that module is never imported",
    )


def _syntax(view: ImageView, each: ReachedModule) -> Iterator[Fault]:
    python = view.base.python
    if python is None:
        return
    for trait in each.module.traits if each.module else ():
        if trait.kind == "syntax":
            version, _, feature = trait.text.partition(" ")
            needs = _version(version)
            said = f"{feature} needs Python {version}"
        elif trait.kind == "unparsable" and python <= sys.version_info[:2]:
            needs, said = (99, 0), f"Python {_text(python)} cannot read it: {trait.text}"
        else:
            continue
        if python < needs:
            yield _fault(
                view,
                SYNTAX,
                each,
                trait.line,
                f"{said}, and {view.name} has Python {_text(python)}",
                hint=f"build {view.name} FROM a newer runtime, or write it for Python {_text(python)}",
                unless="a step rewrites the file",
            )


def _modules(view: ImageView, each: ReachedModule) -> Iterator[Fault]:
    """Yield standard modules that the image's Python no longer has, or does not have yet."""
    python = view.base.python
    for need in each.certain_imports if python else ():
        top = need.module.partition(".")[0]
        gone = top in GONE and python is not None and python >= GONE[top]
        early = top in CAME and python is not None and python < CAME[top]
        if not (gone or early) or _is_provided(view, top):
            continue
        said = f"is gone since Python {_text(GONE[top])}" if gone else f"is new in Python {_text(CAME[top])}"
        yield _fault(
            view,
            SYNTAX,
            each,
            need.line,
            f"imports {top}, which {said}, and {view.name} has Python {_text(python)}",
            hint=f"do without {top}, or build {view.name} FROM another runtime",
            unless=f"a package provides {top}",
        )


def _is_provided(view: ImageView, top: str) -> bool:
    """Whether the image may have a module of that name from elsewhere."""
    names = {top, f"standard-{top}", f"backports-{top}", _BROUGHT.get(top, top)}
    own = (f"/{top}.py", f"/{top}/__init__.py")
    hidden = view.layout.gaps or (top in _BROUGHT and view.runs)
    return (
        bool(names & view.layout.required)
        or any(place.endswith(own) for place in view.layout.files)
        or bool(hidden)
    )


def _roots(view: ImageView) -> Mapping[str, Mapping[str, str]]:
    """Return the folders of the function -> lower case -> the name of each module in it."""
    found: dict[str, dict[str, str]] = {view.layout.workdir: {}, "/var/task": {}}
    for path in view.layout.files:
        folder, _, name = path.removesuffix("/__init__.py").rpartition("/")
        if folder in found and path.endswith(".py"):
            name = name.removesuffix(".py")
            found[folder][name.lower()] = name
    return found


def _spelling(
    view: ImageView, place: str, each: ReachedModule, beside: Mapping[str, Mapping[str, str]]
) -> Iterator[Fault]:
    """Yield imports of a module beside the importer that is spelt in another case."""
    folder = posixpath.dirname(place)
    lower = beside.get(folder, {})
    for need in each.certain_imports:
        top = need.module.partition(".")[0]
        other = lower.get(top.lower())
        if other is None or other == top or top in lower.values() or top in sys.stdlib_module_names:
            continue
        provided = any(top.lower() in name for name in view.layout.required)
        if provided or any(path.startswith(f"{folder}/{top}/") for path in view.layout.files):
            continue
        yield _fault(
            view,
            SPELLING,
            each,
            need.line,
            f"imports {top}, and the file is {other}.py: {view.name} tells upper and lower case apart",
            hint=f"import {other}",
            unless=f"a package provides {top}",
            **({"certainty": "likely"} if view.layout.gaps or view.runs else {}),
        )


def _left(view: ImageView, each: ReachedModule, trait: Trait, place: str) -> Iterator[Fault]:
    """Yield a file that a module opens when it is imported, and that only the repository has."""
    below = f"{place}/"
    if any(path == place or path.startswith(below) for path in view.layout.files) or not trait.sure:
        return
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(each.origin), trait.text))
    if not view.readings.exists(beside):
        return
    name = posixpath.basename(place)
    if any(name in step.text for step in view.runs) or any(name in gap.text for gap in view.layout.gaps):
        return
    yield _fault(
        view,
        LEFT,
        each,
        trait.line,
        f"opens {trait.text} when it is imported, and {view.file} does not copy {view.shown(beside)}: "
        f"{place} is not in {view.name}",
        hint=f"COPY {view.image.in_context(beside)} {place}",
        certainty="likely",
        unless="another step puts it there",
    )


def _written(view: ImageView, each: ReachedModule, trait: Trait) -> Iterator[Fault]:
    if trait.kind == "semaphores":
        yield _fault(
            view,
            WRITES,
            each,
            trait.line,
            f"{trait.text} of multiprocessing needs /dev/shm, which Lambda does not have",
            hint="use threads (concurrent.futures.ThreadPoolExecutor), or Process with Pipe",
            certainty="likely" if trait.sure and each.certain else "hint",
            unless="that code never runs on Lambda",
        )
        return
    place = posixpath.normpath(posixpath.join(view.layout.workdir, trait.text))
    if place.startswith(_WRITABLE) or re.match(r"[~$]", trait.text) or view.layout.has_folder(place):
        return
    yield _fault(
        view,
        WRITES,
        each,
        trait.line,
        f"writes {place} when it is imported, and Lambda's file system is read-only there",
        hint=f"write /tmp/{posixpath.basename(place)}",
        certainty="likely" if each.certain else "hint",
        unless="the folder exists already, or the error is handled",
    )


def _version(text: str) -> Version:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _text(version: Version | None) -> str:
    return ".".join(map(str, version or ()))
