"""What a project is now: which images are selected, what they are pinned to, what they are built from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

from lamina.decide import preflight
from lamina.decide.exposure import copied
from lamina.decide.plan import FoundImage, StoreKind, StoreLookup
from lamina.errors import ConfigError, Problem, RegistryError
from lamina.execute.externals import Externals
from lamina.flow.lock import read_pins
from lamina.flow.session import Session
from lamina.identify.image import STABLE, Image, identify
from lamina.masks import read_secret
from lamina.refs import Reference
from lamina.report.record import read_manifest
from lamina.values import dataclass

if TYPE_CHECKING:
    from lamina.execute.image_store import ImageStore

Pins = Callable[[Session, Iterable[str]], Externals]
"""Returns the external images below the named images, as pinned."""
Stable = Callable[[Session, Iterable[str]], Mapping[str, FoundImage] | None]
"""Returns base -> its image under ``stable``, for the bases of the named images; None outside static mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A project at one moment.

    selected: the names a command is about, bases first. images: those and their bases, by name.
    outside: the external images that they are based on. stable: in static mode, base -> its image under
    ``stable``; None otherwise. lookup: which images exist; see `look_up`.
    """

    selected: tuple[str, ...]
    images: Mapping[str, Image]
    externals: Externals
    stable: Mapping[str, FoundImage] | None = None
    lookup: StoreLookup = field(default_factory=lambda: StoreLookup(store="", unknown="not looked up"))

    @property
    def chosen(self) -> Mapping[str, Image]:
        """The selected images, without bases that are not selected."""
        return {name: self.images[name] for name in self.selected}


def select(session: Session, kind: str | None = None) -> tuple[str, ...]:
    """Return the names of the selected images, bases first. In static mode only Lambda images count."""
    names = session.graph.select(session.flags.images, kind="lambda" if session.static else kind)
    if session.flags.shard:
        from lamina.flow.shard import only_shard

        return only_shard(names, session.graph.nodes, session.flags.shard)
    return names


def take_snapshot(
    session: Session,
    names: Iterable[str] | None = None,
    *,
    pins: Pins = read_pins,
    stable: Stable | None = None,
) -> Snapshot:
    """Pin and identify images; nothing is looked up except ``stable`` in static mode.

    Args:
        names: by default, the images that the flags select.
        pins: `read_pins`, or `pin_for_build`, which may write the first lock.
        stable: by default `find_stable`.

    Raises:
        ConfigError: with all faults found.
        RegistryError: a base has no ``stable``, or it has lost blobs.
    """
    selected = select(session) if names is None else tuple(names)
    externals = pins(session, selected)
    found = (stable or find_stable)(session, selected)
    images, unread = identify(
        session.project,
        session.graph,
        selected,
        prefix=session.prefix,
        bases=externals.identities,
        stable=None if found is None else {base: each.digest for base, each in found.items()},
        files=session.stat_cache.files,
        derived=session.checkout.derived,
    )
    session.stat_cache.save()
    session.checkout.derived.save()
    held = [secret for secret in session.project.secrets if read_secret(secret.file)]
    ConfigError.check((*unread, *preflight.faults(images), *copied(images.values(), held)))
    return Snapshot(selected=selected, images=images, externals=externals, stable=found)


def find_stable(session: Session, names: Iterable[str]) -> Mapping[str, FoundImage] | None:
    """Return the image under ``stable`` for each base of Lambda images; None if not in static mode.

    Offline the result is empty. Raises RegistryError for a base without ``stable``, or with lost blobs.
    """
    if not session.static:
        return None
    nodes = session.graph.nodes
    bases = {base for name in names if nodes[name].kind == "lambda" for base in nodes[name].parents}
    if session.flags.offline or not bases:
        return {}
    store = session.image_store
    refs = {base: stable_ref(session, base) for base in sorted(bases)}
    existing = store.find(refs.values())
    RegistryError.check(
        Problem(
            what=f"{ref} is not in {store.name}, and static mode builds on it",
            where=session.project.settings.source("static"),
            hint="without static mode: invoke build-base, then invoke stable",
        )
        for ref in refs.values()
        if ref not in existing
    )
    found = store.examine({base: existing[ref] for base, ref in refs.items()})
    RegistryError.check(
        Problem(
            what=f"{each.ref} has lost {each.lacks}, and static mode builds on it",
            where=store.name,
            hint="without static mode: invoke build-base --refresh, then invoke stable",
        )
        for each in found.values()
        if each.lost
    )
    return found


def without_stable(session: Session, names: Iterable[str]) -> None:
    """Return None: images are identified with their bases as the files are now, in static mode too."""
    del session, names


def stable_ref(session: Session, base: str) -> Reference:
    """Return a base image's reference with its moving tag ``stable``."""
    return Reference.parse(session.prefix + session.project.repository(base)).with_tag(STABLE)


def store_kind(session: Session) -> StoreKind:
    """Return where built images go."""
    return "registry" if session.flags.push else "engine"


def look_up(session: Session, snapshot: Snapshot, destination: ImageStore | None = None) -> Snapshot:
    """Return the snapshot with which of its images exist.

    Raises RegistryError or EngineError if the store does not answer.

    Args:
        destination: the store that images go to; only an image in it can be retagged.
    """
    if session.flags.offline:
        return replace(snapshot, lookup=StoreLookup(store="", unknown="--offline"))
    store, images = session.image_store, snapshot.images
    existing = store.find([image.ref for image in images.values()])
    found = {name: existing[image.ref] for name, image in images.items() if image.ref in existing}
    missing = {
        name: image for name, image in images.items() if name not in found or not found[name].is_image(image)
    }
    known = _recorded(session, images)
    lookup = StoreLookup(
        store=store.name,
        found={**found, **(snapshot.stable or {})},
        elsewhere=_elsewhere(known, missing, destination or store),
        recorded=[name for name, each in known.items() if _was_there(each, images[name], store.name)],
    )
    return replace(snapshot, lookup=lookup)


def _recorded(session: Session, images: Mapping[str, Image]) -> Mapping[str, Mapping[str, object]]:
    """Return the manifest's entries of earlier runs for images that are the same now."""
    return {
        each["image"]: each
        for each in read_manifest(session.project.state)
        if each.get("ref")
        and each["image"] in images
        and each["fingerprint"] == images[each["image"]].fingerprint
    }


def _was_there(entry: Mapping[str, object], image: Image, store: str) -> bool:
    """Whether an image was in a store by its entry: pushed, unless the engine is asked too."""
    is_same = str(entry["ref"]).partition("@")[0] == str(image.ref)
    return is_same and (entry.get("pushed") is True or store.rpartition(" or ")[2] == "the engine")


def _elsewhere(
    known: Mapping[str, Mapping[str, object]], images: Mapping[str, Image], store: ImageStore
) -> Mapping[str, FoundImage]:
    """Find the same content under another name, as after promoting a stack.

    The names come from the entries of earlier runs; only images that still exist are returned.
    """
    refs = {name: Reference.parse(str(known[name]["ref"])) for name in images if name in known}
    asked = {name: ref for name, ref in refs.items() if ref.host == images[name].repository.host}
    existing = store.find(asked.values()) if asked else {}
    found = {name: existing[ref] for name, ref in asked.items() if ref in existing}
    return {name: each for name, each in found.items() if each.is_image(images[name])}
