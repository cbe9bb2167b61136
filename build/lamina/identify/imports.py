"""Find local modules that an image's handler imports but the image lacks.

What is certain depends on whether an import is always executed, so modules are parsed: those that lead to an
import that may fail. In most images there is none.
"""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from lamina.identify.importable import Importable, Portions
from lamina.identify.layout import Layout
from lamina.identify.missing import ImportFault, Resolver, weaker
from lamina.identify.modules import Branch, Import, Need, every_import
from lamina.identify.opened import Opened
from lamina.identify.reach import Disk, Link, ModuleNode, Reach
from lamina.reachable import reachable


class ImportWalk:
    """Follows imports through the local code of one image.

    Attributes:
        resolver: Resolves names and parses modules of the image.

    Args:
        reach: The modules of all images, followed without parsing.
        portions: Those of all images.
    """

    def __init__(self, layout: Layout, disk: Disk, reach: Reach, portions: Portions) -> None:
        self._layout = layout
        self._disk = disk
        self._reach = reach
        self._names = Importable(layout, portions)
        self.resolver = Resolver(layout, self._names, disk)
        self._leading: set[str] | None = set()
        """The modules from which a finding may be reached; None: any."""
        self._reached: dict[str, None] = {}
        self._followed: dict[tuple[str, ...], Mapping[ModuleNode, Link] | None] = {}

    def run(self, command: tuple[str, ...], *, overridden: bool) -> tuple[ImportFault, ...]:
        """Check a CMD of the form ``module.function`` or ``folder/module.function``.

        Args:
            overridden: Whether functions may use a different command than the image's.
        """
        if len(command) != 1 or not self._layout.files:
            return ()
        module, _, function = command[0].rpartition(".")
        if not module or module.startswith((".", "/")):  # a program, which Lambda does not import
            return ()
        chain = self._chain(module)
        found = self._no_handler(module) if chain is None else self._behind(chain, function)
        own = "the functions set their own commands"
        named = (replace(each, command=command[0]) for each in found)
        return tuple(weaker(each, own) if overridden else each for each in named)

    def origin(self, command: tuple[str, ...]) -> str | None:
        """Return the origin of the module that a CMD names."""
        module = command[-1].rpartition(".")[0] if command else ""
        chain = self._chain(module) if module else None
        return self._layout.files.get(chain[-1]) if chain else None

    def opened(self) -> Iterator[ImportFault]:
        """Yield files that followed modules open and an installed wheel leaves out."""
        for place in filter(self._leads, self._reached):
            yield from self._opened_by(place)

    def reachable(self, command: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[ModuleNode, Link]]:
        """Return the modules that importing a CMD's handler executes, and all that those may import."""
        module = command[0].rpartition(".")[0] if len(command) == 1 else ""
        chain = (self._chain(module) if module and module[0] not in "./" else None) or ()
        return chain, self._follow(chain) or {}

    def _follow(self, chain: tuple[str, ...]) -> Mapping[ModuleNode, Link] | None:
        """Return what importing some modules may import; see `Reach.follow`. Asked by several checks."""
        if chain not in self._followed:
            self._followed[chain] = self._reach.follow(self._names, chain)
        return self._followed[chain]

    # The handler

    def _chain(self, module: str) -> tuple[str, ...] | None:
        """Return the modules that importing the handler executes; None if one is not in the image."""
        return self._names.down(self._names.roots, module.replace("/", ".").split("."))

    def _behind(self, chain: tuple[str, ...], function: str) -> Iterator[ImportFault]:
        if not chain:
            return
        handler = self.resolver.module(chain[-1])
        if handler is not None and not handler.defines(function):
            near = difflib.get_close_matches(function, handler.functions, n=1, cutoff=0.6)
            yield self.resolver.qualified(
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
            yield self.resolver.qualified(
                ImportFault(importer=None, line=0, missing=module, local=local, nearest=nearest)
            )

    # The walk: find the modules that matter, the targets of all their imports, then the failures that follow

    def _faults(self, chain: tuple[str, ...], called: tuple[Need, ...]) -> Iterator[ImportFault]:
        """Yield everything that fails when the modules are imported in order and the last one is called."""
        if not self._find_leading(chain):
            return
        later = [
            place for need in every_import(called) for place in self.resolver.look(chain[-1], need).places
        ]
        order = self._order([*chain, *later])
        known: dict[str, dict[ImportFault, None]] = {place: {} for place in order}
        changed = self.resolver.has_faults
        while changed:
            changed = False
            for place in reversed(order):
                found = self._fail(place, self._needs(place), known)
                if found.keys() != known[place].keys():
                    known[place], changed = found, True
        every = self._fail(chain[-1], called, known)
        for place in chain:
            every.update(known[place])
        yield from _strongest(every)

    def _find_leading(self, chain: tuple[str, ...]) -> bool:
        """Find the modules from which a finding may be reached. Return whether there are any."""
        followed = self._follow(chain)
        if followed is None:
            self._leading = None
            return True
        suspects = [node for node, link in followed.items() if self._is_suspect(node, link)]
        leading = importers(followed, suspects)
        if self._leading is not None:
            self._leading |= {node.place for node in leading}
        return bool(suspects)

    def _is_suspect(self, node: ModuleNode, link: Link) -> bool:
        """Whether an import that a module may have fails, or it opens a file that a wheel leaves out."""
        if any(
            self.resolver.look(
                node.place, Import(line=0, level=each.level, module=each.module, names=each.names)
            ).fault
            for each in link.doubts
        ):
            return True
        return node.opens and any(self._opened_by(node.place))

    def _leads(self, place: str) -> bool:
        return self._leading is None or place in self._leading

    def _needs(self, place: str) -> tuple[Need, ...]:
        module = self.resolver.module(place) if self._leads(place) else None
        return module.needs if module else ()

    def _order(self, places: list[str]) -> list[str]:
        """Return every module that may be imported, importers before imported modules where possible."""
        order: dict[str, None] = {}
        stack = list(reversed(places))
        while stack:
            place = stack.pop()
            if place in order:
                continue
            order[place] = None
            self._reached[place] = None
            for need in every_import(self._needs(place)):
                stack += reversed(self.resolver.look(place, need).places)
        return list(order)

    def _fail(
        self, place: str, needs: Iterable[Need], known: Mapping[str, Mapping[ImportFault, None]]
    ) -> dict[ImportFault, None]:
        """Return the faults of a module's needs, given the faults known so far of other modules."""
        failing: dict[ImportFault, None] = {}
        for need in needs:
            if isinstance(need, Import):
                found = self.resolver.look(place, need)
                failing.update({found.fault: None} if found.fault else {})
                for each in found.places:
                    failing.update(known.get(each, {}))
            elif isinstance(need, Branch):
                inner = self._fail(place, need.needs, known)
                failing.update({weaker(each, "that code is never called"): None for each in inner})
            else:
                inner = self._fail(place, need.needs, known)
                if inner and need.instead is None:
                    failing.update(inner)
                elif inner and (second := self._fail(place, need.instead or (), known)):
                    certain = any(each.certainty == "certain" for each in second)
                    failing.update(
                        inner
                        if certain
                        else {weaker(each, "its fallback import succeeds"): None for each in inner}
                    )
        return failing

    # Opened files

    def _opened_by(self, place: str) -> Iterator[ImportFault]:
        module = self.resolver.module(place) if self._layout.dropped else None
        for each in module.opened if module else ():
            for folder in self._folders_of(place, each):
                fault = self._not_packed(place, folder, each)
                if fault is not None:
                    yield fault

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


def importers(followed: Mapping[ModuleNode, Link], nodes: Collection[ModuleNode]) -> set[ModuleNode]:
    """Return modules and all from which they may be reached."""
    above: dict[ModuleNode, list[ModuleNode]] = {}
    for node, link in followed.items() if nodes else ():
        for each in link.nodes:
            above.setdefault(each, []).append(node)
    return reachable(nodes, lambda node: above.get(node, ()))


def _strongest(faults: Iterable[ImportFault]) -> Iterator[ImportFault]:
    """Yield each fault once, with the highest certainty it was found with."""
    best: dict[tuple[str | None, int, str], ImportFault] = {}
    for each in faults:
        key = (each.importer, each.line, each.missing)
        if key not in best or each.certainty == "certain":
            best[key] = each
    yield from best.values()
