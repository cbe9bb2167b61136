"""The remote cache: the registry references from which BuildKit imports steps, and to which it exports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from lamina.identify.image import Image
from lamina.identify.steps import steps_digest
from lamina.patterns import regex
from lamina.refs import Reference
from lamina.values import dataclass

_UNFIT = regex(r"[^A-Za-z0-9_.-]+")
_MOST_BRANCH = 80
_MOST_READS = 400
_CI_BRANCHES = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "CODEBUILD_WEBHOOK_HEAD_REF")
"""Variables that name the branch when CI checks out a bare commit: GitHub, GitLab, CodeBuild."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How a project caches.

    Attributes:
        mode: ``max``, ``min``, ``inline`` or ``off``.
        branch: empty if unknown.
        repository: the repository of an image's cache; ``{repository}`` is the image's own.
        fallback: another branch whose cache is read too.
        exports: whether this run may write.
        auto: whether a cache is only written if that pays; see `why_not_written`.
    """

    mode: str
    repository: str
    branch: str
    fallback: str
    exports: bool
    auto: bool = False

    @property
    def writes(self) -> bool:
        """Whether any cache is written."""
        return self.exports and self.mode != "off"

    def name(self, repository: str) -> str:
        """Return the repository that holds the cache of the images in a repository."""
        return self.repository.replace("{repository}", repository)

    def refs(self, image: Image) -> tuple[Reference, ...]:
        """Return the image's cache references: of this branch, which may be written, then of the fallback."""
        branches = dict.fromkeys(branch for branch in (self.branch, self.fallback) if branch)
        return tuple(self._ref(image, _fit(branch)) for branch in branches)

    def history(self, image: Image) -> Reference:
        """Return the reference of what the image's caches cost and saved, of all branches.

        The name of a branch never begins with a dash, so none has this reference.
        """
        return self._ref(image, "-history")

    def _ref(self, image: Image, name: str) -> Reference:
        place = Reference(host=image.repository.host, repository=self.name(image.repository.repository))
        architecture = image.node.spec.platform.removeprefix("linux/")
        return place.with_tag(f"cache-{name}-{_fit(architecture)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCache:
    """The remote cache of one build.

    Attributes:
        imports: existing references to read.
        export: the one to write, if any.
        steps: digest of the steps' inputs; see `steps_digest`.
        complete: whether one of the imports was written for exactly these steps.
        home: the reference that may be written if that cache is incomplete nevertheless.
        off: why it is not written although the run may; empty if it is, or need not be.
    """

    imports: tuple[Reference, ...] = ()
    export: Reference | None = None
    mode: str = "max"
    steps: str = ""
    complete: bool = False
    home: Reference | None = None
    off: str = ""

    @property
    def targets(self) -> list[str]:
        """Bake's ``cache-to``: one OCI manifest, which ECR accepts. A failed export fails no build."""
        if self.export is None:
            return []
        if self.mode == "inline":
            return ["type=inline"]
        kind = "image-manifest=true,oci-mediatypes=true,ignore-error=true"
        return [f"type=registry,ref={self.export},mode={self.mode},{kind}"]

    @property
    def tags(self) -> list[str]:
        """Further tags of the image: an inline cache is found by a fixed tag."""
        return [str(self.export)] if self.export and self.mode == "inline" else []


def make_caches(
    policy: CachePolicy,
    images: Iterable[Image],
    existing: Mapping[Reference, str | None],
    *,
    rewrite: bool = False,
) -> Mapping[str, ImageCache]:
    """Return the cache of each image.

    A cache written for exactly these steps is read but not written again: a builder hardly exports layers
    that it never fetched, so a second export would contain less than the first.

    Args:
        existing: reference -> the steps it was written for.
        rewrite: always write.
    """
    return {image.name: _cache(policy, image, existing, rewrite=rewrite) for image in images}


def _cache(
    policy: CachePolicy, image: Image, existing: Mapping[Reference, str | None], *, rewrite: bool
) -> ImageCache:
    refs, steps = policy.refs(image), steps_digest(image, policy.mode)
    imports = tuple(ref for ref in refs if ref in existing)
    known = any(existing[ref] == steps for ref in imports) and not rewrite
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
    """Return the references that each image of one call of bake imports. below: image -> all its bases.

    BuildKit looks a step up once, in the caches of the target that reaches it first; steps above a step that
    was not found are not looked up. Targets share the steps of their bases, and equal first steps. So each
    target imports the caches of all its bases, and one with an incomplete cache also those of all others.
    https://github.com/docker/buildx/pull/2265
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
    """Return the entries of bake's ``cache-from``."""
    return [f"type=registry,ref={ref}" for ref in refs]


def branch_of_ci(env: Mapping[str, str]) -> str:
    """Return the branch that CI builds, from its variables; empty if they name none."""
    named = (env.get(name, "") for name in _CI_BRANCHES)
    return next((name.removeprefix("refs/heads/") for name in named if name), "")


def _fit(name: str) -> str:
    """Make a name valid as part of a tag."""
    return _UNFIT.sub("-", name)[:_MOST_BRANCH].strip("-") or "-"
