"""Published versions: find those that are no longer used, and delete them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from lamina.aws.clients import CONNECTIONS, Access, Clients
from lamina.aws.lambda_ import Functions
from lamina.aws.lambda_usage import Usage
from lamina.aws.live import Alias
from lamina.aws.version_users import delete_version, read_version_users
from lamina.deploy.record import read_note
from lamina.ecr.version_rules import (
    HeldVersion,
    Pruned,
    VersionVerdict,
    judge_versions,
    keep_named,
    versions_of,
)
from lamina.errors import AwsError, Interrupted, LaminaError, Problem
from lamina.parallel import gather

_BATCH = 10  # functions that are read again, and pruned, before the next
_UNREAD = "no version is deleted: unless all that may name one can be read, any of them may be in use"
_STOPPED = "stopped; the versions reported as deleted are gone, the others are not confirmed"
Place = tuple[str, str]
"""An account and a region."""
Named = Mapping[tuple[str, str], str]
"""Function and version -> what names it."""


class Places:
    """The accounts and regions whose versions are judged. Clients are made once for each."""

    def __init__(self, usages: Iterable[Usage], open_clients: Callable[[Access], Clients]) -> None:
        self._clients = {(each.account, each.region): open_clients(each.access) for each in usages}

    def named(self, place: Place, versions: Iterable[tuple[str, str]]) -> Named:
        """Return the versions that something names, and what. Raises AwsError if that is not all known."""
        wanted = tuple(versions)
        clients = self._clients.get(place)
        if clients is None:
            raise AwsError.of(f"account {place[0]}, {place[1]} is not asked any more", where="gc --versions")
        try:
            found = dict(read_version_users(clients, wanted, account=place[0]))
            functions = Functions(clients)
            names = tuple(dict.fromkeys(function for function, _ in wanted))
            for each in gather(lambda name: tuple(_by_aliases(functions, name)), names, threads=CONNECTIONS):
                found |= each
        except AwsError as error:
            raise AwsError(*error.problems, Problem(what=_UNREAD)) from error
        return {key: why for key, why in found.items() if key in wanted}

    def delete(self, held: HeldVersion) -> str | None:
        """Delete a version. Return why it stays; None when it is gone."""
        return delete_version(self._clients[held.place], *held.key)


def plan_versions(
    usages: Sequence[Usage],
    repositories: Iterable[str],
    places: Places,
    *,
    keep: int,
    days: int,
    now: datetime,
) -> tuple[VersionVerdict, ...]:
    """Decide about all published versions that run images of these repositories. Changes nothing.

    Raises AwsError unless all that may name a version can be read.
    """
    names = frozenset(repositories)
    held = [version for usage in usages for version in versions_of(usage, names)]
    verdicts = judge_versions(held, keep=keep, days=days, now=now)
    users = {
        (*place, *key): why
        for place, those in _by_place(each.held for each in verdicts if each.action == "delete").items()
        for key, why in places.named(place, (each.key for each in those)).items()
    }
    return keep_named(verdicts, users)


def prune(verdicts: Iterable[VersionVerdict], places: Places) -> Pruned:
    """Delete the versions of a decision, except those that something names meanwhile.

    Before the versions of ten functions are deleted, all that may name them is read again. Return the
    confirmed deletions, also after an error or Ctrl-C.
    """
    deleted: list[HeldVersion] = []
    left: dict[HeldVersion, str] = {}
    stopped: LaminaError | None = None
    try:
        for batch in _batches(each.held for each in verdicts if each.action == "delete"):
            named = places.named(batch[0].place, (each.key for each in batch))
            for each in batch:
                why = named.get(each.key) or places.delete(each)
                if why is None:
                    deleted.append(each)
                else:
                    left[each] = f"kept: {why}"
    except AwsError as error:
        stopped = error
    except KeyboardInterrupt:
        stopped = Interrupted.of(_STOPPED)
    return Pruned(deleted=tuple(deleted), left=left, error=stopped)


def _by_aliases(functions: Functions, name: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the versions of a function that its aliases name, or would return to."""
    for alias in functions.aliases(name).values():
        for before in _before(functions, name, alias):
            yield (name, before), f"deploy --rollback --alias {alias.name} returns to it"
        for version, share in alias.routes.items():
            yield (name, version), f"the alias {alias.name} sends {share:.0%} of its calls to it"
        yield (name, alias.version), f"the alias {alias.name} names it"


def _before(functions: Functions, name: str, alias: Alias) -> Iterator[str]:
    """Yield the versions before that of an alias: by its own note, else by that of its version.

    A rollback writes no version before into the alias, and an alias that somebody else described has no note.
    """
    note = read_note(alias.description)
    if note and note.before:
        yield note.before
        if note.version == alias.version:
            return
    live = functions.read(name, alias.version)
    note = read_note(live.description) if live else None
    if note and note.before and note.alias in {None, alias.name}:
        yield note.before


def _by_place(held: Iterable[HeldVersion]) -> Mapping[Place, list[HeldVersion]]:
    found: dict[Place, list[HeldVersion]] = defaultdict(list)
    for each in held:
        found[each.place].append(each)
    return found


def _batches(held: Iterable[HeldVersion]) -> Iterator[list[HeldVersion]]:
    """Yield the versions of some functions of one account and region, the oldest of each first."""
    for those in _by_place(held).values():
        functions: dict[str, list[HeldVersion]] = defaultdict(list)
        for each in sorted(those, key=lambda each: -each.rank):
            functions[each.function].append(each)
        names = list(functions)
        for start in range(0, len(names), _BATCH):
            yield [each for name in names[start : start + _BATCH] for each in functions[name]]
