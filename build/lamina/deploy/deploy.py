"""Plan a deployment: which functions must be updated to the pushed digests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamina.aws.lambda_ import Functions
from lamina.aws.live import Alias, Live
from lamina.decide.acceptance import objections
from lamina.decide.plan import FoundImage, why_unusable
from lamina.deploy.asking import ask_all, by_function
from lamina.deploy.check import require_registry
from lamina.deploy.cloudformation import with_names
from lamina.deploy.half_shift import HalfShift, half_shift, shift_obstacles
from lamina.deploy.judge import alarm_problems
from lamina.deploy.pulling import pull_obstacles
from lamina.deploy.regions import Placement, RegionalImage, place
from lamina.deploy.rules import DesiredFunction, FunctionUpdate, Running, decide, obstacles, owned_elsewhere
from lamina.deploy.shift import Shift
from lamina.deploy.snapshots import snapshot_obstacles, without_version
from lamina.deploy.stack import Connect, check_caller, clients_of
from lamina.errors import AwsError, BuildError, ConfigError, Problem, RegistryError, SelectionError
from lamina.execute.image_store import RegistryStore
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.smoke.smoke import event_of

_NO_FUNCTIONS = 'declare them: functions = ["<function>"] in [tool.lamina.images.<name>]'


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """How to deploy.

    Attributes:
        alias: the alias to move to a newly published version.
        publish: publish a version even without an alias.
        smoke: call each deployed function before aliases move.
        timeout: seconds one function may take.
        take_over: also deploy to functions that run an image of another stack.
        atomic: put every function back if one cannot be updated.
        rollback: functions return to what they ran; no description then says what was before.
        shift: how calls move to new versions; None: at once.
        alarms: names of CloudWatch alarms that return calls to the old versions.
        stack: that is deployed.
        run: the name of the deployment.
        commit: of what is deployed; None if unknown.
    """

    alias: str | None = None
    publish: bool = False
    smoke: bool = False
    timeout: float = 300.0
    take_over: bool = False
    atomic: bool = False
    rollback: bool = False
    shift: Shift | None = None
    alarms: tuple[str, ...] = ()
    stack: str = ""
    run: str = ""
    commit: str | None = None


@dataclass(slots=True)
class Deployment:
    """The planned update of each function, and the function's state; made by `plan_deployment`.

    live, aliases and events are by function name. An event is the JSON that --smoke calls the function with.
    """

    moves: tuple[FunctionUpdate, ...]
    live: Mapping[str, Live]
    aliases: Mapping[str, Alias]
    events: Mapping[str, bytes]
    clients: Mapping[str | None, Functions] = field(repr=False)
    placement: Placement | None = field(default=None, repr=False)

    @property
    def copies(self) -> tuple[RegionalImage, ...]:
        """The images that registries of other regions need."""
        return self.placement.copies_for(self.moves) if self.placement else ()

    def client(self, move: FunctionUpdate) -> Functions:
        """Return the Lambda client of the function's region."""
        return self.clients[move.wanted.function.region]


def plan_deployment(session: Session, options: DeployOptions) -> Deployment:
    """Read what each declared function runs, and decide what has to change. Changes nothing.

    Raises:
        SelectionError: no function is declared.
        BuildError: an image is not pushed with the worktree's content, or Lambda would not run it.
        RegistryError: no registry is configured, or it has lost a part of an image.
        ConfigError: a function runs an image of another stack.
        AwsError: the credentials are of another account than the stack, or a function cannot be updated; all
            reasons of all functions at once.
    """
    images = with_names(session, images_with_functions(session))
    wanted = _wanted(session, images)
    events = (
        {each.name: event_of(images, each.image, each.function.command) for each in wanted}
        if options.smoke
        else {}
    )
    return plan_functions(session, wanted, events, options)


def plan_functions(
    session: Session,
    wanted: Sequence[DesiredFunction],
    events: Mapping[str, bytes],
    options: DeployOptions,
    *,
    connect: Connect = clients_of,
) -> Deployment:
    """Decide what has to change in functions that are to run images. Changes nothing.

    Raises:
        ConfigError: a function runs an image of another stack; or
        AwsError: a function cannot be updated. All reasons of all functions at once.
    """
    clients = connect(session, (each.function for each in wanted))
    placement = place(session, wanted, clients)
    wanted = placement.wanted
    lambdas = {each.name: clients[each.function.region] for each in wanted}
    found = by_function(wanted, lambda each: lambdas[each.name].read(each.name))
    live = {name: each for name, each in found.items() if each is not None}
    facts = {name: running(each) for name, each in live.items()}
    blocked = {each.name: tuple(obstacles(each, facts.get(each.name))) for each in wanted}
    able = [each for each in wanted if not blocked[each.name]]
    aliases, behind = _aliases(able, clients, options)
    moves = tuple(_decided(each, facts, aliases, behind, options) for each in able)
    halves = _half_shifts(lambdas, aliases)
    session.screen.notes(each.note(options.stack) for each in halves.values())
    owned = () if options.take_over else tuple(_owned(session, placement, live))
    (ConfigError if owned else AwsError).check(
        (
            *owned,
            *placement.problems,
            *(problem for some in blocked.values() for problem in some),
            *(
                problem
                for each in able
                for problem in snapshot_obstacles(each, live.get(each.name), aliases.get(each.name))
            ),
            *stuck(able, aliases, behind),
            *(shift_obstacles(moves, live, aliases, behind, halves) if options.shift else ()),
            *alarm_problems(clients.values(), options.alarms),
            *_closed(session, placement, able),
        )
    )
    if options.alias is None and not options.publish:
        session.screen.notes(without_version(wanted))
    session.screen.notes(busy(live))
    return Deployment(
        moves=moves, live=live, aliases=aliases, events=events, clients=clients, placement=placement
    )


def _half_shifts(lambdas: Mapping[str, Functions], aliases: Mapping[str, Alias]) -> dict[str, HalfShift]:
    """Return how aliases share their calls, of those that do. All by function name."""
    shared = [name for name, each in aliases.items() if each.shares]

    def read(name: str) -> HalfShift | None:
        return half_shift(lambda version: lambdas[name].read(name, version), name, aliases[name])

    return {each.function: each for each in ask_all(read, shared) if each}


def _decided(
    wanted: DesiredFunction,
    facts: Mapping[str, Running],
    aliases: Mapping[str, Alias],
    behind: Mapping[str, Live],
    options: DeployOptions,
) -> FunctionUpdate:
    """Decide what has to change in a function. All but wanted: by function name."""
    name = wanted.name
    return decide(
        wanted,
        facts[name],
        alias=running(behind[name]) if name in behind else None,
        aliased=options.alias is not None,
        shared=name in aliases and bool(aliases[name].shares),
    )


def _owned(session: Session, placement: Placement, live: Mapping[str, Live]) -> Iterator[Problem]:
    stack = session.project.settings.stack
    for each in placement.wanted:
        there = placement.session_of(each, session)
        yield from owned_elsewhere(each, stack, _owner(there, each, live.get(each.name)))


def _closed(session: Session, placement: Placement, wanted: Iterable[DesiredFunction]) -> tuple[Problem, ...]:
    """Return the repositories that are closed to the account of a function; a note if AWS does not say."""
    by_registry: dict[Session, list[DesiredFunction]] = {}
    for each in wanted:
        by_registry.setdefault(placement.session_of(each, session), []).append(each)
    account, closed = session.project.stack.account, list[Problem]()
    for there, some in by_registry.items():
        try:
            closed += pull_obstacles(some, account, there.ecr.setup.policy) if there.ecr else ()
        except RegistryError as error:
            session.screen.notes(
                replace(each, what=f"pull policies not read: {each.what}") for each in error.problems
            )
    return tuple(closed)


def busy(live: Mapping[str, Live]) -> Iterator[Problem]:
    """Yield a note for each function that somebody else is updating. live: by function name."""
    for name, each in live.items():
        if each.update == "InProgress" or each.state == "Pending":
            yield Problem(what=f"{name} is being updated by another client: its update waits for that one")


def _owner(session: Session, wanted: DesiredFunction, live: Live | None) -> str | None:
    """Return the stack whose image a function runs, according to the repository's name."""
    prefix = session.registry.address.rstrip("/") + "/"
    if live is None or not live.uri or not live.uri.startswith(prefix):
        return None
    repository = live.uri.removeprefix(prefix).partition("@")[0].partition(":")[0]
    return session.project.stack_of(wanted.image, repository)


def images_with_functions(session: Session) -> Mapping[str, Image]:
    """Return the selected images that declare functions, as the worktree has them.

    Raises:
        SelectionError: there are none.
        RegistryError: no registry is configured.
        AwsError: the credentials are of another account than the stack. Nothing else was asked then.
    """
    nodes = session.graph.nodes
    selected = session.graph.select(session.flags.images)
    names = tuple(name for name in selected if nodes[name].spec.functions)
    if not names:
        raise SelectionError.of(
            f"no function is declared for {', '.join(session.flags.images) or 'any image'}",
            hint=_NO_FUNCTIONS,
        )
    require_registry(session, hint='add --registry, or registry = "ecr" to [tool.lamina]')
    check_caller(session)
    return take_snapshot(session, names).chosen


def running(live: Live) -> Running:
    """Return the facts of a function that `decide` needs."""
    return Running(
        version=live.version,
        package=live.package,
        digest=live.digest,
        command=live.command,
        architecture=live.architecture,
        state="Failed" if "Failed" in {live.state, live.update} else live.state,
        reason=live.reason,
        snap_start=live.snap_start,
        has_snapshot=live.has_snapshot,
    )


def _whole(store: RegistryStore, images: Mapping[str, Image]) -> Mapping[Reference, FoundImage]:
    """Return the images as the registry has them.

    Raises:
        BuildError: an image is missing or was built from other inputs.
        RegistryError: the registry has lost a part of an image.
    """
    existing = store.find(image.ref for image in images.values())
    BuildError.check(
        Problem(
            what=f"{image.ref} is not in {store.name}: only pushed images are deployed"
            if image.ref not in existing
            else why_unusable(existing[image.ref], image, store.name),
            hint=f"invoke build-all --push --image {name}",
        )
        for name, image in images.items()
        if image.ref not in existing or existing[image.ref].fingerprint != image.fingerprint
    )
    whole = store.examine({name: existing[image.ref] for name, image in images.items()})
    RegistryError.check(
        Problem(
            what=why_unusable(whole[name], image, store.name),
            hint=f"invoke build-all --push --refresh --image {name}",
        )
        for name, image in images.items()
        if whole[name].lost
    )
    return existing


def _wanted(session: Session, images: Mapping[str, Image]) -> tuple[DesiredFunction, ...]:
    store = RegistryStore(session.registry)
    existing = _whole(store, images)
    BuildError.check(
        Problem(
            what="\n  ".join((f"{image.ref} would not run:", *reasons)), where=image.node.spec.dockerfile_path
        )
        for image in images.values()
        if (
            reasons := tuple(
                objections(
                    store.candidate(existing[image.ref]),
                    image.ref,
                    image.node.spec.platform,
                    image.node.spec.functions,
                    regions=session.project.ecr.regions,
                )
            )
        )
    )
    return tuple(
        DesiredFunction(
            function=each,
            image=name,
            uri=f"{image.ref.name}@{existing[image.ref].digest}",
            digest=existing[image.ref].digest,
            platform=image.node.spec.platform,
            tag=image.tag,
            snap_start=image.node.spec.snap_start,
        )
        for name, image in images.items()
        for each in image.node.spec.functions
    )


def _aliases(
    wanted: Sequence[DesiredFunction], clients: Mapping[str | None, Functions], options: DeployOptions
) -> tuple[Mapping[str, Alias], Mapping[str, Live]]:
    """Read the requested alias of each function that has it. Return the aliases, and what they run."""
    if options.alias is None:
        return {}, {}
    name = options.alias

    def ask(each: DesiredFunction) -> Alias | None:
        client, function = clients[each.function.region], each.name
        found = client.aliases(function).get(name)
        if found and (each.snap_start or options.shift):  # both at once are not possible
            return replace(found, allocation=client.allocation(function, name))
        return client.with_allocation(function, found) if found else None

    found = by_function(wanted, ask)
    having = [each for each in wanted if found[each.name]]
    behind = by_function(having, lambda each: clients[each.function.region].read(each.name, name))
    return (
        {function: each for function, each in found.items() if each is not None},
        {function: each for function, each in behind.items() if each is not None},
    )


def stuck(
    wanted: Iterable[DesiredFunction], aliases: Mapping[str, Alias], behind: Mapping[str, Live]
) -> Iterator[Problem]:
    """Yield a problem for each alias whose version has the pushed image but no provisioned concurrency.

    Calls still go to the old version. Pointing the alias again would send them to a version that does not
    start.

    Args:
        aliases: by function name.
        behind: by function name, the version each alias names.
    """
    for each in wanted:
        alias, live = aliases.get(each.name), behind.get(each.name)
        allocation = alias.allocation if alias and alias.routes else None
        if not (alias and allocation and live and live.digest == each.digest):
            continue
        if allocation.status == "FAILED":
            yield Problem(
                what=f"provisioned concurrency for version {alias.version} of {each.name} failed: "
                f"{allocation.reason}; {alias.name} still leads to version {', '.join(alias.routes)}",
                where=each.image,
                hint="find out why it does not start (invoke smoke), push and deploy again; "
                "or move the alias by hand",
            )
