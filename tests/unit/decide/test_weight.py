from __future__ import annotations

import os

from lamina.decide.weight import HEAVY, heaviest
from lamina.identify.context import ContextFile

from ..conftest import Repo


def file(path: str, size: int) -> ContextFile:
    return ContextFile(path=path, kind="file", sha256="", size=size)


def sparse(repo: Repo, path: str, size: int) -> None:
    """A file of that many bytes, which takes no place on the disk."""
    os.truncate(repo.write(path), size)


def test_folders_are_reported_by_what_weighs_in_them() -> None:
    files = [file("src/a/big.bin", 60), file("src/a/x", 1), file("src/b/1", 10), file("src/b/2", 10)]
    files += [file(f"src/c/{number}", 3) for number in range(9)]

    assert heaviest(files, 3) == [("src/a/big.bin", 60), ("src/c", 27), ("src/b/1", 10)]


def test_nothing_weighs_nothing() -> None:
    assert heaviest([], 3) == []
    assert heaviest([file("a/b", 0), file("a", 0)], 3) == []


def test_a_heavy_context_is_noted_with_its_heaviest_parts(app: Repo) -> None:
    sparse(app, "src/models/large.bin", HEAVY)
    for number in range(4):
        sparse(app, f"src/data/{number}.csv", 3_000_000)

    (note,) = app.notes()

    assert note == (
        "dockerfiles/app/Dockerfile: app takes 62.0 MB from the context: "
        "src/models/large.bin 50.0 MB, src/data 12.0 MB\n"
        "  next: ignore the files it does not need in dockerfiles/app/Dockerfile.dockerignore"
    )


def test_the_ignore_file_in_use_is_the_one_to_edit(app: Repo) -> None:
    sparse(app, "src/large.bin", HEAVY)
    app.write(".dockerignore", "# nothing\n")

    (note,) = app.notes()

    assert note.endswith("files it does not need in .dockerignore")


def test_a_named_context_is_weighed_by_itself(app: Repo) -> None:
    app.config('[tool.lamina.images.app.contexts]\nvendor = "third"\n')
    app.image("app", "FROM scratch", "COPY --from=vendor . /")
    sparse(app, "third/large.bin", HEAVY + 1)

    (note,) = app.notes()

    assert "app takes 50.0 MB from the context vendor: large.bin 50.0 MB" in note
    assert note.endswith(f" {app.root}/third/.dockerignore")


def test_a_context_of_just_that_size_is_fine(app: Repo) -> None:
    sparse(app, "src/large.bin", HEAVY - (app.root / "src/handler.py").stat().st_size)

    assert app.notes() == []
