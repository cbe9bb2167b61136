from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from lamina.declare.uv_lock import Selection, UvLock
from lamina.errors import BuildError
from lamina.identify.derived import Derived
from lamina.identify.explain import differences
from lamina.identify.fingerprint import BuildInputs
from lamina.identify.image import identify
from lamina.identify.stage import StagedTree, stage
from uv_workspace import INSTALL, WORKSPACE, dockerfile, write_workspace

from ..conftest import Repo, Shelf

WHOLE = (WORKSPACE / "uv.lock").read_text("utf-8")
ROOT = (WORKSPACE / "pyproject.toml").read_text("utf-8")


@pytest.fixture
def workspace(repo: Repo) -> Repo:
    write_workspace(repo)
    return repo


def lock_of(repo: Repo, folder: Path, name: str = "ingest") -> str:
    """The lock that a build of the image gets."""
    image = repo.images(name)[name]
    staged = stage(
        folder,
        image.fingerprint,
        image.node.recipe.dockerfile.text,
        {"": StagedTree(root=image.root(""), context=image.contexts[""])},
    )
    return (staged.context() / "uv.lock").read_text("utf-8")


def moved(repo: Repo, old: str, new: str, path: str = "uv.lock") -> set[str]:
    """The images that a change rebuilds."""
    before = repo.fingerprints()
    repo.edit(path, old, new)
    after = repo.fingerprints()
    return {name for name in before if before[name] != after[name]}


def test_the_build_gets_the_excerpt_that_is_hashed(workspace: Repo, tmp_path: Path) -> None:
    text = lock_of(workspace, tmp_path / "stages")

    names = {each["name"] for each in tomllib.loads(text)["package"]}
    assert "requests" in names
    assert "httpx" not in names


def test_excerpts_and_requirements_are_derived_once(workspace: Repo, tmp_path: Path) -> None:
    def inputs(derived: Derived) -> Mapping[str, BuildInputs]:
        project, graph = workspace.project(), workspace.graph()
        bases = dict.fromkeys(graph.nodes, workspace.bases)
        images, _ = identify(project, graph, graph.nodes, prefix="", bases=bases, derived=derived)
        derived.save()
        return {name: image.inputs for name, image in images.items()}

    first = Derived(tmp_path / "derived.json")
    before = inputs(first)
    again = Derived(tmp_path / "derived.json")

    assert inputs(again) == before
    assert inputs(Derived()) == before
    assert first.made > 0
    assert again.made == 0


def test_a_lock_that_changes_before_it_is_staged_is_refused(workspace: Repo, tmp_path: Path) -> None:
    image = workspace.images("ingest")["ingest"]
    workspace.edit("uv.lock", "requests-2", "requests_2")

    with pytest.raises(BuildError, match="changed while it was being read"):
        stage(
            tmp_path / "stages",
            image.fingerprint,
            "",
            {"": StagedTree(root=image.root(""), context=image.contexts[""])},
        )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("requests-2", "requests_2", {"ingest"}),
        ("httpx-0", "httpx_0", {"report"}),
        ('name = "idna"\nversion = "', 'name = "idna"\nversion = "9', {"ingest", "report"}),
        ("colorama-0", "colorama_0", set()),
        ("iniconfig-2", "iniconfig_2", set()),
        ("mccabe-0", "mccabe_0", {"ingest"}),
        ('name = "report"\nversion = "1.0"', 'name = "report"\nversion = "1.1"', set()),
    ],
)
def test_a_line_of_the_lock_rebuilds_the_images_that_take_it(
    workspace: Repo, old: str, new: str, expected: set[str]
) -> None:
    assert moved(workspace, old, new) == expected


def test_a_new_member_rebuilds_nothing(workspace: Repo) -> None:
    added = '[[package]]\nname = "zebra"\nversion = "1.0"\nsource = { virtual = "functions/zebra" }\n'
    before = workspace.fingerprints()
    workspace.edit("uv.lock", '    "web",\n]', '    "web",\n    "zebra",\n]')
    workspace.write("uv.lock", (workspace.root / "uv.lock").read_text() + "\n" + added)

    assert workspace.fingerprints() == before


def test_tables_of_other_tools_do_not_count_in_a_project_file_that_only_uv_reads(workspace: Repo) -> None:
    assert moved(workspace, "line-length = 100", "line-length = 90", "pyproject.toml") == set()
    assert moved(workspace, 'members = ["packages/*"', 'members = ["*"', "pyproject.toml") == {
        "ingest",
        "report",
    }


def test_a_project_file_that_something_else_reads_counts_whole(workspace: Repo) -> None:
    workspace.edit("dockerfiles/report/Dockerfile", "CMD", "COPY pyproject.toml /\nCMD")

    assert moved(workspace, "line-length = 100", "line-length = 90", "pyproject.toml") == {"report"}


def test_a_project_file_with_a_header_in_a_text_counts_whole(workspace: Repo) -> None:
    workspace.write("pyproject.toml", ROOT + 'note = """\n[tool.uv]\n"""\n')

    assert moved(workspace, "line-length = 100", "line-length = 90", "pyproject.toml") == {"ingest", "report"}


@pytest.mark.parametrize(
    "options",
    [
        "sync --frozen --package ingest --no-install-workspace --no-dev",
        "sync --frozen --package=ingest --no-dev --no-editable --inexact --compile-bytecode",
        "export --frozen --package ingest > /tmp/r.txt && uv pip install -r /tmp/r.txt",
        "export --frozen --package ingest --no-hashes | uv pip install --target /deps -r -",
        "venv && uv sync --frozen --package ingest && rm -rf /root/.cache && find /deps -name tests",
        "sync --frozen --package Ingest && uv cache clean && python3 -m compileall -q /deps",
        "sync --frozen --package ingest && find /deps -name tests -exec rm -r {} +",
        "export --frozen --package ingest -o /a; grep -vxFf /b /a > /deps.txt || [ $? = 1 ]",
    ],
)
def test_steps_that_provably_install_a_member(workspace: Repo, options: str) -> None:
    step(workspace, f"uv {options}")

    assert "ingest" not in moved(workspace, "httpx-0", "httpx_0")


@pytest.mark.parametrize(
    "variables",
    [
        "UV_COMPILE_BYTECODE=1 UV_NO_INSTALLER_METADATA=1 UV_LINK_MODE=copy",
        "UV_NO_MANAGED_PYTHON=1 UV_PYTHON_CACHE_DIR=/c UV_COMPILE_BYTECODE_TIMEOUT=90",
        "UV_HTTP_CONNECT_TIMEOUT=5 UV_LOCK_TIMEOUT=60 UV_INSECURE_HOST=index.invalid",
    ],
)
def test_variables_that_say_where_and_how_uv_installs_change_nothing_of_what(
    workspace: Repo, variables: str
) -> None:
    """The first line is in uv's own guide to AWS Lambda."""
    workspace.edit("dockerfiles/ingest/Dockerfile", "RUN pip", f"ENV {variables}\nRUN pip")

    assert "ingest" not in moved(workspace, "httpx-0", "httpx_0")


@pytest.mark.parametrize(
    "command",
    [
        "uv sync --package ingest",
        "uv sync --locked --package ingest",
        "uv sync --frozen --all-packages",
        "uv sync --frozen --package ingest --some-option",
        "uv sync --frozen --package $MEMBER",
        "uv --directory /x sync --frozen --package ingest",
        "uv run --frozen --package ingest true",
        "cd /x && uv sync --frozen --package ingest",
        "uv sync --frozen --package ingest && cp uv.lock /var/task/",
        "uv sync --frozen --package ingest && cat uv.lock",
        "uv sync --frozen --package ingest && grep -r name",
        "uv sync --frozen --package ingest && grep name *",
        "uv sync --frozen --package ingest && grep -f /deps.txt u*",
        "uv sync --frozen --package ingest && grep -f /deps.txt /*/uv.loc?",
        "uv sync --frozen --package ingest && python3 install.py",
        "uv sync --frozen --package ingest && rm -rf .",
        "uv sync --frozen --package ingest && find /var/task -type f -exec cp {} /out +",
        "cat uv.lock <<EOF\nuv sync --frozen --package ingest\nEOF",
        "uv sync --frozen --package ingest > uv.lock",
        "echo $(cat uv.lock) && uv sync --frozen --package ingest",
        "UV_PROJECT=/x uv sync --frozen --package ingest",
        "uv sync --frozen --package ingest && uv pip install .",
        "uv sync --frozen",
        "true",
    ],
)
def test_any_other_step_gets_the_whole_lock(workspace: Repo, command: str, tmp_path: Path) -> None:
    step(workspace, command)

    assert lock_of(workspace, tmp_path / "stages") in {WHOLE, lock_of_root(command)}


def lock_of_root(command: str) -> str | None:
    """``uv sync`` without a member installs the project beside the lock."""
    alone = command == "uv sync --frozen"
    return UvLock(WHOLE).excerpt(Selection(folders=frozenset({"functions/ingest"}))) if alone else None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CMD", "COPY uv.lock /var/task/\nCMD"),
        ("CMD", "COPY . /src/\nCMD"),
        ("CMD", "COPY *.lock /src/\nCMD"),
        ("FROM --platform", "# syntax=x\nFROM --platform"),
        ("RUN pip", "ENV UV_PROJECT=/x\nRUN pip"),
        ("RUN pip", 'SHELL ["/bin/bash", "-c"]\nRUN pip'),
        (",target=uv.lock", ",target=sub/uv.lock"),
        (",target=uv.lock", ",target=/other/uv.lock"),
        (",target=uv.lock", ",target=uv.lock,rw"),
    ],
)
def test_a_lock_that_may_be_read_otherwise_is_sent_whole(
    workspace: Repo, tmp_path: Path, old: str, new: str
) -> None:
    workspace.edit("dockerfiles/ingest/Dockerfile", old, new)

    text = lock_of(workspace, tmp_path / "stages")

    assert (text == WHOLE) is ("syntax" not in new)


def test_an_absolute_target_counts_if_it_is_the_working_folder(workspace: Repo, tmp_path: Path) -> None:
    path = "dockerfiles/ingest/Dockerfile"
    workspace.edit(path, "RUN pip", "WORKDIR /srv\nRUN pip")
    workspace.edit(path, ",target=uv.lock", ",target=/srv/uv.lock")

    assert lock_of(workspace, tmp_path / "stages") != WHOLE


def test_a_heredoc_is_read(workspace: Repo, tmp_path: Path) -> None:
    step(workspace, "<<EOF\nset -e\nuv sync --frozen --package ingest --no-dev\nEOF")

    assert lock_of(workspace, tmp_path / "stages") != WHOLE


def test_two_steps_get_what_both_take(workspace: Repo) -> None:
    text = dockerfile("ingest")
    other = text[text.index("RUN --mount") : text.index("\nFROM public")].replace("ingest", "report")
    workspace.write("dockerfiles/ingest/Dockerfile", text.replace("\nFROM public", f"{other}\nFROM public"))

    assert moved(workspace, "httpx-0", "httpx_0") == {"ingest", "report"}
    assert moved(workspace, "iniconfig-2", "iniconfig_2") == set()


def test_an_unusual_lock_is_sent_whole(workspace: Repo, tmp_path: Path) -> None:
    workspace.edit("uv.lock", "version = 1\n", "version = 9\n")

    assert "version = 9" in lock_of(workspace, tmp_path / "stages")
    assert "httpx" in lock_of(workspace, tmp_path / "again")


def test_the_reason_names_the_requirement_that_moved(workspace: Repo, shelf: Shelf) -> None:
    shelf.put(workspace.images().values())
    workspace.edit("uv.lock", 'name = "requests"\nversion = "2', 'name = "requests"\nversion = "3')

    reasons = workspace.rebuilds(shelf)

    assert reasons.keys() == {"ingest"}
    requirement, lock = reasons["ingest"]
    assert requirement.startswith("requirement requests==2.")
    assert " -> requests==3." in requirement
    assert lock == "uv.lock modified"


def test_the_reason_says_that_a_moved_requirement_is_not_used(workspace: Repo) -> None:
    step(workspace, "uv sync --locked --package ingest")
    before = workspace.images("ingest")["ingest"].inputs
    workspace.edit("uv.lock", 'name = "httpx"\nversion = "0', 'name = "httpx"\nversion = "1')

    texts = [each.text for each in differences(before, workspace.images("ingest")["ingest"].inputs)]

    assert texts == [
        "requirement httpx==0.28.1 -> httpx==1.28.1 (not used by this image)",
        "uv.lock modified",
    ]


def test_requirements_of_a_lock_hide_credentials(workspace: Repo) -> None:
    source = 'source = { git = "https://me:secret@host/requests?rev=1#2" }'
    workspace.edit(
        "uv.lock",
        'name = "requests"\nversion = "2.34.2"\nsource = { registry = "https://index.example/simple" }',
        f'name = "requests"\nversion = "2.34.2"\n{source}',
    )

    lines = workspace.images("ingest")["ingest"].inputs.requirements["uv.lock"]

    assert "requests @ https://***@host/requests?rev=1#2" in lines


def step(repo: Repo, command: str) -> None:
    """Give the image `ingest` another install step."""
    options = INSTALL.format(member="ingest")
    text = dockerfile("ingest")
    start, end = text.index("    uv export"), text.index("\nFROM public")
    assert options in text[start:end]
    repo.write("dockerfiles/ingest/Dockerfile", f"{text[:start]}    {command}\n{text[end:]}")
