"""Finding the remote cache of a run: which references there are, and what is wrong with the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lamina.errors import Problem, RegistryError
from lamina.execute.cache_keys import tidy_caches
from lamina.execute.remote_cache import CachePolicy, ImageCache, branch_of_ci, make_caches
from lamina.execute.revision import read_branch
from lamina.identify.image import Image
from lamina.refs import Reference
from lamina.registries.base import Registry
from lamina.workflow.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """By image, for the builds of a run. notes: why something is not cached."""

    images: Mapping[str, ImageCache] = field(default_factory=dict)
    notes: tuple[Problem, ...] = ()


def find_caches(workspace: Workspace, images: Iterable[Image]) -> Caches:
    """Ask the registry, in parallel, which cache references exist. Never fails: a build can do without."""
    if not workspace.remote or workspace.project.get("cache") == "off":
        return Caches()
    if not workspace.builder.remote_cache:
        what = f"no remote cache: the builder {workspace.builder.name} cannot read or write one"
        return Caches(notes=(Problem(what=what, hint="turn on the engine's containerd image store"),))
    policy = read_policy(workspace)
    chosen = tuple(image for image in images if not image.node.recipe.only_copies)
    there, notes = existing(workspace.registry, (ref for image in chosen for ref in policy.refs(image)))
    return Caches(images=make_caches(policy, chosen, there), notes=notes)


def tidy_exported(workspace: Workspace, caches: Caches, built: Iterable[str]) -> tuple[Problem, ...]:
    """Take dead keys out of the caches that the builds of these images left; what went wrong with that."""
    refs = (caches.images[name].export for name in built if name in caches.images)
    exported = [ref for ref in refs if ref is not None]
    return tidy_caches(workspace.registry, exported) if exported else ()


def read_policy(workspace: Workspace) -> CachePolicy:
    """How the project caches. Only a push writes: what is not pushed concerns nobody else."""
    project = workspace.project
    branch = (
        project.get("cache-branch") or branch_of_ci(os.environ) or read_branch(workspace.runner, project.root)
    )
    return CachePolicy(
        mode=project.get("cache"),
        repository=project.get("cache-repository"),
        branch=branch,
        fallback=project.get("cache-fallback"),
        exports=workspace.flags.push and not project.get("cache-read-only"),
    )


def existing(
    registry: Registry, refs: Iterable[Reference]
) -> tuple[tuple[Reference, ...], tuple[Problem, ...]]:
    """Those of the references that exist, and why others cannot be read."""
    wanted = tuple(dict.fromkeys(refs))
    try:
        found = registry.manifests(wanted)
        return tuple(ref for ref, manifest in found.items() if manifest is not None), ()
    except RegistryError:
        there: list[Reference] = []
        problems: dict[Problem, None] = {}
        for ref in wanted:
            try:
                there += [ref] if registry.manifest(ref) is not None else []
            except RegistryError as error:
                problems.update(dict.fromkeys(error.problems))
        return tuple(there), tuple(problems)
