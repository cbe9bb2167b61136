"""All rules together: switched off, without duplicates, documented, and on this repository itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lamina.declare.config import load_project
from lamina.errors import ConfigError
from lamina.identify.tree import DiskFiles
from lamina.lint.read import Surveyor
from lamina.lint.registry import RULES, lint

from ..conftest import Repo
from .conftest import look, write

HANDLER = {"src/handler.py": "def handler(event, context): ...\n"}


def test_this_repository_is_clean(root: Path) -> None:
    project = load_project(root, env={}, flags={"platform": "linux/amd64"})

    assert lint(Surveyor(DiskFiles, lambda _image, _instruction: None).survey(project)) == ()


def test_ids_and_names_are_all_different_and_texts_are_one_sentence() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.slug for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"LAM\d{3}", rule.id)
        assert not rule.summary.endswith(".")
        assert not rule.why.endswith(".")


def test_the_docs_have_a_row_for_each_rule(root: Path) -> None:
    rows = [
        f"| {rule.id} `{rule.slug}` | {rule.severity} | {rule.summary} | {rule.why} | {rule.fixes} |"
        for rule in RULES
    ]
    text = (root / "docs/lint.md").read_text("utf-8")

    assert [line for line in text.splitlines() if line.startswith("| LAM")] == rows


OFF = {
    "the line above": ("# lamina: ignore=LAM106", "RUN pip install a"),
    "by name, among others": ("# lamina: ignore=secret, no-cache-mount", "RUN pip install a"),
    "above other comments": ("# lamina: ignore=LAM106", "# why", "RUN pip install a"),
    "above a long instruction": ("# lamina: ignore=LAM106", "RUN ls && \\", "  pip install a"),
    "in brackets": ("# lamina: ignore[LAM106]", "RUN pip install a"),
    "in brackets, among others": ("# lamina: ignore[secret, no-cache-mount]", "RUN pip install a"),
    "in a long instruction": ("RUN ls && \\", "# lamina: ignore=LAM106", "  pip install a"),
}


@pytest.mark.parametrize("lines", OFF.values(), ids=OFF)
def test_a_comment_switches_a_rule_off(packages: Repo, lines: tuple[str, ...]) -> None:
    write(packages, HANDLER, *lines)

    assert [each for each in look(packages) if (each.rule, each.image) == ("LAM106", "app")] == []


@pytest.mark.parametrize(
    "lines",
    [
        ("# lamina: ignore=LAM105", "RUN pip install a"),
        ("# lamina: ignore=LAM106", "RUN ls", "RUN pip install a"),
        ("# lamina: ignore=LAM106", "", "RUN pip install a"),
    ],
)
def test_it_is_about_that_rule_and_that_place(packages: Repo, lines: tuple[str, ...]) -> None:
    write(packages, HANDLER, *lines)

    assert [each.rule for each in look(packages) if (each.rule, each.image) == ("LAM106", "app")] == [
        "LAM106"
    ]


def test_the_configuration_switches_rules_off(packages: Repo) -> None:
    packages.config('[tool.lamina.lint]\nignore = ["LAM106", "source-with-dependencies"]\n')

    assert {each.rule for each in look(packages)}.isdisjoint({"LAM106", "LAM104"})


def test_an_unknown_rule_suggests_the_nearest(packages: Repo) -> None:
    packages.config('[tool.lamina.lint]\nignore = ["force-reinstal"]\n')
    write(packages, HANDLER, "# lamina: ignore=LAM999", "RUN ls")

    with pytest.raises(ConfigError) as caught:
        look(packages)

    first, second = (str(problem) for problem in caught.value.problems)
    assert first.startswith("pyproject.toml:2: unknown rule 'force-reinstal'; did you mean force-reinstall?")
    assert second.startswith("dockerfiles/app/Dockerfile:2: unknown rule 'LAM999'")


def test_two_images_of_one_dockerfile_give_one_finding(packages: Repo) -> None:
    packages.config('[tool.lamina.images.twin]\ndockerfile = "other/Dockerfile"\n[tool.lamina.images.third]\n'
                    'dockerfile = "other/Dockerfile"\n')  # fmt: skip
    packages.write("other/Dockerfile", "FROM scratch\nENV API_TOKEN=x\n")

    assert len([each for each in look(packages) if each.slug == "secret"]) == 1
    for image in ("twin", "third"):
        assert len([each for each in look(packages, images=(image,)) if each.slug == "secret"]) == 1


def test_seconds_of_earlier_runs_are_part_of_the_reason(packages: Repo) -> None:
    asked: list[tuple[str, str]] = []

    def seconds_of(image: str, instruction: str) -> float:
        asked.append((image, instruction))
        return 12.34

    (hit,) = [each for each in look(packages, seconds_of) if each.slug == "source-with-dependencies"]

    assert hit.why.endswith("; the step took 12.3 s in its last run")
    assert ("base-dynamo", "RUN pip install /tmp/dynamo && rm -rf /tmp/dynamo") in asked


def test_the_seconds_of_an_early_copy_are_those_of_the_install(packages: Repo) -> None:
    packages.image("app", "FROM x", "COPY . /src/", "RUN pip install -r /src/requirements.txt")
    packages.write("requirements.txt", "requests\n")
    took = {"RUN pip install -r /src/requirements.txt": 6.1}

    found = look(packages, lambda _, instruction: took.get(instruction, 0.2))

    (hit,) = [each for each in found if each.rule == "LAM201"]
    assert hit.why.endswith("; the step took 6.1 s in its last run")
