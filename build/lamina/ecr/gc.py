"""Garbage collection: find out which images are in use, decide, and delete the rest."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from lamina.aws.lambda_usage import Usage
from lamina.declare.settings import LOCAL
from lamina.ecr.retention import (
    GONE,
    LISTED,
    MEANWHILE,
    PULLED,
    Collected,
    Collection,
    HeldManifest,
    Kind,
    Links,
    ManifestInventory,
    RetentionRules,
    RetentionVerdict,
    changed,
    in_order,
    judge,
)
from lamina.ecr.usage import (
    UsageSources,
    check_declared,
    only_by_number,
    plan_usage_sources,
    read_others,
    used_by,
)
from lamina.ecr.version_rules import Pruned, VersionVerdict
from lamina.ecr.versions import Places, plan_versions, prune
from lamina.errors import AwsError, ConfigError, Interrupted, LaminaError, Problem, RegistryError
from lamina.execute.cache_keys import CONFIG as CACHE
from lamina.execute.remote_cache import CachePolicy
from lamina.flow.cache import read_policy
from lamina.flow.session import Session
from lamina.flow.snapshot import take_snapshot
from lamina.identify.carried import carried_inputs
from lamina.identify.fingerprint import content_tag
from lamina.parallel import gather
from lamina.refs import EcrHost, Reference
from lamina.registries.base import DOCKER_LIST, OCI_INDEX, Manifest
from lamina.registries.inventory import Inventory, StoredManifest

_THREADS = 4  # repositories listed at once; each has pages of its own
_AT_ONCE = 100
"""Images deleted by one call of ECR: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html"""
_STOPPED = "stopped; the images reported as deleted are gone, the others are not confirmed"
_IMAGES = frozenset(
    {"", "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)


def plan_collection(
    session: Session,
    *,
    keep_last: str | None = None,
    days: str | None = None,
    versions: str | None = None,
    apply: bool = False,
) -> Collection:
    """Decide about every manifest in the project's repositories of this stack. Changes nothing.

    Args:
        keep_last: the value of --keep-last, None if not given.
        days: the value of --days, None if not given.
        versions: the value of --versions, None if not given: published versions stay.
        apply: whether the decision will be carried out.

    Raises:
        AwsError: functions, or with ``versions`` all that may name a version, cannot be listed.
        ConfigError: an account that may pull is not asked or, with ``apply``, not all such accounts are
            known. Unless all running images are known, none may be deleted.
        RegistryError: the registry cannot be cleaned or does not answer.
    """
    retention = session.project.retention
    keep = _count("--keep-last", keep_last, retention.keep_last, least=1)
    age = _count("--days", days, retention.days, least=0)
    pruning = None if versions is None else _count("--versions", versions, 0, least=1)
    inventory = _inventory(session)
    names = tuple(session.graph.nodes)
    policy = read_policy(session)
    repositories = _repositories(session, names, policy)
    sources = plan_usage_sources(session, repositories)
    if apply:
        ConfigError.check(sources.doubts)
    usages = sources.ask()
    check_declared(session, usages)
    now = datetime.now(UTC)
    pruned = _plan_versions(session, usages, keep=pruning, days=age, now=now) if pruning else ()
    gone = {(*each.held.place, *each.held.key) for each in pruned if each.action == "delete"}
    others = read_others(session, usages)
    images = take_snapshot(session, names).images
    rules = RetentionRules(
        now=now,
        keep_last=keep,
        days=age,
        cache_days=session.project.ecr.cache_days,
        pulled_days=retention.pulled_days,
        used={**used_by(usages, without=gone), **{name: (user,) for name, user in others.used.items()}},
        current=frozenset(_named(session, image.ref) for image in images.values()),
        caches=frozenset(
            _named(session, ref)
            for image in images.values()
            for ref in (*policy.refs(image), policy.history(image))
        ),
    )
    listed = gather(inventory.stored, repositories, threads=_THREADS)
    held = tuple(
        _held(name, each) for name, those in zip(repositories, listed, strict=True) for each in those
    )
    lists = _links(session, [each for each in held if each.kind == "index"])
    verdicts, links = judge_all(session, held, rules, lists)
    return Collection(
        verdicts=verdicts,
        looked=tuple(str(each) for each in usages),
        dated=inventory.says_when,
        lists={digest: each.children for digest, each in lists.items()},
        doubts=sources.doubts,
        unknown=others.unknown,
        versions=pruned,
        blobs={digest: each.blobs for digest, each in links.items()},
        shared=session.project.ecr.blob_mounting,
        by_number=only_by_number(usages),
    )


def collect(session: Session, collection: Collection) -> Collected:
    """Delete the versions of a decision, then its images, except those that are in use by then.

    If not all versions could be deleted because of an error, images stay.

    Raises ConfigError if an account may pull that is not known.
    """
    pruned = _prune(session, collection)
    if pruned.error:
        return Collected(deleted=(), left={}, error=pruned.error, pruned=pruned)
    try:
        return replace(_collect_images(session, collection), pruned=pruned)
    except LaminaError as error:
        return Collected(deleted=(), left={}, error=error, pruned=pruned)
    except KeyboardInterrupt:
        return Collected(deleted=(), left={}, error=Interrupted.of(_STOPPED), pruned=pruned)


def _prune(session: Session, collection: Collection) -> Pruned:
    if not any(each.action == "delete" for each in collection.versions):
        return Pruned()
    repositories = dict.fromkeys(each.held.repository for each in collection.verdicts)
    sources = plan_usage_sources(session, repositories)
    ConfigError.check(sources.doubts)
    return prune(collection.versions, Places(sources.ask(), session.aws))


def _collect_images(session: Session, collection: Collection) -> Collected:
    doomed = in_order(collection.verdicts)
    sources = plan_usage_sources(session, doomed) if doomed else UsageSources(accesses=())
    ConfigError.check(sources.doubts)
    others = read_others(session, sources.ask())
    AwsError.check(each for each in others.unknown if each not in collection.unknown)  # it was read before
    inventory, used = _inventory(session), frozenset(others.used)
    return delete_all(inventory, doomed, lambda: used.union(used_by(sources.ask())), collection.lists)


def delete_all(
    inventory: Inventory,
    doomed: Mapping[str, tuple[HeldManifest, ...]],
    ask: Callable[[], Container[str]],
    lists: Mapping[str, tuple[str, ...]],
) -> Collected:
    """Delete repository by repository. Return the confirmed deletions, also after an error or Ctrl-C.

    Args:
        ask: returns the digests, or ``repository:tag``, that something runs now; called before each call
            that deletes.
        lists: see `Collection`.
    """
    deleted: list[HeldManifest] = []
    left: dict[tuple[str, str], str] = {}
    problems: list[Problem] = []
    stopped: LaminaError | None = None
    for repository, those in doomed.items():
        waiting = {each.digest: each for each in those}
        try:
            for digest, why in delete(inventory, repository, those, ask, lists):
                held = waiting.pop(digest)
                if why is None:
                    deleted.append(held)
                    continue
                left[repository, digest] = why
                problems += () if why in MEANWHILE else (_failure(repository, digest, why),)
        except RegistryError as error:
            problems += error.problems
            left |= {(repository, digest): error.problems[0].what for digest in waiting}
        except AwsError as error:
            stopped = AwsError(*problems, *error.problems)
            break
        except KeyboardInterrupt:
            stopped = Interrupted(*problems, Problem(what=_STOPPED))
            break
    failed = stopped or (RegistryError(*problems) if problems else None)
    return Collected(deleted=tuple(deleted), left=left, error=failed)


def delete(
    inventory: Inventory,
    repository: str,
    doomed: tuple[HeldManifest, ...],
    ask: Callable[[], Container[str]],
    lists: Mapping[str, tuple[str, ...]],
) -> Iterator[tuple[str, str | None]]:
    """Delete images of a repository, indexes first. Yield each digest with None, or why it was not deleted.

    Args:
        ask: see `delete_all`; called before each call that deletes.
        lists: see `Collection`.
    """
    indexes = [each for each in doomed if each.kind == "index"]
    kept: dict[str, str] = {}
    for digest, why in _delete_batches(inventory, repository, indexes, ask):
        kept |= {digest: why} if why else {}
        yield digest, why
    staying = [each.digest for each in indexes if kept.get(each.digest, GONE) != GONE]
    listed = {child for each in staying for child in lists.get(each, ())}
    others = [each for each in doomed if each.kind != "index"]
    held_fast = {
        each.digest: LISTED for each in others if staying and (each.digest in listed or not each.tags)
    }
    yield from held_fast.items()
    rest = [each for each in others if each.digest not in held_fast]
    gone = [each.digest for each in indexes if each.digest not in staying]
    children = {child for each in gone for child in lists.get(each, ())}
    yield from _delete_batches(inventory, repository, rest, ask, unlisted=children)


def _delete_batches(
    inventory: Inventory,
    repository: str,
    doomed: Sequence[HeldManifest],
    ask: Callable[[], Container[str]],
    unlisted: Iterable[str] = (),
) -> Iterator[tuple[str, str | None]]:
    """Delete images call by call. Before each, the repository and what runs are read again.

    A deployment may give a function an image, or a push a tag, while earlier ones are deleted.

    Args:
        unlisted: the children of indexes that are gone: most registries list them no longer.
    """
    for start in range(0, len(doomed), _AT_ONCE):
        batch = doomed[start : start + _AT_ONCE]
        used = ask()
        tagged = {each.digest: each.tags for each in inventory.stored(repository)}
        existing = {**dict.fromkeys(unlisted, ()), **tagged}
        kept = {each.digest: why for each in batch if (why := changed(each, existing, used))}
        yield from kept.items()
        yield from inventory.remove(repository, [each.digest for each in batch if each.digest not in kept])


def _plan_versions(
    session: Session, usages: Sequence[Usage], *, keep: int, days: int, now: datetime
) -> tuple[VersionVerdict, ...]:
    """Decide about the published versions that run images of this stack."""
    own = (session.prefix + session.project.repository(name) for name in session.graph.nodes)
    return plan_versions(usages, own, Places(usages, session.aws), keep=keep, days=days, now=now)


def _count(flag: str, given: str | None, default: int, *, least: int) -> int:
    """Parse a number from the command line. Raises ConfigError."""
    if given is None:
        return default
    if not given.isdecimal() or int(given) < least:
        raise ConfigError.of(f"{given!r} is not a valid number", where=flag, allowed=f"{least} or more")
    return int(given)


def _failure(repository: str, digest: str, why: str) -> Problem:
    return Problem(
        what=f"{repository}@{digest} was not deleted: {why}",
        hint="run invoke gc again: the manifest that refers to it may be gone then",
    )


def judge_all(
    session: Session, held: tuple[HeldManifest, ...], rules: RetentionRules, lists: Mapping[str, Links]
) -> tuple[tuple[RetentionVerdict, ...], Mapping[str, Links]]:
    """Decide, read the links of kept images, and decide again until none is unread.

    An image that is kept only because something pulled it is not read: that would count as another pull.

    Args:
        lists: the links of indexes.

    Returns:
        The decisions, and the links of all manifests that were read.
    """
    links = dict(lists)
    while True:
        verdicts = judge(ManifestInventory.of(held, links), rules)
        kept = [each.held for each in verdicts if each.action == "keep" and each.held.kind == "image"]
        only_pulled = {each.held.digest for each in verdicts if each.rule == PULLED}
        unread = [each for each in kept if each.digest not in links and each.digest not in only_pulled]
        if not unread:
            return verdicts, links
        links |= _links(session, unread)


def _links(session: Session, held: Iterable[HeldManifest]) -> dict[str, Links]:
    """Read the links of manifests: empty for one that was deleted meanwhile."""
    refs = {_reference(session, each.repository).with_digest(each.digest): each for each in held}
    found = session.registry.manifests(refs)
    return {each.digest: _needs(session, found.get(ref)) for ref, each in refs.items()}


def _needs(session: Session, manifest: Manifest | None) -> Links:
    if manifest is None:
        return Links()
    inputs = carried_inputs(manifest.annotations)
    bases = [
        name
        for parent, known in (inputs.parents.items() if inputs else ())
        for repository in [session.project.repository(parent)]
        for name in (f"{repository}:{content_tag(known)}", f"{repository}@{known}")
    ]
    blobs = {each.digest: each.size for each in (manifest.config, *manifest.layers) if each}
    return Links(children=tuple(each.digest for each in manifest.manifests), bases=tuple(bases), blobs=blobs)


def _held(repository: str, stored: StoredManifest) -> HeldManifest:
    return HeldManifest(
        repository=repository,
        digest=stored.digest,
        tags=stored.tags,
        size=stored.size,
        pushed=stored.pushed,
        pulled=stored.pulled,
        kind=_kind(stored),
        subject=stored.subject,
    )


def _kind(stored: StoredManifest) -> Kind:
    if stored.subject:
        return "referrer"
    if stored.media_type in {OCI_INDEX, DOCKER_LIST}:
        return "index"
    if stored.artifact == CACHE:
        return "cache"
    return "image" if stored.artifact in _IMAGES else "other"


def _repositories(session: Session, names: Iterable[str], policy: CachePolicy) -> tuple[str, ...]:
    """Return the repositories of images and of their caches."""
    own = [session.project.repository(name) for name in names]
    return tuple(dict.fromkeys((*own, *(policy.name(name) for name in own))))


def _inventory(session: Session) -> Inventory:
    if not session.remote:
        raise RegistryError.of(
            "images live in the engine; clean it with `docker image prune`",
            where=session.project.settings.place("registry"),
            allowed=f"any registry but {LOCAL}",
            hint='add --registry, or registry = "ecr" to [tool.lamina]',
        )
    registry = session.registry
    if not session.on_ecr and EcrHost.of(Reference.parse(f"{registry.address}/any")):
        raise RegistryError.of(
            f"{registry.address} is in ECR, but not configured as ECR: gc could not see its functions",
            where=session.project.settings.place("registry"),
            allowed="ecr, or ecr/<prefix>",
            hint='registry = "ecr" in [tool.lamina], with account and region in [tool.lamina.ecr]',
        )
    return session.registries.inventory


def _reference(session: Session, repository: str) -> Reference:
    return Reference.parse(session.prefix + repository)


def _named(session: Session, ref: Reference) -> str:
    """Return ``repository:tag``, without the registry's address."""
    return str(ref).removeprefix(session.prefix)
