"""The variants: repositories, bake files, and reading the output."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from bench.cases import BY_NAME
from bench.locks import LOCK, pins
from bench.meter import Steps
from bench.recipes import recipes
from bench.tree import SAMPLE, Tree, copy_sample, make_functions, make_packages
from bench.variants import BakeVariant, Job, LaminaVariant
from lamina.declare.config import load_project
from lamina.declare.graph import read_graph
from lamina.errors import BuildError, ConfigError
from lamina.process import Completed

from ..conftest import ScriptedRunner

ROOT = Path(__file__).parents[3]
MEMBERS = ("receipt-dynamo", "receipt-label", "embedding-step-functions")
RUNTIME = "127.0.0.1:5000/lambda/python"
GIT = (("git",), Completed(code=0))


def git() -> ScriptedRunner:
    return ScriptedRunner([GIT, GIT, GIT])


def sample(folder: Path, variant: str) -> Tree:
    return copy_sample(git(), ROOT, folder, variant=variant, runtime=RUNTIME)


@pytest.mark.parametrize("variant", ["before", "seed", "bake", "lamina"])
def test_every_variant_builds_the_same_images_on_the_same_runtime(tmp_path: Path, variant: str) -> None:
    tree = sample(tmp_path, variant)

    graph = read_graph(load_project(tree.root, env={}))

    assert sorted(graph.nodes) == sorted(SAMPLE)
    outside = {each.name for node in graph.nodes.values() for each in node.externals}
    assert outside == {f"{RUNTIME}:3.13"}
    for image, parent in SAMPLE.items():
        assert tuple(graph.nodes[image].parents) == ((parent,) if parent else ())


@pytest.mark.parametrize("variant", ["before", "seed"])
def test_packages_of_pip_are_pinned_and_may_pass_an_inspecting_proxy(variant: str) -> None:
    for recipe in recipes(variant, f"{RUNTIME}:3.13").values():
        for line in recipe.dockerfile.replace("\\\n", " ").splitlines():
            if "pip install" in line:
                assert line.count("pip install") <= line.count("constraints.txt")
                assert "--mount=type=secret,id=ca" in line


def test_before_copies_everything_and_installs_again_and_seed_does_not() -> None:
    before, seed = (recipes(variant, "x")["lambda-embedding"] for variant in ("before", "seed"))

    assert "COPY . " in before.dockerfile
    assert "--force-reinstall" in before.dockerfile
    assert before.ignore is None
    assert "COPY . " not in seed.dockerfile
    assert "--force-reinstall" not in seed.dockerfile
    assert "type=cache" in seed.dockerfile
    assert seed.ignore is not None
    assert seed.ignore.startswith("*\n")
    assert "**/tests" in seed.ignore


def test_edits_start_from_the_first_text_and_can_be_taken_back(tmp_path: Path) -> None:
    tree = sample(tmp_path, "lamina")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    for name in ("handler", "base-code", "dependency", "test-file"):
        BY_NAME[name].edit(tree, 0)
        first = {path: path.read_bytes() for path in before}
        BY_NAME[name].edit(tree, 1)
        second = {path: path.read_bytes() for path in before}
        changed = [path for path in before if second[path] != before[path]]
        assert len(changed) == (2 if name == "dependency" else 1)
        assert all(first[path] != second[path] for path in changed)
        assert all(first[path].count(b"\n") == second[path].count(b"\n") for path in changed)
        tree.reset()
        assert {path: path.read_bytes() for path in before} == before


def test_an_added_dependency_is_in_the_lock_of_all_that_require_the_base(tmp_path: Path) -> None:
    tree = sample(tmp_path, "lamina")
    before = {member: pins((tmp_path / LOCK).read_text(), member) for member in MEMBERS}

    tree.require("iniconfig")

    for member, old in before.items():
        now = pins((tmp_path / LOCK).read_text(), member)
        assert set(now) - set(old) == {"iniconfig==2.3.1"}


@pytest.mark.parametrize("variant", ["before", "seed"])
def test_pip_gets_the_versions_of_the_lock(tmp_path: Path, variant: str) -> None:
    lock = (ROOT / LOCK).read_text()
    sample(tmp_path, variant)

    files = [tmp_path / f"receipts/{each.replace('-', '_')}/constraints.txt" for each in MEMBERS]
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(set(pins(lock, MEMBERS[-1])))
    assert files[0].read_text().startswith("boto3==")
    assert not (tmp_path / LOCK).exists()


def test_the_bench_wants_the_sample(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in a clone"):
        copy_sample(ScriptedRunner(), tmp_path, tmp_path / "copy", variant="bake", runtime=RUNTIME)


def test_generated_repositories_have_as_many_images_and_files_as_asked(tmp_path: Path) -> None:
    functions = make_functions(git(), tmp_path / "functions", 10, runtime=RUNTIME)
    packages = make_packages(tmp_path / "packages", 4, 100)

    assert len(read_graph(load_project(functions.root, env={})).nodes) == len(functions.images) == 10
    assert len(read_graph(load_project(packages.root, env={})).nodes) == 4
    assert len([path for path in (packages.root / "packages").rglob("*") if path.is_file()]) == 100
    assert (functions.root / functions.handler).is_file()
    assert functions.edited in functions.handler


def job(**more: object) -> Job:
    tree = Tree(root=Path("/tree"), images=SAMPLE, edited="lambda-embedding", handler="h")
    return Job(tree=tree, **more)  # type: ignore[arg-type]


def test_the_bake_file_of_an_expert(tmp_path: Path) -> None:
    document = BakeVariant("bake", tmp_path).document(job(push=True, cache=True), "r/bake", "type=image")
    target = document["target"]["base-receipt-label"]

    assert document["group"]["default"]["targets"] == list(SAMPLE)
    assert target["contexts"] == {"base-receipt-dynamo:stable": "target:base-receipt-dynamo"}
    assert target["cache-from"] == ["type=registry,ref=r/bake/cache:base-receipt-label"]
    assert target["cache-to"] == [
        "type=registry,ref=r/bake/cache:base-receipt-label,mode=max,image-manifest=true,oci-mediatypes=true"
    ]
    assert "unpack=false" in target["output"][0]


@pytest.mark.parametrize("variant", ["before", "seed"])
def test_the_others_push_as_docker_does_and_share_no_cache(tmp_path: Path, variant: str) -> None:
    document = BakeVariant(variant, tmp_path).document(job(push=True, cache=True), "r", "type=image")
    target = document["target"]["lambda-embedding"]

    assert target["output"] == ["type=image,push=true"]
    assert "cache-from" not in target


def test_cold_shares_no_cache_and_stays_in_the_engine(tmp_path: Path) -> None:
    target = BakeVariant("bake", tmp_path).document(job(platform="linux/arm64"), "r", "type=docker")[
        "target"
    ]["lambda-embedding"]

    assert target["output"] == ["type=docker"]
    assert target["platforms"] == ["linux/arm64"]
    assert "cache-to" not in target


def events(*names: tuple[str, bool]) -> str:
    """Return buildx's progress: steps, and whether they were cached."""
    log = base64.b64encode(b"words").decode()
    return "\n".join(
        json.dumps(
            {
                "vertexes": [
                    {
                        "digest": f"sha256:{number}",
                        "name": name,
                        "cached": cached,
                        "started": "2025-01-01T00:00:00Z",
                        "completed": "2025-01-01T00:00:01Z",
                    }
                ],
                "logs": [{"vertex": f"sha256:{number}", "data": log}],
            }
        )
        for number, (name, cached) in enumerate(names)
    )


def test_an_image_of_bake_is_new_when_its_digest_is(tmp_path: Path) -> None:
    bake = BakeVariant("bake", tmp_path)
    told = Completed(
        code=0,
        stderr=events(
            ("[lambda-embedding internal] load build definition", False),
            ("[lambda-embedding deps 1/2] RUN pip", True),
            ("[lambda-embedding stage-1 2/2] COPY handler.py /", False),
        ),
    )

    def built(**digests: str) -> Steps:
        metadata = {name: {"containerimage.digest": digest} for name, digest in digests.items()}
        (tmp_path / "bake-metadata.json").write_text(json.dumps(metadata))
        return bake.read(job(), told)

    first = built(**{"lambda-embedding": "sha256:a", "lambda-word-label": "sha256:b"})
    assert first == Steps(cached=1, total=2, built=2, images=4)
    assert built(**{"lambda-embedding": "sha256:c", "lambda-word-label": "sha256:b"}).built == 1
    assert built(**{"lambda-embedding": "sha256:a"}).built == 0


def test_bake_without_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no metadata"):
        BakeVariant("bake", tmp_path).read(job(), Completed(code=0))


def test_actions_of_lamina_are_in_its_own_report() -> None:
    images = [
        {"action": "built", "cached": 2, "total": 3},
        {"action": "skipped", "cached": 0, "total": 0},
        {"action": "built", "cached": 1, "total": 1},
    ]

    read = LaminaVariant().read(job(), Completed(code=0, stdout=json.dumps({"images": images})))

    assert read == Steps(cached=3, total=4, built=2, images=3)
    with pytest.raises(BuildError, match="did not answer with JSON"):
        LaminaVariant().read(job(), Completed(code=0, stdout="hello"))
