"""Plan a rollback: which functions return to what they ran before, or to a named version, image or run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lamina.aws.lambda_ import Functions
from lamina.aws.live import Alias, Live
from lamina.declare.config import ImageSpec
from lamina.declare.functions import Function
from lamina.deploy.deploy import Deployment, DeployOptions, ask_all
from lamina.deploy.reached import declared_functions
from lamina.deploy.record import ROLLBACK, DeployRecord, Ran, read_note, read_records
from lamina.deploy.rules import DesiredFunction, FunctionUpdate
from lamina.deploy.stack import clients_of
from lamina.errors import AwsError, ConfigError, Problem, SelectionError
from lamina.flow.session import Session

Kind = Literal["last", "version", "digest", "tag", "run"]
_FORMS: Mapping[Kind, re.Pattern[str]] = {
    "version": re.compile(r"[1-9]\d*"),
    "digest": re.compile(r"sha256:[0-9a-f]{64}"),
    "tag": re.compile(r"sha-[0-9a-f]{12}"),
    "run": re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}"),
}
_RECORDS = "invoke status --all lists the versions; then deploy --rollback --to <version, digest or run>"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """A declared function as it is.

    Attributes:
        live: its ``$LATEST``.
        alias, behind: the alias, and the version it names; None if no alias is meant.
    """

    spec: ImageSpec
    function: Function
    client: Functions
    live: Live
    alias: Alias | None = None
    behind: Live | None = None

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


def plan_rollback(session: Session, options: DeployOptions, to: str | None) -> Deployment:
    """Read what each declared function runs, and decide what it returns to. Changes nothing.

    The worktree's images do not matter, so a rollback is possible whatever state it is in.

    Raises:
        ConfigError: ``to`` names nothing that could be returned to.
        SelectionError: no function is declared, or nothing is known to return to.
        AwsError: a function or a version is missing.
    """
    kind = kind_of(to)
    declared = _declared(session)
    clients = clients_of(session, (function for _, function in declared))
    read = ask_all(lambda each: _read(clients[each[1].region], *each, options.alias), declared)
    AwsError.check(each for each in read if isinstance(each, Problem))
    found = [each for each in read if isinstance(each, _Now)]
    records = list(read_records(session.project.state, session.project.stack.name, options.alias))
    targets = _named(found, records, kind, to) if to else _before_the_last(found, records)
    moves = tuple(_move(each, targets[each.name]) for each in found if each.name in targets)
    return Deployment(
        moves=moves,
        live={each.name: each.live for each in found},
        aliases={each.name: each.alias for each in found if each.alias},
        events={},
        clients=clients,
    )


def _declared(session: Session) -> list[tuple[ImageSpec, Function]]:
    images = session.project.images
    return [(images[name], each) for name, some in declared_functions(session).items() for each in some]


def _read(client: Functions, spec: ImageSpec, function: Function, alias: str | None) -> _Now | Problem:
    name = str(function)
    live = client.read(name)
    if live is None:
        return Problem(what=f"there is no function {name}", where=spec.name)
    if alias is None:
        return _Now(spec=spec, function=function, client=client, live=live)
    found = client.aliases(name).get(alias)
    behind = client.read(name, found.version) if found else None
    if found is None or behind is None:
        return Problem(what=f"the function {name} has no alias {alias}", where=spec.name)
    return _Now(spec=spec, function=function, client=client, live=live, alias=found, behind=behind)


def _before_the_last(found: list[_Now], records: list[DeployRecord]) -> dict[str, Ran]:
    """Return what the functions of the last deployment ran before it.

    With an alias, the versions say which deployment published them, so that any machine can roll back.
    """
    if all(each.alias for each in found):
        notes = [(each, read_note(each.running.description)) for each in found]
        before = {each.name: note.before for each, note in notes if note and note.before}
        run = max((note.run for _, note in notes if note and note.before), default="")
        last = [each for each, note in notes if note and note.run == run and each.name in before]
        if last:
            targets = ask_all(lambda each: _version(each, before[each.name]), last)
            return {each.name: target for each, target in zip(last, targets, strict=True)}
    for record in records:
        if record.command == ROLLBACK:  # what it put back is to be followed further back
            continue
        undone = [each for each in found if _is_after(record, each)]
        if undone:
            return {each.name: record.before[each.name] for each in undone}
    raise SelectionError.of(
        "no deployment is known that put there what the functions run: nothing to roll back",
        where=".lamina/deploys",
        hint=_RECORDS,
    )


def _is_after(record: DeployRecord, now: _Now) -> bool:
    after = record.after.get(now.name)
    return after is not None and after.digest == now.running.digest


def _named(found: list[_Now], records: list[DeployRecord], kind: Kind, to: str) -> dict[str, Ran]:
    """Return what the functions return to. Those that never ran it are left alone."""
    if kind == "version":
        if len(found) != 1:
            raise ConfigError.of(
                f"version {to} is one of a single function, and {len(found)} are selected",
                where="--to",
                hint="select it (--image), or name a digest or a run",
            )
        return {found[0].name: _version(found[0], to)}
    if kind == "run":
        ran = [record.after for record in reversed(records) if record.run <= to]
        known = {name: each for after in ran for name, each in after.items()}
    else:
        known = {}
    known = {each.name: known[each.name] for each in found if each.name in known}
    fits = _published_by if kind == "run" else _is_image
    lacking = [each for each in found if each.name not in known]
    searched = ask_all(lambda each: _newest(each, lambda live: fits(live, to)), lacking)
    known |= {each.name: target for each, target in zip(lacking, searched, strict=True) if target}
    if not known and kind == "digest":  # an image without a version: its function gets it anew
        known = {each.name: _in_repository(each, to) for each in found}
    if not known:
        raise SelectionError.of(f"no function ran {to}", where="--to", hint=_RECORDS)
    return known


def _published_by(live: Live, run: str) -> bool:
    """Whether a deployment, or an earlier one, published a version."""
    note = read_note(live.description)
    return note is not None and note.run <= run


def _is_image(live: Live, to: str) -> bool:
    note = read_note(live.description)
    return live.digest == to or (note is not None and note.tag == to)


def _newest(now: _Now, fits: Callable[[Live], bool]) -> Ran | None:
    for version in reversed(now.client.versions(now.name)):
        live = now.client.read(now.name, version)
        if live is not None and live.uri and fits(live):
            return _ran(live)
    return None


def _in_repository(now: _Now, digest: str) -> Ran:
    uri = now.running.uri or ""
    return Ran(uri=f"{uri.partition('@')[0]}@{digest}", command=now.running.command)


def _version(now: _Now, version: str) -> Ran:
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


def _move(now: _Now, target: Ran) -> FunctionUpdate:
    """Return the update that brings a function to what it ran: of its alias, or without one of its code."""
    wanted = DesiredFunction(
        function=replace(now.function, command=target.command),
        image=now.spec.name,
        uri=target.uri,
        digest=target.digest,
        platform=now.spec.platform,
        tag=target.digest[:19],
    )
    runs = now.running
    same = runs.digest == target.digest and runs.command == target.command
    if now.alias is not None and target.version is not None:
        moves = now.alias.version != target.version or bool(now.alias.shares)
        reason = f"returns from version {now.alias.version} to {target.version}"
        return FunctionUpdate(
            wanted=wanted,
            image=False,
            command=False,
            reasons=(reason if moves else f"{now.alias.name} is version {target.version}",),
            alias=now.alias.version,
            pointed=moves,
            version=target.version,
        )
    return FunctionUpdate(
        wanted=wanted,
        image=now.live.digest != target.digest,
        command=now.live.command != target.command,
        reasons=(f"returns from {(runs.digest or 'nothing')[:19]}" if not same else f"runs {wanted.tag}",),
        alias=now.alias.version if now.alias else None,
        pointed=now.alias is not None and not same,
    )
