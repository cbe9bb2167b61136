"""Why an image is another one: two of its states side by side, down to the file that started it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import ConfigError, RegistryError
from lamina.execute.revision import check_out
from lamina.identify.explain import differences
from lamina.identify.fingerprint import BILL_KEY, Bill, content_tag
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.report.record import read_bills
from lamina.workflow.locking import read_pins
from lamina.workflow.planning import find_stable, make_images
from lamina.workflow.workspace import Workspace

WORKTREE, LAST = "worktree", "last"
_TAG = re.compile(r"sha-[0-9a-f]{12}|git-[0-9a-f]+|stable")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Bills = Callable[[str, str | None], Bill | None]
"""Image and, where it is known, fingerprint -> the bill of that state; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What of one image differs, and of those it stands on. depth: 0 for the image that was asked about."""

    image: str
    depth: int
    changes: tuple[str, ...]


def explain(workspace: Workspace, image: str, before: str, after: str) -> tuple[Why, ...]:
    """Compare two states of an image: ``worktree``, ``last``, a git revision, a tag or a digest.

    Raises SelectionError for an unknown image, ConfigError for a state that is nowhere, RegistryError.
    """
    workspace.graph.select((image,))
    return tuple(_walk(workspace, image, _state(workspace, before, image), _state(workspace, after, image)))


def _walk(workspace: Workspace, root: str, before: Bills, after: Bills) -> list[Why]:
    told: list[Why] = []
    waiting: list[tuple[str, int, str | None, str | None]] = [(root, 0, None, None)]
    seen: set[str] = set()
    while waiting:
        name, depth, old_key, new_key = waiting.pop(0)
        seen.add(name)
        old, new = before(name, old_key), after(name, new_key)
        if old is None or new is None:
            which = "before" if old is None else "after"
            told.append(Why(image=name, depth=depth, changes=(f"nothing is known of it {which}",)))
            continue
        told.append(Why(image=name, depth=depth, changes=differences(old, new)))
        parents = ({*old.parents, *new.parents} - seen) & set(workspace.graph.nodes)
        waiting += [
            (parent, depth + 1, old.parents.get(parent), new.parents.get(parent))
            for parent in sorted(parents)
            if old.parents.get(parent) != new.parents.get(parent)
        ]
    return told


def _state(workspace: Workspace, ref: str, image: str) -> Bills:
    if ref == WORKTREE:
        return _of_images(workspace, image)
    if ref == LAST:
        names = workspace.graph.with_ancestors((image,))
        last = read_bills(workspace.project.state, _identified(workspace, names).values())
        return lambda name, _: last.get(name)
    if _TAG.fullmatch(ref) or _DIGEST.fullmatch(ref):
        return _of_registry(workspace, ref)
    return _of_revision(workspace, ref, image)


def _of_images(workspace: Workspace, image: str) -> Bills:
    images = _identified(workspace, (image,))
    return lambda name, _: images[name].bill if name in images else None


def _identified(workspace: Workspace, names: tuple[str, ...]) -> Mapping[str, Image]:
    lambdas = [name for name in names if workspace.graph.nodes[name].kind == "lambda"]
    return make_images(workspace, names, read_pins(workspace, names), find_stable(workspace, lambdas))


def _of_registry(workspace: Workspace, ref: str) -> Bills:
    """Bills travel with images; a parent is found under its content tag."""

    def bill(name: str, fingerprint: str | None) -> Bill | None:
        repository = Reference.parse(workspace.prefix + workspace.project.repository(name))
        if fingerprint is not None:
            place = repository.with_tag(content_tag(fingerprint))
        elif _DIGEST.fullmatch(ref):
            place = repository.with_digest(ref)
        else:
            place = repository.with_tag(ref)
        manifest = workspace.registry.manifest(place)
        if manifest is None or BILL_KEY not in manifest.annotations:
            if fingerprint is None:
                what = (
                    "is not in the registry"
                    if manifest is None
                    else "carries no bill: Lamina did not build it"
                )
                raise RegistryError.of(f"{place} {what}", allowed="an image that was pushed by Lamina")
            return None
        return Bill.from_document(json.loads(manifest.annotations[BILL_KEY]))

    return bill


def _of_revision(workspace: Workspace, ref: str, image: str) -> Bills:
    """The bills of a commit, read from a checkout of its own that is gone again afterwards."""
    with tempfile.TemporaryDirectory(prefix="lamina-why-") as folder:
        root = check_out(workspace.runner, workspace.project.root, ref, Path(folder))
        if root is None:
            raise ConfigError.of(
                f"{ref!r} is no state of {image}",
                where="--from, --to",
                allowed="worktree, last, a git revision, or a tag or digest in the registry",
            )
        there = workspace.at(root)
        try:
            there.graph.select((image,))
            return _of_images(there, image)
        finally:
            there.close()
