"""Garbage collection: look who needs what, decide, delete, and say of everything else why it stays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from lamina.aws.usage import Usage, read_usage
from lamina.decide.garbage import (
    GONE,
    LISTED,
    MEANWHILE,
    Collected,
    Collection,
    Held,
    Kind,
    Links,
    Rules,
    Verdict,
    changed,
    in_order,
    judge,
)
from lamina.decide.remote_build import EcrHost
from lamina.declare.accounts import Account
from lamina.declare.settings import LOCAL
from lamina.errors import AwsError, ConfigError, Problem, RegistryError
from lamina.execute.cache_keys import CONFIG as CACHE
from lamina.execute.remote_cache import CachePolicy
from lamina.identify.fingerprint import BILL_KEY, Bill, content_tag
from lamina.refs import Reference
from lamina.registries.aws_clients import Access
from lamina.registries.base import DOCKER_LIST, OCI_INDEX, Manifest
from lamina.registries.ecr import EcrRegistry
from lamina.registries.oci_stock import OciStock
from lamina.registries.stock import Stock, Stored
from lamina.workflow.caching import read_policy
from lamina.workflow.locking import read_pins
from lamina.workflow.planning import find_stable, make_images
from lamina.workflow.workspace import Workspace

_THREADS = 4  # repositories listed at once; each has pages of its own
_UNKNOWN = "nothing is deleted: as long as not all functions can be seen, any image may be in use"
_IMAGES = frozenset(
    {"", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)


def plan_collection(
    workspace: Workspace, *, keep_last: str | None = None, days: str | None = None
) -> Collection:
    """Decide about every repository of the project in this stack. Nothing is changed.

    Raises AwsError when functions cannot be listed: without knowing all that run, nothing may go.
    """
    retention = workspace.project.retention
    keep = _count("--keep-last", keep_last, retention.keep_last, least=1)
    age = _count("--days", days, retention.days, least=0)
    stock = _stock(workspace)
    usages = _usages(workspace)
    names = tuple(workspace.graph.nodes)
    images = make_images(workspace, names, read_pins(workspace, names), find_stable(workspace, names))
    policy = read_policy(workspace)
    repositories = _repositories(workspace, names, policy)
    rules = Rules(
        now=datetime.now(UTC),
        keep_last=keep,
        days=age,
        cache_days=workspace.project.ecr.cache_days,
        used=_used(usages),
        current=frozenset(_named(workspace, image.ref) for image in images.values()),
        caches=frozenset(_named(workspace, ref) for image in images.values() for ref in policy.refs(image)),
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="gc") as pool:
        listed = pool.map(lambda name: [_held(name, each) for each in stock.stored(name)], repositories)
        held = tuple(each for those in listed for each in those)
    links = _links(workspace, [each for each in held if each.kind == "index"])
    return Collection(
        verdicts=_judge(workspace, held, rules, links),
        looked=tuple(str(each) for each in usages),
        dated=stock.says_when,
        lists={digest: each.children for digest, each in links.items()},
    )


def collect(workspace: Workspace, collection: Collection) -> Collected:
    """Delete what was decided, unless it has got a tag or a function meanwhile."""
    stock = _stock(workspace)
    used = _used(_usages(workspace)) if collection.doomed else {}
    deleted: list[Held] = []
    left: dict[tuple[str, str], str] = {}
    problems: list[Problem] = []
    for repository, doomed in in_order(collection.verdicts).items():
        try:
            kept = delete(stock, repository, doomed, used, collection.lists)
        except RegistryError as error:
            problems += error.problems
            kept = {each.digest: error.problems[0].what for each in doomed}
        else:
            problems += _failures(repository, kept)
        left |= {(repository, digest): why for digest, why in kept.items()}
        deleted += (each for each in doomed if each.digest not in kept)
    return Collected(deleted=tuple(deleted), left=left, problems=tuple(problems))


def delete(
    stock: Stock,
    repository: str,
    doomed: tuple[Held, ...],
    used: Mapping[str, object],
    lists: Mapping[str, tuple[str, ...]],
) -> Mapping[str, str]:
    """Delete images of a repository, indexes first; those that stay, and why. lists: see `Collection`."""
    there = {each.digest: each.tags for each in stock.stored(repository)}
    kept = {each.digest: why for each in doomed if (why := changed(each, there, used))}
    indexes = [each.digest for each in doomed if each.kind == "index"]
    kept |= stock.remove(repository, [each for each in indexes if each not in kept])
    staying = [each for each in indexes if kept.get(each, GONE) != GONE]
    listed = {child for each in staying for child in lists.get(each, ())}
    kept |= {
        each.digest: LISTED
        for each in doomed
        if staying and each.digest not in kept and (each.digest in listed or not each.tags)
    }
    others = [each.digest for each in doomed if each.kind != "index" and each.digest not in kept]
    return {**kept, **stock.remove(repository, others)}


def _count(flag: str, given: str | None, default: int, *, least: int) -> int:
    """A number from the command line. Raises ConfigError."""
    if given is None:
        return default
    if not given.isdecimal() or int(given) < least:
        raise ConfigError.of(f"{given!r} is no such number", where=flag, allowed=f"{least} or more")
    return int(given)


def _failures(repository: str, kept: Mapping[str, str]) -> Iterable[Problem]:
    return (
        Problem(
            what=f"{repository}@{digest} was not deleted: {why}",
            hint="what holds it fast may go in the next run: invoke gc",
        )
        for digest, why in kept.items()
        if why not in MEANWHILE
    )


def _judge(
    workspace: Workspace, held: tuple[Held, ...], rules: Rules, lists: Mapping[str, Links]
) -> tuple[Verdict, ...]:
    """Decide, read what the kept need, and decide again until nothing new is needed. lists: of indexes."""
    links = dict(lists)
    while True:
        verdicts = judge(held, rules, links)
        kept = [each.held for each in verdicts if each.action == "keep" and each.held.kind == "image"]
        unread = [each for each in kept if each.digest not in links]
        if not unread:
            return verdicts
        links |= _links(workspace, unread)


def _links(workspace: Workspace, held: Iterable[Held]) -> dict[str, Links]:
    """What manifests need; nothing for one that was deleted meanwhile."""
    refs = {_reference(workspace, each.repository).with_digest(each.digest): each for each in held}
    found = workspace.registry.manifests(refs)
    return {each.digest: _needs(workspace, found.get(ref)) for ref, each in refs.items()}


def _needs(workspace: Workspace, manifest: Manifest | None) -> Links:
    if manifest is None:
        return Links()
    try:
        bill = Bill.from_document(json.loads(manifest.annotations.get(BILL_KEY, "null")))
    except ValueError:
        bill = None
    bases = [
        name
        for parent, known in (bill.parents.items() if bill else ())
        for repository in [workspace.project.repository(parent)]
        for name in (f"{repository}:{content_tag(known)}", f"{repository}@{known}")
    ]
    return Links(children=tuple(each.digest for each in manifest.manifests), bases=tuple(bases))


def _held(repository: str, stored: Stored) -> Held:
    return Held(
        repository=repository,
        digest=stored.digest,
        tags=stored.tags,
        size=stored.size,
        pushed=stored.pushed,
        kind=_kind(stored),
        subject=stored.subject,
    )


def _kind(stored: Stored) -> Kind:
    if stored.subject:
        return "referrer"
    if stored.media_type in {OCI_INDEX, DOCKER_LIST}:
        return "index"
    if stored.artifact == CACHE:
        return "cache"
    return "image" if stored.artifact in _IMAGES else "other"


def _repositories(workspace: Workspace, names: Iterable[str], policy: CachePolicy) -> tuple[str, ...]:
    """The repositories of images and of their caches."""
    own = [workspace.project.repository(name) for name in names]
    return tuple(dict.fromkeys((*own, *(policy.name(name) for name in own))))


def _usages(workspace: Workspace) -> tuple[Usage, ...]:
    """Ask every account and region where functions may run the images. Raises AwsError, ConfigError."""
    look_in = workspace.project.retention.look_in
    plain = any(not each.arn for spec in workspace.project.images.values() for each in spec.functions)
    if workspace.on_ecr and (plain or not look_in):  # functions without an ARN are the caller's own
        look_in = tuple(dict.fromkeys((*look_in, Account())))
    if not look_in:
        return ()
    region = workspace.project.ecr.region
    accesses = [Access(region=each.region or region, role=each.role) for each in look_in]
    try:
        with ThreadPoolExecutor(len(accesses), thread_name_prefix="usage") as pool:
            usages = tuple(pool.map(read_usage, accesses))
    except AwsError as error:
        raise AwsError(*error.problems, Problem(what=_UNKNOWN)) from error
    usages = tuple({(each.account, each.region): each for each in usages}.values())
    seen = {(each.account, each.region) for each in usages}
    ConfigError.check(
        Problem(
            what=f"the function {function.arn} runs {name}, and nobody looks there",
            where=workspace.project.images[name].source,
            allowed="; ".join(str(each) for each in usages),
            hint="name its region, and a role of its account, in look-in of [tool.lamina.gc]",
        )
        for name, spec in workspace.project.images.items()
        for function in spec.functions
        if function.arn and tuple(function.arn.split(":")[4:2:-1]) not in seen
    )
    return usages


def _used(usages: Iterable[Usage]) -> Mapping[str, tuple[str, ...]]:
    used: dict[str, list[str]] = {}
    for usage in usages:
        for each in usage.deployed:
            used.setdefault(each.digest, []).append(f"{each} ({usage})")
    return {digest: tuple(functions) for digest, functions in used.items()}


def _stock(workspace: Workspace) -> Stock:
    if not workspace.remote:
        raise RegistryError.of(
            "images live in the engine, whose own clean-up is `docker image prune`",
            where=workspace.project.settings["registry"].source,
            allowed=f"any registry but {LOCAL}",
            hint='add --registry, or registry = "ecr" to [tool.lamina]',
        )
    registry = workspace.registry
    if not workspace.on_ecr and EcrHost.of(Reference.parse(f"{registry.address}/any")):
        raise RegistryError.of(
            f"{registry.address} is in ECR, and functions run what is there: that has to be known",
            where=workspace.project.settings["registry"].source,
            allowed="ecr, or ecr/<prefix>",
            hint='registry = "ecr" in [tool.lamina], with account and region in [tool.lamina.ecr]',
        )
    return registry.stock if isinstance(registry, EcrRegistry) else OciStock(registry)


def _reference(workspace: Workspace, repository: str) -> Reference:
    return Reference.parse(workspace.prefix + repository)


def _named(workspace: Workspace, ref: Reference) -> str:
    """``repository:tag`` below the registry's address."""
    return str(ref).removeprefix(workspace.prefix)
