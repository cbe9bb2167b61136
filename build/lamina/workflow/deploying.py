"""Deploy: the functions of images get what was pushed, by digest, and only those that run something else.

First every function is updated, waited for and, if that is wished, tried; then aliases move, all or none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lamina.aws.functions import LATEST, Alias, Functions, Live
from lamina.decide.acceptance import objections
from lamina.decide.deployment import Move, Running, Wanted, decide, obstacles
from lamina.errors import AwsError, BuildError, LaminaError, Problem, SelectionError
from lamina.execute.place import RegistryPlace
from lamina.identify.image import Image
from lamina.registries.aws_clients import CONNECTIONS, Access, boto_clients
from lamina.workflow.checking import require_registry
from lamina.workflow.smoking import event_of
from lamina.workflow.tagging import identified
from lamina.workflow.workspace import Workspace

_NO_FUNCTIONS = 'declare them: [tool.lamina.images.<name>] functions = ["<function>"]'
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to deploy. alias: to be pointed at a version published for it. publish: a version in any case.

    smoke: call what was deployed before an alias moves. timeout: seconds that one function may take.
    """

    alias: str | None = None
    publish: bool = False
    smoke: bool = False
    timeout: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What came of a function. status: ``updated``, ``pointed``, ``skipped``, ``failed``, ``planned``.

    version: that was published, None where none was.
    """

    move: Move
    status: str
    version: str | None = None
    problem: Problem | None = None


@dataclass(slots=True)
class Deployment:
    """The functions to be looked after, with what each is; made by `plan_deployment`."""

    moves: tuple[Move, ...]
    live: Mapping[str, Live]
    aliases: Mapping[str, Alias]
    events: Mapping[str, bytes]
    desks: Mapping[str | None, Functions] = field(repr=False)

    def desk(self, move: Move) -> Functions:
        """Where the function is."""
        return self.desks[move.wanted.function.region]


def plan_deployment(workspace: Workspace, wish: Wish) -> Deployment:
    """What each declared function runs, and what has to change. Nothing is changed.

    Raises SelectionError where no function is declared, BuildError for images that are not pushed as the
    worktree has them, AwsError with all that stands in the way of any function.
    """
    images = images_with_functions(workspace)
    wanted = _wanted(workspace, images)
    desks = desks_of(workspace, images.values())
    found = _by_function(wanted, lambda each: desks[each.function.region].read(str(each.function)))
    live = {name: each for name, each in found.items() if each is not None}
    facts = {name: running(each) for name, each in live.items()}
    AwsError.check(problem for each in wanted for problem in obstacles(each, facts.get(str(each.function))))
    aliases, behind = _aliases(wanted, desks, wish)
    pointed = {name: running(each) for name, each in behind.items()}
    moves = tuple(
        decide(
            each,
            facts[name],
            alias=pointed.get(name),
            aliased=wish.alias is not None,
            shared=name in aliases and bool(aliases[name].routes),
        )
        for each in wanted
        for name in [str(each.function)]
    )
    events = {
        str(each.function): event_of(images, each.image, each.function.command) if wish.smoke else b"{}"
        for each in wanted
    }
    return Deployment(moves=moves, live=live, aliases=aliases, events=events, desks=desks)


def carry_out(
    deployment: Deployment,
    wish: Wish,
    *,
    say: Callable[[str], None] = lambda _: None,
    dry_run: bool = False,
) -> tuple[Deployed, ...]:
    """Do it, or only say so. What goes wrong with a function is in its result: others go on, aliases stay."""
    if dry_run:
        return tuple(Deployed(move=each, status="planned") for each in deployment.moves)
    made = _at_once(lambda move: _bring(deployment, move, wish, say), deployment.moves)
    if wish.alias is None or any(each.problem for each in made):
        return tuple(made)
    return _point_all(deployment, wish.alias, made, say)


def images_with_functions(workspace: Workspace) -> Mapping[str, Image]:
    """The selected Lambda images for which functions are declared, as the worktree has them."""
    nodes = workspace.graph.nodes
    selected = workspace.graph.select(workspace.flags.images)
    names = tuple(name for name in selected if nodes[name].spec.functions)
    if not names:
        raise SelectionError.of(
            f"no function is declared for {', '.join(workspace.flags.images) or 'any image'}",
            hint=_NO_FUNCTIONS,
        )
    require_registry(workspace, hint='add --registry, or registry = "ecr" to [tool.lamina]')
    return identified(workspace, names)


def desks_of(workspace: Workspace, images: Iterable[Image]) -> Mapping[str | None, Functions]:
    """Region -> where its functions are asked for; None: the region of the registry, or AWS' own choice."""
    regions = {each.region for image in images for each in image.node.spec.functions}
    own = workspace.project.ecr.region
    return {region: Functions(boto_clients(Access(region=region or own))) for region in regions}


def running(live: Live) -> Running:
    """The facts of a function that decide."""
    return Running(
        version=live.version,
        package=live.package,
        digest=live.digest,
        command=live.command,
        architecture=live.architecture,
        state="Failed" if "Failed" in {live.state, live.update} else live.state,
        reason=live.reason,
    )


def _wanted(workspace: Workspace, images: Mapping[str, Image]) -> tuple[Wanted, ...]:
    place = RegistryPlace(workspace.registry)
    there = place.look(image.ref for image in images.values())
    BuildError.check(
        Problem(
            what=f"{image.ref} is not in {place.name}: nothing is deployed that is not pushed",
            hint=f"invoke build-all --push --image {name}",
        )
        for name, image in images.items()
        if image.ref not in there or not there[image.ref].may_be(image)
    )
    BuildError.check(
        Problem(
            what="\n  ".join((f"{image.ref} would not run:", *told)), where=image.node.spec.dockerfile_path
        )
        for image in images.values()
        if (
            told := tuple(
                objections(
                    place.candidate(there[image.ref]),
                    image.ref,
                    image.node.spec.platform,
                    image.node.spec.functions,
                )
            )
        )
    )
    return tuple(
        Wanted(
            function=each,
            image=name,
            uri=f"{image.ref.name}@{there[image.ref].digest}",
            digest=there[image.ref].digest,
            platform=image.node.spec.platform,
            tag=image.tag,
        )
        for name, image in images.items()
        for each in image.node.spec.functions
    )


def _aliases(
    wanted: Sequence[Wanted], desks: Mapping[str | None, Functions], wish: Wish
) -> tuple[Mapping[str, Alias], Mapping[str, Live]]:
    """Of the alias that is asked for: what it is for each function that has it, and what runs behind it."""
    if wish.alias is None:
        return {}, {}
    name = wish.alias
    found = _by_function(
        wanted, lambda each: desks[each.function.region].aliases(str(each.function)).get(name)
    )
    having = [each for each in wanted if found[str(each.function)]]
    behind = _by_function(having, lambda each: desks[each.function.region].read(str(each.function), name))
    return (
        {function: each for function, each in found.items() if each is not None},
        {function: each for function, each in behind.items() if each is not None},
    )


def _by_function(wanted: Sequence[Wanted], ask: Callable[[Wanted], _Made]) -> dict[str, _Made]:
    """Function -> what was asked of it."""
    return dict(zip(map(_name, wanted), ask_all(ask, wanted), strict=True))


def _name(wanted: Wanted) -> str:
    return str(wanted.function)


def ask_all(ask: Callable[[_Item], _Made], items: Sequence[_Item]) -> list[_Made]:
    """Ask for each, some at once, in their order; raises AwsError with all that went wrong."""
    problems: dict[Problem, None] = {}
    answers: list[_Made] = []

    def asked(item: _Item) -> list[_Made]:
        try:
            return [ask(item)]
        except AwsError as error:
            problems.update(dict.fromkeys(error.problems))
            return []

    for each in _at_once(asked, items):
        answers += each
    AwsError.check(problems)
    return answers


def _at_once(work: Callable[[_Item], _Made], items: Sequence[_Item]) -> list[_Made]:
    if not items:
        return []
    with ThreadPoolExecutor(min(CONNECTIONS, len(items)), thread_name_prefix="lambda") as pool:
        return list(pool.map(work, items))


def _bring(deployment: Deployment, move: Move, wish: Wish, say: Callable[[str], None]) -> Deployed:
    """Let a function run its image, and publish and try that where it is asked for."""
    name, desk, until = str(move.wanted.function), deployment.desk(move), time.monotonic() + wish.timeout
    live = deployment.live[name]
    try:
        if move.action == "update":
            say(f"{name}: gets {move.wanted.tag}")
        if live.update == "InProgress" or live.state == "Pending":
            live = desk.settled(name, until=until)
        if move.image:
            live = desk.update_image(name, move.wanted.uri, live, until=until)
        if move.command:
            live = desk.update_command(name, move.wanted.function.command, live, until=until)
        version = desk.publish(name, live, until=until) if wish.publish or move.pointed else None
        if wish.smoke:
            _try(desk, name, version or LATEST, deployment.events[name])
    except LaminaError as error:
        problem = error.problems[0]
        return Deployed(
            move=move, status="failed", problem=replace(problem, where=f"{name}: {problem.where}")
        )
    if move.action == "update":
        say(f"{name}: runs {move.wanted.tag}{f' as version {version}' if version else ''}")
    return Deployed(move=move, status="updated" if move.action == "update" else "skipped", version=version)


def _try(desk: Functions, name: str, version: str, event: bytes) -> None:
    error, told = desk.invoke(name, version, event)
    if error:
        raise AwsError.of(
            f"version {version} of {name} does not answer its event: {error}: {told[:400]}",
            where="AWS Invoke",
            hint="no alias was moved; what is deployed stays: mend it and deploy again",
        )


def _point_all(
    deployment: Deployment, alias: str, made: Sequence[Deployed], say: Callable[[str], None]
) -> tuple[Deployed, ...]:
    """Point the alias of every function at its new version; after a failure, or Ctrl-C, all are put back."""
    results: list[Deployed] = []
    moved: list[Deployed] = []
    try:
        for each in made:
            name, desk = str(each.move.wanted.function), deployment.desk(each.move)
            if not each.move.pointed or each.version is None:
                results.append(each)
                continue
            moved.append(each if each.status == "updated" else replace(each, status="pointed"))
            try:
                desk.point(name, alias, each.version, deployment.aliases.get(name))
            except LaminaError as error:
                if not _is_at(desk, name, alias, each.version):  # an answer that was lost is no failure
                    moved.pop()
                undone = _put_back(deployment, alias, moved)
                failed = replace(each, status="failed", problem=replace(error.problems[0], hint=undone))
                back = [replace(one, status="failed") if one in moved else one for one in results]
                return (*back, failed, *made[len(results) + 1 :])
            say(f"{name}: {alias} is version {each.version}")
            results.append(moved[-1])
    except KeyboardInterrupt:
        say(_put_back(deployment, alias, moved))
        raise
    return tuple(results)


def _is_at(desk: Functions, name: str, alias: str, version: str) -> bool:
    """Whether an alias names a version, as far as that can be found out."""
    try:
        found = desk.aliases(name).get(alias)
    except LaminaError:
        return False
    return found is not None and found.version == version


def _put_back(deployment: Deployment, alias: str, moved: Iterable[Deployed]) -> str:
    """Point aliases at what they named before; told as the next step of who reads the failure."""
    failed: list[str] = []
    names: list[str] = []
    for each in moved:
        name, desk = str(each.move.wanted.function), deployment.desk(each.move)
        before = deployment.aliases.get(name)
        names.append(name)
        try:
            if before is None:
                desk.drop_alias(name, alias)
            else:
                desk.point(name, alias, before.version, replace(before, revision=None), before.routes)
        except LaminaError:
            failed.append(name)
    if failed:
        return f"{alias} could not be put back for {', '.join(failed)}: look: invoke status"
    return f"{alias} is put back for {', '.join(names)}; run it again" if names else "run it again"
