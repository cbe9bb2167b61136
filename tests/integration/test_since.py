"""`plan --since`: what changed since a commit, in a real git repository, without an engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import Repo, write_tiny

D, L, T = "base-dynamo", "base-label", "lambda-tiny"
CI = {"GITHUB_BASE_REF": "", "CI_MERGE_REQUEST_DIFF_BASE_SHA": ""}


@pytest.fixture
def tree(tmp_path: Path) -> Repo:
    root = tmp_path / "repo"
    root.mkdir()
    repo = Repo(root)
    write_tiny(repo)
    repo.commit()
    return repo


def since(repo: Repo, revision: str, *words: str, **env: str) -> dict[str, list[str]]:
    return repo.ok("plan", f"--since={revision}", "--json", *words, env={**CI, **env}).images("reasons")


def test_nothing_changed_is_an_empty_list_and_passes_a_check(tree: Repo) -> None:
    assert since(tree, "HEAD") == {}
    assert tree.ok("plan", "--since", "HEAD", "--check").stdout == "0 of 3 images changed since HEAD\n"


def test_diff_tells_packages_of_requirements_and_lately_needed_seconds(tree: Repo) -> None:
    tree.write("requirements.txt", "requests==2.1\ngone==1\n")
    tree.append(f"dockerfiles/{T}/Dockerfile", "COPY requirements.txt /\n")
    tree.commit()
    tree.write("requirements.txt", "requests==2.2\nfresh==3\n")

    (found,) = tree.ok("diff", "--from", "HEAD", "--json", env=CI).json["images"]

    assert found["name"] == T
    assert {each["name"]: (each["before"], each["after"]) for each in found["packages"]} == {
        "fresh": (None, "3"),
        "gone": ("1", None),
        "requests": ("2.1", "2.2"),
    }
    assert (found["layers"], found["digest"], found["predicted_seconds"]) == (None, None, None)
    markdown = tree.ok("diff", "--from", "HEAD", "--format", "markdown", env=CI).stdout
    assert markdown.startswith("**1 image changes** since `HEAD`\n\n| image |")
    assert "| requests | 2.1 | 2.2 |" in markdown
    assert tree.fails(2, "diff", "--format", "markdwn").text.count("did you mean markdown?") == 1


def test_an_edited_base_affects_all_that_is_built_on_it(tree: Repo) -> None:
    tree.append("src/dynamo.py", "KEY = 1\n")

    assert since(tree, "HEAD") == {
        D: ["src/dynamo.py modified"],
        L: [f"parent {D}"],
        T: [f"parent {L}"],
    }
    assert since(tree, "HEAD", "--image", T).keys() == {T}
    tree.fails(7, "plan", "--since", "HEAD", "--check")


def test_new_and_removed_images_are_named(tree: Repo) -> None:
    tree.write("dockerfiles/lambda-new/Dockerfile", "FROM scratch\nCOPY src/label.py /\n")
    tree.git("rm", "-qr", f"dockerfiles/{T}")

    assert since(tree, "HEAD") == {"lambda-new": ["HEAD does not have it"], T: ["only HEAD has it"]}


def test_a_branch_is_compared_with_where_it_began_or_what_ci_names(tree: Repo) -> None:
    began = tree.git("rev-parse", "HEAD").strip()
    tree.git("branch", "-f", "main")
    tree.git("checkout", "-qB", "feature")
    tree.append("src/handler.py", "# more\n")
    tree.git("commit", "-qam", "second")
    head = tree.git("rev-parse", "HEAD").strip()

    assert f"1 of 3 images changed since {began[:12]}" in tree.ok("plan", "--since", env=CI).stdout
    assert since(tree, "auto", CI_MERGE_REQUEST_DIFF_BASE_SHA=head) == {}


def test_a_shallow_clone_says_how_to_get_the_history(tree: Repo) -> None:
    told = tree.fails(2, "plan", "--since", env={**CI, "GITHUB_BASE_REF": "main"}).stderr

    assert "--since: no commit is known to start from: origin/main" in told
    assert "fetch-depth: 0" in told


def test_an_unknown_revision_is_refused(tree: Repo) -> None:
    assert "--since: 'no-such' is not a commit" in tree.fails(2, "plan", "--since", "no-such").stderr
    assert "--since: '' is not a commit" in tree.fails(2, "plan", "--since", "").stderr


def test_a_commit_that_cannot_be_read_affects_every_image(tree: Repo) -> None:
    tree.replace(f"dockerfiles/{D}/Dockerfile", "FROM scratch", "FETCH x")
    tree.git("commit", "-qam", "broken")
    tree.replace(f"dockerfiles/{D}/Dockerfile", "FETCH x", "FROM scratch")

    done = tree.ok("plan", "--since", "HEAD", "--format", "github")

    assert done.stdout.splitlines()[1] == f'images=["{D}", "{L}", "{T}"]'
    assert "HEAD cannot be compared, so every image counts as affected" in done.stderr


def test_a_plan_is_a_matrix_with_bases_first(tree: Repo) -> None:
    matrix = json.loads(tree.ok("plan", "--offline", "--format", "matrix").stdout)

    assert [(each["image"], each["wave"]) for each in matrix["include"]] == [(D, 0), (L, 1), (T, 2)]


def test_paths_are_the_folders_behind_the_images(tree: Repo) -> None:
    tree.append("src/handler.py", "# more\n")

    assert tree.ok("plan", "--since", "HEAD", "--format", "paths").stdout == f"dockerfiles/{T}\nsrc\n"


def test_the_worktree_is_left_alone(tree: Repo) -> None:
    tree.append("src/handler.py", "# more\n")
    before = tree.git("status", "--porcelain=v2")

    tree.ok("plan", "--since", "HEAD")

    assert tree.git("status", "--porcelain=v2") == before
