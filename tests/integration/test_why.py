"""`why`: two states of an image, down to the file that started it; an engine only where images are built."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import Done, Repo, write_tiny


@pytest.fixture
def tree(tmp_path: Path) -> Repo:
    root = tmp_path / "repo"
    root.mkdir()
    repo = Repo(root)
    write_tiny(repo)
    return repo


def changes(repo: Repo, *words: str) -> dict[str, list[str]]:
    """Image -> its differences, by `why` of the function."""
    return texts(repo.ok("why", "lambda-tiny", "--json", *words))


def texts(done: Done) -> dict[str, list[str]]:
    return {name: [each["text"] for each in found] for name, found in done.images("changes").items()}


FROM_THE_BASE = {
    "lambda-tiny": ["parent base-label"],
    "base-label": ["parent base-dynamo"],
    "base-dynamo": ["src/dynamo.py modified"],
}


def test_a_commit_and_the_worktree_down_to_the_file(tree: Repo) -> None:
    tree.commit()
    tree.append("src/dynamo.py", "KEY = 1\n")

    assert changes(tree, "--from", "HEAD") == FROM_THE_BASE
    text = tree.ok("why", "lambda-tiny", "--from", "HEAD").stdout
    assert "      base-dynamo: src/dynamo.py modified" in text


def test_two_commits_leave_worktree_and_index_alone(tree: Repo) -> None:
    tree.commit()
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "handler.handler", "handler.other")
    tree.git("commit", "--quiet", "--all", "--message", "Other handler")
    tree.append("src/label.py", "# under way\n")
    before = tree.git("status", "--porcelain=v2")

    assert changes(tree, "--from", "HEAD~1", "--to", "HEAD") == {"lambda-tiny": ["Dockerfile: CMD changed"]}
    assert tree.git("status", "--porcelain=v2") == before


def test_nothing_differs(tree: Repo) -> None:
    tree.commit()

    assert changes(tree, "--from", "HEAD") == {"lambda-tiny": []}
    assert "nothing differs" in tree.ok("why", "lambda-tiny", "--from", "HEAD").stdout


def test_an_image_that_was_never_built_here(tree: Repo) -> None:
    assert changes(tree) == {"lambda-tiny": ["nothing is known of it before"]}


def test_an_unknown_state(tree: Repo) -> None:
    done = tree.fails(2, "why", "lambda-tiny", "--from", "nosuch")

    assert "'nosuch' is not a state of lambda-tiny" in done.text
    assert "worktree, last, a git revision" in done.text


def test_an_unknown_image(tree: Repo) -> None:
    assert "there is no image 'nosuch'" in tree.fails(3, "why", "nosuch").text


def test_changes_are_listed_with_their_parts(tree: Repo) -> None:
    tree.commit()
    tree.replace(
        "dockerfiles/lambda-tiny/Dockerfile",
        "CMD",
        "ENV LEVEL=1\nCOPY <<END /etc/motd\none\ntwo\nEND\nCMD",
    )
    tree.git("commit", "--quiet", "--all", "--message", "Words")
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "two", "2")
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "COPY --link src/handler.py", "COPY --link src/*.py")
    (tree.root / "src/naïve\nname.py").write_text("")
    (tree.root / "src/handler.py").chmod(0o755)

    done = tree.ok("why", "lambda-tiny", "--from", "HEAD", "--json")

    assert done.images("changes")["lambda-tiny"][1:] == [
        {
            "kind": "mode",
            "subject": "src/handler.py",
            "before": "file",
            "after": "executable",
            "text": "src/handler.py is now executable",
        },
        {"kind": "added", "subject": "src/label.py", "after": "file", "text": "src/label.py added"},
        {
            "kind": "added",
            "subject": "src/naïve\nname.py",
            "after": "file",
            "text": "src/naïve\\nname.py added",
        },
        {
            "kind": "instruction",
            "subject": "COPY",
            "text": "Dockerfile: COPY changed",
            "diff": ["- COPY --link src/handler.py /var/task/", "+ COPY --link src/*.py /var/task/"],
        },
        {
            "kind": "instruction",
            "subject": "COPY",
            "text": "Dockerfile: COPY changed",
            "diff": ["  one", "- two", "+ 2", "  END"],
        },
    ]
    lines = tree.ok("why", "lambda-tiny", "--from", "HEAD").stdout.splitlines()
    start = lines.index("  lambda-tiny: Dockerfile: COPY changed")
    assert lines[start + 1 : start + 3] == [
        "      - COPY --link src/handler.py /var/task/",
        "      + COPY --link src/*.py /var/task/",
    ]
    assert "  lambda-tiny: src/naïve\\nname.py added" in lines


def test_of_many_files_the_screen_names_some_and_json_all(tree: Repo) -> None:
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "src/handler.py", "src/")
    tree.commit()
    for number in range(40):
        tree.write(f"src/data/{number:02}.json", "{}")

    text = tree.ok("why", "lambda-tiny", "--from", "HEAD").stdout
    assert "lambda-tiny: 40 files added below src/data\n" in text
    assert "src/data/09.json added" in text
    assert "src/data/10.json" not in text
    assert "and 30 more" in text
    found = tree.ok("why", "lambda-tiny", "--from", "HEAD", "--json").images("changes")["lambda-tiny"]
    assert len([each for each in found if each["subject"].endswith(".json")]) == 40


def test_a_rule_that_hides_a_file_is_named(tree: Repo) -> None:
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "src/handler.py", "src/")
    tree.commit()
    tree.write(".dockerignore", "src/label.py\n")
    tree.replace("dockerfiles/base-label/Dockerfile", "src/label.py", "src/handler.py")

    assert changes(tree, "--from", "HEAD")["lambda-tiny"][:2] == [
        "1 removed file is hidden by line 1 `src/label.py` of .dockerignore",
        "src/label.py removed",
    ]


SECRETS = ("planted-secret", "planted-value", "planted-other", "planted-content")


def test_secrets_values_and_contents_are_not_shown(tree: Repo) -> None:
    tree.write("token", SECRETS[0])
    tree.write("pyproject.toml", f'[tool.lamina]\nargs = {{ KEY = "{SECRETS[1]}" }}\n')
    tree.append("pyproject.toml", '[tool.lamina.secrets]\ntoken = { file = "token" }\n')
    tree.replace("dockerfiles/lambda-tiny/Dockerfile", "CMD", "ARG KEY\nCMD")
    tree.commit()
    tree.replace("pyproject.toml", SECRETS[1], SECRETS[2])
    tree.append("src/handler.py", f"# {SECRETS[3]}\n")
    tree.write("src/requirements.txt", f"lib @ https://me:{SECRETS[0]}@git.example/lib.whl\n")
    tree.replace(
        "dockerfiles/lambda-tiny/Dockerfile",
        "CMD",
        "RUN --mount=type=secret,id=token true\nCOPY src/requirements.txt /\nCMD",
    )

    told = [tree.ok("why", "lambda-tiny", "--from", "HEAD", *words).text for words in ((), ("--json",))]
    told += [tree.ok("plan", "--offline", *words).text for words in ((), ("--json",))]

    assert "build argument KEY changed" in told[0]
    assert "the set of secrets changed" in told[0]
    assert "requirement lib @ https://***@git.example/lib.whl added" in told[0]
    assert [secret for secret in SECRETS for text in told if secret in text] == []


def test_the_image_of_another_registry_needs_no_setting_and_git_names_are_left_to_git(tree: Repo) -> None:
    tree.commit()
    gone = tree.fails(5, "why", "lambda-tiny", "--from", "127.0.0.1:1/lambda-tiny:v1")
    assert "127.0.0.1:1: the registry cannot be reached" in gone.text

    tree.git("branch", "topic/v1.2")
    assert changes(tree, "--from", "topic/v1.2") == {"lambda-tiny": []}


def test_content_tags_of_local_images(tiny: Repo) -> None:
    first = tiny.ok("build-all", "--json").images("tag")["lambda-tiny"]
    tiny.ok("stable")
    tiny.append("src/dynamo.py", "KEY = 1\n")
    second = tiny.ok("build-all", "--json").images("tag")["lambda-tiny"]
    tiny.append("src/handler.py", "# worse\n")
    tiny.ok("build-all")

    assert changes(tiny, "--from", first, "--to", second) == FROM_THE_BASE
    assert changes(tiny, "--from", second) == {"lambda-tiny": ["src/handler.py modified"]}
    assert changes(tiny, "--from", second, "--to", "last") == {"lambda-tiny": ["src/handler.py modified"]}
    base = tiny.ok("why", "base-label", "--from", "stable", "--json")
    assert texts(base) == {name: FROM_THE_BASE[name] for name in ("base-label", "base-dynamo")}

    gone = tiny.fails(2, "why", "lambda-tiny", "--from", "sha-000000000000")
    assert ":sha-000000000000 was not built here, or not lately" in gone.text
    assert "--registry" in gone.text


def test_the_last_build_is_compared_with_its_own_base(tiny: Repo) -> None:
    tiny.ok("build-all")
    tiny.append("src/dynamo.py", "KEY = 1\n")
    tiny.ok("build-base")

    assert changes(tiny) == FROM_THE_BASE
