"""Show the setup of a registry and its garbage collection, as tables and as documents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable

from lamina.aws.version_users import CALLED_DAYS
from lamina.ecr.costs import DOLLARS_A_GB, dollars, stored_bytes
from lamina.ecr.desired import Provision
from lamina.ecr.retention import GONE, IN_USE, Collected, Collection, HeldManifest, RetentionVerdict
from lamina.ecr.version_rules import Pruned, VersionVerdict
from lamina.json_data import JsonDocument
from lamina.report import figures
from lamina.report.console import Screen


def show_setup(screen: Screen, provision: Provision) -> None:
    """Show the changes as a table: the current value, the new one, and why."""
    screen.notes(provision.notes)
    caller = provision.caller
    registry = f"account {caller.registry}, {caller.region}"
    count = len(provision.resources)
    if not provision.changes:
        right = f"{count - len(provision.fixed)} of {count}" if provision.fixed else f"{count}"
        screen.say(f"nothing to change: {right} resources in {registry} are as they should be")
        return
    rows = ((each.resource, each.aspect, each.before, each.after, each.why) for each in provision.changes)
    screen.rows(("resource", "aspect", "is", "to be", "why"), rows, wide="to be")
    touched = len({each.resource for each in provision.changes})
    screen.say(f"{len(provision.changes)} to change, in {touched} of {count} resources in {registry}")


def setup_documents(provision: Provision) -> list[JsonDocument]:
    """Return the changes of ``ecr.setup --json``; ``is`` and ``to_be`` have the values of AWS' API."""
    return [
        {
            "region": provision.caller.region,
            "resource": each.resource,
            "aspect": each.aspect,
            "is": each.was,
            "to_be": each.will,
            "why": each.why,
        }
        for each in provision.changes
    ]


def show_collection(screen: Screen, collection: Collection) -> None:
    """Show the images to delete, those that stay by reason, and the accounts that were searched."""
    doomed = [each for each in collection.verdicts if each.action == "delete"]
    rows = (
        (
            each.held.repository,
            each.held.name,
            each.held.digest[:19],
            figures.size(each.held.size),
            each.detail,
        )
        for each in doomed
    )
    if doomed:
        screen.rows(("repository", "goes", "digest", "size", "why"), rows, wide="why")
    _show_versions(screen, collection)
    stays = _by_rule(each for each in collection.verdicts if each.action == "keep")
    if stays:
        kept = ((rule, str(len(those)), _sum(those), _example(those)) for rule, those in stays.items())
        screen.rows(("stays", "images", "size", "such as"), kept, wide="such as")
    held = [each for each in collection.verdicts if each.action == "keep" and each.rule == IN_USE]
    old = len({each.held.digest for each in held} & collection.by_number)
    if old and not collection.versions:
        screen.say(
            f"{figures.counted(old, 'image')} in use by published versions only: "
            "gc --versions N also deletes old ones that nothing names"
        )
    looked = f"functions of {'; '.join(collection.looked)}" if collection.looked else "no functions"
    screen.say(f"searched {looked}")
    screen.notes((*collection.doubts, *collection.unknown))
    if not collection.looked:
        screen.say(
            "Lambda runs images from ECR only; to search functions all the same: look-in of [tool.lamina.gc]"
        )
    if not collection.dated:
        screen.say(
            "this registry does not report push dates: ages count from the build; images without a date stay"
        )
    screen.say(
        f"{len(doomed)} of {len(collection.verdicts)} to delete, up to {_sum(doomed)}: "
        "layers shared with kept images stay"
    )
    if collection.dated:
        stays_bytes, goes_bytes = storage(collection)
        screen.say(
            f"what stays costs {_dollars(stays_bytes)} a month, what goes up to {_dollars(goes_bytes)}, at "
            f"${DOLLARS_A_GB:.2f} for a GB and month"
        )


def storage(collection: Collection) -> tuple[int, int]:
    """Return the bytes of what stays, its shared layers counted once, and at most of what goes."""
    stay = [each.held for each in collection.verdicts if each.action == "keep"]
    return (
        stored_bytes(stay, collection.blobs, shared=collection.shared),
        stored_bytes(collection.doomed, {}, shared=collection.shared),
    )


def _show_versions(screen: Screen, collection: Collection) -> None:
    """Show the published versions to delete, and those that stay by reason."""
    if not collection.versions:
        return
    doomed = [each for each in collection.versions if each.action == "delete"]
    if doomed:
        rows = ((str(each.held), each.held.digest[:19], each.detail) for each in doomed)
        screen.rows(("version goes", "digest", "why"), rows, wide="why")
    stays: dict[str, list[VersionVerdict]] = defaultdict(list)
    for each in collection.versions:
        if each.action == "keep":
            stays[each.rule].append(each)
    if stays:
        kept = (
            (rule, str(len(those)), f"{those[0].held}: {those[0].detail}")
            for rule, those in sorted(stays.items())
        )
        screen.rows(("stays", "versions", "such as"), kept, wide="such as")
    screen.say(f"{len(doomed)} of {len(collection.versions)} versions to delete")
    if doomed:
        screen.say(
            "not known: code, state machines and integrations of API Gateway that name a version by its "
            f"number and did not call it in {CALLED_DAYS} days"
        )


def show_collected(screen: Screen, collection: Collection, collected: Collected) -> None:
    """Show the result of a deletion; if it is incomplete, by repository."""
    for version, why in collected.pruned.left.items():
        screen.say(f"{version}: {why}")
    if collection.versions:
        screen.say(f"deleted {figures.counted(len(collected.pruned.deleted), 'version')}")
    for (repository, digest), why in collected.left.items():
        screen.say(f"{repository}@{digest[:19]}: {why}")
    gone, doomed = len(collected.deleted), len(collection.doomed)
    if gone < doomed:
        wanted = Counter(each.repository for each in collection.doomed)
        deleted = Counter(each.repository for each in collected.deleted)
        rows = ((name, str(deleted[name]), str(count)) for name, count in wanted.items())
        screen.rows(("repository", "deleted", "of"), rows)
    screen.say(f"deleted {gone}{f' of {doomed}' if gone < doomed else ''}, up to {_size(collected.deleted)}")


def collection_documents(collection: Collection, collected: Collected | None) -> list[JsonDocument]:
    """Return the manifests of ``gc --json``.

    action: keep, delete (not done), deleted or gone. bytes: compressed.
    """
    gone = {_key(each) for each in collected.deleted} if collected else set()
    left = collected.left if collected else {}
    return [
        {
            "repository": each.held.repository,
            "digest": each.held.digest,
            "tags": list(each.held.tags),
            "kind": each.held.kind,
            "bytes": each.held.size,
            "pushed": each.held.pushed.isoformat() if each.held.pushed else None,
            "pulled": each.held.pulled.isoformat() if each.held.pulled else None,
            "action": _action(each, gone, left.get(_key(each.held))),
            "rule": each.rule,
            "reason": left.get(_key(each.held), each.detail),
        }
        for each in collection.verdicts
    ]


def version_documents(collection: Collection, collected: Collected | None) -> list[JsonDocument]:
    """Return the published versions of ``gc --json``. action: keep, delete (not done) or deleted."""
    pruned = collected.pruned if collected else Pruned()
    return [
        {
            "function": each.held.function,
            "version": each.held.version,
            "account": each.held.account,
            "region": each.held.region,
            "digest": each.held.digest,
            "published": each.held.published.isoformat() if each.held.published else None,
            "action": "deleted"
            if each.held in pruned.deleted
            else "keep"
            if each.held in pruned.left
            else each.action,
            "rule": each.rule,
            "reason": pruned.left.get(each.held, each.detail),
        }
        for each in collection.versions
    ]


def _dollars(count: int) -> str:
    """Format what bytes cost in a month."""
    return f"${dollars(count):.2f}"


def _action(verdict: RetentionVerdict, gone: Container[tuple[str, str]], left: str | None) -> str:
    if _key(verdict.held) in gone:
        return "deleted"
    return "gone" if left == GONE else "keep" if left else verdict.action


def _key(held: HeldManifest) -> tuple[str, str]:
    return held.repository, held.digest


def _by_rule(verdicts: Iterable[RetentionVerdict]) -> dict[str, list[RetentionVerdict]]:
    found: dict[str, list[RetentionVerdict]] = defaultdict(list)
    for each in verdicts:
        found[each.rule].append(each)
    return dict(sorted(found.items()))


def _sum(verdicts: Iterable[RetentionVerdict]) -> str:
    return _size(each.held for each in verdicts)


def _size(held: Iterable[HeldManifest]) -> str:
    return figures.size(sum(each.size for each in held))


def _example(verdicts: list[RetentionVerdict]) -> str:
    first = verdicts[0]
    return f"{first.held.repository}:{first.held.name}: {first.detail}"
