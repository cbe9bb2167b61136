"""Find what functions return to: what they ran before the last deployment, or a version, image or run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lamina.aws.lambda_ import Functions
from lamina.aws.live import Alias, Live
from lamina.declare.config import ImageSpec
from lamina.declare.functions import Function
from lamina.deploy.asking import ask_all
from lamina.deploy.half_shift import HalfShift
from lamina.deploy.record import ROLLBACK, DeployRecord, Note, Ran, read_note
from lamina.errors import AwsError, ConfigError, SelectionError

Kind = Literal["last", "version", "digest", "tag", "run"]
_FORMS: Mapping[Kind, re.Pattern[str]] = {
    "version": re.compile(r"[1-9]\d*"),
    "digest": re.compile(r"sha256:[0-9a-f]{64}"),
    "tag": re.compile(r"sha-[0-9a-f]{12}"),
    "run": re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}"),
}
_RECORDS = "invoke status --all lists the versions; then deploy --rollback --to <version, digest or run>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """A declared function as it is.

    Attributes:
        live: its ``$LATEST``.
        alias, behind: the alias, and the version it names; None if no alias is meant.
        half: how the alias shares its calls, if it does.
    """

    spec: ImageSpec
    function: Function
    client: Functions
    live: Live
    alias: Alias | None = None
    behind: Live | None = None
    half: HalfShift | None = None

    @property
    def name(self) -> str:
        """The function as declared."""
        return str(self.function)

    @property
    def running(self) -> Live:
        """What calls reach."""
        return self.behind or self.live


def kind_of(to: str | None) -> Kind:
    """Return what ``--to`` names. Raises ConfigError."""
    if to is None:
        return "last"
    for kind, form in _FORMS.items():
        if form.fullmatch(to):
            return kind
    raise ConfigError.of(
        f"{to!r} is not a version, an image or a run",
        where="--to",
        allowed="7, sha256:<64 digits>, sha-<12 digits>, or a run such as 20260102T030405-1a2b3c",
    )


def find_targets(found: Sequence[Now], records: Sequence[DeployRecord], to: str | None) -> dict[str, Ran]:
    """Return what functions return to, by name. Those that never ran it are left out.

    Args:
        found: the functions.
        records: of their stack and alias, the newest first.
        to: a version, an image or a run; None: what they ran before the last deployment.

    Raises:
        ConfigError: ``to`` names nothing that could be returned to.
        SelectionError: nothing is known to return to.
        AwsError: a version was deleted.
    """
    kind = kind_of(to)
    return _existing(found, _named(found, records, kind, to) if to else _before_the_last(found, records))


def _existing(found: Sequence[Now], targets: Mapping[str, Ran]) -> dict[str, Ran]:
    """Return the targets as their versions are. Raises AwsError if one was deleted."""
    meant = [each for each in found if each.name in targets]

    def read(each: Now) -> Ran:
        target = targets[each.name]
        return _version(each, target.version) if each.alias and target.version else target

    return {each.name: target for each, target in zip(meant, ask_all(read, meant), strict=True)}


def _before_the_last(found: Sequence[Now], records: Sequence[DeployRecord]) -> dict[str, Ran]:
    """Return what the functions of the last deployment ran before it.

    With an alias, its description and its versions say it too, so that any machine can roll back.
    """
    last = {each.name: done for each in found if (done := _last(each, records))}
    newest = max((run for run, _ in last.values()), default=None)
    if newest is None:
        raise SelectionError.of(
            "no deployment is known that put there what the functions run: nothing to roll back",
            where=".lamina/deploys",
            hint=_RECORDS,
        )
    return {name: before for name, (run, before) in last.items() if run == newest}


def _last(now: Now, records: Sequence[DeployRecord]) -> tuple[str, Ran] | None:
    """Return the deployment that put there what a function runs, and what the function ran before it.

    Rollbacks do not count: what they put back is to be followed further back. A canary that did not end
    leaves the alias at the version before it.
    """
    if now.alias and now.half and now.half.run:
        return now.half.run, Ran(uri="", version=now.alias.version)
    known = [
        (record.run, record.before[now.name])
        for record in records
        if record.command != ROLLBACK and _is_after(record, now)
    ][:1]
    if now.alias is None:
        return next(iter(known), None)
    note = read_note(now.alias.description)
    if note and note.before and note.version == now.alias.version:
        known.append((note.run, Ran(uri="", version=note.before)))
    note = read_note(now.running.description)
    if not known and note and note.before and _is_of(note, now):
        known.append((note.run, Ran(uri="", version=note.before)))
    return max(known, key=lambda each: each[0], default=None)


def _is_of(note: Note, now: Now) -> bool:
    """Whether a version was published for the alias; earlier editions did not say for which."""
    return now.alias is None or note.alias in {None, now.alias.name}


def _is_after(record: DeployRecord, now: Now) -> bool:
    after = record.after.get(now.name)
    if after is None or now.alias is None:
        return after is not None and after.digest == now.running.digest
    return after.version == now.alias.version


def _named(found: Sequence[Now], records: Sequence[DeployRecord], kind: Kind, to: str) -> dict[str, Ran]:
    """Return what the functions return to. Those that never ran it are left alone."""
    if kind == "version":
        if len(found) != 1:
            raise ConfigError.of(
                f"version {to} is one of a single function, and {len(found)} are selected",
                where="--to",
                hint="select it (--image), or name a digest or a run",
            )
        return {found[0].name: _version(found[0], to)}
    known = _after_run(found, records, to) if kind == "run" else _of_image(found, records, to)
    if not known and kind == "digest" and len({each.spec.name for each in found}) == 1:
        known = {each.name: _in_repository(each, to) for each in found}  # an image that none ran
    if not known:
        raise SelectionError.of(f"no function ran {to}", where="--to", hint=_RECORDS)
    return known


def _after_run(found: Sequence[Now], records: Sequence[DeployRecord], run: str) -> dict[str, Ran]:
    """Return what functions ran after a deployment; nothing if it is not known.

    Of records and descriptions of versions, the later one counts.
    """
    noted = ask_all(lambda each: _noted(each, run), found)
    if not any(record.run == run for record in records) and not any(
        each and each[0] == run for each in noted
    ):
        return {}
    targets = {}
    for now, published in zip(found, noted, strict=True):
        known = [
            (record.run, record.after[now.name])
            for record in records
            if record.run <= run and now.name in record.after
        ][:1]
        known += [published] if published else []
        if known:
            targets[now.name] = max(known, key=lambda each: each[0])[1]
    return targets


def _noted(now: Now, run: str) -> tuple[str, Ran] | None:
    """Return the last version that a deployment, or an earlier one, gave a function, and that deployment."""
    note = read_note(now.alias.description) if now.alias else None
    if now.alias and note and note.run <= run and note.version == now.alias.version:
        return note.run, Ran(uri="", version=note.version)

    def is_of(live: Live) -> bool:
        note = read_note(live.description)
        return note is not None and note.run <= run and _is_of(note, now)

    live = _newest(now, is_of)
    note = read_note(live.description) if live else None
    return (note.run, _ran(live)) if live and note else None


def _of_image(found: Sequence[Now], records: Sequence[DeployRecord], to: str) -> dict[str, Ran]:
    """Return what functions ran with an image: of their versions, and of records without a version."""
    searched = ask_all(lambda each: _newest(each, lambda live: _is_image(live, to)), found)
    targets = {}
    for now, live in zip(found, searched, strict=True):
        recorded = [
            ran
            for record in records
            for some in (record.after, record.before)
            if (ran := some.get(now.name)) and ran.digest == to and not (now.alias and ran.version)
        ]
        of_versions = [_ran(live)] if live else []
        if ran := next(iter(of_versions + recorded if now.alias else recorded + of_versions), None):
            targets[now.name] = ran
    return targets


def _is_image(live: Live, to: str) -> bool:
    note = read_note(live.description)
    return live.digest == to or (note is not None and note.tag == to)


def _newest(now: Now, fits: Callable[[Live], bool]) -> Live | None:
    for version in reversed(now.client.versions(now.name)):
        live = now.client.read(now.name, version)
        if live is not None and live.uri and fits(live):
            return live
    return None


def _in_repository(now: Now, digest: str) -> Ran:
    uri = now.running.uri or ""
    return Ran(uri=f"{uri.partition('@')[0]}@{digest}", command=now.running.command)


def _version(now: Now, version: str) -> Ran:
    live = now.client.read(now.name, version)
    if live is None or not live.uri:
        raise AwsError.of(
            f"{now.name} has no version {version} any more",
            where=now.spec.name,
            hint="invoke status --all lists its versions",
        )
    return _ran(live)


def _ran(live: Live) -> Ran:
    return Ran(uri=str(live.uri), command=live.command, version=live.version)
