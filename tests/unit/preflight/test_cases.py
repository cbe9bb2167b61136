"""Every rule by small trees: bad ones are reported as they say, right ones are not."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from lamina.decide.unrunnable import unrunnable
from lamina.declare.machine import OF_THE_IMAGE
from lamina.errors import ConfigError, Problem
from lamina.identify.image_layouts import lay_out_images
from lamina.identify.runnable import check_runnable
from lamina.preflight.check import RULES, check_images
from lamina.preflight.environment import SUPPORT_ENDS, SUPPORT_READ, SUPPORT_SOURCE
from preflight_cases import CASES, Case

from ..conftest import Repo

TODAY = datetime.date(2025, 6, 1)


def reported(repo: Repo, builder: str = "linux/amd64") -> Iterator[tuple[str, Problem]]:
    """Yield all findings about a repository with their rules."""
    try:
        images = repo.images()
    except ConfigError as error:
        yield from (("", problem) for problem in error.problems)
        return
    layouts = lay_out_images(images)
    found = check_runnable(images, images, layouts=layouts)
    for name, each in found.items():
        yield from (("LAM601", problem) for problem in unrunnable({name: (images[name], each)}))
    for faults in check_images(images, layouts, found, today=TODAY, builder=builder).values():
        yield from ((each.rule, each.problem) for each in faults)


@pytest.mark.parametrize(
    "case",
    [each for each in CASES.values() if each.told],
    ids=[name for name, each in CASES.items() if each.told],
)
def test_a_tree_that_fails_is_reported(repo: Repo, case: Case) -> None:
    case.write(repo)

    found = [
        (problem.certainty, str(problem))
        for rule, problem in reported(repo)
        if rule == case.rule and (problem.where or "").partition(":")[0].endswith(case.file)
    ]

    assert [certainty for certainty, text in found if case.words in text] == [case.told], found


@pytest.mark.parametrize(
    "case",
    [each for each in CASES.values() if not each.told],
    ids=[name for name, each in CASES.items() if not each.told],
)
def test_a_right_tree_is_not_reported(repo: Repo, case: Case) -> None:
    case.write(repo)

    assert [str(each) for _, each in reported(repo) if each.certainty != "hint"] == []


def test_every_rule_has_a_tree_that_breaks_it() -> None:
    by_date = {"LAM615"}

    assert {rule.id for rule in RULES} - {case.rule for case in CASES.values()} == by_date


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("2025-12-16", "ended on 2025-12-15 (AWS's table of 2025-12-01, 15 days old)"),
        ("2025-12-05", "ends on 2025-12-15 (AWS's table of 2025-12-01, 4 days old)"),
        ("2025-06-01", ""),
    ],
)
def test_a_runtime_is_reported_before_its_support_ends(repo: Repo, day: str, said: str) -> None:
    repo.image("fn", "FROM public.ecr.aws/lambda/python:3.9", "COPY app.py ./", 'CMD ["app.handler"]')
    repo.write("app.py", "def handler(event, context): ...\n")
    images = repo.images()
    layouts = lay_out_images(images)
    found = check_runnable(images, images, layouts=layouts)

    faults = check_images(images, layouts, found, today=datetime.date.fromisoformat(day))["fn"]

    assert [said in each.message for each in faults if each.rule == "LAM615"] == ([True] if said else [])


def test_the_table_of_runtimes_is_in_order_and_says_of_when_it_is() -> None:
    days = [*SUPPORT_ENDS.values()]

    assert [*SUPPORT_ENDS] == sorted(SUPPORT_ENDS)
    assert days == sorted(days)
    assert SUPPORT_SOURCE.startswith("https://docs.aws.amazon.com/lambda/")
    assert SUPPORT_READ.isoformat() == "2025-12-01", "set it to the day on which the page was read again"


def test_a_certain_fault_names_the_fact_that_would_prove_it_wrong(repo: Repo) -> None:
    for name, case in CASES.items():
        if case.told == "certain" and case.rule not in {"", "LAM601"}:
            case.write(tree := Repo(repo.root / name.replace(" ", "-").replace("/", "")))
            assert all(problem.unless for rule, problem in reported(tree) if rule == case.rule), name


def test_a_comment_switches_a_rule_off(repo: Repo) -> None:
    repo.image(
        "fn",
        "FROM public.ecr.aws/lambda/python:3.13",
        "COPY app.py ./",
        "# lamina: ignore=command-form",
        'CMD ["python", "app.py"]',
    )
    repo.write("app.py", "def handler(event, context): ...\n")

    assert [rule for rule, _ in reported(repo)] == []


def test_a_requirements_file_of_ten_megabytes_is_read(repo: Repo) -> None:
    repo.image(
        "fn",
        "FROM public.ecr.aws/lambda/python:3.13",
        "COPY r.txt app.py ./",
        "RUN pip install -r r.txt",
        'CMD ["app.handler"]',
    )
    repo.write("app.py", "def handler(event, context): ...\n")
    repo.write("r.txt", f"package==1.0 \\\n    --hash=sha256:{'0' * 64}\n" * 100_000 + "-r lost.txt\n")

    assert [rule for rule, _ in reported(repo)] == ["LAM623"]


_BUILDER = "FROM --platform=$BUILDPLATFORM public.ecr.aws/lambda/python:3.13 AS deps"
_INTO = "--target /rootfs/var/task"


@pytest.mark.parametrize(
    ("stages", "install", "requirement", "said"),
    [
        ((_BUILDER,), f"pip install -r requirements.txt {_INTO}", "numpy==2.2.0", "packages (numpy)"),
        ((_BUILDER,), f"uv pip install -r requirements.txt {_INTO}", "numpy==2.2.0", "packages (numpy)"),
        (
            (_BUILDER.replace("deps", "tools"), "FROM tools AS deps"),
            f"pip install -r requirements.txt {_INTO}",
            "requests==2.32.3",
            "--platform manylinux2014_aarch64 --only-binary=:all:",
        ),
        (
            (_BUILDER,),
            f"pip install --platform manylinux2014_aarch64 --only-binary=:all: -r requirements.txt {_INTO}",
            "numpy==2.2.0",
            None,
        ),
        (
            (_BUILDER,),
            f"uv pip install --python-platform aarch64-manylinux2014 -r requirements.txt {_INTO}",
            "numpy==2.2.0",
            None,
        ),
        ((_BUILDER,), "pip install -r requirements.txt --target /elsewhere", "numpy==2.2.0", None),
        (
            (_BUILDER,),
            "python3 -m venv /rootfs/venv && /rootfs/venv/bin/pip install -r requirements.txt",
            "numpy==2.2.0",
            "packages (numpy)",
        ),
        (
            (_BUILDER,),
            "/rootfs/venv/bin/python3.13 -m pip install -r requirements.txt",
            "numpy==2.2.0",
            "packages (numpy)",
        ),
        ((_BUILDER,), "/usr/bin/pip3 install -r requirements.txt", "numpy==2.2.0", None),
    ],
)
@pytest.mark.parametrize("builder", ["linux/amd64", "linux/arm64", OF_THE_IMAGE])
def test_packages_of_the_build_machine_in_an_image_for_another_platform(
    repo: Repo, stages: tuple[str, ...], install: str, requirement: str, said: str | None, builder: str
) -> None:
    repo.flags = {"platform": "linux/arm64"}
    repo.image(
        "fn",
        *stages,
        "COPY requirements.txt .",
        f"RUN {install}",
        "FROM public.ecr.aws/lambda/python:3.13",
        "COPY --link --from=deps /rootfs/ /",
        "COPY app.py /var/task/",
        'CMD ["app.handler"]',
    )
    repo.write("requirements.txt", f"{requirement}\n")
    repo.write("app.py", "def handler(event, context): ...\n")

    found = [(each.certainty, str(each)) for rule, each in reported(repo, builder) if rule == "LAM626"]

    assert [certainty for certainty, _ in found] == (["likely"] if said and builder == "linux/amd64" else [])
    assert all(said in text for _, text in found if said)
