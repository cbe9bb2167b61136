"""Promote: what one stack runs becomes another one's, by digest. Nothing is built, nothing is pulled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.decide.acceptance import objections
from lamina.decide.plan import FoundImage
from lamina.deploy.check import require_registry
from lamina.deploy.deploy import Deployment, DeployOptions, plan_functions
from lamina.deploy.reached import Reached, by_image, declared_functions, read_reached
from lamina.deploy.rules import DesiredFunction
from lamina.errors import AwsError, BuildError, ConfigError, Problem, RegistryError
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.fingerprint import content_tag
from lamina.refs import Reference
from lamina.registries.copy import copy_image
from lamina.smoke.smoke import event_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotedImage:
    """An image that another stack gets.

    Attributes:
        source: as the first stack has it, by digest.
        target: its content tag in the other stack's repository.
    """

    name: str
    source: Reference
    target: Reference
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Images to copy, and the deployment of the other stack's functions."""

    images: tuple[PromotedImage, ...]
    deployment: Deployment


def plan_promotion(source: Session, target: Session, options: DeployOptions) -> Promotion:
    """Read what the functions of one stack run, and decide what the other stack needs. Changes nothing.

    Raises:
        ConfigError: the stacks are one.
        AwsError: functions of an image run several images, or one of the other stack cannot be updated.
        RegistryError: no registry is configured, or the image is not in the first stack's repository.
        BuildError: Lambda would not run an image for the other stack.
    """
    if source.project.stack.name == target.project.stack.name:
        raise ConfigError.of(
            f"{source.project.stack.name} is both stacks",
            where="promote",
            hint="invoke promote dev prod",
        )
    for session in (source, target):
        require_registry(session, hint='registry = "ecr" in [tool.lamina]')
    named = declared_functions(target)
    rows = {name: some for name, some in by_image(read_reached(source)).items() if name in named}
    AwsError.check(_several(rows, source.project.stack.name))
    running = {name: some[0] for name, some in rows.items()}
    found = _stored(source, running)
    images = tuple(_promoted(target, name, each) for name, each in found.items())
    store = RegistryStore(source.registry)
    BuildError.check(
        Problem(what="\n  ".join((f"{each.target} would not run:", *reasons)), where=each.name)
        for each in images
        if (
            reasons := tuple(
                objections(
                    store.candidate(found[each.name]),
                    each.target,
                    target.project.images[each.name].platform,
                    named[each.name],
                )
            )
        )
    )
    specs = target.project.images
    wanted = tuple(
        DesiredFunction(
            function=function,
            image=each.name,
            uri=f"{each.target.name}@{each.digest}",
            digest=each.digest,
            platform=specs[each.name].platform,
            tag=str(each.target.tag),
            snap_start=specs[each.name].snap_start,
        )
        for each in images
        for function in named[each.name]
    )
    events = _events(target, wanted) if options.smoke else {}
    return Promotion(images=images, deployment=plan_functions(target, wanted, events, options))


def _several(rows: Mapping[str, Sequence[Reached]], stack: str) -> Iterator[Problem]:
    """Yield a problem for each image of which functions run several versions."""
    for name, some in rows.items():
        digests = dict.fromkeys(each.live.digest for each in some)
        if len(digests) != 1 or None in digests:
            runs = ", ".join(
                f"{each.function}:{each.place} {(each.live.digest or 'no image')[:19]}" for each in some
            )
            yield Problem(
                what=f"the functions of {name} in {stack} do not run one image: {runs}",
                where=name,
                hint=f"invoke deploy --stack {stack} --image {name}, then promote again",
            )


def _stored(source: Session, running: Mapping[str, Reached]) -> Mapping[str, FoundImage]:
    """Return the images as the first stack's repository has them."""
    refs = {
        name: Reference.parse(source.prefix + source.project.repository(name)).with_digest(
            str(each.live.digest)
        )
        for name, each in running.items()
    }
    existing = RegistryStore(source.registry).find(refs.values())
    RegistryError.check(
        Problem(
            what=f"{ref} is not in the registry, but {running[name].function} runs it"
            if ref not in existing
            else f"{ref} has no fingerprint: Lamina did not build it",
            where=source.registry.address,
            hint=f"invoke deploy --stack {source.project.stack.name} --image {name} first",
        )
        for name, ref in refs.items()
        if ref not in existing or existing[ref].fingerprint is None
    )
    return {name: existing[ref] for name, ref in refs.items()}


def _promoted(target: Session, name: str, found: FoundImage) -> PromotedImage:
    repository = Reference.parse(target.prefix + target.project.repository(name))
    return PromotedImage(
        name=name,
        source=found.ref,
        target=repository.with_tag(content_tag(str(found.fingerprint))),
        digest=found.digest,
    )


def _events(target: Session, wanted: Sequence[DesiredFunction]) -> Mapping[str, bytes]:
    images = take_snapshot(target, dict.fromkeys(each.image for each in wanted)).images
    return {str(each.function): event_of(images, each.image, each.function.command) for each in wanted}


def copy_images(source: Session, target: Session, images: Sequence[PromotedImage]) -> None:
    """Give the other stack's repositories the images. Those that have them are left alone.

    Raises RegistryError.
    """
    store = RegistryStore(target.registry)
    existing = store.find(each.target for each in images)
    lacking = [
        each for each in images if each.target not in existing or existing[each.target].digest != each.digest
    ]
    _require_repositories(target, lacking)
    for each in lacking:
        if each.source.pull_host == each.target.pull_host:
            target.registry.retag(each.source, each.target)
            target.screen.say(f"{each.name}: tagged {each.target}")
        else:
            sent = copy_image(source.registry, each.source, target.registry, each.target)
            target.screen.say(f"{each.name}: copied to {each.target}, {sent / 1e6:.1f} MB")


def _require_repositories(target: Session, images: Sequence[PromotedImage]) -> None:
    names = [target.project.repository(each.name) for each in images]
    missing = target.registry.missing_repositories(names)
    RegistryError.check(
        Problem(
            what=f"there is no repository {name}",
            where=target.registry.address,
            hint=f"invoke ecr.setup --stack {target.project.stack.name}",
        )
        for name in missing
    )
