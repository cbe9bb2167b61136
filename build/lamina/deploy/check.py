"""Check whether Lambda accepts images in a registry: this project's, or any image by reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lamina.decide.acceptance import Checked, objections
from lamina.decide.plan import FoundImage, why_unusable
from lamina.declare.functions import Function
from lamina.declare.grammar import NAME
from lamina.errors import BuildError, ConfigError, Problem, RegistryError
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.registries.base import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTarget:
    """An image to check.

    Attributes:
        platform: the platform it must have; None: whatever its configuration says.
        runs: whether a function can run it, unlike a base.
        functions: the functions declared for it.
        image: None for a reference of --ref.
    """

    name: str
    ref: Reference
    platform: str | None
    runs: bool
    functions: tuple[Function, ...] = ()
    image: Image | None = field(default=None, compare=False)


def check_images(session: Session, references: tuple[str, ...] = ()) -> tuple[Checked, ...]:
    """Check the worktree's selected images (default: the Lambda images), or the references if any are given.

    A reference that is the name of an image is that image of the worktree.

    Raises:
        BuildError: an image is not in the registry.
        RegistryError: no registry is configured, or it does not answer.
        ConfigError: a reference cannot be parsed.
    """
    wanted = tuple(_targets(session, references) if references else _own(session, session.flags.images))
    stores = {each: RegistryStore(session.registries.of(each.ref)) for each in wanted}
    found = {each: stores[each].find([each.ref]).get(each.ref) for each in wanted}
    BuildError.check(
        Problem(
            what=f"{each.ref} is not in {stores[each].name}",
            hint=f"invoke build-all --push --image {each.name}" if each.image else None,
        )
        for each, image in found.items()
        if image is None
    )
    return tuple(
        _checked(session, each, image, stores[each]) for each, image in found.items() if image is not None
    )


def _targets(session: Session, references: tuple[str, ...]) -> Iterator[CheckTarget]:
    names = [each for each in references if NAME.fullmatch(each) and each in session.graph.nodes]
    if names:
        yield from _own(session, tuple(names))
    yield from _given(session, (each for each in references if each not in names))


def require_registry(session: Session, *, hint: str) -> None:
    """Raise RegistryError, with ``hint`` as the next step, if images live in the engine."""
    if not session.remote:
        raise RegistryError.of(
            "no registry is configured: Lambda cannot pull from a Docker engine",
            where=session.project.settings.place("registry"),
            hint=hint,
        )


def _own(session: Session, chosen: tuple[str, ...]) -> Iterator[CheckTarget]:
    names = session.graph.select(chosen) if chosen else session.graph.select((), kind="lambda")
    require_registry(session, hint="add --registry, or --ref for any image")
    for name, image in take_snapshot(session, names).chosen.items():
        spec, runs = image.node.spec, image.node.kind == "lambda"
        yield CheckTarget(
            name=name, ref=image.ref, platform=spec.platform, runs=runs, functions=spec.functions, image=image
        )


def _given(session: Session, references: Iterable[str]) -> Iterator[CheckTarget]:
    platform = session.project.settings.platform if session.flags.platform else None
    for text in references:
        try:
            ref = Reference.parse(text)
        except ValueError as error:
            raise ConfigError.of(
                str(error), where="--ref", allowed="host/repository:tag or host/repository@sha256:…"
            ) from None
        yield CheckTarget(name=text, ref=ref, platform=platform, runs=True)


def _checked(session: Session, wanted: CheckTarget, found: FoundImage, store: RegistryStore) -> Checked:
    manifest = session.registries.of(wanted.ref).manifest(wanted.ref.with_digest(found.digest))
    if manifest is not None and manifest.is_index:
        return _refused(wanted, found, _is_index(manifest))
    if wanted.image and found.fingerprint != wanted.image.fingerprint and not found.lost:
        return _refused(wanted, found, why_unusable(found, wanted.image, store.name))
    found = store.examine({wanted.name: found})[wanted.name]
    if found.lost:
        hint = f": invoke build-all --push --refresh --image {wanted.name}" if wanted.image else ""
        return _refused(wanted, found, f"{store.name} has lost {found.lacks}{hint}")
    candidate = store.candidate(found)
    platform = wanted.platform or f"{candidate.config.get('os')}/{candidate.config.get('architecture')}"
    refusals = tuple(
        objections(
            candidate,
            wanted.ref,
            platform,
            wanted.functions,
            runs=wanted.runs,
            regions=session.project.ecr.regions,
            home=session.project.stack.region,
        )
    )
    return Checked(name=wanted.name, found=found, candidate=candidate, refusals=refusals)


def _refused(wanted: CheckTarget, found: FoundImage, why: str) -> Checked:
    return Checked(name=wanted.name, found=found, candidate=None, refusals=(why,))


def _is_index(manifest: Manifest) -> str:
    listed = ", ".join(f"{platform} {each.digest}" for platform, each in manifest.platforms.items())
    return f"it is an index, not an image; Lambda accepts one image of it: {listed or 'it lists none'}"
