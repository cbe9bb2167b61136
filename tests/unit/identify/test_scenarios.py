"""What is rebuilt when something changes: the acceptance scenarios that need no engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import RUNTIME, Repo, Shelf

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
def test_s4_tests_docs_and_the_root_readme_concern_nobody(built: Repo, shelf: Shelf, path: str) -> None:
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


def test_s14_a_declared_build_argument_concerns_its_users(built: Repo, shelf: Shelf) -> None:
    dockerfile = "dockerfiles/lambda-word-label/Dockerfile"
    built.edit(dockerfile, "COPY", "ARG MODEL=small\nARG TOKEN\nCOPY")
    shelf.put(built.images().values())
    built.config('[tool.lamina.args]\nMODEL = "large"\nUNUSED = "hush"\n')

    assert built.rebuilds(shelf) == {W: ("build argument MODEL changed",)}


def test_s14_an_undeclared_build_argument_is_only_told(built: Repo, shelf: Shelf) -> None:
    built.config(f'[tool.lamina.images.{E}.args]\nMODLE = "hush-hush"\n')

    assert built.rebuilds(shelf) == {}
    (note,) = built.notes()
    assert "build argument MODLE has no effect" in note
    assert "pyproject.toml:1" in note
    assert f"add ARG MODLE to dockerfiles/{E}/Dockerfile" in note


def test_s14_values_of_arguments_stay_out_of_bills_and_reasons(built: Repo, shelf: Shelf) -> None:
    built.edit("dockerfiles/lambda-word-label/Dockerfile", "COPY", "ARG TOKEN\nCOPY")
    built.config('[tool.lamina.args]\nTOKEN = "hush-hush"\n')

    image = built.images()[W]

    assert "hush" not in str(image.bill.document())
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


def test_s21_very_many_files_are_told_as_one(built: Repo, shelf: Shelf) -> None:
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


# The mutation table. The tree has one of everything; each mutation changes one thing.

STAGED = """\
ARG PYTHON=3.13
ARG UNUSED=1
FROM scratch AS tests
COPY unused /unused
RUN run-tests --hard

FROM public.ecr.aws/lambda/python:${PYTHON} AS deps
ARG LEVEL=1
ARG MODEL
RUN --mount=type=bind,source=bound/list.txt,target=/list.txt \\
    --mount=type=secret,id=token \\
    install /list.txt $LEVEL

FROM public.ecr.aws/lambda/python:${PYTHON}
COPY --from=deps /out /var/task/
COPY --from=docker.io/tools/uv:1 /uv /bin/
COPY src /var/task/src/
COPY lone.py link linkdir /var/task/
COPY wild/*.json /var/task/wild/
COPY --from=vendor lib /var/task/lib/
COPY <<EOF /etc/motd
welcome
EOF
ADD --checksum=sha256:1111111111111111111111111111111111111111111111111111111111111111 https://x.test/a /a
"""
UV = "docker.io/tools/uv:1"


@pytest.fixture
def mixed(repo: Repo) -> Repo:
    repo.config(
        '[tool.lamina.images.app]\nargs = { MODEL = "small" }\ncontexts = { vendor = "third/party" }\n'
    )
    repo.image("app", STAGED.rstrip(), ignore=["src/private", "**/*.log"])
    repo.write("src/a/handler.py", "a\n")
    repo.write("src/b/other.py", "b\n")
    repo.write("src/keep.log", "log\n")
    repo.write("src/private/notes.txt", "notes\n")
    repo.write("src/naïve name.txt", "ü\n")
    repo.link("src/inner", "a/handler.py")
    repo.write("lone.py", "lone\n")
    repo.write("real-one.txt", "one\n")
    repo.write("real-two.txt", "one\n")
    repo.link("link", "real-one.txt")
    repo.write("dir-one/x", "x\n")
    repo.write("dir-two/x", "x\n")
    repo.link("linkdir", "dir-one")
    repo.write("wild/a.json", "{}\n")
    repo.write("wild/a.txt", "text\n")
    repo.write("bound/list.txt", "boto3\n")
    repo.write("unused/x", "x\n")
    repo.write("elsewhere/x", "x\n")
    repo.write("third/party/lib/lib.py", "lib\n")
    repo.write("third/party/more.py", "more\n")
    repo.bases[UV] = "sha256:" + "2" * 64
    return repo


def _swap(repo: Repo) -> None:
    repo.move("src/a/handler.py", "tmp")
    repo.move("src/b/other.py", "src/a/handler.py")
    repo.move("tmp", "src/b/other.py")


def _chmod(path: str, mode: int) -> Callable[[Repo], None]:
    return lambda repo: (repo.root / path).chmod(mode)


def _write(path: str, content: str | bytes = "new\n") -> Callable[[Repo], object]:
    return lambda repo: repo.write(path, content)


def _dockerfile(old: str, new: str) -> Callable[[Repo], None]:
    return lambda repo: repo.edit("dockerfiles/app/Dockerfile", old, new)


def _crlf(repo: Repo) -> None:
    text = STAGED.replace("EOF\nwelcome\nEOF", "EOF\nwelcome\nEOF").encode()
    head, body, tail = text.partition(b"COPY <<EOF /etc/motd\nwelcome\nEOF\n")
    repo.write(
        "dockerfiles/app/Dockerfile", head.replace(b"\n", b"\r\n") + body + tail.replace(b"\n", b"\r\n")
    )


CHANGES: dict[str, Callable[[Repo], object]] = {
    "a copied file edited": _write("src/a/handler.py"),
    "a copied file made executable": _chmod("src/a/handler.py", 0o755),
    "a copied file moved": lambda repo: repo.move("src/a/handler.py", "src/b/handler.py"),
    "the contents of two files swapped": _swap,
    "a copied link retargeted": lambda repo: repo.link("src/inner", "b/other.py"),
    "a copied link left dangling": lambda repo: repo.link("src/inner", "nowhere"),
    "a link at the source retargeted to the same bytes": lambda repo: repo.link("link", "real-two.txt"),
    "the target of a link at the source edited": _write("real-one.txt"),
    "a file below a linked folder edited": _write("dir-one/x"),
    "a linked folder retargeted": lambda repo: repo.link("linkdir", "dir-two"),
    "an empty file": _write("src/empty", ""),
    "an empty folder": lambda repo: repo.folder("src/hollow"),
    "a file becomes a folder": lambda repo: (repo.remove("src/b/other.py"), repo.folder("src/b/other.py")),
    "a build argument": lambda repo: repo.edit("pyproject.toml", "small", "large"),
    "a build argument goes": lambda repo: repo.edit("pyproject.toml", 'MODEL = "small"', ""),
    "the default of an ARG": _dockerfile("LEVEL=1", "LEVEL=2"),
    "a global ARG used in FROM": _dockerfile("PYTHON=3.13", "PYTHON=3.12"),
    "the digest of the runtime": lambda repo: repo.bases.update({RUNTIME: "sha256:" + "9" * 64}),
    "the digest of an image that is copied from": lambda repo: repo.bases.update({UV: "sha256:" + "9" * 64}),
    "the target": lambda repo: repo.edit("pyproject.toml", "args =", 'target = "deps"\nargs ='),
    "the platform": lambda repo: repo.flags.update(platform="linux/arm64"),
    "a file used by a bind mount only": _write("bound/list.txt"),
    "a file of a named context": _write("third/party/lib/lib.py"),
    "an ignore rule more": lambda repo: repo.edit(
        "dockerfiles/app/Dockerfile.dockerignore", "src/private", "src/private\nsrc/b"
    ),
    "an exception from an ignore rule": lambda repo: repo.edit(
        "dockerfiles/app/Dockerfile.dockerignore", "**/*.log", "**/*.log\n!src/keep.log"
    ),
    "the body of a heredoc": _dockerfile("welcome", "go away"),
    "the line ends of a heredoc": _dockerfile("welcome\n", "welcome\r\n"),
    "the quotes of a heredoc": _dockerfile("<<EOF", "<<'EOF'"),
    "the line ends of a copied file": _write("src/a/handler.py", "a\r\n"),
    "a file with spaces and umlauts": _write("src/naïve name.txt"),
    "a file with a line break in its name": _write("src/two\nlines", "x"),
    "a wildcard gains a match": _write("wild/b.json", "{}\n"),
    "an instruction": _dockerfile("install /list.txt", "install -v /list.txt"),
    "a flag": _dockerfile("COPY src", "COPY --chmod=755 src"),
    "another id of a secret": _dockerfile("id=token", "id=other"),
    "the checksum of a URL": _dockerfile("sha256:1", "sha256:2"),
    "a stage more is used": _dockerfile("COPY src", "COPY --from=tests /unused /\nCOPY src"),
    "the frontend": _dockerfile("ARG PYTHON", "# syntax=docker/dockerfile:1.4\nARG PYTHON"),
    "the platform of a stage": _dockerfile("FROM public", "FROM --platform=linux/s390x public"),
}
NO_CHANGES: dict[str, Callable[[Repo], object]] = {
    "nothing": lambda repo: None,
    "a file that is not copied": _write("elsewhere/x"),
    "umask drift": _chmod("src/a/handler.py", 0o664),
    "a folder's mode": _chmod("src/a", 0o700),
    "times": lambda repo: os.utime(repo.root / "src/a/handler.py", (5, 5)),
    "a comment": _dockerfile("COPY src", "# why\n\nCOPY src"),
    "a comment within an instruction": _dockerfile(
        "    --mount=type=secret", "    # hush\n    --mount=type=secret"
    ),
    "the line ends of the Dockerfile": _crlf,
    "a stage that is not used": _dockerfile("run-tests --hard", "run-tests --soft"),
    "a file of a stage that is not used": _write("unused/x"),
    "a global ARG that nobody uses": _dockerfile("UNUSED=1", "UNUSED=2"),
    "an undeclared build argument": lambda repo: repo.edit("pyproject.toml", "MODEL", 'OTHER = "x", MODEL'),
    "an ignored file": _write("src/private/notes.txt"),
    "an ignored log": _write("src/new.log"),
    "a wildcard gains no match": _write("wild/b.txt"),
    "a file of a named context that is not copied": _write("third/party/more.py"),
    "an ignore rule that hides nothing": lambda repo: repo.edit(
        "dockerfiles/app/Dockerfile.dockerignore", "src/private", "src/private\nnobody"
    ),
    "the same file written anew": _write("src/a/handler.py", "a\n"),
    "an unused target of a link": _write("real-two.txt", "two\n"),
    "a secret": lambda repo: repo.config(
        (repo.root / "pyproject.toml").read_text()
        + '[tool.lamina.secrets]\ntoken = { file = "elsewhere/x" }\n'
    ),
    "the stack": lambda repo: repo.flags.update(stack="prod"),
    "local state": _write(".lamina/manifest.json", "{}"),
    "a named context that nobody reads": lambda repo: repo.edit(
        "pyproject.toml", "{ vendor", '{ o = "src", vendor'
    ),
}


@pytest.mark.parametrize("mutation", CHANGES.values(), ids=CHANGES)
def test_never_stale(mixed: Repo, mutation: Callable[[Repo], object]) -> None:
    before = mixed.fingerprints()
    mutation(mixed)
    assert mixed.fingerprints() != before


@pytest.mark.parametrize("mutation", NO_CHANGES.values(), ids=NO_CHANGES)
def test_never_extra(mixed: Repo, mutation: Callable[[Repo], object]) -> None:
    before = mixed.fingerprints()
    mutation(mixed)
    assert mixed.fingerprints() == before


def test_every_change_is_another_one(mixed: Repo, tmp_path: Path) -> None:
    seen: dict[str, str] = {}
    for name, mutation in CHANGES.items():
        copy = Repo(tmp_path / name.replace(" ", "-"), bases=dict(mixed.bases))
        shutil.copytree(mixed.root, copy.root, symlinks=True)
        mutation(copy)
        assert seen.setdefault(copy.fingerprints()["app"], name) == name


def test_a_file_of_the_whole_context_counts(repo: Repo) -> None:
    repo.image("app", "FROM scratch", "COPY . /app/")
    before = repo.fingerprints()
    repo.write("anywhere/at/all.txt", "x")

    assert repo.fingerprints() != before
    assert "dockerfiles/app/Dockerfile" in repo.files("app")


def test_the_machine_counts_where_a_stage_asks_for_it(repo: Repo) -> None:
    repo.image("app", "FROM scratch", "ARG BUILDPLATFORM", "ARG TARGETARCH")

    assert set(repo.images()["app"].bill.args) == {"BUILDPLATFORM", "TARGETARCH"}
