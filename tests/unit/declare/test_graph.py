from __future__ import annotations

from itertools import pairwise

import pytest

from lamina.errors import ConfigError, SelectionError

from ..conftest import RUNTIME, Repo


def refusals(repo: Repo) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        repo.graph()
    return [str(problem) for problem in caught.value.problems]


def test_bases_come_first_and_kinds_are_seen(receipts: Repo) -> None:
    nodes = receipts.graph().nodes

    assert list(nodes) == [
        "base-receipt-dynamo",
        "base-receipt-label",
        "lambda-word-label",
        "lambda-embedding",
    ]
    assert [node.kind for node in nodes.values()] == ["base", "base", "lambda", "lambda"]
    assert nodes["lambda-embedding"].parents == {"base-receipt-label": ("base-receipt-label:stable",)}
    assert [each.name for each in nodes["base-receipt-dynamo"].externals] == [RUNTIME]


@pytest.mark.parametrize(
    ("lines", "aliases"),
    [
        (("FROM base",), ("base",)),
        (("FROM base:stable",), ("base:stable",)),
        (("FROM base:any-tag AS x", "FROM x"), ("base:any-tag",)),
        (("ARG BASE_IMAGE=base:stable", "FROM ${BASE_IMAGE}"), ("base:stable",)),
        (
            ("ARG BASE_IMAGE=base", "FROM $BASE_IMAGE AS deps", "FROM $BASE_IMAGE", "COPY --from=deps / /"),
            ("base",),
        ),
        (("FROM scratch", "COPY --from=base /x /"), ("base",)),
        (("FROM scratch", "RUN --mount=from=base:stable,target=/b ls"), ("base:stable",)),
        (("FROM base", "COPY --from=base:stable /x /"), ("base", "base:stable")),
    ],
)
def test_edges_are_inferred(repo: Repo, lines: tuple[str, ...], aliases: tuple[str, ...]) -> None:
    repo.image("base", "FROM scratch")
    repo.image("app", *lines)

    assert repo.graph().nodes["app"].parents == {"base": aliases}


@pytest.mark.parametrize(
    "name",
    [
        "docker.io/library/base",
        "localhost:5000/base:stable",
        "team/base",
        "base@sha256:" + "a" * 64,
        "base-dev:stable",
    ],
)
def test_other_names_are_other_images(repo: Repo, name: str) -> None:
    repo.image("base", "FROM scratch")
    repo.image("app", f"FROM {name}")

    node = repo.graph().nodes["app"]

    assert node.parents == {}
    assert [each.name for each in node.externals] == [name]


def test_a_stage_is_not_an_image_even_with_the_name_of_one(repo: Repo) -> None:
    repo.image("base", "FROM scratch")
    repo.image("app", "FROM scratch AS base", "FROM base")

    assert repo.graph().nodes["app"].parents == {}


def test_an_unused_stage_makes_no_edge(repo: Repo) -> None:
    repo.image("base", "FROM scratch")
    repo.image("app", "FROM base AS unused", "FROM scratch")

    assert repo.graph().nodes["app"].parents == {}


def test_an_image_may_stand_on_its_namesake_upstream(repo: Repo) -> None:
    repo.image("redis", "FROM redis:7")

    assert [each.name for each in repo.graph().nodes["redis"].externals] == ["redis:7"]


def test_a_circle_is_reported_with_its_path(repo: Repo) -> None:
    repo.image("a", "FROM c")
    repo.image("b", "FROM a:stable")
    repo.image("c", "FROM scratch", "COPY --from=b / /")

    (told,) = refusals(repo)

    assert "images build on each other in a circle: " in told
    path = told.split("circle: ")[1].splitlines()[0].split(" -> ")
    assert path[0] == path[-1]
    assert set(path) == {"a", "b", "c"}
    assert {("a", "c"), ("c", "b"), ("b", "a")} == set(pairwise(path))
    assert told.startswith(f"dockerfiles/{path[0]}/Dockerfile: ")


@pytest.mark.parametrize("name", ["a", "a:stable"])
def test_an_image_cannot_stand_on_itself(repo: Repo, name: str) -> None:
    repo.image("a", f"FROM {name}")

    (told,) = refusals(repo)

    assert "in a circle: a -> a" in told


@pytest.mark.parametrize("name", ["python", "docker.io/library/python", "index.docker.io/python:latest"])
def test_a_stage_called_like_its_external_image_would_be_replaced_by_it(repo: Repo, name: str) -> None:
    repo.image("app", f"FROM {name} AS python", "COPY x /", "FROM scratch", "COPY --from=python / /")

    (told,) = refusals(repo)

    assert f"a stage has the name of the image {name}" in told


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("python:3.13", "docker.io/library/python:3.13"),
        ("python", "library/python:latest"),
        ("base:stable", "docker.io/library/base:stable"),
    ],
)
def test_two_images_of_one_name_cannot_be_told_apart(repo: Repo, one: str, other: str) -> None:
    repo.image("base", "FROM scratch")
    repo.image("app", f"FROM {one} AS x", f"FROM {other}", "COPY --from=x /a /")

    (told,) = refusals(repo)

    assert told == (
        f"dockerfiles/app/Dockerfile:2: {one} and {other} are one name to BuildKit\n"
        "  next: write it in one way throughout the Dockerfile"
    )


def test_a_stage_called_like_its_image_would_be_mistaken_for_it(repo: Repo) -> None:
    repo.image("base", "FROM scratch")
    repo.image("app", "FROM base AS base", "COPY x /", "FROM base")

    (told,) = refusals(repo)

    assert told == (
        "dockerfiles/app/Dockerfile:1: a stage has the name of the image base\n"
        "  next: rename the stage, or write base:stable for the image"
    )


def test_faults_of_all_dockerfiles_are_reported_at_once(repo: Repo) -> None:
    repo.image("a", "FROM A:B:C")
    repo.image("b", "FROM scratch", "FOO")
    repo.image("c", "ARG X", "FROM $X")
    repo.config('[tool.lamina.images.d]\ndockerfile = "none/Dockerfile"\n')

    told = refusals(repo)

    assert [each.split(":")[0] for each in told] == [
        "dockerfiles/a/Dockerfile",
        "dockerfiles/b/Dockerfile",
        "dockerfiles/c/Dockerfile",
        "none/Dockerfile",
    ]
    assert "repository name" in told[0] or "a tag has" in told[0]
    assert "unknown instruction FOO" in told[1]
    assert "there is no such Dockerfile" in told[3]


def test_onbuild_of_a_base_reads_the_context_of_its_children(repo: Repo) -> None:
    repo.image("base", "FROM scratch", "ONBUILD COPY src /app")
    repo.image("app", "FROM base")
    repo.image("copier", "FROM scratch", "COPY --from=base / /")
    repo.image("grandchild", "FROM app")
    repo.write("src/a", "a")

    sources = {
        name: [each.paths for each in node.recipe.sources] for name, node in repo.graph().nodes.items()
    }

    assert sources == {"base": [], "app": [("src",)], "copier": [], "grandchild": []}
    assert repo.files("app") == ["src", "src/a"]


@pytest.mark.parametrize(
    ("lines", "config", "kind"),
    [
        (('CMD ["x.y"]',), "", "lambda"),
        ((), "", "base"),
        ((), '[tool.lamina.images.base-x]\nkind = "lambda"\n', "lambda"),
    ],
)
def test_a_lone_image_is_a_base_by_name_unless_it_has_a_handler(
    repo: Repo, lines: tuple[str, ...], config: str, kind: str
) -> None:
    repo.image("base-x", "FROM scratch", *lines)
    repo.config(config)

    assert repo.graph().nodes["base-x"].kind == kind


# Selection


def test_images_are_selected_by_name_and_kind_in_build_order(receipts: Repo) -> None:
    graph = receipts.graph()

    assert graph.select([]) == tuple(graph.nodes)
    assert graph.select(["lambda-embedding", "base-receipt-dynamo"]) == (
        "base-receipt-dynamo",
        "lambda-embedding",
    )
    assert graph.select([], kind="base") == ("base-receipt-dynamo", "base-receipt-label")
    assert graph.with_ancestors(["lambda-embedding"]) == (
        "base-receipt-dynamo",
        "base-receipt-label",
        "lambda-embedding",
    )


def test_unknown_images_are_all_reported_with_the_known_ones(receipts: Repo) -> None:
    with pytest.raises(SelectionError) as caught:
        receipts.graph().select(["lambda-embeding", "lambda-word-label", "other"])

    assert str(caught.value) == "\n".join(
        f"there is no image '{name}'{hint}\n"
        "  allowed: base-receipt-dynamo, base-receipt-label, lambda-word-label, lambda-embedding"
        for name, hint in (("lambda-embeding", "; did you mean lambda-embedding?"), ("other", ""))
    )


def test_an_empty_selection_is_reported(receipts: Repo, repo: Repo) -> None:
    with pytest.raises(SelectionError, match="no base image is selected"):
        receipts.graph().select(["lambda-embedding"], kind="base")


def test_a_repository_without_images_gets_the_next_step(repo: Repo) -> None:
    with pytest.raises(SelectionError, match="no image is selected\n  next: invoke init finds Dockerfiles"):
        repo.graph().select([])


def test_an_image_that_is_named_twice_is_one(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")

    assert repo.graph().select(["app", "app"]) == ("app",)
