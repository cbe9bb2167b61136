"""Plan a rollback: which functions return to what they ran before, or to a named version, image or run."""

from __future__ import annotations

from dataclasses import replace

from lamina.aws.lambda_ import Functions
from lamina.declare.config import ImageSpec
from lamina.declare.functions import Function
from lamina.deploy.asking import ask_all
from lamina.deploy.deploy import Deployment, DeployOptions
from lamina.deploy.half_shift import half_shift
from lamina.deploy.reached import declared_functions
from lamina.deploy.record import Ran, read_records
from lamina.deploy.rules import DesiredFunction, FunctionUpdate
from lamina.deploy.stack import Connect, clients_of
from lamina.deploy.targets import Now, find_targets, kind_of
from lamina.errors import AwsError, Problem
from lamina.flow.session import Session


def plan_rollback(
    session: Session, options: DeployOptions, to: str | None, *, connect: Connect = clients_of
) -> Deployment:
    """Read what each declared function runs, and decide what it returns to. Changes nothing.

    The worktree's images do not matter, so a rollback is possible whatever state it is in.

    Raises:
        ConfigError: ``to`` names nothing that could be returned to.
        SelectionError: no function is declared, or nothing is known to return to.
        AwsError: a function or a version is missing.
    """
    kind_of(to)
    declared = _declared(session)
    clients = connect(session, (function for _, function in declared))
    read = ask_all(lambda each: _read(clients[each[1].region], *each, options.alias), declared)
    AwsError.check(each for each in read if isinstance(each, Problem))
    found = [each for each in read if isinstance(each, Now)]
    records = list(read_records(session.project.state, session.project.stack.name, options.alias))
    targets = find_targets(found, records, to)
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


def _read(client: Functions, spec: ImageSpec, function: Function, alias: str | None) -> Now | Problem:
    name = str(function)
    live = client.read(name)
    if live is None:
        return Problem(what=f"there is no function {name}", where=spec.name)
    if alias is None:
        return Now(spec=spec, function=function, client=client, live=live)
    found = client.aliases(name).get(alias)
    behind = client.read(name, found.version) if found else None
    if found is None or behind is None:
        return Problem(what=f"the function {name} has no alias {alias}", where=spec.name)
    found = client.with_allocation(name, found)
    half = half_shift(lambda version: client.read(name, version), name, found)
    return Now(spec=spec, function=function, client=client, live=live, alias=found, behind=behind, half=half)


def _move(now: Now, target: Ran) -> FunctionUpdate:
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
        if now.half:
            reason = f"{now.half}: returns to version {target.version}"
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
