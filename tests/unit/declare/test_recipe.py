from __future__ import annotations

import pytest

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.recipe import Recipe
from lamina.declare.resolve import resolve


def recipe(*lines: str) -> Recipe:
    file = parse_dockerfile("\n".join(lines) + "\n", "Dockerfile")
    return resolve(file, platform="linux/amd64", build_platform="linux/amd64")


@pytest.mark.parametrize(
    ("lines", "command"),
    [
        (("FROM a", 'CMD ["app.handler"]'), ("app.handler",)),
        (("FROM a", 'CMD ["one"]', 'CMD ["two"]'), ("two",)),
        (("FROM a AS b", 'CMD ["one"]', "FROM b"), ("one",)),
        (("FROM a AS b", 'CMD ["one"]', "FROM c"), ()),
        (("FROM a", "CMD app.handler"), ()),
        (("FROM a",), ()),
    ],
)
def test_the_command_is_the_last_in_json_form(lines: tuple[str, ...], command: tuple[str, ...]) -> None:
    assert recipe(*lines).command == command


@pytest.mark.parametrize(
    ("line", "unlinked"),
    [
        ("COPY --link a /", None),
        ("COPY --link=true a /", None),
        ("ENV A=b", None),
        ("COPY a /", "Dockerfile:4 COPY without --link"),
        ("COPY --link=false a /", "Dockerfile:4 COPY without --link"),
        ("ADD a /", "Dockerfile:4 ADD without --link"),
        ("COPY --link --chmod=755 a /", "Dockerfile:4 COPY with --chmod"),
        ("RUN true", "Dockerfile:4 RUN"),
        ("WORKDIR /x", "Dockerfile:4 WORKDIR"),
    ],
)
def test_a_linked_image_runs_nothing_on_its_base(line: str, unlinked: str | None) -> None:
    assert recipe("FROM a AS deps", "RUN install", "FROM b", line).unlinked == unlinked


@pytest.mark.parametrize(
    ("line", "only_copies"),
    [
        ("COPY --link a /", True),
        ("CMD a", True),
        ("COPY a /", False),
        ("COPY --link --from=deps a /", False),
        ("ADD --link https://example.com/a /", False),
        ("RUN true", False),
    ],
)
def test_an_image_of_linked_copies_has_nothing_to_cache(line: str, only_copies: bool) -> None:
    assert recipe("FROM a AS deps", "RUN install", "FROM b", line).only_copies is only_copies


def test_an_image_is_mentioned_once_where_it_is_first() -> None:
    found = recipe("FROM a", "FROM b", "COPY --from=a / /", "COPY --from=b / /")

    assert [(each.name, each.line) for each in found.externals] == [("b", 2), ("a", 3)]


@pytest.mark.parametrize(
    ("lines", "runs"),
    [
        (("FROM a", "RUN x"), {"linux/amd64": 2}),
        (("FROM --platform=$BUILDPLATFORM a AS b", "RUN x", "FROM c", "COPY --from=b / /"), {}),
        (("FROM --platform=linux/${BUILDARCH} a AS b", "RUN x", "FROM b", "RUN y"), {}),
        (("FROM --platform=linux/s390x a AS b", "FROM b", "RUN x"), {"linux/s390x": 3}),
        (("FROM --platform=linux/x86_64 a", "RUN x"), {"linux/amd64": 2}),
        (
            ("FROM --platform=$BUILDPLATFORM a AS b", "RUN x", "FROM c", "COPY --from=b / /", "RUN y"),
            {"linux/amd64": 5},
        ),
        (("FROM a AS b", "RUN x", "FROM c"), {}),
    ],
)
def test_stages_run_where_they_must(lines: tuple[str, ...], runs: dict[str, int]) -> None:
    assert {platform: run.line for platform, run in recipe(*lines).runs_on.items()} == runs
