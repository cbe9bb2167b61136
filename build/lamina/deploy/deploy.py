"""What a deployment has to do: functions get what was pushed, by digest; those that run it are left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from lamina.aws.clients import CONNECTIONS, Access, boto_clients
from lamina.aws.lambda_ import Functions
from lamina.aws.live import Alias, Live
from lamina.decide.acceptance import objections
from lamina.decide.plan import FoundImage, why_unusable
from lamina.deploy.check import require_registry
from lamina.deploy.rules import DesiredFunction, FunctionUpdate, Running, decide, obstacles, owned_elsewhere
from lamina.errors import AwsError, BuildError, ConfigError, Problem, RegistryError, SelectionError
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.flow.tags import identified
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.smoke.smoke import event_of

_NO_FUNCTIONS = 'declare them: [tool.lamina.images.<name>] functions = ["<function>"]'
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """How to deploy. alias: to be pointed at a version published for it. publish: a version in any case.

    smoke: call what was deployed before an alias moves. timeout: seconds that one function may take.
    take_over: deploy to functions that run an image of another stack as well.
    """

    alias: str | None = None
    publish: bool = False
    smoke: bool = False
    timeout: float = 300.0
    take_over: bool = False


@dataclass(slots=True)
class Deployment:
    """The functions to be looked after, with what each is; made by `plan_deployment`."""

    moves: tuple[FunctionUpdate, ...]
    live: Mapping[str, Live]
    aliases: Mapping[str, Alias]
    events: Mapping[str, bytes]
    desks: Mapping[str | None, Functions] = field(repr=False)

    def desk(self, move: FunctionUpdate) -> Functions:
        """Where the function is."""
        return self.desks[move.wanted.function.region]


def plan_deployment(session: Session, wish: DeployOptions) -> Deployment:
    """What each declared function runs, and what has to change. Nothing is changed.

    Raises SelectionError where no function is declared, BuildError for images that are not pushed as the
    worktree has them, ConfigError for functions of another stack, AwsError with all that stands in the way of
    any function.
    """
    images = images_with_functions(session)
    wanted = _wanted(session, images)
    desks = desks_of(session, images.values())
    found = _by_function(wanted, lambda each: desks[each.function.region].read(str(each.function)))
    live = {name: each for name, each in found.items() if each is not None}
    if not wish.take_over:
        stack = session.project.get("stack")
        ConfigError.check(
            problem
            for each in wanted
            for problem in owned_elsewhere(each, stack, _owner(session, each, live.get(str(each.function))))
        )
    facts = {name: running(each) for name, each in live.items()}
    AwsError.check(problem for each in wanted for problem in obstacles(each, facts.get(str(each.function))))
    aliases, behind = _aliases(wanted, desks, wish)
    AwsError.check(stuck(wanted, aliases, behind))
    pointed = {name: running(each) for name, each in behind.items()}
    moves = tuple(
        decide(
            each,
            facts[name],
            alias=pointed.get(name),
            aliased=wish.alias is not None,
            shared=name in aliases and bool(aliases[name].shares),
        )
        for each in wanted
        for name in [str(each.function)]
    )
    events = {
        str(each.function): event_of(images, each.image, each.function.command) if wish.smoke else b"{}"
        for each in wanted
    }
    return Deployment(moves=moves, live=live, aliases=aliases, events=events, desks=desks)


def _owner(session: Session, wanted: DesiredFunction, live: Live | None) -> str | None:
    """The stack whose image a function runs, as the name of the repository says."""
    prefix = session.registry.address.rstrip("/") + "/"
    if live is None or not live.uri or not live.uri.startswith(prefix):
        return None
    repository = live.uri.removeprefix(prefix).partition("@")[0].partition(":")[0]
    return session.project.stack_of(wanted.image, repository)


def images_with_functions(session: Session) -> Mapping[str, Image]:
    """The selected Lambda images for which functions are declared, as the worktree has them."""
    nodes = session.graph.nodes
    selected = session.graph.select(session.flags.images)
    names = tuple(name for name in selected if nodes[name].spec.functions)
    if not names:
        raise SelectionError.of(
            f"no function is declared for {', '.join(session.flags.images) or 'any image'}",
            hint=_NO_FUNCTIONS,
        )
    require_registry(session, hint='add --registry, or registry = "ecr" to [tool.lamina]')
    return identified(session, names)


def desks_of(session: Session, images: Iterable[Image]) -> Mapping[str | None, Functions]:
    """Region -> where its functions are asked for; None: the region of the registry, or AWS' own choice."""
    regions = {each.region for image in images for each in image.node.spec.functions}
    own = session.project.ecr.region
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


def _whole(place: RegistryStore, images: Mapping[str, Image]) -> Mapping[Reference, FoundImage]:
    """The images in the registry, with all their layers. Raises BuildError or RegistryError for any other."""
    there = place.look(image.ref for image in images.values())
    BuildError.check(
        Problem(
            what=f"{image.ref} is not in {place.name}: nothing is deployed that is not pushed"
            if image.ref not in there
            else why_unusable(there[image.ref], image, place.name),
            hint=f"invoke build-all --push --image {name}",
        )
        for name, image in images.items()
        if image.ref not in there or there[image.ref].fingerprint != image.fingerprint
    )
    whole = place.examine({name: there[image.ref] for name, image in images.items()})
    RegistryError.check(
        Problem(
            what=why_unusable(whole[name], image, place.name),
            hint=f"invoke build-all --push --refresh --image {name}",
        )
        for name, image in images.items()
        if whole[name].lost
    )
    return there


def _wanted(session: Session, images: Mapping[str, Image]) -> tuple[DesiredFunction, ...]:
    place = RegistryStore(session.registry)
    there = _whole(place, images)
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
        DesiredFunction(
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
    wanted: Sequence[DesiredFunction], desks: Mapping[str | None, Functions], wish: DeployOptions
) -> tuple[Mapping[str, Alias], Mapping[str, Live]]:
    """Of the alias that is asked for: what it is for each function that has it, and what runs behind it."""
    if wish.alias is None:
        return {}, {}
    name = wish.alias

    def ask(each: DesiredFunction) -> Alias | None:
        desk, function = desks[each.function.region], str(each.function)
        found = desk.aliases(function).get(name)
        return desk.with_allocation(function, found) if found else None

    found = _by_function(wanted, ask)
    having = [each for each in wanted if found[str(each.function)]]
    behind = _by_function(having, lambda each: desks[each.function.region].read(str(each.function), name))
    return (
        {function: each for function, each in found.items() if each is not None},
        {function: each for function, each in behind.items() if each is not None},
    )


def stuck(
    wanted: Iterable[DesiredFunction], aliases: Mapping[str, Alias], behind: Mapping[str, Live]
) -> Iterator[Problem]:
    """Aliases whose version has what is wanted and got no provisioned concurrency, so that calls stay behind.

    To point them again would send the calls to a version that does not start. behind: what the aliases name.
    """
    for each in wanted:
        alias, live = aliases.get(_name(each)), behind.get(_name(each))
        allocation = alias.allocation if alias and alias.routes else None
        if not (alias and allocation and live and live.digest == each.digest):
            continue
        if allocation.status == "FAILED":
            yield Problem(
                what=f"provisioned concurrency for version {alias.version} of {_name(each)} failed: "
                f"{allocation.reason}; {alias.name} still leads to version {', '.join(alias.routes)}",
                where=each.image,
                hint="fix why it does not start (invoke smoke), push and deploy again; or move it by hand",
            )


def _by_function(
    wanted: Sequence[DesiredFunction], ask: Callable[[DesiredFunction], _Made]
) -> dict[str, _Made]:
    """Function -> what was asked of it."""
    return dict(zip(map(_name, wanted), ask_all(ask, wanted), strict=True))


def _name(wanted: DesiredFunction) -> str:
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
