"""Status: whether what the worktree has is what functions run, at each version and alias."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamina.aws.lambda_ import Functions
from lamina.aws.live import LATEST, Alias, Live
from lamina.decide.plan import FoundImage
from lamina.declare.functions import Function
from lamina.deploy.deploy import ask_all, desks_of, images_with_functions, running
from lamina.deploy.rules import StatusRow, judge
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import Image
from lamina.refs import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A declared function as it is: version -> what runs there, and its aliases. Empty: there is none."""

    image: Image
    function: Function
    live: Mapping[str, Live] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    def ref(self, digest: str) -> Reference:
        """An image that runs somewhere here, where the registry would have it."""
        return self.image.repository.with_digest(digest)


def read_status(session: Session, *, every: bool = False) -> tuple[StatusRow, ...]:
    """A row for each alias, each version that one leads to, and ``$LATEST``, of each declared function.

    every: for all versions. Raises SelectionError where no function is declared, AwsError where Lambda does
    not tell.
    """
    images = images_with_functions(session)
    desks = desks_of(session, images.values())
    declared = [(image, each) for image in images.values() for each in image.node.spec.functions]
    looks = ask_all(lambda pair: _look(desks[pair[1].region], *pair, every=every), declared)
    seen = _with_versions(desks, looks)
    digests = {each.ref(live.digest) for each in seen for live in each.live.values() if live.digest}
    found = RegistryStore(session.registry).look({*(image.ref for image in images.values()), *digests})
    return tuple(row for each in seen for row in _rows(each, found))


def _look(desk: Functions, image: Image, function: Function, *, every: bool) -> tuple[_Seen, tuple[str, ...]]:
    """A function with its aliases and what is latest, and its further versions that are to be looked at."""
    name = str(function)
    latest = desk.read(name)
    if latest is None:
        return _Seen(image=image, function=function), ()
    aliases = {alias: desk.with_allocation(name, each) for alias, each in desk.aliases(name).items()}
    named = dict.fromkeys(version for each in aliases.values() for version in (each.version, *each.routes))
    versions = desk.versions(name) if every else tuple(each for each in named if each != LATEST)
    return _Seen(image=image, function=function, live={LATEST: latest}, aliases=aliases), versions


def _with_versions(
    desks: Mapping[str | None, Functions], looks: Sequence[tuple[_Seen, tuple[str, ...]]]
) -> list[_Seen]:
    """The functions with what runs at their further versions, those of all asked for together."""
    asked = [(seen, version) for seen, versions in looks for version in versions]
    answers = iter(
        ask_all(lambda pair: desks[pair[0].function.region].read(str(pair[0].function), pair[1]), asked)
    )
    made = []
    for seen, versions in looks:
        further = {version: live for version in versions if (live := next(answers)) is not None}
        made.append(replace(seen, live={**seen.live, **further}))
    return made


def _rows(seen: _Seen, found: Mapping[Reference, FoundImage]) -> Iterator[StatusRow]:
    """Where there are aliases, calls come by them and to the versions that they share calls with.

    Otherwise they come to what is latest.
    """
    image = seen.image
    there = found.get(image.ref)
    pushed = there.digest if there and there.is_image(image) else None
    shared = {version for each in seen.aliases.values() for version in each.routes}
    places: Iterable[tuple[str, str, bool]] = (
        *((_alias(each), each.version, True) for each in seen.aliases.values()),
        *(
            (version, version, version in shared or (version == LATEST and not seen.aliases))
            for version in seen.live or (LATEST,)
        ),
    )
    for place, version, counts in places:
        live = seen.live.get(version)
        digest = live.digest if live else None
        known = found.get(seen.ref(digest)) if digest else None
        tag = content_tag(known.fingerprint) if known and known.fingerprint else None
        yield StatusRow(
            image=image.name,
            function=str(seen.function),
            place=place,
            tag=image.tag,
            pushed=pushed,
            digest=digest,
            verdict=judge(pushed, running(live) if live else None, seen.function.command, tag),
            counts=counts,
        )


def _alias(alias: Alias) -> str:
    """``live = 7``, with the shares of other versions and whether Lambda itself leaves them calls for now."""
    shares = ", ".join(f"{share:.0%} {version}" for version, share in alias.routes.items())
    ends = ""
    if alias.allocation and alias.allocation.under_way:
        ends = " until provisioned concurrency is ready"
    elif alias.allocation and alias.allocation.status == "FAILED":
        ends = f"; provisioned concurrency failed: {alias.allocation.reason}"
    return f"{alias.name} = {alias.version}" + (f" ({shares}{ends})" if shares else "")


def check_status(rows: Iterable[StatusRow]) -> tuple[StatusRow, ...]:
    """Those that calls come to and that do not run what the worktree has."""
    return tuple(each for each in rows if each.counts and not each.live)
