from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from lamina.errors import BuildError
from lamina.files import EPOCH
from lamina.identify.image import Image
from lamina.identify.stage import StagedContext, StagedTree, stage

from ..conftest import Repo

CROWD = 4


@pytest.fixture
def app(repo: Repo) -> Repo:
    repo.config('[tool.lamina.images.app.contexts]\nlib = "third"\n')
    repo.image("app", "# why", "FROM scratch", "COPY src /", "COPY --from=lib x /")
    repo.write("src/a.py", "a\n")
    repo.write("src/run", "run\n", executable=True)
    repo.write("src/deep/er/b.py", "b\n")
    repo.folder("src/empty")
    repo.link("src/link", "../../outside")
    repo.write("src/naïve two\nlines", "x")
    repo.write("other", "not copied\n")
    repo.write("third/x", "x\n")
    return repo


def put(repo: Repo, folder: Path) -> StagedContext:
    return put_image(repo.images("app")["app"], folder)


def put_image(image: Image, folder: Path) -> StagedContext:
    trees = {
        name: StagedTree(root=image.root(name), context=context) for name, context in image.contexts.items()
    }
    return stage(folder, image.fingerprint, image.node.recipe.dockerfile.text, trees)


def listing(root: Path) -> set[str]:
    return {place.relative_to(root).as_posix() for place in root.rglob("*")}


def test_a_stage_holds_what_was_hashed_and_nothing_else(app: Repo, tmp_path: Path) -> None:
    staged = put(app, tmp_path / "stages")

    assert listing(staged.context()) == {
        "src", "src/a.py", "src/run", "src/deep", "src/deep/er", "src/deep/er/b.py", "src/empty", "src/link",
        "src/naïve two\nlines",
    }  # fmt: skip
    assert listing(staged.context("lib")) == {"x"}
    assert (staged.context() / "src/a.py").read_text() == "a\n"
    assert os.readlink(staged.context() / "src/link") == "../../outside"  # noqa: PTH115 - as stored
    assert staged.dockerfile.read_text().startswith("# why\nFROM scratch\n")
    ignore = staged.dockerfile.with_name("Dockerfile.dockerignore").read_text()
    assert all(line.startswith("#") for line in ignore.splitlines())


def test_modes_and_times_are_normal_whatever_they_were(app: Repo, tmp_path: Path) -> None:
    (app.root / "src/a.py").chmod(0o600)
    (app.root / "src/run").chmod(0o4711)
    (app.root / "src").chmod(0o700)
    before = os.umask(0o077)
    try:
        staged = put(app, tmp_path / "stages")
    finally:
        os.umask(before)

    root = staged.context()
    modes = {
        name: (root / name).stat().st_mode & 0o7777 for name in ("src", "src/a.py", "src/run", "src/empty")
    }
    assert modes == {"src": 0o755, "src/a.py": 0o644, "src/run": 0o755, "src/empty": 0o755}
    assert root.stat().st_mode & 0o777 == 0o755
    for place in (root, *root.rglob("*")):
        assert int(place.lstat().st_mtime) == EPOCH


def test_an_edit_of_equal_length_has_another_time(app: Repo, tmp_path: Path) -> None:
    one = put(app, tmp_path / "stages").context() / "src/a.py"
    app.write("src/a.py", "z\n")
    two = put(app, tmp_path / "stages").context() / "src/a.py"

    assert one.stat().st_size == two.stat().st_size
    assert one.stat().st_mtime_ns != two.stat().st_mtime_ns
    assert int(one.stat().st_mtime) == int(two.stat().st_mtime)


def test_the_same_content_is_staged_once(app: Repo, tmp_path: Path) -> None:
    first = put(app, tmp_path / "stages")
    inode = (first.context() / "src/a.py").stat().st_ino

    again = put(app, tmp_path / "stages")

    assert again == first
    assert (again.context() / "src/a.py").stat().st_ino == inode


def test_stages_made_at_the_same_time_do_not_disturb_each_other(app: Repo, tmp_path: Path) -> None:
    image = app.images("app")["app"]
    expected = contents(put_image(image, tmp_path / "alone"))

    def put_with_others(number: int) -> StagedContext:
        together.wait()
        return put_image(image, tmp_path / f"stages{number // CROWD}")

    together = threading.Barrier(CROWD, timeout=10)
    with ThreadPoolExecutor(CROWD) as pool:
        made = list(pool.map(put_with_others, range(40 * CROWD)))

    assert all(contents(each) == expected for each in made)


def truncated(file: Path) -> None:
    """Simulate a crash: the names are on the disk, the bytes are not."""
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    """Damage the file in place, keeping its size and time."""
    before = file.stat()
    file.write_bytes(bytes(each ^ 1 for each in file.read_bytes()))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def rewritten(file: Path) -> None:
    """Replace the file by another one, as `sed -i` does."""
    beside = file.with_name("sedX")
    beside.write_bytes(file.read_bytes() + b"more\n")
    beside.replace(file)


def made_a_folder(file: Path) -> None:
    file.unlink()
    (file / "deep").mkdir(parents=True)


def touched(file: Path) -> None:
    file.touch()


def made_private(file: Path) -> None:
    file.chmod(0o600)


DAMAGE = (truncated, flipped, rewritten, made_a_folder, touched, made_private, Path.unlink)


def contents(staged: StagedContext) -> dict[str, tuple[int, bytes]]:
    """Return path -> mode and content or target of everything a build reads."""
    return {
        place.relative_to(staged.folder).as_posix(): (
            place.lstat().st_mode,
            os.fsencode(place.readlink())
            if place.is_symlink()
            else place.read_bytes()
            if place.is_file()
            else b"",
        )
        for place in staged.folder.rglob("*")
    }


@pytest.mark.parametrize(
    "path", ["context/src/a.py", "contexts/lib/x", "Dockerfile", "Dockerfile.dockerignore"]
)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_stage_is_put_right_before_it_is_used(
    app: Repo, tmp_path: Path, damage: Callable[[Path], None], path: str
) -> None:
    first = put(app, tmp_path / "stages")
    before = contents(first)

    damage(first.folder / path)
    again = put(app, tmp_path / "stages")

    assert again == first
    assert contents(again) == before
    assert int((again.folder / "context/src/a.py").stat().st_mtime) == EPOCH
    assert int((again.folder / "context/src").stat().st_mtime) == EPOCH
    assert [each for each in (tmp_path / "stages").iterdir() if each != again.folder] == []


def test_extra_and_missing_files_are_put_right_as_well(app: Repo, tmp_path: Path) -> None:
    first = put(app, tmp_path / "stages")
    before = contents(first)

    (first.context() / "src/extra").mkdir()
    (first.context() / "src/extra/file").write_text("x")
    (first.folder / "more").write_text("x")
    (first.context() / "src/link").unlink()
    (first.context() / "src/link").symlink_to("elsewhere")
    (first.context() / "src/empty").rmdir()
    shutil.rmtree(first.context() / "src/deep")
    (first.context() / "src/deep").symlink_to(app.root)
    (first.context() / "src").chmod(0o700)

    assert contents(put(app, tmp_path / "stages")) == before


def test_the_right_bytes_come_under_another_time_than_the_wrong_ones_had(app: Repo, tmp_path: Path) -> None:
    """BuildKit does not transfer a file with the same size and time as the one it has."""
    file = put(app, tmp_path / "stages").context() / "src/a.py"
    sent = file.stat().st_mtime_ns

    flipped(file)
    put(app, tmp_path / "stages")

    assert file.read_text() == "a\n"
    assert file.stat().st_mtime_ns != sent


def test_damage_does_not_get_into_the_next_stage_by_a_link(app: Repo, tmp_path: Path) -> None:
    first = put(app, tmp_path / "stages")
    flipped(first.context() / "src/run")
    app.write("src/a.py", "new\n")

    second = put(app, tmp_path / "stages")

    assert (second.context() / "src/run").read_text() == "run\n"


def test_a_stage_that_is_a_file_is_replaced(app: Repo, tmp_path: Path) -> None:
    first = put(app, tmp_path / "stages")
    before = contents(first)
    shutil.rmtree(first.folder)
    first.folder.write_text("damaged")

    assert contents(put(app, tmp_path / "stages")) == before


def test_a_change_after_the_proof_is_seen(app: Repo, tmp_path: Path) -> None:
    for damage in DAMAGE:
        staged = put(app, tmp_path / "stages")
        assert staged.intact
        damage(staged.context() / "src/a.py")
        assert not staged.intact, damage
        assert put(app, tmp_path / "stages").intact


def test_a_file_that_came_and_went_is_seen(app: Repo, tmp_path: Path) -> None:
    staged = put(app, tmp_path / "stages")
    (staged.context() / "src/4913").write_text("an editor tries the folder\n")
    (staged.context() / "src/4913").unlink()

    assert not staged.intact


def test_a_stage_that_is_linked_from_is_still_as_it_was_proved(app: Repo, tmp_path: Path) -> None:
    first = put(app, tmp_path / "stages")
    app.write("src/a.py", "new\n")
    put(app, tmp_path / "stages")

    assert first.intact


def test_a_stage_that_went_is_not_intact(app: Repo, tmp_path: Path) -> None:
    staged = put(app, tmp_path / "stages")
    shutil.rmtree(tmp_path / "stages")

    assert not staged.intact
    assert put(app, tmp_path / "stages").intact


def test_a_comment_stages_the_dockerfile_again_and_links_the_files(app: Repo, tmp_path: Path) -> None:
    """Build errors name lines of the staged Dockerfile."""
    first = put(app, tmp_path / "stages")
    app.edit("dockerfiles/app/Dockerfile", "# why", "# because")

    again = put(app, tmp_path / "stages")

    assert "# because" in again.dockerfile.read_text()
    assert "# why" in first.dockerfile.read_text()
    assert (again.context() / "src/a.py").stat().st_ino == (first.context() / "src/a.py").stat().st_ino


def test_unchanged_files_are_linked_and_changed_ones_are_new(app: Repo, tmp_path: Path) -> None:
    first = put(app, tmp_path / "stages")
    app.write("src/a.py", "new\n")
    app.remove("src/deep/er/b.py")

    second = put(app, tmp_path / "stages")

    assert second != first
    assert (second.context() / "src/run").samefile(first.context() / "src/run")
    assert not (second.context() / "src/a.py").samefile(first.context() / "src/a.py")
    assert (first.context() / "src/a.py").read_text() == "a\n"
    assert (second.context() / "src/a.py").read_text() == "new\n"
    assert not (second.context() / "src/deep/er/b.py").exists()


def test_a_mode_that_changed_is_not_linked(app: Repo, tmp_path: Path) -> None:
    put(app, tmp_path / "stages")
    (app.root / "src/a.py").chmod(0o755)

    staged = put(app, tmp_path / "stages")

    assert (staged.context() / "src/a.py").stat().st_mode & 0o777 == 0o755


def test_a_file_that_changed_since_it_was_hashed_stops_the_build(app: Repo, tmp_path: Path) -> None:
    image = app.images("app")["app"]
    trees = {name: StagedTree(root=image.root(name), context=each) for name, each in image.contexts.items()}
    app.write("src/a.py", "meanwhile\n")

    with pytest.raises(BuildError) as caught:
        stage(tmp_path / "stages", image.fingerprint, "FROM scratch\n", trees)

    assert str(caught.value) == "src/a.py: changed while it was being read\n  next: run again"
    assert list((tmp_path / "stages").iterdir()) == []


def test_a_link_that_changed_stops_the_build_as_well(app: Repo, tmp_path: Path) -> None:
    image = app.images("app")["app"]
    trees = {name: StagedTree(root=image.root(name), context=each) for name, each in image.contexts.items()}
    app.link("src/link", "elsewhere")

    with pytest.raises(BuildError, match="src/link: changed while"):
        stage(tmp_path / "stages", image.fingerprint, "FROM scratch\n", trees)


def test_a_file_that_went_stops_the_build(app: Repo, tmp_path: Path) -> None:
    image = app.images("app")["app"]
    trees = {name: StagedTree(root=image.root(name), context=each) for name, each in image.contexts.items()}
    app.remove("src/a.py")

    with pytest.raises(BuildError, match=r"cannot stage the context: No such file or directory: .*src/a\.py"):
        stage(tmp_path / "stages", image.fingerprint, "FROM scratch\n", trees)
    assert list((tmp_path / "stages").iterdir()) == []


def test_a_full_disk_is_reported_and_nothing_is_left(
    app: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)  # stands in for a disk that cannot be filled here

    with pytest.raises(BuildError) as caught:
        put(app, tmp_path / "stages")

    assert "the disk is full: No space left on device" in str(caught.value)
    assert "next: free some space and run again; nothing was recorded" in str(caught.value)
    assert list((tmp_path / "stages").iterdir()) == []


def test_old_stages_are_forgotten_but_not_those_in_use(app: Repo, tmp_path: Path) -> None:
    stages = [put(app, tmp_path / "stages")]
    for number in range(4):
        app.write("src/a.py", f"{number}\n")
        stages.append(put(app, tmp_path / "stages"))
    assert all(each.folder.is_dir() for each in stages)

    for age, each in enumerate(reversed(stages)):
        os.utime(each.folder, (EPOCH - age, EPOCH - age))
    app.write("src/a.py", "last\n")
    last = put(app, tmp_path / "stages")

    kept = {each.name for each in (tmp_path / "stages").iterdir()}
    assert kept == {last.folder.name, stages[-1].folder.name}


def test_a_half_made_stage_of_a_killed_run_does_no_harm(app: Repo, tmp_path: Path) -> None:
    (tmp_path / "stages/.new-dead/context/src").mkdir(parents=True)

    assert (put(app, tmp_path / "stages").context() / "src/a.py").is_file()
