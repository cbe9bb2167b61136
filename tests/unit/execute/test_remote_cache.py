from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lamina.decide.plan import Decision
from lamina.execute.bake import BuildRequest, make_bake
from lamina.execute.remote_cache import (
    CachePolicy,
    ImageCache,
    branch_of_ci,
    make_caches,
    shared_imports,
)
from lamina.identify.stage import StagedContext
from lamina.identify.steps import steps_digest
from lamina.refs import Reference

from ..conftest import Repo

D, W = "base-receipt-dynamo", "lambda-word-label"
CACHE = Reference(host="r.example", repository="team/x", tag="cache-main-amd64")


def policy(
    *, mode: str = "max", repository: str = "{repository}", branch: str = "", exports: bool = True
) -> CachePolicy:
    return CachePolicy(mode=mode, repository=repository, branch=branch, fallback="main", exports=exports)


def refs(repo: Repo, **given: str) -> list[str]:
    return [str(ref) for ref in policy(**given).refs(repo.images()[D])]  # type: ignore[arg-type]


def test_a_branch_reads_its_own_cache_and_that_of_main(receipts: Repo) -> None:
    assert refs(receipts, branch="feature/a b") == [
        f"{D}-dev:cache-feature-a-b-amd64",
        f"{D}-dev:cache-main-amd64",
    ]
    assert refs(receipts, branch="main") == refs(receipts) == [f"{D}-dev:cache-main-amd64"]


def test_platforms_do_not_overwrite_the_caches_of_one_another(receipts: Repo) -> None:
    receipts.flags = {"platform": "linux/arm64"}

    assert refs(receipts) == [f"{D}-dev:cache-main-arm64"]


def test_a_cache_may_have_a_repository_of_its_own(receipts: Repo) -> None:
    assert refs(receipts, repository="cache/{repository}") == [f"cache/{D}-dev:cache-main-amd64"]


def test_names_of_branches_fit_into_a_tag(receipts: Repo) -> None:
    for branch in ("é/ü", "x" * 300, "-", "a@{b}~c"):
        tag = refs(receipts, branch=branch)[0].rpartition(":")[2]
        assert Reference.parse(f"x:{tag}").tag == tag


def test_no_branch_has_the_reference_of_the_history(receipts: Repo) -> None:
    image = receipts.images()[D]
    assert str(policy().history(image)) == f"{D}-dev:cache--history-amd64"
    for branch in ("-history", "--history", "history", "/history", "ü-history", "-"):
        assert policy().history(image) not in policy(branch=branch).refs(image)


def test_a_missing_cache_is_not_read_and_that_of_this_branch_is_written(receipts: Repo) -> None:
    image = receipts.images()[D]
    chosen = policy(branch="feature")
    feature, main = chosen.refs(image)

    (found,) = make_caches(chosen, [image], {main: None}).values()

    assert (found.imports, found.export) == ((main,), feature)


def test_a_cache_of_the_same_steps_is_not_written_again(receipts: Repo) -> None:
    image = receipts.images()[D]
    chosen = policy(branch="feature")
    feature, main = chosen.refs(image)
    steps = steps_digest(image, "max")

    def export(there: dict[Reference, str | None], *, rewrite: bool = False) -> Reference | None:
        return make_caches(chosen, [image], there, rewrite=rewrite)[D].export

    assert export({feature: steps}) is export({main: steps}) is export({feature: "", main: steps}) is None
    assert export({feature: "sha256:others", main: None}) == feature
    assert make_caches(chosen, [image], {main: steps})[D].complete
    assert not make_caches(chosen, [image], {main: "sha256:others"})[D].complete
    assert export({feature: steps}, rewrite=True) == feature


def test_forks_read_only(receipts: Repo) -> None:
    image = receipts.images()[D]
    (found,) = make_caches(policy(exports=False), [image], dict.fromkeys(policy().refs(image))).values()

    assert [str(ref) for ref in found.imports] == [f"{D}-dev:cache-main-amd64"]
    assert found.targets == found.tags == []


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_cache_is_one_manifest_and_no_build_fails_for_it(mode: str) -> None:
    cache = ImageCache(export=CACHE, mode=mode)

    assert cache.targets == [
        f"type=registry,ref={CACHE},mode={mode},image-manifest=true,oci-mediatypes=true,ignore-error=true"
    ]
    assert cache.tags == []


def test_an_inline_cache_is_in_the_image_which_needs_a_tag_that_stays() -> None:
    cache = ImageCache(export=CACHE, mode="inline")

    assert (cache.targets, cache.tags) == (["type=inline"], [str(CACHE)])


def test_where_no_branch_is_known_nothing_is_cached(receipts: Repo) -> None:
    nowhere = CachePolicy(mode="max", repository="{repository}", branch="", fallback="", exports=True)
    image = receipts.images()[D]
    made = make_caches(nowhere, [image], {})[D]
    assert (made.imports, made.export) == ((), None)


def test_targets_have_their_caches(receipts: Repo) -> None:
    images = receipts.images()
    order = BuildRequest(
        decisions=tuple(Decision(image=images[name], action="build", reasons=()) for name in (D, W)),
        stages={name: StagedContext(folder=Path("/stage")) for name in images},
        caches={D: ImageCache(imports=(CACHE,), export=CACHE, mode="min")},
        push=True,
        local_images=True,
    )

    targets = json.loads(make_bake(order).render())["target"]

    assert targets[D]["cache-from"] == [f"type=registry,ref={CACHE}"]
    assert targets[D]["cache-to"] == ImageCache(export=CACHE, mode="min").targets
    assert targets[W]["cache-from"] == targets[D]["cache-from"]  # it has all steps of its base
    assert "cache-to" not in targets[W]


BASE, CHILD, OTHER = (replace(CACHE, repository=name) for name in ("base", "child", "other"))
BELOW = {"base": (), "child": ("base", "elsewhere"), "copies": ("base", "child"), "other": ("elsewhere",)}


def caches(*lacking: str, **more: ImageCache) -> dict[str, ImageCache]:
    """A cache for each image but `copies`, which has no steps of its own."""
    refs = {"base": BASE, "child": CHILD, "other": OTHER}
    return {n: ImageCache(imports=(r,), complete=n not in lacking) for n, r in refs.items()} | more


def test_an_image_reads_the_caches_of_all_its_bases_in_the_call() -> None:
    assert shared_imports(caches(), BELOW) == {
        "base": (BASE,),
        "child": (CHILD, BASE),
        "copies": (BASE, CHILD),
        "other": (OTHER,),
    }
    assert shared_imports(caches(), {"copies": ("child",)}) == {"copies": ()}


def test_an_image_whose_cache_lacks_steps_reads_those_of_all_others() -> None:
    new = caches(base=ImageCache())

    assert shared_imports(caches("other"), BELOW)["other"] == (OTHER, BASE, CHILD)
    assert shared_imports(new, BELOW)["base"] == (CHILD, OTHER)
    assert shared_imports(caches("other"), BELOW)["copies"] == (BASE, CHILD)


def test_a_call_of_many_images_limits_useless_cache_reads() -> None:
    """Every import is a few requests: where all images have other steps, they would be as many as squares."""
    many = {f"image{number}": () for number in range(50)}
    refs = {name: replace(CACHE, repository=name) for name in many}
    stale = {name: ImageCache(imports=(ref,)) for name, ref in refs.items()}
    stale["image7"] = replace(stale["image7"], complete=True)

    found = shared_imports(stale, many)

    assert found["image7"] == (refs["image7"],)
    assert found["image1"] == (refs["image1"], refs["image7"])


@pytest.mark.parametrize(
    ("env", "branch"),
    [
        ({}, ""),
        ({"GITHUB_HEAD_REF": "", "GITHUB_REF_NAME": "main"}, "main"),
        ({"GITHUB_HEAD_REF": "feature/x", "GITHUB_REF_NAME": "12/merge"}, "feature/x"),
        ({"CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/release/1"}, "release/1"),
        ({"CI_COMMIT_REF_NAME": "topic"}, "topic"),
    ],
)
def test_ci_names_the_branch_of_a_commit_that_is_checked_out_alone(env: dict[str, str], branch: str) -> None:
    assert branch_of_ci(env) == branch
