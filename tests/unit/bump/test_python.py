"""The places of files that name a Python version."""

from __future__ import annotations

import pytest

from lamina.bump.python import digests, forbids, in_dockerfile, in_limit, in_settings, in_version_file
from lamina.declare.dockerfile import parse_dockerfile

OLDS, NEW = {(3, 12), (3, 13)}, (3, 14)
FROM = "FROM public.ecr.aws/lambda/python:3.13\n"
MOVED = "FROM public.ecr.aws/lambda/python:3.14\n"

LINES = {
    "a tag": (FROM, MOVED),
    "a tag with an architecture": ("FROM x/python:3.13-arm64 AS a\n", "FROM x/python:3.14-arm64 AS a\n"),
    "a tag of a release": ("FROM python:3.12.4-slim-bookworm\n", "FROM python:3.14-slim-bookworm\n"),
    "a dated tag": ("FROM public.ecr.aws/lambda/python:3.13.2026.01.02.03\n", MOVED),
    "an argument": ("ARG PYTHON_VERSION=3.13\n" + FROM, "ARG PYTHON_VERSION=3.14\n" + MOVED),
    "a tag in an argument": (
        "ARG TAG=3.13\nFROM public.ecr.aws/lambda/python:${TAG}\n",
        "ARG TAG=3.14\nFROM public.ecr.aws/lambda/python:${TAG}\n",
    ),
    "a default of a variable": ("ARG V\nFROM python:${V:-3.13}\n", "ARG V\nFROM python:${V:-3.14}\n"),
    "an image in an argument": ("ARG B=x/python:3.13\nFROM ${B}\n", "ARG B=x/python:3.14\nFROM ${B}\n"),
    "a program and folder": (
        FROM + "RUN python3.13 -m site && ls /usr/lib/python3.13/site-packages\n",
        MOVED + "RUN python3.14 -m site && ls /usr/lib/python3.14/site-packages\n",
    ),
    "options": (
        FROM + "RUN uv pip install --python-version 3.13 --python=3.13 --abi cp313 x\n",
        MOVED + "RUN uv pip install --python-version 3.14 --python=3.14 --abi cp314 x\n",
    ),
    "a variable": (FROM + "ENV UV_PYTHON=3.13\n", MOVED + "ENV UV_PYTHON=3.14\n"),
    "other versions": (
        FROM + "RUN pip install 'numpy==3.13' pypdf==3.13 && python3.9 x && ls 3.13\n",
        MOVED + "RUN pip install 'numpy==3.13' pypdf==3.13 && python3.9 x && ls 3.13\n",
    ),
    "a comment": ("# python3.13\n" + FROM + "RUN a && \\\n  # python3.13\n  b\n",
                  "# python3.13\n" + MOVED + "RUN a && \\\n  # python3.13\n  b\n"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), LINES.values(), ids=LINES)
def test_instructions_of_a_dockerfile_name_the_new_version(before: str, after: str) -> None:
    assert in_dockerfile(parse_dockerfile(before, path="Dockerfile"), OLDS, NEW) == after


def test_an_image_that_is_pinned_by_its_digest_is_a_problem() -> None:
    text = f"FROM python:3.13@sha256:{'0' * 64}\n{FROM}"

    found = list(digests(parse_dockerfile(text, path="Dockerfile"), OLDS))

    assert [each.where for each in found] == ["Dockerfile:1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (">=3.13", ">=3.14"),
        (">=3.13.2", ">=3.14"),
        (">=3.10", ">=3.10"),
        (">=3.10,<4", ">=3.10,<4"),
        (">=3.12, <3.14", ">=3.14, <3.15"),
        ("==3.13.*", "==3.14.*"),
        ("~=3.13.0", "~=3.14.0"),
        ("~=3.11", "~=3.11"),
        ("<=3.13,>=3.9", "<=3.14,>=3.9"),
        (">=3.15", ">=3.14"),
    ],
)
def test_a_limit_allows_the_new_version(before: str, after: str) -> None:
    text = '[project]\nname = "x"\nrequires-python = "{}"\n'

    made = in_limit(text.format(before), OLDS, NEW)

    assert made == text.format(after)
    assert forbids(made, NEW) is None


def test_a_limit_that_excludes_the_version_stays_and_is_found() -> None:
    text = 'requires-python = ">=3.9,!=3.14.*"\n'

    assert in_limit(text, OLDS, NEW) == text
    assert forbids(text, NEW) == ">=3.9,!=3.14.*"


def test_only_the_tables_of_lamina_are_settings() -> None:
    text = (
        '[tool.other]\nPYTHON = "3.13"\n'
        '[tool.lamina.images.a]\nargs = { PYTHON_VERSION = "3.13", BASE = "x/python:3.13" }\n'
        '[tool.ruff]\nPYTHON = "3.13"\n'
    )

    assert in_settings(text, OLDS, NEW) == (
        '[tool.other]\nPYTHON = "3.13"\n'
        '[tool.lamina.images.a]\nargs = { PYTHON_VERSION = "3.14", BASE = "x/python:3.14" }\n'
        '[tool.ruff]\nPYTHON = "3.13"\n'
    )


def test_comments_in_the_tables_of_lamina_stay() -> None:
    text = (
        "[tool.lamina.images.a]\n# python3.13 was slow\n"
        """args = { A = "#1", B = '#', PYTHON_VERSION = "3.13" } # python3.13: see x/python:3.13\n"""
    )

    assert in_settings(text, OLDS, NEW) == text.replace('"3.13"', '"3.14"')


@pytest.mark.parametrize(
    ("before", "after"), [("3.13\n", "3.14\n"), ("3.13.1", "3.14"), ("cpython-3.13\n", "cpython-3.14\n")]
)
def test_a_version_file_names_the_new_version(before: str, after: str) -> None:
    assert in_version_file(before, NEW) == after
