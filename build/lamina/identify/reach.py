"""Follow imports through the images' files without parsing, to find the few that may fail.

Everything is found that the parser would find, and some more: see `lamina.identify.scan`. Most images have no
doubtful import, and no module of theirs is parsed except the handler. Images share the objects of equal files
(`lamina.identify.importable.Portion`), so a module's imports are resolved once, not once for each image.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import field

from lamina.identify.importable import RUNTIME, Importable, Portion, enter, inside_of
from lamina.identify.modules import Import, Module
from lamina.identify.scan import Mention, Scanned
from lamina.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Access to the repository.

    Attributes:
        module: Origin -> the parsed module.
        scanned: Origin -> what the module may import.
        exists: Whether an origin is a file.
        projects: Import name -> origin of a local project's package, and the project's name.
    """

    module: Callable[[str], Module | None]
    scanned: Callable[[str], Scanned]
    exists: Callable[[str], bool]
    projects: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where imports lead: modules of the image, and those that a local file may be missing for."""

    nodes: tuple[ModuleNode, ...] = ()
    doubts: tuple[Mention, ...] = ()


_NOWHERE = Link()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedModule:
    """A module of the image that may be imported.

    Attributes:
        origin: Its file in the repository.
        imports: The dotted names that it may import absolutely.
        module: None if nothing of it matters.
        certain: Whether starting the function always imports it.
    """

    origin: str
    imports: frozenset[str]
    module: Module | None
    certain: bool

    @property
    def certain_imports(self) -> tuple[Import, ...]:
        """The absolute imports that importing the module always executes."""
        needs = self.module.needs if self.module is not None else ()
        return tuple(each for each in needs if isinstance(each, Import) and not each.level)


class ModuleNode:
    """A module of images.

    Attributes:
        absolute: Top-level name -> its imports.
        links: Top-level name and its portions -> where those imports lead.
        whole: The portions of all its top-level names -> where all its imports lead.
        relative: Its relative imports.
        unparsed: What is known of it without parsing, for all images that have it.
    """

    __slots__ = (
        *("absolute", "links", "notable", "opens", "origin"),
        *("place", "portion", "relative", "unparsed", "whole"),
    )

    def __init__(self, portion: Portion, place: str, scanned: Scanned) -> None:
        self.portion = portion
        self.place = place
        self.origin = portion.files[place]
        self.opens = scanned.opens
        self.notable = scanned.notable
        self.absolute: dict[str, list[Mention]] = {}
        self.links: dict[tuple[str, tuple[Portion, ...]], Link] = {}
        self.whole: dict[tuple[tuple[Portion, ...], ...], Link] = {}
        self.relative = [each for each in scanned.imports if each.level]
        for each in scanned.imports:
            top = each.module.partition(".")[0]
            if not each.level and top not in sys.stdlib_module_names:
                self.absolute.setdefault(top, []).append(each)
        imports = frozenset(each.module for listed in self.absolute.values() for each in listed)
        self.unparsed = ReachedModule(origin=self.origin, imports=imports, module=None, certain=False)


class Reach:
    """The modules of all images and where their imports lead."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._nodes: dict[tuple[Portion, str], ModuleNode] = {}

    def follow(self, names: Importable, places: Iterable[str]) -> Mapping[ModuleNode, Link] | None:
        """Return every module that may be imported from some, and where its imports lead.

        None if that is not certain.
        """
        found: dict[ModuleNode, Link] = {}
        stack = [self._node(_portion(names, place), place) for place in places]
        portions = names.portions
        while stack:
            node = stack.pop()
            if node in found:
                continue
            key = tuple([portions.get(top, ()) for top in node.absolute])
            link = node.whole.get(key) or self._whole(node, key)
            if link is None:
                return None
            found[node] = link
            stack += [each for each in link.nodes if each not in found]
        return found

    def _node(self, portion: Portion, place: str) -> ModuleNode:
        key = (portion, place)
        if key not in self._nodes:
            scanned = self._disk.scanned(portion.files[place]) if place.endswith(".py") else Scanned()
            self._nodes[key] = ModuleNode(portion, place, scanned)
        return self._nodes[key]

    def _whole(self, node: ModuleNode, portions: tuple[tuple[Portion, ...], ...]) -> Link | None:
        """Return where a module's imports lead; None if one leads out of the portion.

        portions: those of its top-level names.
        """
        relative = self._relative(node)
        if relative is None:
            return None
        links = [relative]
        for (top, mentions), each in zip(node.absolute.items(), portions, strict=True):
            link = node.links.get((top, each))
            if link is None:
                link = node.links[top, each] = self._resolve(node, mentions, each)
            links.append(link)
        node.whole[portions] = Link(
            nodes=tuple(dict.fromkeys(each for link in links for each in link.nodes)),
            doubts=tuple(each for link in links for each in link.doubts),
        )
        return node.whole[portions]

    def _relative(self, node: ModuleNode) -> Link | None:
        """Return where a module's relative imports lead; None if out of the portion."""
        key = ("", (node.portion,))
        if key not in node.links and node.relative:
            nodes: dict[ModuleNode, None] = {}
            doubts: list[Mention] = []
            for each in node.relative:
                folder = node.place
                for _ in range(each.level):
                    folder = posixpath.dirname(folder)
                if not folder.startswith(f"{node.portion.folder}/"):
                    return None
                doubtful = self._step((node.portion,), node.portion.inside, (folder,), each, nodes)
                doubts += [each] if doubtful else []
            node.links[key] = Link(nodes=tuple(nodes), doubts=tuple(doubts))
        return node.links.get(key, _NOWHERE)

    def _resolve(self, node: ModuleNode, mentions: list[Mention], portions: tuple[Portion, ...]) -> Link:
        if not portions:
            return Link(doubts=tuple(each for each in mentions if self._may_be_local(node, each)))
        inside = inside_of(portions)
        folders = tuple(each.folder for each in portions)
        nodes: dict[ModuleNode, None] = {}
        doubts: list[Mention] = []
        for each in mentions:
            top = each.module.partition(".")[0]
            if enter(inside, folders, top) is None:
                doubtful = self._may_be_local(node, each)
            else:
                doubtful = self._step(portions, inside, folders, each, nodes)
            doubts += [each] if doubtful else []
        return Link(nodes=tuple(nodes), doubts=tuple(doubts))

    def _step(
        self,
        portions: tuple[Portion, ...],
        inside: Mapping[str, Set[str]],
        folders: tuple[str, ...],
        mention: Mention,
        nodes: dict[ModuleNode, None],
    ) -> bool:
        """Collect the modules that an import executes. Return whether a local file may be missing."""
        for part in mention.module.split(".") if mention.module else ():
            entered = enter(inside, folders, part)
            if entered is None:
                return self._may_be_lost(portions, folders, part)
            place, folders = entered
            if place:
                nodes[self._node(_holding(portions, place), place)] = None
        doubtful = False
        for name in mention.names if folders else ():
            entered = enter(inside, folders, name)
            if entered is None:
                doubtful = doubtful or (name != "*" and self._may_be_lost(portions, folders, name))
            elif entered[0]:
                nodes[self._node(_holding(portions, entered[0]), entered[0])] = None
        return doubtful

    def _may_be_lost(self, portions: tuple[Portion, ...], folders: tuple[str, ...], name: str) -> bool:
        """Whether the repository has a module of that name beside the files of folders."""
        origins = {origin for each in portions for folder in folders for origin in each.origins(folder)}
        return any(self._is_module(f"{origin}/{name}") for origin in origins)

    def _may_be_local(self, node: ModuleNode, mention: Mention) -> bool:
        """Whether the repository has a module that no file of the image provides."""
        top, _, rest = mention.module.partition(".")
        if top in RUNTIME:
            return False
        if top in self._disk.projects:
            return True
        inner = f"{top}/{rest.replace('.', '/')}" if rest else top
        stems = dict.fromkeys((top, inner, *(f"{inner}/{name}" for name in mention.names)))
        return any(self._is_module(f"{base}/{stem}") for base in _bases(node) for stem in stems)

    def _is_module(self, stem: str) -> bool:
        return self._disk.exists(f"{stem}.py") or self._disk.exists(f"{stem}/__init__.py")


def _portion(names: Importable, place: str) -> Portion:
    """Return the first portion with a file of the image."""
    return next(each for portions in names.portions.values() for each in portions if place in each.files)


def _holding(portions: tuple[Portion, ...], place: str) -> Portion:
    return next(each for each in portions if place in each.files)


def _bases(node: ModuleNode) -> Iterator[str]:
    """Yield the repository folders that may correspond to a folder in which Python searches."""
    place, origin = posixpath.dirname(node.place), posixpath.dirname(node.origin)
    yield origin
    while place and posixpath.basename(place) == posixpath.basename(origin):
        place, origin = posixpath.dirname(place), posixpath.dirname(origin)
        yield origin
