"""Compare images of the worktree with earlier ones: by build inputs and layers in a registry."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.affected.image import AffectedImage, How
from lamina.affected.since import affected_since
from lamina.decide.plan import FoundImage
from lamina.diff.changes import (
    FileChange,
    LayerChange,
    PackageChange,
    file_changes,
    layer_changes,
    package_changes,
    packages_of_inputs,
)
from lamina.errors import ConfigError, LaminaError
from lamina.execute.image_store import RegistryStore, find_images
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.flow.states import find_state, is_stored
from lamina.identify.explain import InputChange
from lamina.identify.fingerprint import BuildInputs, content_tag
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.report.predict import build_seconds
from lamina.report.record import read_manifest
from lamina.size.layers import layer_facts
from lamina.size.packages import size_layers
from lamina.size.size import read_layers, reference_of, stored_sizes

_FLAG = "--from"
_NO_REGISTRY = "no registry is asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPair:
    """Two images in a registry. Sizes in bytes, as it stores them.

    Attributes:
        files: None if the layers were not read; packages then come from the build inputs.
    """

    before: FoundImage
    after: FoundImage
    layers: tuple[LayerChange, ...]
    packages: tuple[PackageChange, ...] | None = None
    files: tuple[FileChange, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDiff:
    """What changed in an image.

    Attributes:
        how: added, removed or changed.
        functions: those that run it.
        changes: of its build inputs.
        found: the worktree's image in the registry; None if it is not there, or none is configured.
        stored: both images, if the registry has both.
        unknown: why the layers are not known, if they are not.
        predicted: median seconds of its last builds; None if unknown.
        spent: seconds of the build of this content; None if unknown.
    """

    name: str
    how: How
    reasons: tuple[str, ...]
    functions: tuple[str, ...] = ()
    changes: tuple[InputChange, ...] = ()
    found: FoundImage | None = None
    stored: StoredPair | None = None
    unknown: str = ""
    predicted: float | None = None
    spent: float | None = None

    @property
    def packages(self) -> tuple[PackageChange, ...]:
        """The packages that changed: of the layers if they were read, else of the requirements."""
        read = self.stored.packages if self.stored else None
        return packages_of_inputs(self.changes) if read is None else read


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """The images that differ, bases first. revision: what they are compared with."""

    revision: str
    images: tuple[ImageDiff, ...]
    of: int


def diff_images(session: Session, from_: str, *, layers: bool) -> Diff:
    """Compare the selected images with a commit; or with an image that is named by tag, digest or reference.

    Args:
        from_: see `affected_since` and `find_state`.
        layers: whether to read the layers that differ.

    Raises:
        ConfigError: there is no such commit or image, or the worktree has faults.
        RegistryError: the registry does not answer.
    """
    if is_stored(from_):
        return _with_stored(session, from_, layers=layers)
    found = affected_since(session, from_)
    snapshot = take_snapshot(session.offline())
    compare = _Comparison(session, layers=layers)
    return Diff(
        revision=found.revision,
        images=tuple(
            compare.image(snapshot.images.get(each.name), each, found.before.get(each.name))
            for each in found.changed
        ),
        of=found.images,
    )


def _with_stored(session: Session, named: str, *, layers: bool) -> Diff:
    if not session.flags.images:
        raise ConfigError.of(
            f"{named} is an image, and which one to compare with it is not given",
            where=_FLAG,
            allowed="an image and --from; or a git revision, which all images are compared with",
        )
    snapshot = take_snapshot(session.offline())
    compare, made = _Comparison(session, layers=layers), []
    for name in snapshot.selected:
        image = snapshot.images[name]
        inputs = _inputs(session, named, name)
        changed = AffectedImage.of(image, "changed", (), {})
        made.append(compare.image(image, changed, inputs, reference_of(image, named)))
    return Diff(revision=named, images=tuple(made), of=len(made))


def _inputs(session: Session, named: str, name: str) -> BuildInputs | None:
    """Return the build inputs that an image carries, or that are kept here; None without any."""
    try:
        known = find_state(session, named, name)(name, None)
    except LaminaError:  # whether the image is there is seen by its layers
        return None
    return known.inputs if known else None


class _Comparison:
    """Compares images, with what is known of builds on this machine. layers: whether to read them."""

    def __init__(self, session: Session, *, layers: bool) -> None:
        self._session = session
        self._layers = layers
        self._predicted = build_seconds(session.project.state)
        self._spent = {
            (each["image"], each.get("tag")): each["seconds"]
            for each in read_manifest(session.project.state)
            if each.get("seconds")
        }

    def image(
        self,
        image: Image | None,
        affected: AffectedImage,
        before: BuildInputs | None,
        earlier: Reference | None = None,
    ) -> ImageDiff:
        """Return what changed in an image.

        Args:
            image: of the worktree; None if it was removed.
            before: its earlier build inputs, None if unknown.
            earlier: the earlier image, if it is not the one of these inputs.
        """
        found = stored = None
        named, unknown = earlier, _NO_REGISTRY
        if image is not None and self._session.remote and not self._session.flags.offline:
            if earlier is None and before is not None:
                earlier = image.repository.with_tag(content_tag(before.fingerprint))
            found, stored = self._stored(image, earlier)
            if named and found and not stored:
                raise ConfigError.of(f"{named} is not in its registry", where=_FLAG)
            where = RegistryStore(self._session.registry).name
            unknown = f"{'the earlier image' if found else image.tag} is not in {where}"
        return ImageDiff(
            name=affected.name,
            how=affected.how,
            reasons=affected.reasons,
            functions=affected.functions,
            changes=image.changes_since(before) if image and before else (),
            found=found,
            stored=stored,
            unknown="" if stored else unknown,
            predicted=self._predicted.get(affected.name),
            spent=self._spent.get((affected.name, image.tag)) if image else None,
        )

    def _stored(self, image: Image, earlier: Reference | None) -> tuple[FoundImage | None, StoredPair | None]:
        """Return the image in the registry, and with the earlier one if both are there."""
        store = RegistryStore(self._session.registry)
        found = find_images(store, [image]).get(image.name)
        if found is None or earlier is None:
            return found, None
        elsewhere = RegistryStore(self._session.registries.of(earlier))
        old = elsewhere.find([earlier]).get(earlier)
        return found, self._pair((elsewhere, old), (store, found)) if old else None

    def _pair(
        self, before: tuple[RegistryStore, FoundImage], after: tuple[RegistryStore, FoundImage]
    ) -> StoredPair:
        (old_store, old), (new_store, new) = before, after
        facts = [_diff_ids(store, found) for store, found in (before, after)]
        same = facts[0] & facts[1]
        known = dict.fromkeys(same if self._layers else facts[0] | facts[1])
        were = size_layers(read_layers(old_store, old, own=(), known=known))
        now = size_layers(read_layers(new_store, new, own=(), known=known))
        sizes = stored_sizes(old_store, old, len(were)), stored_sizes(new_store, new, len(now))
        return StoredPair(
            before=old,
            after=new,
            layers=layer_changes(were, now, *sizes) if all(sizes) else (),
            packages=package_changes(were, now) if self._layers else None,
            files=file_changes(were, now) if self._layers else None,
        )


def _diff_ids(store: RegistryStore, found: FoundImage) -> frozenset[str]:
    with store.open(found) as content:
        return frozenset(digest for digest, _ in layer_facts(content.config))
