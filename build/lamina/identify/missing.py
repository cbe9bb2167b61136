"""Resolve imports in an image as Python does, and find the local module that one lacks.

A finding needs evidence that a module belongs to the repository: its file is beside the importer, in a
package that the image contains in part, or in a local project. Its certainty depends on whether anything
else may provide the module.
"""

from __future__ import annotations

import posixpath
import sys
from dataclasses import replace

from lamina.errors import Certainty
from lamina.identify.importable import Importable
from lamina.identify.layout import Layout
from lamina.identify.modules import Import, Module
from lamina.identify.reach import Disk
from lamina.identify.wheel import Dropped
from lamina.values import dataclass


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
class Found:
    """The result of one import: modules of the image, and a fault if something is missing."""

    places: tuple[str, ...] = ()
    fault: ImportFault | None = None


class Resolver:
    """Resolves imports in one image, each once."""

    def __init__(self, layout: Layout, names: Importable, disk: Disk) -> None:
        self._layout = layout
        self._names = names
        self._disk = disk
        self._found: dict[tuple[str, Import], Found] = {}

    @property
    def has_faults(self) -> bool:
        """Whether any import resolved so far is missing."""
        return any(found.fault for found in self._found.values())

    def look(self, place: str, found: Import) -> Found:
        """Return the modules that an import of a module executes, and what it lacks."""
        key = (place, found)
        if key not in self._found:
            self._found[key] = self._resolve(place, found)
        return self._found[key]

    def module(self, place: str) -> Module | None:
        """Return a parsed module of the image; None if it cannot be parsed."""
        origin = self._layout.files.get(place)
        return self._disk.module(origin) if origin and place.endswith(".py") else None

    def qualified(self, fault: ImportFault) -> ImportFault:
        """Lower a fault's certainty if the image's layout has a gap."""
        gaps = self._layout.gaps
        return weaker(fault, gaps[0].by) if gaps else fault

    # Resolve names

    def _resolve(self, place: str, found: Import) -> Found:
        parts = found.module.split(".") if found.module else []
        if found.level:
            folder = place
            for _ in range(found.level):
                folder = posixpath.dirname(folder)
            return self._step(place, found, (folder,), parts)
        if parts[0] in sys.stdlib_module_names:
            return Found()
        if self._names.enter(self._names.roots, parts[0]) is None:
            return Found(fault=self._unresolved(place, found, parts))
        return self._step(place, found, self._names.roots, parts)

    def _step(self, place: str, found: Import, folders: tuple[str, ...], parts: list[str]) -> Found:
        """Resolve a dotted name from folders of the image, then the imported names that are modules."""
        places: list[str] = []
        for part in parts:
            entered = self._names.enter(folders, part)
            if entered is None:
                return Found(places=tuple(places), fault=self._lost(place, found, folders, part))
            file, folders = entered
            places += [file] if file else []
        if not folders:
            return Found(places=tuple(places))
        init = places[-1] if places and places[-1].endswith("/__init__.py") else f"{folders[0]}/__init__.py"
        package = self.module(init)
        for name in found.names:
            entered = self._names.enter(folders, name)
            if entered is not None:
                places += [entered[0]] if entered[0] else []
            elif name != "*" and not (package is not None and package.defines(name)):
                return Found(places=tuple(places), fault=self._lost(place, found, folders, name))
        return Found(places=tuple(places))

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
                return weaker(fault, "a package index serves it") if fault and served else fault
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
            fault = weaker(fault, f"{other} is found instead")
        return None if self._names.mentioned(missing) else self.qualified(fault)


def weaker(fault: ImportFault, unless: str) -> ImportFault:
    """Lower a fault's certainty to likely."""
    return replace(fault, certainty="likely", unless=unless) if fault.certainty == "certain" else fault
