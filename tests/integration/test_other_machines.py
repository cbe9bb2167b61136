"""The same tree on another machine: the same fingerprints, and every step out of the first one's cache."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from buildkit import BuildKit, bake_of
from conftest import ENGINE, TestEngine, sampled
from projects import Repo

from lamina.process import SubprocessRunner
from lamina.sandbox import engine as sandbox
from mutations import DOCKERFILES, Scene, World, make_scene

pytestmark = pytest.mark.engine


@pytest.fixture
def second_engine() -> Iterator[TestEngine]:
    """An engine that has built nothing yet."""
    runner, name = SubprocessRunner(), f"tests-second-{os.getpid()}"
    running = sandbox.up(runner, name=name, say=print)
    yield TestEngine(host=running.host, docker=str(running.docker), buildx=(str(running.buildx),))
    sandbox.down(runner, name, purge=True)


@sampled("built_there", sample=("closed",), complete=("open", "usual", "closed", "rewritten"))
def test_another_machine_finds_the_same_images_and_runs_no_step(
    world: World, buildkit: BuildKit, second_engine: TestEngine, tmp_path: Path, built_there: tuple[str, ...]
) -> None:
    first = make_scene(tmp_path / "first", world)
    others = checkouts(first, tmp_path)
    expected = fingerprints(first.root)
    assert set(expected) == set(DOCKERFILES)
    for root, env in others.items():
        assert fingerprints(root, **env) == expected, f"{root.name} {env}"

    cache = f"type=registry,ref={world.registry}/cache/{{name}}:1"
    images = {name: first.image(name, prefix=f"{world.registry}/first/") for name in DOCKERFILES}
    bakes = {name: bake_of(first, image, tmp_path / "stages/first") for name, image in images.items()}
    built = buildkit.build(bakes, cache_to=f"{cache},mode=max,image-manifest=true,oci-mediatypes=true")
    home = tmp_path / "second"
    home.mkdir()
    second = BuildKit(engine=second_engine, home=home)
    for root in (each for each in others if each.name in built_there):
        scene = Scene(root, world)
        images = {name: scene.image(name, prefix=f"{world.registry}/{root.name}/") for name in DOCKERFILES}
        stages = tmp_path / "stages" / root.name
        bakes = {name: bake_of(scene, image, stages) for name, image in images.items()}
        found = second.build(bakes, cache_from=cache)
        for name in DOCKERFILES:
            assert found[name].steps
            assert found[name].ran == (), f"{root.name}: {name}"
            assert found[name].layers == built[name].layers
            assert found[name].since(built[name]) == "same"


def test_a_locale_that_cannot_read_names_is_refused(tiny: Repo) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = tiny.fails(2, "plan", env=ascii_only)
    assert "ascii" in done.text
    assert "PYTHONUTF8=1" in done.text
    tiny.ok("plan", env={**ascii_only, "PYTHONUTF8": "1"})


def checkouts(scene: Scene, folder: Path) -> dict[Path, dict[str, str]]:
    """The tree as others have it, each with the environment in which they work."""
    repo = Repo(scene.root)
    repo.commit()
    repo.git("commit", "--quiet", "--allow-empty", "--message", "More")
    nowhere = folder / "nowhere"
    nowhere.mkdir()
    found = {
        clone(scene, folder / "open", 0o000): {"LC_ALL": "C", "TZ": "Asia/Tokyo"},
        clone(scene, folder / "deeper" / "usual", 0o022): {"LC_ALL": "C.UTF-8", "PATH": str(nowhere)},
        clone(scene, folder / "closed", 0o077, "--depth=1"): {"LC_ALL": "POSIX", "TZ": "America/St_Johns"},
        rewritten(scene, folder / "rewritten"): {"LC_ALL": "xx_XX.ISO-8859-1", "TZ": "UTC"},
    }
    open_to = {root.name: (root / "src/run.sh").stat().st_mode & 0o777 for root in found}
    assert open_to == {"open": 0o777, "usual": 0o755, "closed": 0o700, "rewritten": 0o710}
    return found


def clone(scene: Scene, root: Path, umask: int, *words: str) -> Path:
    argv = ("git", "clone", "--quiet", *words, scene.root.as_uri(), str(root))
    subprocess.run(argv, umask=umask, env=Repo(scene.root).environment(), check=True)
    return root


def rewritten(scene: Scene, root: Path) -> Path:
    """A copy without git, written from the last name to the first, long ago."""
    for place in sorted(scene.root.rglob("*"), reverse=True):
        path = root / place.relative_to(scene.root)
        if {".git", ".lamina"} & set(path.parts):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink():
            path.symlink_to(place.readlink())
        elif place.is_file():
            path.write_bytes(place.read_bytes())
            path.chmod(0o710 if place.stat().st_mode & 0o100 else 0o640)
            os.utime(path, (1, 1))
    return root


def fingerprints(root: Path, **env: str) -> dict[str, str]:
    done = Repo(root, {"LAMINA_ENGINE": ENGINE, **env}).ok("plan", "--json")
    return dict(done.images("fingerprint"))
