"""What a save changes in a container that runs an earlier image."""

from __future__ import annotations

import pytest

from lamina.decide.append import NeedsBuilderError
from lamina.smoke.edits import RunningImage, find_edits

from ..conftest import RUNTIME, Repo

DEPS = (
    f"FROM {RUNTIME} AS deps",
    "RUN --mount=type=bind,source=requirements.txt,target=/r.txt pip install -r /r.txt --target /rootfs",
    f"FROM {RUNTIME}",
    "COPY --link --from=deps /rootfs/ /",
)
CODE = "COPY --link --chown=993:990 src/ /var/task/"
HISTORY = (
    "the runtime",
    "COPY /rootfs/ / # buildkit",
    "COPY --chown=993:990 src/ /var/task/ # buildkit",
    'CMD ["handler.handler"]',
)


@pytest.fixture
def code(repo: Repo) -> Repo:
    repo.image("app", *DEPS, CODE, 'CMD ["handler.handler"]')
    repo.write("src/handler.py", "1\n")
    repo.write("src/lib/one.py", "1\n")
    repo.write("requirements.txt", "boto3\n")
    return repo


def running(repo: Repo, *history: str) -> RunningImage:
    return RunningImage(images=repo.images(), history=history or HISTORY, folder="/var/task")


def edited(repo: Repo, before: RunningImage, name: str = "app") -> list[tuple[str, str]]:
    """Owner and path of each entry, in the order in which they are put into the container."""
    return [
        (layer.chown, entry.path)
        for layer in find_edits(name, before, repo.images())
        for entry in layer.entries
    ]


def test_changed_and_new_files_come_with_their_folders_and_nothing_else_does(code: Repo) -> None:
    before = running(code)
    assert edited(code, before) == []

    code.write("src/lib/one.py", "2\n")
    code.write("src/new/two.py", "2\n")
    code.write("README.md", "2\n")

    paths = ("var", "var/task", "var/task/lib", "var/task/lib/one.py", "var/task/new", "var/task/new/two.py")
    assert edited(code, before) == [("993:990", path) for path in paths]


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda repo: (repo.root / "src/lib/one.py").unlink(), "/var/task/lib/one.py is gone"),
        (lambda repo: repo.write("requirements.txt", "boto3==1\n"), "app differs in more than code"),
        (
            lambda repo: repo.edit("dockerfiles/app/Dockerfile", "handler.handler", "handler.other"),
            "app differs in more than code",
        ),
        (lambda repo: repo.write("src/.wh.one.py", "2\n"), "may not show /var/task/.wh.one.py"),
    ],
    ids=["a file is gone", "a requirement", "a setting", "a name that a layer takes for a deletion"],
)
def test_what_a_container_cannot_become_needs_a_build(code: Repo, edit: object, why: str) -> None:
    before = running(code)
    edit(code)  # type: ignore[operator]
    with pytest.raises(NeedsBuilderError, match=why):
        edited(code, before)


def test_a_layer_above_the_code_may_hide_what_changed(code: Repo) -> None:
    code.image("app", *DEPS[:3], CODE, DEPS[3], 'CMD ["handler.handler"]')
    before = running(code, HISTORY[0], HISTORY[2], HISTORY[1], HISTORY[3])
    code.write("src/handler.py", "2\n")
    with pytest.raises(NeedsBuilderError, match="other layers are above the code of app"):
        edited(code, before)


def test_of_two_copies_of_a_file_the_upper_one_counts(code: Repo) -> None:
    code.image("app", f"FROM {RUNTIME}", CODE, "COPY --link own/ /var/task/lib/")
    code.write("own/one.py", "own\n")
    before = running(code, HISTORY[2], "COPY own/ /var/task/lib/ # buildkit")
    code.write("src/lib/one.py", "hidden\n")
    assert edited(code, before) == []
    code.write("own/one.py", "seen\n")
    code.write("src/lib/two.py", "seen\n")
    assert edited(code, before) == [
        ("993:990", "var/task/lib/two.py"),
        *(("", path) for path in ("var", "var/task", "var/task/lib", "var/task/lib/one.py")),
    ]


def test_folders_that_a_container_mounts_over_are_refused(code: Repo) -> None:
    code.image("app", f"FROM {RUNTIME}", "COPY --link src/ /tmp/")
    before = running(code, "COPY src/ /tmp/ # buildkit")
    code.write("src/handler.py", "2\n")
    with pytest.raises(NeedsBuilderError, match="may not show /tmp"):
        edited(code, before)


def test_the_code_of_a_base_reaches_the_images_that_have_only_code_above_it(code: Repo) -> None:
    code.image("base", f"FROM {RUNTIME}", DEPS[3].replace("--from=deps", f"--from={RUNTIME}"), CODE)
    code.image("app", "FROM base:stable", "COPY --link own/ /var/task/own/")
    code.image("other", *DEPS[:2], "FROM base:stable", DEPS[3])
    code.write("own/x.py", "1\n")
    app = running(code, *HISTORY[:3], "COPY own/ /var/task/own/ # buildkit")
    other = running(code, *HISTORY[:3], HISTORY[1])

    code.write("src/handler.py", "2\n")

    assert ("993:990", "var/task/handler.py") in edited(code, app)
    with pytest.raises(NeedsBuilderError, match="other layers are above the code of base"):
        edited(code, other, "other")


def test_a_history_of_other_steps_is_no_proof(code: Repo) -> None:
    before = running(code, *HISTORY[1:3])
    code.write("src/handler.py", "2\n")
    with pytest.raises(NeedsBuilderError, match="history"):
        edited(code, before)
