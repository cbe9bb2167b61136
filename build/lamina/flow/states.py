"""Find the build inputs of an image in any state: worktree, last build, git revision, tag or digest."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamina.errors import ConfigError, EngineError, RegistryError, SelectionError
from lamina.execute.annotations import MOST_INPUTS, REVISION
from lamina.execute.revision import check_out
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.carried import carried_inputs
from lamina.identify.fingerprint import FINGERPRINT_KEY, TAG_PREFIX, BuildInputs, content_tag
from lamina.identify.ignore import Ignore
from lamina.refs import Reference
from lamina.registries.base import Manifest, Registry
from lamina.report.record import KEPT_INPUTS, read_inputs, read_last_inputs

WORKTREE, LAST = "worktree", "last"
_TAG = re.compile(r"sha-[0-9a-f]{12}|git-[0-9a-f]+|stable")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FLAGS = "--from, --to"
_OURS = "an image that was pushed by Lamina"
_STATES = "worktree, last, a git revision, a tag or digest, or host/repository with a tag or digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An image in a state. ignores: context -> its ignore rules, if the files were read just now."""

    inputs: BuildInputs
    ignores: Mapping[str, Ignore] = field(default_factory=dict)


State = Callable[[str, str | None], Known | None]
"""Image name, and for a base its fingerprint in that state -> its build inputs; None if unknown."""


def find_state(session: Session, ref: str, image: str) -> State:
    """Return the state that a name refers to, for an image and its bases.

    Raises ConfigError for an unknown state; calling the result may raise ConfigError or RegistryError.
    """
    if ref == WORKTREE:
        return _of_files(session, image)
    if ref == LAST:
        return _of_last_build(session, image)
    if reference := _full_reference(ref):
        return _of_reference(session, reference, image)
    return _of_tag(session, ref) if is_stored(ref) else _of_revision(session, ref, image)


def is_stored(ref: str) -> bool:
    """Whether a state is named by a tag, a digest or a reference, and not by a git revision."""
    return bool(_TAG.fullmatch(ref) or _DIGEST.fullmatch(ref) or _full_reference(ref))


def _of_files(session: Session, image: str) -> State:
    images = {
        name: Known(inputs=each.inputs, ignores=each.ignores)
        for name, each in take_snapshot(session, (image,)).images.items()
    }
    return lambda name, _: images.get(name)


def _of_last_build(session: Session, image: str) -> State:
    """Return the state of the last build on this machine. A base may have been built again since."""
    names = session.graph.with_ancestors((image,))
    last = read_last_inputs(session.project.state, take_snapshot(session, names).images.values())

    def known(name: str, fingerprint: str | None) -> Known | None:
        inputs = last.get(name)
        if fingerprint is not None and (inputs is None or inputs.fingerprint != fingerprint):
            inputs = read_inputs(session.project.state, name, content_tag(fingerprint))
        return Known(inputs=inputs) if inputs else None

    return known


def _of_revision(session: Session, ref: str, image: str) -> State:
    """Return the state of a commit, read from a temporary checkout."""
    with tempfile.TemporaryDirectory(prefix="lamina-why-") as folder:
        root = check_out(session.runner, session.project.root, ref, Path(folder))
        if root is None:
            raise ConfigError.of(f"{ref!r} is not a state of {image}", where=_FLAGS, allowed=_STATES)
        checkout = session.at(root)
        try:
            if image not in checkout.graph.nodes:
                raise SelectionError.of(
                    f"{ref} has no image {image!r}",
                    where=_FLAGS,
                    allowed=", ".join(checkout.graph.nodes) or "it has none at all",
                )
            return _of_files(checkout, image)
        finally:
            checkout.close()


def _full_reference(ref: str) -> Reference | None:
    """Parse ``host/repository:tag`` or ``…@sha256:…``; None for a git revision such as ``origin/main``."""
    try:
        reference = Reference.parse(ref)
    except ValueError:
        return None
    return reference if reference.host and (reference.tag or reference.digest) else None


def _of_reference(session: Session, reference: Reference, image: str) -> State:
    """Return the state of any image in any registry. Its bases are looked up in repositories named alike."""
    registry = session.registries.of(reference)
    head, _, tail = reference.repository.rpartition(image)
    named = reference.repository.count(image)

    def known(name: str, fingerprint: str | None) -> Known | None:
        if fingerprint is None:
            return Known(inputs=_pushed(session, registry, reference, image))
        beside = Reference(host=reference.host, repository=f"{head}{name}{tail}")
        return _parent(session, registry if named else None, beside, name, fingerprint)

    return known


def _of_tag(session: Session, ref: str) -> State:
    """Return the state of a tag or digest in the project's repositories, or of a content tag built here."""
    registry = session.registry if session.remote else None
    here = session.without_start()

    def known(name: str, fingerprint: str | None) -> Known | None:
        repository = Reference.parse(session.prefix + session.project.repository(name))
        if fingerprint is not None:
            return _parent(session, registry, repository, name, fingerprint)
        reference = repository.with_digest(ref) if _DIGEST.fullmatch(ref) else repository.with_tag(ref)
        inputs = read_inputs(session.project.state, name, ref) if ref.startswith(TAG_PREFIX) else None
        if inputs is None and registry is not None:
            inputs = _pushed(session, registry, reference, name)
        return Known(inputs=inputs or _built_here(here, reference, name))

    return known


def _parent(
    session: Session, registry: Registry | None, repository: Reference, name: str, fingerprint: str
) -> Known | None:
    """Find a base by its fingerprint or, in static mode, by the digest of ``stable``."""
    if not _DIGEST.fullmatch(fingerprint):
        return None
    tag = content_tag(fingerprint)
    inputs = read_inputs(session.project.state, name, tag)
    if inputs is None and registry is not None:
        manifest = registry.manifest(repository.with_tag(tag))
        manifest = manifest or registry.manifest(repository.with_digest(fingerprint))
        inputs = _carried(manifest) if manifest else None
    return Known(inputs=inputs) if inputs else None


def _built_here(session: Session, reference: Reference, image: str) -> BuildInputs:
    """Return the inputs of an image in the engine, which has its fingerprint but not its annotations.

    Raises ConfigError if its build inputs are not kept.
    """
    try:
        fingerprint = session.engine_store.fingerprint(reference)
    except EngineError:
        fingerprint = None
    inputs = read_inputs(session.project.state, image, content_tag(fingerprint)) if fingerprint else None
    if inputs is None:
        raise ConfigError.of(
            f"{reference} was not built here, or not lately",
            where=_FLAGS,
            allowed=f"images built in this checkout: the inputs of the last {KEPT_INPUTS} of each are kept",
            hint="name its registry (--registry), or a git revision",
        )
    return inputs


def _pushed(session: Session, registry: Registry, reference: Reference, image: str) -> BuildInputs:
    """Return the build inputs that a pushed image carries. Raises RegistryError if there are none."""
    manifest = registry.manifest(reference)
    if manifest is None:
        raise RegistryError.of(f"{reference} is not in the registry", allowed=_OURS)
    inputs = _carried(manifest)
    fingerprint = manifest.annotations.get(FINGERPRINT_KEY)
    if inputs is None and fingerprint:
        inputs = read_inputs(session.project.state, image, content_tag(fingerprint))
    if inputs is not None:
        return inputs
    if manifest.is_index:
        listed = ", ".join(f"{name}: {each.digest}" for name, each in manifest.platforms.items())
        raise RegistryError.of(
            f"{reference} is an index, which carries no build inputs",
            allowed=listed or None,
            hint=f"name one of them: {reference.name}@<digest>",
        )
    if fingerprint is None:
        raise RegistryError.of(f"{reference} carries no build inputs: Lamina did not build it", allowed=_OURS)
    commit = manifest.annotations.get(REVISION, "<commit>")
    raise RegistryError.of(
        f"{reference} carries no build inputs that can be read: they are damaged, of another version of "
        f"Lamina, or above {MOST_INPUTS // 1024} KiB and only in .lamina/bills where the image was built",
        hint=f"run why on that machine, or compare the commit it was built from: {commit}",
    )


def _carried(manifest: Manifest) -> BuildInputs | None:
    """Return the build inputs in the annotations; None if missing or if the fingerprint differs."""
    inputs = carried_inputs(manifest.annotations)
    return inputs if inputs and inputs.fingerprint == manifest.annotations.get(FINGERPRINT_KEY) else None
