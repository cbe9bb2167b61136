"""Read the state of functions: whether each version and alias runs the worktree's image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamina.aws.lambda_ import Functions
from lamina.aws.live import LATEST, Alias, Live
from lamina.decide.plan import FoundImage
from lamina.declare.functions import Function
from lamina.deploy.asking import ask_all
from lamina.deploy.cloudformation import with_names
from lamina.deploy.deploy import images_with_functions, running
from lamina.deploy.half_shift import half_shift
from lamina.deploy.rules import StatusRow, judge
from lamina.deploy.stack import clients_of
from lamina.errors import Problem
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.identify.fingerprint import content_tag
from lamina.identify.image import Image
from lamina.refs import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A declared function as Lambda has it: its versions and its aliases. Both are empty if it is missing."""

    image: Image
    function: Function
    live: Mapping[str, Live] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    def ref(self, digest: str) -> Reference:
        """Return the reference of a deployed image in this image's repository."""
        return self.image.repository.with_digest(digest)


def read_status(session: Session, *, every: bool = False) -> tuple[StatusRow, ...]:
    """Return rows for each declared function: each alias, the versions it leads to, and ``$LATEST``.

    Args:
        every: also return the versions no alias leads to.

    Raises:
        SelectionError: no function is declared.
        RegistryError: no registry is configured.
        AwsError: the credentials are of another account than the stack, or Lambda does not answer or refuses.
    """
    images = with_names(session, images_with_functions(session))
    declared = [(image, each) for image in images.values() for each in image.node.spec.functions]
    clients = clients_of(session, (function for _, function in declared))
    declared_states = ask_all(lambda pair: _read(clients[pair[1].region], *pair, every=every), declared)
    seen = _with_versions(clients, declared_states)
    session.screen.notes(_half_shifts(seen, session.project.settings.stack))
    digests = {each.ref(live.digest) for each in seen for live in each.live.values() if live.digest}
    found = RegistryStore(session.registry).find({*(image.ref for image in images.values()), *digests})
    return tuple(row for each in seen for row in _rows(each, found))


def _read(
    client: Functions, image: Image, function: Function, *, every: bool
) -> tuple[_Seen, tuple[str, ...]]:
    """Read a function, its aliases and ``$LATEST``. Return it with the other versions to read."""
    name = str(function)
    latest = client.read(name)
    if latest is None:
        return _Seen(image=image, function=function), ()
    aliases = {alias: client.with_allocation(name, each) for alias, each in client.aliases(name).items()}
    named = dict.fromkeys(version for each in aliases.values() for version in (each.version, *each.routes))
    versions = client.versions(name) if every else tuple(each for each in named if each != LATEST)
    return _Seen(image=image, function=function, live={LATEST: latest}, aliases=aliases), versions


def _with_versions(
    clients: Mapping[str | None, Functions], declared_states: Sequence[tuple[_Seen, tuple[str, ...]]]
) -> list[_Seen]:
    """Return the functions with their other versions, which are read together for all functions."""
    asked = [(seen, version) for seen, versions in declared_states for version in versions]
    answers = iter(
        ask_all(lambda pair: clients[pair[0].function.region].read(str(pair[0].function), pair[1]), asked)
    )
    made = []
    for seen, versions in declared_states:
        further = {version: live for version in versions if (live := next(answers)) is not None}
        made.append(replace(seen, live={**seen.live, **further}))
    return made


def _half_shifts(seen: Iterable[_Seen], stack: str) -> Iterator[Problem]:
    """Yield a note for each alias that a canary left with shares."""
    for each in seen:
        for alias in each.aliases.values():
            half = half_shift(each.live.get, str(each.function), alias)
            if half and half.run:
                yield half.note(stack)


def _rows(seen: _Seen, found: Mapping[Reference, FoundImage]) -> Iterator[StatusRow]:
    """Yield the rows of a function.

    If it has aliases, calls go to them and to the versions they share calls with; otherwise to ``$LATEST``.
    """
    image = seen.image
    stored = found.get(image.ref)
    pushed = stored.digest if stored and stored.is_image(image) else None
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
    """Return ``live = 7``, with the shares of other versions, and whether provisioned concurrency is why."""
    shares = ", ".join(f"{share:.0%} {version}" for version, share in alias.routes.items())
    ends = ""
    if alias.allocation and alias.allocation.under_way:
        ends = " until provisioned concurrency is ready"
    elif alias.allocation and alias.allocation.status == "FAILED":
        ends = f"; provisioned concurrency failed: {alias.allocation.reason}"
    return f"{alias.name} = {alias.version}" + (f" ({shares}{ends})" if shares else "")


def check_status(rows: Iterable[StatusRow]) -> tuple[StatusRow, ...]:
    """Return the rows that get calls but do not run the worktree's image."""
    return tuple(each for each in rows if each.counts and not each.live)
