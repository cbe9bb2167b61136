"""What the handler of an image imports from the repository, and what of that the image lacks.

A finding needs evidence that a module is the repository's own: a file of it beside its importer, in a package
that the image holds in part, or in a project of the repository. How certain it is depends on whether the
import is always carried out, and on whether anything else may bring the module.
"""

from __future__ import annotations

import difflib
import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lamina.errors import Certainty
from lamina.identify.importable import Importable
from lamina.identify.layout import Layout
from lamina.identify.modules import Branch, Import, Module, Need, every_import
from lamina.identify.opened import Opened
from lamina.identify.wheel import Dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFault:
    """Something that fails, or may fail, when Lambda starts the function.

    importer: origin of the file, None for the CMD itself. line: of the import. missing: module or function.
    local: where it is in the repository. nearest: a module of the image with a name like it, or a name of the
    handler's module. unless: what would prove it wrong. dropped: the setting that leaves it out of a wheel.
    opened: whether it is a file that is opened. command: the one that names nothing. held: where in the image
    the module is, though nobody looks there.
    """

    importer: str | None
    line: int
    missing: str
    local: str | None = None
    nearest: str | None = None
    certainty: Certainty = "certain"
    unless: str | None = None
    dropped: Dropped | None = None
    opened: bool = False
    command: str = ""
    held: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The repository. module: origin -> what it says. exists: whether an origin is a file.

    projects: import name -> origin of the package of a project of the repository, and that project's name.
    """

    module: Callable[[str], Module | None]
    exists: Callable[[str], bool]
    projects: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one import leads to: modules of the image, and what is missing."""

    places: tuple[str, ...] = ()
    fault: ImportFault | None = None


class ImportWalk:
    """Follows imports through first-party code."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout = layout
        self._disk = disk
        self._names = Importable(layout)
        self._reached: dict[str, None] = {}
        self._found: dict[tuple[str, Import], _Found] = {}

    def run(self, command: tuple[str, ...], *, overridden: bool) -> tuple[ImportFault, ...]:
        """The faults behind a CMD of the form ``module.function`` or ``folder/module.function``.

        overridden: whether functions may have another command than the image's.
        """
        if len(command) != 1 or not self._layout.files:
            return ()
        module, _, function = command[0].rpartition(".")
        if not module:
            return ()
        chain = self._chain(module)
        found = self._no_handler(module) if chain is None else self._behind(chain, function)
        own = "the functions have commands of their own"
        named = (replace(each, command=command[0]) for each in found)
        return tuple(_weaker(each, own) if overridden else each for each in named)

    def origin(self, command: tuple[str, ...]) -> str | None:
        """The origin of the module that a CMD names."""
        module = command[-1].rpartition(".")[0] if command else ""
        chain = self._chain(module) if module else None
        return self._layout.files.get(chain[-1]) if chain else None

    def opened(self) -> Iterator[ImportFault]:
        """Files that the modules which were followed open, and that an installed wheel leaves out."""
        for place in self._reached:
            module = self._module(place)
            for each in module.opened if module else ():
                folders = self._folders_of(place, each)
                for folder in folders:
                    fault = self._not_packed(place, folder, each)
                    if fault is not None:
                        yield fault

    # The handler

    def _chain(self, module: str) -> tuple[str, ...] | None:
        """The modules that importing a handler's module carries out; None where it is not in the image."""
        return self._names.down(self._names.roots, module.replace("/", ".").split("."))

    def _behind(self, chain: tuple[str, ...], function: str) -> Iterator[ImportFault]:
        if not chain:
            return
        handler = self._module(chain[-1])
        if handler is not None and not handler.defines(function):
            near = difflib.get_close_matches(function, handler.functions, n=1, cutoff=0.6)
            yield self._told(
                ImportFault(
                    importer=self._layout.files[chain[-1]],
                    line=0,
                    missing=f"function {function}",
                    nearest=near[0] if near else None,
                )
            )
            return
        called = handler.handlers.get(function, ()) if handler is not None else ()
        yield from self._faults(chain, called)

    def _no_handler(self, module: str) -> Iterator[ImportFault]:
        """A handler that is not ours may come with a wheel; a misspelt or forgotten one does not."""
        stem = module.replace(".", "/")
        if self._names.may_be_outside(module.replace("/", ".").partition(".")[0]):
            return
        ends = (f"/{stem}.py", f"/{stem}/__init__.py")
        elsewhere = next((place for place in self._layout.files if place.endswith(ends)), None)
        if elsewhere is not None:
            if not self._layout.gaps and not self._layout.installed:
                yield ImportFault(
                    importer=None,
                    line=0,
                    missing=module,
                    held=elsewhere,
                    certainty="likely",
                    unless=f"PYTHONPATH of the function leads to {elsewhere}",
                )
            return
        folders = sorted({posixpath.dirname(path) for path in self._names.held})
        beside = (posixpath.join(folder, f"{stem}.py") for folder in folders)
        local = next((path for path in beside if self._disk.exists(path)), None)
        prefix = f"{self._layout.workdir}/"
        ours = [place.removeprefix(prefix) for place in self._layout.files if place.startswith(prefix)]
        modules = [place.removesuffix(".py").replace("/", ".") for place in ours if place.endswith(".py")]
        near = difflib.get_close_matches(module.replace("/", "."), modules, n=1, cutoff=0.8)
        if (local or near) and not self._names.mentioned(posixpath.basename(stem)):
            nearest = near[0] if near else None
            yield self._told(ImportFault(importer=None, line=0, missing=module, local=local, nearest=nearest))

    # The walk: first where every import leads, then what fails for that

    def _faults(self, chain: tuple[str, ...], called: tuple[Need, ...]) -> Iterator[ImportFault]:
        """All that fails when the modules are imported one after the other, and the last one is called."""
        later = [place for need in every_import(called) for place in self._look(chain[-1], need).places]
        order = self._reach([*chain, *later])
        known: dict[str, dict[ImportFault, None]] = {place: {} for place in order}
        changed = any(found.fault for found in self._found.values())
        while changed:
            changed = False
            for place in reversed(order):
                module = self._module(place)
                found = self._fail(place, module.needs if module else (), known)
                if found.keys() != known[place].keys():
                    known[place], changed = found, True
        every = self._fail(chain[-1], called, known)
        for place in chain:
            every.update(known[place])
        yield from _strongest(every)

    def _reach(self, places: list[str]) -> list[str]:
        """Every module that may be imported, importers before what they import where that can be."""
        order: dict[str, None] = {}
        stack = list(reversed(places))
        while stack:
            place = stack.pop()
            if place in order:
                continue
            order[place] = None
            self._reached[place] = None
            module = self._module(place)
            for need in every_import(module.needs) if module else ():
                stack += reversed(self._look(place, need).places)
        return list(order)

    def _fail(
        self, place: str, needs: Iterable[Need], known: Mapping[str, Mapping[ImportFault, None]]
    ) -> dict[ImportFault, None]:
        """What fails when a module carries out its needs, with what is known of others by now."""
        failing: dict[ImportFault, None] = {}
        for need in needs:
            if isinstance(need, Import):
                found = self._look(place, need)
                failing.update({found.fault: None} if found.fault else {})
                for each in found.places:
                    failing.update(known.get(each, {}))
            elif isinstance(need, Branch):
                inner = self._fail(place, need.needs, known)
                failing.update({_weaker(each, "that code is never called"): None for each in inner})
            else:
                inner = self._fail(place, need.needs, known)
                if inner and need.instead is None:
                    failing.update(inner)
                elif inner and (second := self._fail(place, need.instead or (), known)):
                    certain = any(each.certainty == "certain" for each in second)
                    failing.update(
                        inner
                        if certain
                        else {_weaker(each, "what it imports instead is there"): None for each in inner}
                    )
        return failing

    def _look(self, place: str, found: Import) -> _Found:
        key = (place, found)
        if key not in self._found:
            self._found[key] = self._resolve(place, found)
        return self._found[key]

    def _module(self, place: str) -> Module | None:
        origin = self._layout.files.get(place)
        return self._disk.module(origin) if origin and place.endswith(".py") else None

    # Where names lead

    def _resolve(self, place: str, found: Import) -> _Found:
        parts = found.module.split(".") if found.module else []
        if found.level:
            folder = place
            for _ in range(found.level):
                folder = posixpath.dirname(folder)
            return self._step(place, found, (folder,), parts)
        if parts[0] in sys.stdlib_module_names:
            return _Found()
        if self._names.enter(self._names.roots, parts[0]) is None:
            return _Found(fault=self._absent(place, found, parts))
        return self._step(place, found, self._names.roots, parts)

    def _step(self, place: str, found: Import, folders: tuple[str, ...], parts: list[str]) -> _Found:
        """Go down a dotted name from folders of the image, then into the names that are modules."""
        places: list[str] = []
        for part in parts:
            entered = self._names.enter(folders, part)
            if entered is None:
                return _Found(places=tuple(places), fault=self._lost(place, found, folders, part))
            file, folders = entered
            places += [file] if file else []
        if not folders:
            return _Found(places=tuple(places))
        init = places[-1] if places and places[-1].endswith("/__init__.py") else f"{folders[0]}/__init__.py"
        package = self._module(init)
        for name in found.names:
            entered = self._names.enter(folders, name)
            if entered is not None:
                places += [entered[0]] if entered[0] else []
            elif name != "*" and not (package is not None and package.defines(name)):
                return _Found(places=tuple(places), fault=self._lost(place, found, folders, name))
        return _Found(places=tuple(places))

    # What is missing

    def _lost(self, place: str, found: Import, folders: tuple[str, ...], name: str) -> ImportFault | None:
        """A module that is in the repository where a package comes from that the image holds in part."""
        for folder in folders:
            names = self._names.inside.get(folder, ())
            files = (self._layout.files.get(f"{folder}/{each}") for each in names)
            origins = sorted({posixpath.dirname(origin) for origin in files if origin})
            for origin in origins:
                for candidate in (f"{name}.py", f"{name}/__init__.py"):
                    fault = self._fault(place, found, name, posixpath.join(origin, candidate))
                    if fault is not None:
                        return fault
        return None

    def _absent(self, place: str, found: Import, parts: list[str]) -> ImportFault | None:
        """A module of whose name there is nothing in the image, though it is the repository's own."""
        top = parts[0]
        if self._names.may_be_outside(top):
            return None
        base = self._names.origin_root(place)
        stems = [top, "/".join(parts), *("/".join((*parts, name)) for name in found.names)]
        for stem in dict.fromkeys(stems) if base is not None else ():
            for end in (".py", "/__init__.py"):
                fault = self._fault(place, found, top, posixpath.join(base or "", stem + end))
                if fault is not None:
                    return fault
        if top in self._disk.projects:
            origin, project = self._disk.projects[top]
            if project not in self._layout.required:
                fault = self._fault(place, found, top, origin)
                served = any(name in self._layout.required for _, name in self._disk.projects.values())
                return _weaker(fault, "a package index serves it") if fault and served else fault
        return None

    def _fault(self, place: str, found: Import, missing: str, local: str) -> ImportFault | None:
        """The fault of a module that is a file of the repository; None where the image has or may get it."""
        dropped = self._layout.dropped.get(local)
        if (local in self._names.held and dropped is None) or not self._disk.exists(local):
            return None
        fault = ImportFault(
            importer=self._layout.files[place], line=found.line, missing=missing, local=local, dropped=dropped
        )
        if dropped is not None:
            return replace(fault, certainty="likely", unless="another step installs it")
        ends = (f"/{missing}.py", f"/{missing}/__init__.py")
        other = next((each for each in self._layout.files if each.endswith(ends)), None)
        if other is not None and not found.level:
            fault = _weaker(fault, f"{other} is found for it")
        return None if self._names.mentioned(missing) else self._told(fault)

    # What is opened

    def _folders_of(self, place: str, each: Opened) -> tuple[str, ...]:
        """The folders of the image in which a path that a module names begins."""
        if each.package is None:
            return (posixpath.dirname(place),)
        folders = self._names.roots
        for part in each.package.split("."):
            entered = self._names.enter(folders, part)
            folders = entered[1] if entered else ()
        return folders

    def _not_packed(self, place: str, folder: str, each: Opened) -> ImportFault | None:
        """What a wheel leaves out of what a module names; None where any of it is in the image."""
        path = posixpath.normpath(posixpath.join(folder, *each.parts))
        if path in self._layout.files or path in self._names.inside:
            return None
        origins = {
            posixpath.dirname(self._layout.files[f"{folder}/{name}"])
            for name in self._names.inside.get(folder, ())
            if f"{folder}/{name}" in self._layout.files
        }
        for origin in sorted(origins):
            local = posixpath.normpath(posixpath.join(origin, *each.parts))
            left = [path for path in self._layout.dropped if path == local or path.startswith(f"{local}/")]
            if left:
                return ImportFault(
                    importer=self._layout.files[place],
                    line=each.line,
                    missing="/".join(part for part in each.parts if part != "<file>"),
                    local=local,
                    certainty="likely",
                    unless="another step puts it there",
                    dropped=self._layout.dropped[left[0]],
                    opened=True,
                )
        return None

    def _told(self, fault: ImportFault) -> ImportFault:
        """A fault as certain as what is known of the image allows."""
        gaps = self._layout.gaps
        return _weaker(fault, gaps[0].by) if gaps else fault


def _weaker(fault: ImportFault, unless: str) -> ImportFault:
    """A fault that is likely at most."""
    return replace(fault, certainty="likely", unless=unless) if fault.certainty == "certain" else fault


def _strongest(faults: Iterable[ImportFault]) -> Iterator[ImportFault]:
    """Each fault once, the certain one of those that are told in two ways."""
    best: dict[tuple[str | None, int, str], ImportFault] = {}
    for each in faults:
        key = (each.importer, each.line, each.missing)
        if key not in best or each.certainty == "certain":
            best[key] = each
    yield from best.values()
