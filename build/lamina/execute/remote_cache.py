"""The remote cache: where BuildKit finds the steps that other machines ran, and where it leaves its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lamina.identify.image import Image
from lamina.identify.steps import steps_digest
from lamina.refs import Reference

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
_MOST_BRANCH = 80
_MOST_READS = 400
_CI_BRANCHES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "CODEBUILD_WEBHOOK_HEAD_REF")
"""Variables that name the branch where CI checks out a commit alone: GitHub, GitLab, CodeBuild."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How a project caches. mode: ``max``, ``min``, ``inline`` or ``off``. branch: empty where none is known.

    repository: what holds an image's cache; ``{repository}`` is its own. fallback: the branch whose
    cache is read as well. exports: whether this run may write.
    """

    mode: str
    repository: str
    branch: str
    fallback: str
    exports: bool

    @property
    def writes(self) -> bool:
        """Whether anything is written."""
        return self.exports and self.mode != "off"

    def name(self, repository: str) -> str:
        """The repository that holds the cache of the images in a repository."""
        return self.repository.replace("{repository}", repository)

    def refs(self, image: Image) -> tuple[Reference, ...]:
        """The image's cache references: of this branch, to which is written, and of the fallback."""
        place = Reference(host=image.repository.host, repository=self.name(image.repository.repository))
        architecture = image.node.spec.platform.removeprefix("linux/")
        branches = dict.fromkeys(branch for branch in (self.branch, self.fallback) if branch)
        return tuple(place.with_tag(f"cache-{_fit(branch)}-{_fit(architecture)}") for branch in branches)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCache:
    """The remote cache of one build. imports: what is there to read. export: what to write, if anything.

    steps: what the steps in it depend on; see `steps_digest`. complete: whether one of the imports was
    written for the very same steps. home: what may be written when it lacks something nevertheless.
    """

    imports: tuple[Reference, ...] = ()
    export: Reference | None = None
    mode: str = "max"
    steps: str = ""
    complete: bool = False
    home: Reference | None = None

    @property
    def targets(self) -> list[str]:
        """Bake's ``cache-to``: one OCI manifest, which ECR takes. If it cannot be written no build fails."""
        if self.export is None:
            return []
        if self.mode == "inline":
            return ["type=inline"]
        kind = "image-manifest=true,oci-mediatypes=true,ignore-error=true"
        return [f"type=registry,ref={self.export},mode={self.mode},{kind}"]

    @property
    def tags(self) -> list[str]:
        """Further tags of the image: an inline cache is found by a tag that stays."""
        return [str(self.export)] if self.export and self.mode == "inline" else []


def make_caches(
    policy: CachePolicy, images: Iterable[Image], there: Mapping[Reference, str | None], *, anew: bool = False
) -> Mapping[str, ImageCache]:
    """The cache of each image. there: the references that exist, and the steps each says it was written for.

    What is there for the very same steps is read and not written again: a builder exports layers that it
    never fetched as good as not, so that the second writer would leave less than the first. anew: it is
    written whatever is there.
    """
    return {image.name: _cache(policy, image, there, anew=anew) for image in images}


def _cache(
    policy: CachePolicy, image: Image, there: Mapping[Reference, str | None], *, anew: bool
) -> ImageCache:
    refs, steps = policy.refs(image), steps_digest(image, policy.mode)
    imports = tuple(ref for ref in refs if ref in there)
    known = any(there[ref] == steps for ref in imports) and not anew
    return ImageCache(
        imports=imports,
        export=refs[0] if refs and policy.exports and not known else None,
        mode=policy.mode,
        steps=steps,
        complete=known,
        home=refs[0] if refs and policy.exports else None,
    )


def shared_imports(
    caches: Mapping[str, ImageCache], below: Mapping[str, Collection[str]]
) -> Mapping[str, tuple[Reference, ...]]:
    """The references that each image of one call of bake reads. below: all that each of them stands on.

    BuildKit looks a step up once, in the caches of the target that comes to it first; what stands on a step
    that was not found is not looked up at all. Targets share the steps of their bases, and equal first
    steps: each must read the caches of all that it stands on, and one whose own cache lacks steps must
    read those of all others. https://github.com/docker/buildx/pull/2265
    """
    own = {name: caches.get(name, ImageCache()) for name in below}
    lacking = [name for name, cache in own.items() if name in caches and not cache.complete]
    every = [ref for cache in own.values() for ref in cache.imports]
    if len(lacking) * len(every) > _MOST_READS:
        every = [ref for cache in own.values() if cache.complete for ref in cache.imports]
    return {
        name: tuple(
            dict.fromkeys(
                (
                    *cache.imports,
                    *(ref for base in own if base in below[name] for ref in own[base].imports),
                    *(every if name in lacking else ()),
                )
            )
        )
        for name, cache in own.items()
    }


def cache_sources(refs: Iterable[Reference]) -> list[str]:
    """Bake's ``cache-from``."""
    return [f"type=registry,ref={ref}" for ref in refs]


def branch_of_ci(env: Mapping[str, str]) -> str:
    """The branch that CI says it builds; empty where it says none."""
    named = (env.get(name, "") for name in _CI_BRANCHES)
    return next((name.removeprefix("refs/heads/") for name in named if name), "")


def _fit(name: str) -> str:
    """A name as part of a tag."""
    return _UNFIT.sub("-", name)[:_MOST_BRANCH].strip("-") or "-"
