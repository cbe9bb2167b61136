"""Find local modules that an image's handler imports but the image lacks.

A finding needs evidence that a module belongs to the repository: its file is beside the importer, in a
package that the image contains in part, or in a local project. Its certainty depends on whether the import is
always executed and whether anything else may provide the module.
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
    """An import, handler or file that fails, or may fail, when Lambda starts the function.

    Attributes:
        importer: Origin of the importing file; None for the CMD itself.
        line: Of the import.
        missing: The module or function.
        local: Its file in the repository.
        nearest: A similar module in the image, or a similar name in the handler's module.
        unless: What would disprove the finding.
        dropped: The setting that leaves the file out of a wheel.
        opened: Whether the module opens the file instead of importing it.
        command: The CMD that names nothing.
        held: Where the image contains the module, though Python does not search there.
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
    """Access to the repository.

    Attributes:
        module: Origin -> the parsed module.
        exists: Whether an origin is a file.
        projects: Import name -> origin of a local project's package, and the project's name.
    """

    module: Callable[[str], Module | None]
    exists: Callable[[str], bool]
    projects: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The result of one import: modules of the image, and a fault if something is missing."""

    places: tuple[str, ...] = ()
    fault: ImportFault | None = None


class ImportWalk:
    """Follows imports through local code."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self._layout = layout
        self._disk = disk
        self._names = Importable(layout)
        self._reached: dict[str, None] = {}
        self._found: dict[tuple[str, Import], _Found] = {}

    def run(self, command: tuple[str, ...], *, overridden: bool) -> tuple[ImportFault, ...]:
        """Check a CMD of the form ``module.function`` or ``folder/module.function``.

        Args:
            overridden: Whether functions may use a different command than the image's.
        """
        if len(command) != 1 or not self._layout.files:
            return ()
        module, _, function = command[0].rpartition(".")
        if not module:
            return ()
        chain = self._chain(module)
        found = self._no_handler(module) if chain is None else self._behind(chain, function)
        own = "the functions set their own commands"
        named = (replace(each, command=command[0]) for each in found)
        return tuple(_weaker(each, own) if overridden else each for each in named)

    def origin(self, command: tuple[str, ...]) -> str | None:
        """Return the origin of the module that a CMD names."""
        module = command[-1].rpartition(".")[0] if command else ""
        chain = self._chain(module) if module else None
        return self._layout.files.get(chain[-1]) if chain else None

    def opened(self) -> Iterator[ImportFault]:
        """Yield files that followed modules open and an installed wheel leaves out."""
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
        """Return the modules that importing the handler executes; None if one is not in the image."""
        return self._names.down(self._names.roots, module.replace("/", ".").split("."))

    def _behind(self, chain: tuple[str, ...], function: str) -> Iterator[ImportFault]:
        if not chain:
            return
        handler = self._module(chain[-1])
        if handler is not None and not handler.defines(function):
            near = difflib.get_close_matches(function, handler.functions, n=1, cutoff=0.6)
            yield self._qualified(
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
        """Report a missing handler if it is misspelt or forgotten. Others may come from a wheel."""
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
                    unless=f"PYTHONPATH of the function contains the folder of {elsewhere}",
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
            yield self._qualified(
                ImportFault(importer=None, line=0, missing=module, local=local, nearest=nearest)
            )

    # The walk: find the targets of all imports, then the failures that follow

    def _faults(self, chain: tuple[str, ...], called: tuple[Need, ...]) -> Iterator[ImportFault]:
        """Yield everything that fails when the modules are imported in order and the last one is called."""
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
        """Return every module that may be imported, importers before imported modules where possible."""
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
        """Return the faults of a module's needs, given the faults known so far of other modules."""
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
                        else {_weaker(each, "its fallback import succeeds"): None for each in inner}
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

    # Resolve names

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
            return _Found(fault=self._unresolved(place, found, parts))
        return self._step(place, found, self._names.roots, parts)

    def _step(self, place: str, found: Import, folders: tuple[str, ...], parts: list[str]) -> _Found:
        """Resolve a dotted name from folders of the image, then the imported names that are modules."""
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
        """Return a fault if the name exists in the repository beside the package's files; else None."""
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

    def _unresolved(self, place: str, found: Import, parts: list[str]) -> ImportFault | None:
        """Return a fault if a module that the image lacks entirely belongs to the repository; else None."""
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
        """Return the fault of a missing repository file; None if the image has it or may get it."""
        dropped = self._layout.dropped.get(local)
        if (local in self._names.held and dropped is None) or not self._disk.exists(local):
            return None
        fault = ImportFault(
            importer=self._layout.files[place], line=found.line, missing=missing, local=local, dropped=dropped
        )
        if dropped is not None:
            return replace(fault, certainty="likely", unless="another step adds it")
        ends = (f"/{missing}.py", f"/{missing}/__init__.py")
        other = next((each for each in self._layout.files if each.endswith(ends)), None)
        if other is not None and not found.level:
            fault = _weaker(fault, f"{other} is found instead")
        return None if self._names.mentioned(missing) else self._qualified(fault)

    # Opened files

    def _folders_of(self, place: str, each: Opened) -> tuple[str, ...]:
        """Return the image folders in which a path that a module names starts."""
        if each.package is None:
            return (posixpath.dirname(place),)
        folders = self._names.roots
        for part in each.package.split("."):
            entered = self._names.enter(folders, part)
            folders = entered[1] if entered else ()
        return folders

    def _not_packed(self, place: str, folder: str, each: Opened) -> ImportFault | None:
        """Return a fault if a wheel leaves out the named path; None if the image has any of it."""
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
                    unless="another step adds it",
                    dropped=self._layout.dropped[left[0]],
                    opened=True,
                )
        return None

    def _qualified(self, fault: ImportFault) -> ImportFault:
        """Lower a fault's certainty if the image's layout has a gap."""
        gaps = self._layout.gaps
        return _weaker(fault, gaps[0].by) if gaps else fault


def _weaker(fault: ImportFault, unless: str) -> ImportFault:
    """Lower a fault's certainty to likely."""
    return replace(fault, certainty="likely", unless=unless) if fault.certainty == "certain" else fault


def _strongest(faults: Iterable[ImportFault]) -> Iterator[ImportFault]:
    """Yield each fault once, with the highest certainty it was found with."""
    best: dict[tuple[str | None, int, str], ImportFault] = {}
    for each in faults:
        key = (each.importer, each.line, each.missing)
        if key not in best or each.certainty == "certain":
            best[key] = each
    yield from best.values()
