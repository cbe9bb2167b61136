"""Installs that several images repeat, and the base image that `--fix --select LAM108` writes for them."""

from __future__ import annotations

import json

import pytest

from bench.monorepo import make_monorepo
from lamina.lint.registry import RuleSelection

from ..conftest import RUNTIME, Repo
from .conftest import look, mend

ASKED = RuleSelection.of(["LAM108"], [])
BASE = "dockerfiles/base-dynamo/Dockerfile"


@pytest.fixture
def twins(packages: Repo) -> Repo:
    """Three images: two install dynamo alike, one of them label too, and a third has another base."""
    packages.remove("dockerfiles/base-dynamo")
    packages.edit("dynamo/pyproject.toml", '["iniconfig>=2"]', '["iniconfig>=2", "pluggy"]')
    for name, more in (("one", ()), ("two", ("label",))):
        folders = ("dynamo", *more)
        packages.image(
            name,
            f"FROM {RUNTIME} AS deps",
            *(f"COPY {each}/ /src/{each}/" for each in folders),
            "RUN " + " && ".join(f"pip install /src/{each}" for each in folders) + " && \\",
            "    rm -rf " + " ".join(f"/src/{each}" for each in folders),
            "FROM deps",
            "COPY src/handler.py /var/task/",
            'CMD ["handler.handler"]',
            ignore=["*.log"],
        )
    return packages


def text(repo: Repo, name: str) -> list[str]:
    return (repo.root / f"dockerfiles/{name}/Dockerfile").read_text().splitlines()


def finding(repo: Repo) -> tuple[str | None, str]:
    found = [each for each in look(repo) if each.rule == "LAM108"]
    return found[0].hint, found[0].message


def test_a_base_is_written_when_it_is_asked_for(twins: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    found = mend(twins, ASKED)

    assert (twins.root / BASE).read_text().splitlines() == [
        "# What one, two install alike.",
        f"FROM {RUNTIME}",
        "COPY dynamo/ /src/dynamo/",
        "RUN pip install /src/dynamo && rm -rf /src/dynamo",
    ]
    assert text(twins, "one")[:3] == [
        "FROM base-dynamo:stable AS deps",
        "FROM deps",
        "COPY src/handler.py /var/task/",
    ]
    assert text(twins, "two")[:5] == [
        "FROM base-dynamo:stable AS deps",
        "COPY label/ /src/label/",
        "RUN pip install /src/label && \\",
        "    rm -rf /src/label",
        "FROM deps",
    ]
    assert (found.added, found.rebuilt) == (("base-dynamo",), ("one", "two"))
    assert "new: base-dynamo\nto build again: one, two\n" in capsys.readouterr().out
    assert twins.graph().nodes["one"].parents.keys() == {"base-dynamo"}
    assert mend(twins, ASKED).rewrites == ()


def test_a_monorepo_gets_bases_and_still_has_a_plan(repo: Repo) -> None:
    tree = make_monorepo(repo.root, images=6, files=0.02)
    tables = (
        f'[tool.lamina.images.{name}]\ndockerfile = "infra/{name}/Dockerfile"\n' for name in tree.images
    )
    repo.write("pyproject.toml", "".join(tables))

    found = mend(repo, ASKED)

    assert found.added[0] == "base-receipt-dynamo"
    assert set(found.rebuilt) == {*tree.images}
    nodes = repo.graph().nodes
    assert all(nodes[name].parents for name in tree.images)
    for name in tree.images:
        text = (repo.root / f"infra/{name}/Dockerfile").read_text()
        assert "pip install --no-cache-dir /src/receipt_dynamo " not in text
    assert repo.images().keys() == {*tree.images, *found.added}
    assert mend(repo, ASKED).rewrites == ()


def test_without_being_asked_for_no_base_is_written(twins: Repo) -> None:
    hint, message = finding(twins)
    mend(twins)

    assert not (twins.root / BASE).exists()
    assert hint is not None
    assert hint.startswith("invoke lint --fix --select LAM108")
    assert message == "2 images (one, two) install the same 3 packages (dynamo, iniconfig, pluggy)"


def test_what_the_installs_made_is_told(twins: Repo) -> None:
    cold = {"run": "r", "spans": [], "moved": 0, "layers": {"sha256:1": 30_000_000}, "pushed": False}
    document = {"schema": 1, "images": {f"{name}@linux/amd64": cold for name in ("one", "two")}}
    twins.write(".lamina/cold.json", json.dumps(document))

    assert finding(twins)[1].endswith("; their last cold builds made 60 MB")


def test_requirements_of_one_file_are_installed_by_the_base_and_stay(packages: Repo) -> None:
    packages.remove("dockerfiles/base-dynamo")
    packages.write("requirements.txt", "iniconfig==2.0.0\ntabulate==0.9.0\n")
    lines = ("COPY requirements.txt /r.txt", "RUN pip install -r /r.txt", "COPY src/handler.py /var/task/")
    for name in ("one", "two"):
        packages.image(name, f"FROM {RUNTIME}", *lines, ignore=["*.log"])

    mend(packages, ASKED)

    assert text(packages, "base-tabulate")[1:] == [f"FROM {RUNTIME}", *lines[:2]]
    assert text(packages, "one") == ["FROM base-tabulate:stable", *lines]


DIFFERENT = {
    "another base": ("two", f"FROM {RUNTIME}", "FROM public.ecr.aws/lambda/python:3.12"),
    "a variable": ("two", "COPY dynamo/", "ENV PIP_TARGET=/x\nCOPY dynamo/"),
    "a step before it": ("two", "COPY dynamo/", "RUN dnf install -y gcc\nCOPY dynamo/"),
    "an option": ("two", "pip install /src/dynamo", "pip install --no-deps /src/dynamo"),
    "a secret": ("two", "RUN pip", "RUN --mount=type=secret,id=a pip"),
    "another user": ("two", "COPY dynamo/", "USER me\nCOPY dynamo/"),
}


@pytest.mark.parametrize(("image", "old", "new"), DIFFERENT.values(), ids=DIFFERENT)
def test_images_that_differ_before_the_install_are_left_to_the_user(
    twins: Repo, image: str, old: str, new: str
) -> None:
    twins.edit(f"dockerfiles/{image}/Dockerfile", old, new)

    assert mend(twins, ASKED).rewrites == ()


def test_images_with_settings_of_their_own_are_left_to_the_user(twins: Repo) -> None:
    twins.config('[tool.lamina.images.two]\ntarget = "deps"\n')

    assert mend(twins, ASKED).rewrites == ()


def test_a_file_that_exists_is_kept(twins: Repo) -> None:
    twins.write(BASE, f"FROM {RUNTIME}\n")

    assert mend(twins, ASKED).rewrites == ()
