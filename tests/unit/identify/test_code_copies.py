"""When one image differs from another in its code alone."""

from __future__ import annotations

import pytest

from lamina.identify.code_copies import code_copies, code_key, code_tag, loose_parents

from ..conftest import RUNTIME, Repo

DEPS = (
    "FROM python AS deps",
    "RUN --mount=type=bind,source=deps/requirements.txt,target=/r.txt pip install -r /r.txt --target /rootfs",
    f"FROM {RUNTIME}",
    "COPY --link --from=deps /rootfs/ /",
)


@pytest.fixture
def code(repo: Repo) -> Repo:
    repo.bases["python"] = RUNTIME
    repo.image("app", *DEPS, "COPY --link src/ /var/task/", 'CMD ["handler.handler"]')
    repo.write("src/handler.py", "1\n")
    repo.write("deps/requirements.txt", "boto3\n")
    return repo


def key(repo: Repo, name: str = "app") -> str:
    images = repo.images()
    return code_key(images[name], images[name].inputs, images)


def lines(repo: Repo) -> list[str]:
    return [" ".join(each.sources) for each in code_copies(repo.images()["app"].node.recipe)]


def test_an_edit_of_copied_code_or_of_settings_keeps_the_key_and_nothing_else_does(code: Repo) -> None:
    before, images = key(code), code.images()
    code.write("src/handler.py", "2\n")
    code.write("src/more/new.py", "3\n")
    assert key(code) == before
    assert code.images()["app"].fingerprint != images["app"].fingerprint
    assert code_tag(images["app"], images) == f"append-{before[:12]}"

    code.write("deps/requirements.txt", "boto3==1\n")
    assert key(code) != before
    code.write("deps/requirements.txt", "boto3\n")
    assert key(code) == before
    code.edit("dockerfiles/app/Dockerfile", "handler.handler", "handler.other")
    assert key(code) == before
    code.edit("dockerfiles/app/Dockerfile", 'CMD ["handler.other"]', 'ENTRYPOINT ["handler.other"]')
    assert key(code) != before


@pytest.mark.parametrize(
    "reader",
    [
        "COPY src/*.txt /x/",
        "RUN --mount=type=bind,source=src/one.txt,target=/x cat /x",
        "RUN --mount=type=bind,target=/x cat /x",
        "ADD src /x",
        "COPY $UNKNOWN /x/",
    ],
)
def test_a_file_that_another_step_reads_is_not_code(code: Repo, reader: str) -> None:
    code.image("app", DEPS[0], reader, *DEPS[1:], "COPY --link src/ /var/task/")
    code.write("src/one.txt", "1\n")
    before = key(code)
    code.write("src/one.txt", "2\n")
    assert key(code) != before


def test_a_link_before_what_another_step_reads_makes_all_files_count(code: Repo) -> None:
    code.image("app", DEPS[0], "COPY way/one.txt /x/", *DEPS[1:], "COPY --link src/ /var/task/")
    code.write("src/one.txt", "1\n")
    code.link("way", "src")
    before = key(code)
    code.write("src/one.txt", "2\n")
    assert key(code) != before


@pytest.mark.parametrize(
    ("instructions", "copies"),
    [
        (("COPY --link src/ /a/", "COPY --link --chown=7:8 src/handler.py /b/"), ["src/", "src/handler.py"]),
        (("COPY --link src/ /a/", "RUN true", "COPY --link=true src/handler.py /b/"), ["src/handler.py"]),
        (("COPY --link src/ /a/", "WORKDIR /x"), []),
        (("COPY --link src/ /a/", "COPY src/ /b/"), []),
        (("COPY --link src/ /a/", "COPY --link --chmod=755 src/ /b/"), []),
        (("COPY --link src/ /a/", "ADD --link src/ /b/", "ENV A=1"), ["src/"]),
        (("COPY --link --chown=app src/ /a/",), []),
        (("COPY --link --exclude=*.txt src/ /a/",), []),
        (("COPY --link=false src/ /a/",), []),
        (("COPY --link <<EOF /a/x", "text", "EOF"), []),
        (("COPY --link ${SOMETHING} /a/",), []),
    ],
)
def test_which_copies_are_code(code: Repo, instructions: tuple[str, ...], copies: list[str]) -> None:
    code.image("app", f"FROM {RUNTIME}", *instructions)

    assert lines(code) == copies


def test_a_base_below_linked_layers_may_be_another_one(code: Repo) -> None:
    code.image("base-x", f"FROM {RUNTIME}", "COPY --link base/ /base/")
    code.write("base/x.py", "1\n")
    on_base = ("ARG BASE=base-x:stable", "FROM ${BASE}", "COPY --link src/ /var/task/")
    for instructions, free in (
        (on_base, True),
        ((*on_base, "ENV A=1"), True),
        ((*on_base, "RUN true"), False),
        ((*on_base, "COPY --link --from=base-x:stable /base /x"), False),
        (
            ("FROM base-x AS deps", "RUN true", "FROM base-x", "COPY --link --from=deps /a /", on_base[2]),
            False,
        ),
    ):
        code.image("app", *instructions)
        before = key(code)
        assert loose_parents(code.images()["app"], code.images()) == ({"base-x"} if free else set())
        code.write("base/x.py", f"{instructions}\n")
        assert (key(code) == before) is free, instructions


def test_a_base_that_runs_steps_in_images_on_it_is_not_loose(code: Repo) -> None:
    code.image("base-x", f"FROM {RUNTIME}", "COPY --link base/ /base/", "ONBUILD RUN true")
    code.write("base/x.py", "1\n")
    code.image("app", "FROM base-x", "COPY --link src/ /var/task/")

    assert loose_parents(code.images()["app"], code.images()) == frozenset()


def test_in_static_mode_a_base_is_what_its_tag_names(code: Repo) -> None:
    code.image("base-x", f"FROM {RUNTIME}", "COPY --link base/ /base/")
    code.write("base/x.py", "1\n")
    code.image("app", "FROM base-x", "COPY --link src/ /var/task/")
    keys = set()
    for digest in ("sha256:1", "sha256:2"):
        images = code.images("app", stable={"base-x": digest})
        keys.add(code_key(images["app"], images["app"].inputs, images))

    assert len(keys) == 2
