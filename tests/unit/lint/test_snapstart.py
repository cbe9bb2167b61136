"""Images of which Lambda can make no snapshot get the label; what a snapshot freezes is a note."""

from __future__ import annotations

import pytest

from ..conftest import Repo
from .conftest import look, mended, write

LABEL = 'LABEL com.amazonaws.lambda.feature.snapstart="Allow"'
HANDLER = {"app.py": "def handler(event, context): ...\n"}
SLIM = ("FROM python:3.13-slim", "COPY app.py /var/task/", 'CMD ["app.handler"]')


def prepare(repo: Repo, *lines: str, on: str = "true", source: str = "") -> None:
    repo.write("pyproject.toml", f"[tool.lamina.images.app]\nsnap-start = {on}\n")
    write(repo, {"app.py": source + HANDLER["app.py"]}, *lines)


def found(repo: Repo, rule: str = "LAM603") -> list[str]:
    return [each.message for each in look(repo) if each.rule == rule]


def test_the_label_is_added_to_an_image_on_another_base(repo: Repo) -> None:
    prepare(repo, *SLIM)

    (message,) = found(repo)
    assert message == "app has snap-start, is based on python:3.13-slim, and lacks the label for SnapStart"
    assert mended(repo).endswith(f'CMD ["app.handler"]\n{LABEL}\n')
    assert found(repo) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("FROM public.ecr.aws/lambda/python:3.12", *SLIM[1:]),
        (*SLIM, LABEL),
        (SLIM[0], "LABEL a=b com.amazonaws.lambda.feature.snapstart=Allow", *SLIM[1:]),
    ],
    ids=["AWS's own", "labelled", "one of several labels"],
)
def test_images_that_take_part_in_snapshots_are_right(repo: Repo, lines: tuple[str, ...]) -> None:
    prepare(repo, *lines)

    assert found(repo) == []


def test_only_images_with_snap_start_need_it(repo: Repo) -> None:
    prepare(repo, *SLIM, on="false")

    assert found(repo) == found(repo, "LAM604") == []


def test_a_runtime_before_3_12_needs_the_label_and_a_base_of_the_project_may_have_it(repo: Repo) -> None:
    repo.image("base", "FROM public.ecr.aws/lambda/python:3.11", LABEL)
    prepare(repo, "FROM public.ecr.aws/lambda/python:3.11", *SLIM[1:])
    assert len(found(repo)) == 1

    prepare(repo, "FROM base", *SLIM[1:])
    assert found(repo) == []


def test_another_value_of_the_label_is_named(repo: Repo) -> None:
    prepare(repo, *SLIM, LABEL.replace("Allow", "allow"))

    (message,) = found(repo)
    assert message.endswith("the label says 'allow', not 'Allow'")


SOURCE = """\
import random, uuid
from datetime import datetime
import psycopg2 as db
ID = uuid.uuid4()
random.seed(7)
STARTED = datetime.now()
POOL = [db.connect("x")]
LATER = lambda: uuid.uuid4()
def work():
    return random.random()
"""


def test_what_every_copy_of_a_snapshot_would_share_is_a_note(repo: Repo) -> None:
    prepare(repo, "FROM public.ecr.aws/lambda/python:3.13", *SLIM[1:], source=SOURCE)

    notes = [each for each in look(repo) if each.rule == "LAM604"]

    assert [(each.file, each.line, each.message.partition("()")[0]) for each in notes] == [
        ("app.py", 4, "uuid.uuid4"), ("app.py", 5, "random.seed"), ("app.py", 6, "datetime.datetime.now"),
        ("app.py", 7, "psycopg2.connect"),
    ]  # fmt: skip
    assert not any(each.counts for each in notes)
