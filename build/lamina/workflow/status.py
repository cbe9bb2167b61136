"""Status: whether what the worktree has is what functions run, at each version and alias."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lamina.aws.functions import LATEST, Alias, Functions, Live
from lamina.decide.deployment import Row, judge
from lamina.declare.functions import Function
from lamina.execute.place import RegistryPlace
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import Image
from lamina.workflow.deploying import ask_all, desks_of, images_with_functions, running
from lamina.workflow.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A declared function as it is: version -> what runs there, and its aliases. Empty: there is none."""

    image: Image
    function: Function
    live: Mapping[str, Live]
    aliases: Mapping[str, Alias]


def read_status(workspace: Workspace) -> tuple[Row, ...]:
    """A row for each version and alias of each declared function, by the registry and by Lambda.

    Raises SelectionError where no function is declared, AwsError where Lambda does not tell.
    """
    images = images_with_functions(workspace)
    desks = desks_of(workspace, images.values())
    wanted = [(image, each) for image in images.values() for each in image.node.spec.functions]
    seen = ask_all(lambda pair: _look(desks[pair[1].region], *pair), wanted)
    place = RegistryPlace(workspace.registry)
    pushed = place.look(image.ref for image in images.values())
    found = {name: pushed[image.ref].digest for name, image in images.items() if image.ref in pushed}
    return tuple(row for each in seen for row in _rows(each, found.get(each.image.name), _tags(place, each)))


def _look(desk: Functions, image: Image, function: Function) -> _Seen:
    name = str(function)
    latest = desk.read(name)
    if latest is None:
        return _Seen(image=image, function=function, live={}, aliases={})
    versions = {version: desk.read(name, version) for version in desk.versions(name)}
    live = {LATEST: latest, **{version: each for version, each in versions.items() if each is not None}}
    return _Seen(image=image, function=function, live=live, aliases=desk.aliases(name))


def _tags(place: RegistryPlace, seen: _Seen) -> Mapping[str, str]:
    """Digest of what runs -> its content tag, where the registry still has it and it says so."""
    digests = {each.digest for each in seen.live.values() if each.digest}
    prints = {each: place.fingerprint(seen.image.repository.with_digest(each)) for each in digests}
    return {digest: content_tag(each) for digest, each in prints.items() if each}


def _rows(seen: _Seen, pushed: str | None, tags: Mapping[str, str]) -> Iterator[Row]:
    """Where there are aliases, calls come by them and to the versions that they share calls with.

    Otherwise they come to what is latest.
    """
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
        yield Row(
            image=seen.image.name,
            function=str(seen.function),
            place=place,
            tag=seen.image.tag,
            pushed=pushed,
            digest=digest,
            verdict=judge(
                pushed, running(live) if live else None, seen.function.command, tags.get(digest or "")
            ),
            counts=counts,
        )


def _alias(alias: Alias) -> str:
    shares = ", ".join(f"{share:.0%} {version}" for version, share in alias.routes.items())
    return f"{alias.name} = {alias.version}" + (f" ({shares})" if shares else "")


def check_status(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Those that calls come to and that do not run what the worktree has."""
    return tuple(each for each in rows if each.counts and not each.live)
