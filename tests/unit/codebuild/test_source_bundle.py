from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

from lamina.codebuild.source_bundle import SourceBundle, make_bundle, write_zip
from lamina.identify.stage import StagedContext, StagedTree, stage

from ..conftest import RUNTIME, Repo


def staged(repo: Repo, folder: Path) -> dict[str, StagedContext]:
    return {
        name: stage(
            folder / name,
            image.fingerprint,
            image.node.recipe.dockerfile.text,
            {key: StagedTree(root=image.root(key), context=each) for key, each in image.contexts.items()},
        )
        for name, image in repo.images().items()
    }


def bundle(repo: Repo, folder: Path, **texts: str) -> SourceBundle:
    folder.mkdir()
    return make_bundle(folder, {"bake-1.json": "{}\n", **texts}, staged(repo, folder / "stages"))


def files(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "COPY src/ /var/task/", "COPY --from=data . /data/")
    repo.config('[tool.lamina.images.app.contexts]\ndata = "data"\n')
    repo.write("data/table.json", "{}\n")
    repo.write("src/run.sh", "#!/bin/sh\n")
    (repo.root / "src/run.sh").chmod(0o755)
    repo.write("src/a name\nof two lines", "odd\n")
    (repo.root / "src/empty").mkdir()
    (repo.root / "src/link").symlink_to("run.sh")


def test_the_same_files_make_the_same_zip(repo: Repo, tmp_path: Path) -> None:
    files(repo)
    first = bundle(repo, tmp_path / "first")
    os.utime(repo.root / "src/run.sh", (1, 1))
    second = bundle(repo, tmp_path / "second")
    write_zip(first, tmp_path / "first.zip")
    write_zip(second, tmp_path / "second.zip")

    assert first.key == second.key
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    assert bundle(repo, tmp_path / "third", more="x").key != first.key
    repo.write("data/table.json", "[]\n")
    assert bundle(repo, tmp_path / "fourth").key != first.key


def test_unpacked_files_are_the_staged_ones(repo: Repo, tmp_path: Path) -> None:
    files(repo)
    made = bundle(repo, tmp_path / "made")
    write_zip(made, tmp_path / "source.zip")
    with zipfile.ZipFile(tmp_path / "source.zip") as archive:
        assert sorted(archive.namelist()) == ["bake-1.json", "contexts.tar"]
        archive.extractall(tmp_path / "there")
    with tarfile.open(tmp_path / "there/contexts.tar") as archive:
        archive.extractall(tmp_path / "there", filter="fully_trusted")
        assert {(each.uid, each.uname) for each in archive} == {(0, "")}
    here = next((tmp_path / "made/stages/app").iterdir())
    there = tmp_path / "there/contexts/app"

    assert not (there / "files.json").exists()
    for path in (here / "Dockerfile", *(here / "context").rglob("*"), *(here / "contexts").rglob("*")):
        twin = there / path.relative_to(here)
        assert twin.lstat().st_mode == path.lstat().st_mode
        if path.is_symlink():
            assert twin.readlink() == path.readlink()
        elif path.is_file():
            assert twin.read_bytes() == path.read_bytes()
            if path.name != "Dockerfile":
                assert abs(twin.stat().st_mtime_ns - path.stat().st_mtime_ns) < 1000


def test_files_that_two_stages_share_are_whole_in_both(app: Repo, tmp_path: Path) -> None:
    app.write("src/same.py", "same = True\n")
    folder = tmp_path / "stages"
    staged(app, folder)
    app.write("src/handler.py", "def handler(event, context): return 1\n")
    tmp_path.joinpath("out").mkdir()
    app.image("twin", f"FROM {RUNTIME}", "COPY src /var/task/")
    made = make_bundle(tmp_path / "out", {}, staged(app, folder))

    with tarfile.open(made.contexts) as archive:
        for name in ("app", "twin"):
            file = archive.extractfile(f"contexts/{name}/context/src/same.py")
            assert file is not None
            assert file.read() == b"same = True\n"
            assert archive.getmember(f"contexts/{name}/context/src/same.py").isreg()
