"""Images for functions in other regions than the registry's: Lambda runs only images of its own region.

https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamina.aws.ecr_replication import COMPLETE, IN_PROGRESS
from lamina.aws.errors import aws_errors
from lamina.aws.lambda_ import Functions
from lamina.deploy.asking import ask_all
from lamina.deploy.rules import DesiredFunction, FunctionUpdate
from lamina.errors import Problem, RegistryError
from lamina.flow.session import Session
from lamina.json_data import JsonDocument
from lamina.refs import EcrHost, Reference
from lamina.registries.copy import copy_image

_THREADS = 4
_PAUSE = 2.0  # seconds between two looks at a replica
_PATIENCE = 300.0  # seconds until a replica that does not arrive is copied

RegionOf = Callable[[DesiredFunction], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionalImage:
    """An image that a registry of another region needs. source: by digest; tag: its content tag."""

    image: str
    region: str
    source: Reference
    target: Reference
    tag: str

    @property
    def document(self) -> JsonDocument:
        """The image for JSON, as `promote` has its own."""
        digest = str(self.target.digest)
        return {"name": self.image, "from": str(self.source), "to": str(self.target), "digest": digest}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Functions with the images of their regions.

    Attributes:
        copies: the images that other regions may lack.
        sessions: region -> the session of its registry.
        problems: what prevents the deployment.
    """

    wanted: tuple[DesiredFunction, ...]
    copies: tuple[RegionalImage, ...] = ()
    sessions: Mapping[str, Session] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()

    def session_of(self, wanted: DesiredFunction, home: Session) -> Session:
        """Return the session of the registry from which a function gets its image."""
        host = EcrHost.of(Reference.parse(wanted.uri))
        return self.sessions.get(host.region, home) if host else home

    def copies_for(self, moves: Iterable[FunctionUpdate]) -> tuple[RegionalImage, ...]:
        """Return the images that updates of functions need."""
        used = {each.wanted.uri for each in moves if each.image}
        return tuple(each for each in self.copies if str(each.target) in used)


def place(
    session: Session, wanted: Sequence[DesiredFunction], clients: Mapping[str | None, Functions]
) -> Placement:
    """Give functions in other regions the images of those regions, if `regions` has them. Changes nothing.

    clients: by region; see `clients_of`.
    """

    def region_of(each: DesiredFunction) -> str | None:
        known = each.function.region or session.project.stack.region
        if known:
            return known
        with aws_errors(each.name, service="lambda"):
            return clients[None].clients("lambda").meta.region_name

    abroad = {each.name: region for each in wanted if (region := other_region(each, region_of))}
    if not abroad:
        return Placement(wanted=tuple(wanted))
    regions = session.project.ecr.regions if session.on_ecr else ()
    problems = tuple(_unreachable(wanted, abroad, regions, on_ecr=session.on_ecr))
    if problems:
        return Placement(wanted=tuple(wanted), problems=problems)
    sessions = {region: session.in_region(region) for region in dict.fromkeys(abroad.values())}
    hosts = {region: each.registry.address.partition("/")[0] for region, each in sessions.items()}
    placed, copies = [], {}
    for each in wanted:
        region = abroad.get(each.name)
        if region:
            source = Reference.parse(each.uri)
            target = replace(source, host=hosts[region])
            copies[str(target)] = RegionalImage(
                image=each.image, region=region, source=source, target=target, tag=each.tag
            )
            each = replace(each, uri=str(target))
        placed.append(each)
    lacking = tuple(_lacking(sessions, copies.values()))
    return Placement(wanted=tuple(placed), copies=tuple(copies.values()), sessions=sessions, problems=lacking)


def other_region(wanted: DesiredFunction, region_of: RegionOf) -> str | None:
    """Return the region of a function if it is not that of its image; None if it is, or not in ECR."""
    host = EcrHost.of(Reference.parse(wanted.uri))
    region = region_of(wanted) if host else None
    return region if host and region != host.region else None


def _unreachable(
    wanted: Iterable[DesiredFunction], abroad: Mapping[str, str], regions: Sequence[str], *, on_ecr: bool
) -> Iterator[Problem]:
    """Yield the functions whose region does not get images."""
    for each in wanted:
        region, host = abroad.get(each.name), EcrHost.of(Reference.parse(each.uri))
        if region and host and region not in regions:
            named = json.dumps([*regions, region])
            yield Problem(
                what=f"{each.name} is in {region}, and its image in {host.region}: Lambda runs only "
                "images of its own region",
                where=each.image,
                allowed=f"functions in {', '.join((host.region, *regions))}",
                hint=f"let deploy copy images there: regions = {named} in [tool.lamina.ecr]"
                if on_ecr
                else 'set registry = "ecr", which can copy images to other regions',
            )


def _lacking(sessions: Mapping[str, Session], copies: Iterable[RegionalImage]) -> Iterator[Problem]:
    """Yield the repositories that other regions do not have."""
    by_region: dict[str, list[str]] = {}
    for each in copies:
        by_region.setdefault(each.region, []).append(each.image)
    for region, images in by_region.items():
        there = sessions[region]
        for name in there.registry.missing_repositories(there.project.repository(each) for each in images):
            yield Problem(
                what=f"there is no repository {name} in {region}",
                where=there.registry.address,
                hint=f"invoke ecr.setup --stack {there.project.stack.name}",
            )


def bring(session: Session, placement: Placement, copies: Sequence[RegionalImage], *, dry_run: bool) -> None:
    """Copy images to other regions, several at once; an image that ECR replicates is waited for instead.

    Raises RegistryError with the problems of all of them. No function was touched then.
    """
    if dry_run:
        for each in copies:
            if placement.sessions[each.region].registry.digest(each.target) is None:
                session.screen.say(f"{each.image}: would be copied to {each.target}")
        return
    ask_all(
        lambda each: _bring(session, placement.sessions[each.region], each),
        copies,
        threads=_THREADS,
        raises=RegistryError,
    )


def _bring(session: Session, there: Session, each: RegionalImage) -> None:
    if there.registry.digest(each.target):
        return
    if replicated(
        _replication(session, each),
        lambda: there.registry.digest(each.target) is not None,
        begin=lambda: session.screen.say(f"{each.image}: waiting for its replica in {each.region}"),
    ):
        session.screen.say(f"{each.image}: replicated to {each.target}")
        return
    tagged = each.target.with_tag(each.tag)
    taken = there.registry.digest(tagged) not in {None, each.target.digest}
    sent = copy_image(session.registry, each.source, there.registry, each.target if taken else tagged)
    session.screen.say(f"{each.image}: copied to {each.target}, {sent / 1e6:.1f} MB")


def _replication(session: Session, each: RegionalImage) -> Callable[[], str | None]:
    """Return a function that reads the state of a replica; None if there is none, or AWS does not say."""

    def read() -> str | None:
        there = EcrHost.of(each.target)
        if session.ecr is None or there is None:
            return None
        inventory, digest = session.ecr.inventory, str(each.source.digest)
        try:
            return inventory.replication(each.source.repository, digest, of=there.account).get(each.region)
        except RegistryError:
            return None

    return read


def replicated(
    state: Callable[[], str | None],
    arrived: Callable[[], bool],
    *,
    begin: Callable[[], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait while ECR replicates an image; return whether it has arrived.

    Args:
        state: reads ECR's state of the replica.
        arrived: whether the other region has the image.
        begin: called once, before the first wait.
        sleep, clock: in seconds.
    """
    end, waits = clock() + _PATIENCE, False
    while (found := state()) in {IN_PROGRESS, COMPLETE}:
        if arrived():
            return True
        if found == COMPLETE or clock() >= end:
            return False
        if not waits:
            begin()
        waits = True
        sleep(_PAUSE)
    return False
