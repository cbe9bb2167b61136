"""Promote: what one stack runs becomes another one's, by digest. Nothing is built, nothing is pulled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.decide.acceptance import objections
from lamina.decide.plan import FoundImage
from lamina.deploy.check import require_registry
from lamina.deploy.deploy import Deployment, DeployOptions, plan_functions
from lamina.deploy.reached import Reached, by_image, declared_functions, read_reached
from lamina.deploy.rules import DesiredFunction
from lamina.errors import AwsError, BuildError, ConfigError, Problem, RegistryError, SelectionError
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
        target: its content tag in the other stack's repository; by digest if another image has that tag.
        tag: its content tag.
        present: whether the other stack's repository has all of it under ``target``.
    """

    name: str
    source: Reference
    target: Reference
    digest: str
    tag: str
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Images to copy, and the deployment of the other stack's functions."""

    images: tuple[PromotedImage, ...]
    deployment: Deployment


def plan_promotion(source: Session, target: Session, options: DeployOptions) -> Promotion:
    """Read what the functions of one stack run, and decide what the other stack needs. Changes nothing.

    Raises:
        ConfigError: the stacks are one.
        SelectionError: no image has functions in both stacks.
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
    reached = by_image(read_reached(source))
    notes = left_out({source.project.stack.name: reached, target.project.stack.name: named})
    rows = {name: some for name, some in reached.items() if name in named}
    AwsError.check(_several(rows, source.project.stack.name))
    running = {name: some[0] for name, some in rows.items()}
    found = _stored(source, running)
    repositories = {name: Reference.parse(target.prefix + target.project.repository(name)) for name in found}
    store = RegistryStore(target.registry)
    images = placed(found, repositories, store.find, store.examine)
    target.screen.notes((*notes, *_without_tag(images)))
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
                    regions=target.project.ecr.regions,
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
            tag=each.tag,
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


def left_out(images: Mapping[str, Collection[str]]) -> tuple[Problem, ...]:
    """Return a note for each image of which only one of two stacks has functions.

    Args:
        images: stack -> images that have functions in it.

    Raises:
        SelectionError: no image has functions in both stacks.
    """
    first, other = images
    if set(images[first]).isdisjoint(images[other]):
        raise SelectionError.of(
            f"no image has functions in both {first} and {other}",
            allowed="; ".join(f"{stack}: {', '.join(some)}" for stack, some in images.items()),
            hint=f"declare them for {other}: [tool.lamina.stacks.{other}.images.<image>] functions",
        )
    return tuple(
        Problem(what=f"{name} is left out: it has no function in {lacking}", where=name)
        for having, lacking in ((first, other), (other, first))
        for name in images[having]
        if name not in images[lacking]
    )


def placed(
    found: Mapping[str, FoundImage],
    repositories: Mapping[str, Reference],
    find: Callable[[Iterable[Reference]], Mapping[Reference, FoundImage]],
    examine: Callable[[Mapping[str, FoundImage]], Mapping[str, FoundImage]],
) -> tuple[PromotedImage, ...]:
    """Return where images go in the other stack's repositories. A tag that names another image is not moved.

    An image whose configuration or layers its repository has lost is not present: it is sent again.

    Args:
        found: as the first stack has them, by name.
        repositories: of the other stack, by name.
        find: looks images up in the other stack's registry.
        examine: finds out what that registry has lost of images.
    """
    tags = {name: content_tag(str(each.fingerprint)) for name, each in found.items()}
    targets = {name: repository.with_tag(tags[name]) for name, repository in repositories.items()}
    existing = dict(find(targets.values()))
    taken = [
        name
        for name, ref in targets.items()
        if ref in existing and existing[ref].digest != found[name].digest
    ]
    by_digest = {name: repositories[name].with_digest(found[name].digest) for name in taken}
    existing.update(find(by_digest.values()) if by_digest else {})
    targets.update(by_digest)
    whole = examine({name: existing[ref] for name, ref in targets.items() if ref in existing})
    return tuple(
        PromotedImage(
            name=name,
            source=each.ref,
            target=targets[name],
            digest=each.digest,
            tag=tags[name],
            present=name in whole and not whole[name].lost,
        )
        for name, each in found.items()
    )


def _without_tag(images: Iterable[PromotedImage]) -> Iterator[Problem]:
    for each in images:
        if each.target.tag is None:
            yield Problem(
                what=f"{each.target.with_tag(each.tag)} names another build of the same content: "
                f"{each.digest[:19]} goes there without a tag, by its digest",
                where=each.name,
            )


def _events(target: Session, wanted: Sequence[DesiredFunction]) -> Mapping[str, bytes]:
    images = take_snapshot(target, dict.fromkeys(each.image for each in wanted)).images
    return {str(each.function): event_of(images, each.image, each.function.command) for each in wanted}


def copy_images(source: Session, target: Session, images: Sequence[PromotedImage]) -> None:
    """Give the other stack's repositories the images. Those that have them are left alone.

    Raises RegistryError.
    """
    lacking = [each for each in images if not each.present]
    _require_repositories(target, lacking)
    for each in lacking:
        if each.source.pull_host == each.target.pull_host:
            target.registry.retag(each.source, each.target)
            target.screen.say(f"{each.name}: {'tagged' if each.target.tag else 'pushed'} {each.target}")
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
