"""Measure an image: the one of the worktree against an earlier one, from the store that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamina.decide.layers import steps
from lamina.decide.plan import FoundImage
from lamina.errors import ConfigError, LaminaError, SelectionError
from lamina.execute.image_store import ImageStore, RegistryStore, find_images
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.fingerprint import TAG_PREFIX
from lamina.identify.image import Image
from lamina.parallel import gather
from lamina.refs import Reference
from lamina.report.inits import opened_files
from lamina.report.record import kept_tags
from lamina.size.layers import ImageLayer, LayerFiles, layer_facts, read_layer
from lamina.size.packages import SizedLayer, compare, size_layers
from lamina.size.unneeded import Unneeded, find_unneeded

_THREADS = 4
_FLAG = "--from"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An image and what it consists of.

    Attributes:
        found, earlier: the image, and the one that it is compared with; None without an earlier one.
        stored: digest of each layer -> its bytes in the store; compressed in a registry.
        before: unpacked bytes of the earlier image.
        smoked: whether the last smoke was of this image, so that it is known what its start opens.
    """

    image: Image
    found: FoundImage
    earlier: FoundImage | None
    store: str
    layers: tuple[SizedLayer, ...]
    stored: tuple[int, ...]
    before: int | None
    unneeded: tuple[Unneeded, ...]
    smoked: bool

    @property
    def bytes(self) -> int:
        """Unpacked bytes of the layers that can be read."""
        return sum(each.bytes or 0 for each in self.layers)


def measure(session: Session, name: str, from_: str = "") -> Measured:
    """Measure the image of the current worktree. Nothing is pulled into an engine.

    Args:
        from_: the earlier image, a tag, a digest or a full reference; by default the last one before.

    Raises:
        SelectionError: the image is unknown, or not built from the current worktree.
        ConfigError: there is no such earlier image.
        RegistryError, EngineError, BuildError: it cannot be read.
    """
    session.graph.select((name,))
    snapshot = take_snapshot(session, (name,))
    image = snapshot.images[name]
    store = _holder(session, image.ref)
    session.screen.headline(snapshot.externals.headline)
    found = find_images(store, [image]).get(name)
    if found is None:
        raise SelectionError.of(
            f"not built from the current worktree: {name} ({image.tag})",
            where=store.name,
            hint=f"invoke build-all --image {name}{session.flags.repeated}",
        )
    with session.screen.working() as show:
        show(f"reading the layers of {found.ref}")
        layers = read_layers(store, found, own=_own_steps(session, name), known={})
        where, earlier = (
            _given(session, image, from_) if from_ else (store, _last(session, image, store, found))
        )
        sized = size_layers(layers)
        before = None
        if earlier is not None:
            show(f"reading the layers of {earlier.ref} that differ")
            known = {each.diff_id: each.files for each in layers}
            old = size_layers(read_layers(where, earlier, own=(), known=known))
            sized, before = compare(sized, old), sum(each.bytes or 0 for each in old)
    opened = opened_files(session.project.state, name, image.tag)
    return Measured(
        image=image,
        found=found,
        earlier=earlier,
        store=store.name,
        layers=sized,
        stored=stored_sizes(store, found, len(sized)),
        before=before,
        unneeded=find_unneeded(layers, opened),
        smoked=opened is not None,
    )


def _holder(session: Session, ref: Reference) -> ImageStore:
    """Return the registry if it has an image, else the store that may have it; starts no engine for that."""
    if not session.remote:
        return session.engine_store
    registry = RegistryStore(session.registry)
    return registry if registry.find([ref]) else session.without_start().image_store


def read_layers(
    store: ImageStore, found: FoundImage, *, own: tuple[str, ...], known: Mapping[str, LayerFiles | None]
) -> tuple[ImageLayer, ...]:
    """Read the layers of an image but the known ones. own: the instructions of the project."""
    with store.open(found) as content:
        facts = layer_facts(content.config)
        runtime = len(facts) - own_layers([made_by for _, made_by in facts], own)
        unread = [index for index, (diff_id, _) in enumerate(facts) if diff_id not in known]
        # The archive of an engine is one file, which one thread reads.
        threads = _THREADS if isinstance(store, RegistryStore) else 1
        read = dict(
            zip(
                unread, gather(lambda index: read_layer(content, index), unread, threads=threads), strict=True
            )
        )
        return tuple(
            ImageLayer(
                number=index + 1,
                diff_id=diff_id,
                made_by=made_by,
                is_own=index >= runtime,
                files=read[index] if index in read else known[diff_id],
            )
            for index, (diff_id, made_by) in enumerate(facts)
        )


def _own_steps(session: Session, name: str) -> tuple[str, ...]:
    """Return the instructions of the project that make an image's layers, those of its bases first."""
    node = session.graph.nodes[name]
    written = node.recipe.chain[-1].base
    base = next((parent for parent, names in node.parents.items() if written in names), None)
    below = _own_steps(session, base) if base else ()
    return (*below, *(step.name for step in steps(node, exact_base=False)[1:]))


def own_layers(made_by: Sequence[str], instructions: Sequence[str]) -> int:
    """Return how many of the highest layers a project's instructions made. made_by: lowest first."""
    count = 0
    for name in reversed(instructions):
        if count < len(made_by) and made_by[-1 - count].startswith(name):
            count += 1
        elif name != "WORKDIR":  # WORKDIR of a folder that exists makes no layer
            break
    return count


def stored_sizes(store: ImageStore, found: FoundImage, count: int) -> tuple[int, ...]:
    """Return the bytes of each layer in the store; empty if unknown, which fails nothing."""
    try:
        sizes = tuple(size for _, size in store.layers(found))
    except LaminaError:
        return ()
    return sizes if len(sizes) == count else ()


def _given(session: Session, image: Image, named: str) -> tuple[ImageStore, FoundImage]:
    """Return the image that --from names and where it is; without a host in this image's repository."""
    ref = reference_of(image, named)
    is_own = ref.host == image.repository.host
    store = _holder(session, ref) if is_own else RegistryStore(session.registries.of(ref))
    found = store.find([ref]).get(ref)
    if found is None:
        raise ConfigError.of(
            f"{ref} is not in {store.name}",
            where=_FLAG,
            allowed="a tag, a digest, or host/repository with a tag or digest, of an image there",
        )
    return store, found


def reference_of(image: Image, named: str) -> Reference:
    """Return the image that a tag or digest of this image's repository names, or a whole reference."""
    if named.startswith("sha256:"):
        return image.repository.with_digest(named)
    if "/" not in named and ":" not in named:
        return image.repository.with_tag(named)
    try:
        return Reference.parse(named)
    except ValueError as error:
        raise ConfigError.of(str(error), where=_FLAG) from None


def _last(session: Session, image: Image, store: ImageStore, found: FoundImage) -> FoundImage | None:
    """Return the last image before that is still there: built here, else the newest in the registry."""
    refs = [
        image.repository.with_tag(tag)
        for tag in kept_tags(session.project.state, image.name)
        if tag != image.tag
    ]
    existing = store.find(refs) if refs else {}
    here = next((existing[ref] for ref in refs if ref in existing), None)
    return here or _newest(session, image, store, found)


def _newest(session: Session, image: Image, store: ImageStore, found: FoundImage) -> FoundImage | None:
    """Return the newest other image of the repository; None without a registry or if ages are unknown."""
    if not session.remote:
        return None
    stored = [
        (each.pushed, each.digest)
        for each in session.registries.inventory.stored(session.project.repository(image.name))
        if each.pushed
        and each.digest != found.digest
        and any(tag.startswith(TAG_PREFIX) for tag in each.tags)
    ]
    if not stored:
        return None
    ref = image.repository.with_digest(max(stored)[1])
    return store.find([ref]).get(ref)
