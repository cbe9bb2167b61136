"""What is rebuilt when something changes: the acceptance scenarios that need no engine.

The mutation table is in test_mutations.py.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from lamina.identify.image import identify
from lamina.identify.tree import DiskFiles, TreeEntry

from ..conftest import Repo, Shelf

D, L, E, W = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding", "lambda-word-label"


@pytest.fixture
def built(receipts: Repo, shelf: Shelf) -> Repo:
    shelf.put(receipts.images().values())
    return receipts


def test_s0_unchanged_nothing_is_built(built: Repo, shelf: Shelf) -> None:
    plan = built.plan(shelf)

    assert plan.empty
    assert all("up to date" in decision.reasons[0] for decision in plan.decisions.values())


def test_s1_a_handler_concerns_its_image_alone(built: Repo, shelf: Shelf) -> None:
    built.write("embedding/handler.py", "import receipt_label  # better\n")

    assert built.rebuilds(shelf) == {E: ("embedding/handler.py modified",)}
    assert "up to date" in built.plan(shelf).decisions[W].reasons[0]


def test_s2_source_of_a_base_concerns_all_that_stand_on_it(built: Repo, shelf: Shelf) -> None:
    built.write("receipt_dynamo/receipt_dynamo/__init__.py", "VERSION = 2\n")

    assert built.rebuilds(shelf) == {
        D: ("receipt_dynamo/receipt_dynamo/__init__.py modified",),
        L: (f"parent {D}",),
        W: (f"parent {D}",),
        E: (f"parent {L}",),
    }


def test_s3_a_new_dependency_is_named(built: Repo, shelf: Shelf) -> None:
    built.edit("receipt_dynamo/pyproject.toml", '["boto3>=1"]', '["boto3>=1", "orjson==3"]')

    rebuilds = built.rebuilds(shelf)

    assert set(rebuilds) == {D, L, E, W}
    assert rebuilds[D] == ("requirement orjson==3 added", "receipt_dynamo/pyproject.toml modified")


@pytest.mark.parametrize(
    "path", ["receipt_dynamo/tests/test_all.py", "receipt_label/docs/index.md", "README.md", "NEW.md"]
)
def test_s4_tests_docs_and_the_root_readme_concern_no_image(built: Repo, shelf: Shelf, path: str) -> None:
    built.write(path, "changed\n")

    assert built.rebuilds(shelf) == {}


def test_s5_a_readme_that_is_wheel_metadata_counts(built: Repo, shelf: Shelf) -> None:
    built.write("receipt_label/README.md", "# better words\n")

    assert set(built.rebuilds(shelf)) == {L, E}
    assert "receipt_label/README.md" in built.files(L)


def test_s6_an_asset_counts_whatever_its_extension(built: Repo, shelf: Shelf) -> None:
    built.write("receipt_label/receipt_label/tables.json", '{"a": 1}\n')

    assert built.rebuilds(shelf)[L] == ("receipt_label/receipt_label/tables.json modified",)


def test_s7_a_renamed_file_counts_and_renamed_back_it_is_found(built: Repo, shelf: Shelf) -> None:
    before = built.fingerprints()
    old, new = (f"receipt_label/receipt_label/{name}.json" for name in ("tables", "lists"))
    built.move(old, new)

    assert built.rebuilds(shelf)[L] == (f"{new} added", f"{old} removed")

    shelf.put(built.images().values())
    built.move(new, old)
    assert built.rebuilds(shelf) == {}
    assert built.fingerprints() == before


def test_s8_a_revert_is_found_in_the_registry(built: Repo, shelf: Shelf) -> None:
    before = (built.root / "embedding/handler.py").read_bytes()
    built.write("embedding/handler.py", "broken\n")
    shelf.put(built.images().values())
    built.write("embedding/handler.py", before)

    plan = built.plan(shelf)

    assert plan.empty
    assert plan.decisions[E].reasons == (f"up to date: {plan.decisions[E].image.tag} is in the shelf",)


def test_s10_another_checkout_has_the_same_fingerprints(built: Repo, tmp_path: Path) -> None:
    before = built.fingerprints()
    other = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(built.root, other)
    for place in sorted(other.rglob("*"), reverse=True):  # umask 077, other times, written in another order
        place.chmod(0o700 if place.is_dir() else 0o600)
        os.utime(place, (1, 1))

    assert Repo(other).fingerprints() == before


def test_s10_the_order_in_which_a_disk_lists_names_is_nothing(built: Repo) -> None:
    class Shuffled(DiskFiles):
        def children(self, directory: str) -> list[TreeEntry]:
            found = list(super().children(directory))
            Random(directory).shuffle(found)
            return found

    built.image("whole", "FROM scratch", "COPY . /", "COPY receipt_*/*.toml /tomls/")
    project, graph = built.project(), built.graph()
    bases = dict.fromkeys(graph.nodes, built.bases)
    images, _ = identify(project, graph, graph.nodes, prefix="", bases=bases, files=Shuffled)
    assert {name: image.fingerprint for name, image in images.items()} == built.fingerprints()


def test_s14_a_declared_build_argument_concerns_its_users(built: Repo, shelf: Shelf) -> None:
    dockerfile = "dockerfiles/lambda-word-label/Dockerfile"
    built.edit(dockerfile, "COPY", "ARG MODEL=small\nARG TOKEN\nCOPY")
    shelf.put(built.images().values())
    built.config('[tool.lamina.args]\nMODEL = "large"\nUNUSED = "hush"\n')

    assert built.rebuilds(shelf) == {W: ("build argument MODEL changed",)}


def test_s14_an_undeclared_build_argument_is_only_a_note(built: Repo, shelf: Shelf) -> None:
    built.config(f'[tool.lamina.images.{E}.args]\nMODLE = "hush-hush"\n')

    assert built.rebuilds(shelf) == {}
    (note,) = built.notes()
    assert "build argument MODLE has no effect" in note
    assert "pyproject.toml:1" in note
    assert f"add ARG MODLE to dockerfiles/{E}/Dockerfile" in note


def test_s14_values_of_arguments_stay_out_of_inputs_and_reasons(built: Repo, shelf: Shelf) -> None:
    built.edit("dockerfiles/lambda-word-label/Dockerfile", "COPY", "ARG TOKEN\nCOPY")
    built.config('[tool.lamina.args]\nTOKEN = "hush-hush"\n')

    image = built.images()[W]

    assert "hush" not in str(image.inputs.document())
    assert "hush" not in str(built.rebuilds(shelf))


def test_s15_platforms_have_tags_of_their_own(built: Repo, shelf: Shelf) -> None:
    before = built.images()
    built.flags["platform"] = "linux/arm64"
    after = built.images()

    assert all(before[name].tag != after[name].tag for name in (D, L, E, W))
    assert built.rebuilds(shelf)[D] == ("platform linux/amd64 -> linux/arm64",)


def test_s20_a_comment_is_nothing_and_an_instruction_is(built: Repo, shelf: Shelf) -> None:
    dockerfile = "dockerfiles/base-receipt-label/Dockerfile"
    built.edit(dockerfile, "RUN pip", "# why: it is needed\n\nRUN pip")
    assert built.rebuilds(shelf) == {}

    built.edit(dockerfile, "RUN pip", "RUN echo hello\nRUN pip")
    assert built.rebuilds(shelf) == {L: ("Dockerfile: RUN added",), E: (f"parent {L}",)}


def test_s21_the_ignore_file_counts_by_what_it_lets_in(built: Repo, shelf: Shelf) -> None:
    built.edit(".dockerignore", "**/docs\n", "**/docs\n# a comment\nnothing-here\n")
    assert built.rebuilds(shelf) == {}

    built.edit(".dockerignore", "nothing-here", "receipt_label/receipt_label/*.json")
    assert built.rebuilds(shelf) == {
        L: (
            "1 removed file is hidden by line 4 `receipt_label/receipt_label/*.json` of .dockerignore",
            "receipt_label/receipt_label/tables.json removed",
        ),
        E: (f"parent {L}",),
    }


def test_s21_very_many_files_are_one_line(built: Repo, shelf: Shelf) -> None:
    for number in range(312):
        built.write(f"receipt_label/receipt_label/data/{number // 100}/{number:03}.json", str(number))
    label = built.plan(shelf).decisions[L]
    assert label.reasons == ("312 files added below receipt_label/receipt_label/data",)
    files = [each.subject for each in label.changes if each.after == "file"]
    assert len(files) == 312

    since = Shelf()
    since.put(built.images().values())
    built.edit(".dockerignore", "**/docs\n", "**/docs\n**/data\n")
    assert built.rebuilds(since) == {
        L: (
            "312 removed files are hidden by line 3 `**/data` of .dockerignore",
            "312 files removed below receipt_label/receipt_label/data",
        ),
        E: (f"parent {L}",),
    }


def test_s22_only_the_executable_bit_of_a_mode_counts(built: Repo, shelf: Shelf) -> None:
    handler = built.root / "embedding/handler.py"
    handler.chmod(0o664)
    os.utime(handler, (0, 0))
    assert built.rebuilds(shelf) == {}

    handler.chmod(0o645)  # anyone's
    assert built.rebuilds(shelf) == {E: ("embedding/handler.py is now executable",)}


@pytest.mark.parametrize(
    "path",
    [
        "__pycache__/tables.cpython-313.pyc",
        ".venv/pyvenv.cfg",
        ".mypy_cache/3.13/cache.json",
        "receipt_dynamo.egg-info/PKG-INFO",
        "stale.pyc",
        ".ruff_cache/0.1/x",
        "node_modules/x/index.js",
        ".git/config",
    ],
)
def test_s23_droppings_of_tools_are_nothing(built: Repo, shelf: Shelf, path: str) -> None:
    built.write(f"receipt_dynamo/receipt_dynamo/{path}", "x")

    assert built.rebuilds(shelf) == {}


def test_s32_static_images_stand_on_the_digest_of_stable(built: Repo) -> None:
    def tag(digest: str) -> str:
        return built.images(E, stable={L: digest})[E].tag

    here = tag("sha256:1")
    built.write("receipt_label/receipt_label/__init__.py", "other = 1\n")

    assert tag("sha256:1") == here
    assert tag("sha256:2") != here
    assert set(built.images(E, stable={L: "sha256:1"})) == {E}


def test_the_machine_counts_where_a_stage_asks_for_it(repo: Repo) -> None:
    repo.image("app", "FROM scratch", "ARG BUILDPLATFORM", "ARG TARGETARCH")

    assert set(repo.images()["app"].inputs.args) == {"BUILDPLATFORM", "TARGETARCH"}
