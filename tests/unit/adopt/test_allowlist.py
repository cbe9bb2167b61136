from __future__ import annotations

from lamina.adopt.allowlist import HEADER, AllowList, Reader, is_generated, make_allow_list
from lamina.adopt.stale_rules import find_stale_rules
from lamina.decide.unfiltered import unfiltered_files
from lamina.identify.ignore import EMPTY, Ignore
from lamina.identify.image import read_ignore
from lamina.identify.tree import DiskFiles

from ..conftest import RUNTIME, Repo

NAME = "dockerfiles/app/Dockerfile.dockerignore"


def reader(repo: Repo, image: str = "app") -> Reader:
    def read(path: str) -> bytes | None:
        return (repo.root / path).read_bytes()

    return Reader(files=DiskFiles(repo.root), recipe=repo.graph().nodes[image].recipe, read=read)


def made(repo: Repo, image: str = "app") -> AllowList:
    spec = repo.graph().nodes[image].spec
    now = read_ignore(spec)
    file = repo.root / f"{spec.dockerfile_path}.dockerignore"
    generated = file.exists() and is_generated(file.read_text())
    return make_allow_list(
        (reader(repo, image),), now, generated=generated, name=f"{spec.dockerfile_path}.dockerignore"
    )


def lines(repo: Repo, image: str = "app") -> list[str]:
    head, *rest = made(repo, image).text.splitlines()
    assert head == HEADER
    return rest


def stale(repo: Repo) -> list[str]:
    file = repo.root / NAME
    text = file.read_text() if file.exists() else None
    now = read_ignore(repo.graph().nodes["app"].spec)
    found = find_stale_rules(NAME, text, now, (reader(repo),), made(repo), generated=is_generated(text or ""))
    return [str(problem).partition("\n")[0] for problem in found]


def test_of_files_alone_nothing_else_is_let_in(repo: Repo) -> None:
    repo.write("src/handler.py")
    repo.write("requirements.txt")
    repo.image(
        "app",
        f"FROM {RUNTIME}",
        "RUN --mount=type=bind,source=requirements.txt,target=/r.txt pip install -r /r.txt",
        "COPY src/handler.py /var/task/",
    )

    assert lines(repo) == ["*", "!requirements.txt", "!src/handler.py"]


def test_of_a_folder_caches_and_tests_stay_out(app: Repo) -> None:
    app.write("src/tests/test_all.py")
    app.write("src/__pycache__/handler.pyc")

    found = made(app)

    assert found.text.splitlines()[1:4] == ["*", "!src", "**/__pycache__"]
    assert {"**/__pycache__", "**/*.pyc", "**/tests", "**/test_*.py", "**/.venv"} <= set(lines(app))
    assert found.safe
    assert found.dropped == ("src/tests", "src/tests/test_all.py")


def test_a_path_that_a_source_names_is_not_excluded(repo: Repo) -> None:
    repo.write("tests/data.json")
    repo.write("src/tests/data.json")
    repo.image("app", f"FROM {RUNTIME}", "COPY src tests /var/task/")

    assert "**/tests" not in lines(repo)
    assert "**/test_*.py" in lines(repo)


def test_a_wildcard_stays_one(repo: Repo) -> None:
    repo.write("infra/a/handler.py")
    repo.write("infra/b/handler.py")
    repo.image("app", f"FROM {RUNTIME}", "COPY infra/*/handler.py /var/task/")

    found = made(repo)

    assert found.text.splitlines()[1:3] == ["*", "!infra/*/handler.py"]
    assert found.safe
    assert set(unfiltered_files(DiskFiles(repo.root), found.rules).files) == {
        "infra/a/handler.py",
        "infra/b/handler.py",
    }


def test_of_the_whole_context_only_strays_are_taken_out(app: Repo) -> None:
    app.image("app", f"FROM {RUNTIME}", "COPY . /var/task/")
    app.write(".dockerignore", "docs\n*.md\n!README.md\n")
    app.write("README.md")
    app.write("MORE.md")
    app.write("docs/a.txt")

    found = made(app)

    assert "*" not in found.text.splitlines()
    assert found.text.splitlines()[-4:] == [
        "# Kept of the rules that were there.",
        "docs",
        "*.md",
        "!README.md",
    ]
    assert found.safe


def test_a_variable_in_a_source_is_expanded_and_an_unknown_one_is_everything(app: Repo) -> None:
    app.image("app", "ARG DIR=src", f"FROM {RUNTIME}", "ARG DIR", "COPY ${DIR}/handler.py /var/task/")
    assert lines(app) == ["*", "!src/handler.py"]

    app.image("app", f"FROM {RUNTIME}", "COPY ${FROM_BASE}/handler.py /var/task/")
    assert "*" not in lines(app)


def test_the_target_of_a_link_is_included(repo: Repo) -> None:
    repo.write("v2/handler.py")
    repo.link("current", "v2")
    repo.image("app", f"FROM {RUNTIME}", "COPY current/ /var/task/")

    found = made(repo)

    assert found.text.splitlines()[1:4] == ["*", "!current", "!v2"]
    assert found.safe


def test_a_mount_is_taken_as_it_is_written(repo: Repo) -> None:
    repo.write("a[1].txt")
    repo.image("app", f"FROM {RUNTIME}", "RUN --mount=type=bind,source=a[1].txt,target=/a cat /a")

    found = made(repo)

    assert found.text.splitlines()[1:] == ["*", r"!a\[1]".replace("]", "].txt")]
    assert found.safe


def test_a_named_context_has_an_ignore_file_of_its_own(app: Repo) -> None:
    app.config('[tool.lamina.images.app]\ncontexts.lib = "lib"\n')
    app.write("lib/code.py")
    app.image("app", f"FROM {RUNTIME}", "COPY --from=lib code.py /opt/", "COPY src/handler.py /var/task/")

    assert lines(app) == ["*", "!src/handler.py"]


def test_a_stage_that_is_not_used_lets_nothing_in(app: Repo) -> None:
    app.write("more/a.txt")
    app.image(
        "app",
        f"FROM {RUNTIME} AS unused",
        "COPY more /more",
        f"FROM {RUNTIME}",
        "COPY src/handler.py /var/task/",
    )

    assert lines(app) == ["*", "!src/handler.py"]


def test_excluded_files_stay_excluded(app: Repo) -> None:
    app.write("src/secret.json")
    app.write("src/big.bin")
    app.write(".dockerignore", "**/secret.json\ndocs\n")

    found = made(app)

    assert found.text.splitlines()[-2:] == ["# Kept of the rules that were there.", "**/secret.json"]
    assert found.safe
    app.write(NAME, found.text)
    assert made(app).text == found.text
    app.write(NAME, found.text + "src/big.bin\n")
    assert made(app).text == found.text + "src/big.bin\n"


def test_the_readme_of_a_wheel_is_never_left_out(repo: Repo) -> None:
    repo.write("pkg/pyproject.toml", '[project]\nname = "pkg"\nreadme = "README.md"\n')
    repo.write("pkg/README.md")
    repo.write("pkg/CHANGES.md")
    repo.write("pkg/LICENSE.md")
    repo.write(".dockerignore", "**/*.md\n")
    repo.image("app", f"FROM {RUNTIME}", "COPY pkg /tmp/pkg")

    found = made(repo)

    assert found.text.splitlines()[-3:] == ["**/*.md", "!pkg/LICENSE.md", "!pkg/README.md"]
    assert found.safe
    repo.write(NAME, found.text)
    assert made(repo).text == found.text


def test_a_list_by_hand_that_takes_less_than_the_sources_is_not_replaced(app: Repo) -> None:
    app.write("src/data.bin")
    app.image("app", f"FROM {RUNTIME}", "COPY src /var/task/", ignore=["*", "!src/handler.py"])

    found = made(app)

    assert found.gained == ("src/data.bin",)
    assert not found.safe


def test_a_list_by_hand_that_hides_a_source_is_fixed(app: Repo) -> None:
    app.image("app", f"FROM {RUNTIME}", "COPY src/handler.py lib/a.py /var/task/", ignore=["*", "!src"])
    app.write("lib/a.py")

    found = made(app)

    assert found.safe
    assert found.text.splitlines()[1:] == ["*", "!src/handler.py", "!lib/a.py"]
    assert stale(app) == [f"{NAME}:1: `*` hides a source of dockerfiles/app/Dockerfile:2: COPY lib/a.py"]


def test_a_stale_rule_is_named_with_its_line(app: Repo) -> None:
    assert stale(app) == [f"{NAME}: no such file: the context is not limited to this Dockerfile's sources"]

    app.write(NAME, made(app).text)
    assert stale(app) == []

    app.image("app", f"FROM {RUNTIME}", "COPY src/handler.py /var/task/", ignore=made(app).text.splitlines())
    assert stale(app) == [f"{NAME}:3: out of date: `!src` would be `!src/handler.py`"]

    app.image("app", f"FROM {RUNTIME}", "COPY src /var/task/", ignore=["*", "!src", "!lib/more"])
    assert stale(app) == [f"{NAME}:3: `!lib/more` matches nothing: lib/more does not exist"]


def test_two_images_of_one_dockerfile_share_a_list(app: Repo) -> None:
    app.write("shared/Dockerfile", f"ARG DIR\nFROM {RUNTIME}\nARG DIR\nCOPY ${{DIR}}/handler.py /var/task/\n")
    app.write("lib/handler.py")
    app.config(
        '[tool.lamina.images]\na = { dockerfile = "shared/Dockerfile", args.DIR = "src" }\n'
        'b = { dockerfile = "shared/Dockerfile", args.DIR = "lib" }\n'
    )

    found = make_allow_list((reader(app, "a"), reader(app, "b")), EMPTY, generated=False, name="x")

    assert found.text.splitlines()[1:] == ["*", "!src/handler.py", "!lib/handler.py"]


def test_context_files_are_weighed(app: Repo) -> None:
    app.write("more.bin", b"x" * 1000)
    everything = unfiltered_files(DiskFiles(app.root), EMPTY)
    some = unfiltered_files(DiskFiles(app.root), Ignore.parse(b"*\n!src\n", "x"))

    assert everything.size - some.size == 1000 + (app.root / "dockerfiles/app/Dockerfile").stat().st_size
    assert everything.without(some)[0] == ("more.bin", 1000)
