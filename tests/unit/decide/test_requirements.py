from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lamina.decide.requirements import unpinned
from lamina.identify.image import local_names

from ..conftest import RUNTIME, Repo

D, L, E = "base-receipt-dynamo", "base-receipt-label", "lambda-embedding"
ROOT = Path(__file__).parents[3]


def told(repo: Repo) -> list[str]:
    images = repo.images()
    return [str(each).partition("\n")[0] for each in unpinned(images, local_names(images.values()))]


@pytest.fixture
def app(repo: Repo) -> Repo:
    """An image that installs what ``requirements.txt`` says; its context is the folder ``app``."""
    repo.image("app", f"FROM {RUNTIME}", "COPY app/ /src/", "RUN pip install -r /src/requirements.txt")
    repo.write("app/handler.py", "x = 1\n")
    return repo


@pytest.mark.parametrize(
    "line",
    [
        "numpy==1.26",
        "numpy == 1.26 ; python_version > '3'",
        "numpy===1.26",
        "numpy[extra]==1.26",
        "numpy==1.26 --hash=sha256:aa",
        "numpy==1.26 \\\n    --hash=sha256:aa",
        "numpy @ https://x.test/numpy.whl",
        "./numpy",
        "https://x.test/numpy-1.26.whl",
        "-r other.txt",
    ],
)
def test_a_pinned_requirement_gives_no_note(app: Repo, line: str) -> None:
    app.write("app/requirements.txt", f"{line}\n")

    assert told(app) == []


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy>=1.26",
        "numpy~=1.26",
        "numpy==1.*",
        "numpy>=1,<2",
        "numpy; python_version == '3.13'",
        "Num_Py!=1.0",
    ],
)
def test_an_unpinned_requirement_gives_a_note(app: Repo, line: str) -> None:
    app.write("app/requirements.txt", f"{line}\n")

    name = "num-py" if line.startswith("Num_Py") else "numpy"
    assert told(app) == [f"app/requirements.txt: app: 1 requirement is not pinned ({name})"]


def test_one_note_an_image_however_many_requirements(app: Repo) -> None:
    app.write("app/requirements.txt", "a\nb>=1\nc==1\nd\n")
    app.write("app/sub/pyproject.toml", '[project]\nname = "sub"\ndependencies = ["a", "e"]\n')

    assert told(app) == ["app/requirements.txt: app: 4 requirements are not pinned (a, b, d, …)"]


@pytest.mark.parametrize(
    ("path", "content", "pins"),
    [
        ("app/constraints.txt", "numpy==1.26\n", True),
        ("app/constraints-3.13.txt", "numpy==1.26\n", True),
        ("app/constraints.txt", "numpy<2\n", False),
        ("app/constraints.txt", "other==1\n", False),
        ("app/requirements-all.txt", "NumPy==1.26\n", True),
        ("app/requirements.lock", "", True),
        ("app/uv.lock", "", True),
        ("app/poetry.lock", "", True),
        ("app/pdm.lock", "", True),
        ("app/Pipfile.lock", "", True),
        ("app/pylock.toml", "", True),
        ("app/pylock.app.toml", "", True),
        ("app/other/uv.lock", "", False),
        ("app/yarn.lock", "", False),
        ("constraints.txt", "numpy==1.26\n", False),
    ],
)
def test_another_file_of_the_context_may_pin(app: Repo, path: str, content: str, pins: bool) -> None:
    app.write("app/requirements.txt", "numpy\n")
    app.write(path, content)

    assert (told(app) == []) is pins


def test_extras_count_where_they_are_installed(repo: Repo) -> None:
    repo.write("pkg/pyproject.toml", '[project]\nname = "p"\n[project.optional-dependencies]\ntest = ["a"]\n')
    for name, words in {"no": "/src", "one": "'/src[big,test]'", "two": "--extra test /src"}.items():
        repo.image(name, f"FROM {RUNTIME}", "COPY pkg/ /src/", f"RUN pip install {words}")

    assert [each.partition(": ")[2] for each in told(repo)] == [
        "one: 1 requirement is not pinned (a)",
        "two: 1 requirement is not pinned (a)",
    ]


def test_own_packages_are_not_a_package_indexs(receipts: Repo) -> None:
    receipts.edit("receipt_label/pyproject.toml", '"pydantic>=1"', '"Receipt_Dynamo"')

    assert told(receipts) == [
        f"receipt_dynamo/pyproject.toml: {D}: 1 requirement is not pinned (boto3)",
    ]


def test_an_image_that_runs_nothing_installs_nothing(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "COPY requirements.txt /")
    repo.write("requirements.txt", "numpy\n")

    assert told(repo) == []


def test_the_sample_is_pinned(repo: Repo) -> None:
    for folder in ("dockerfiles", "receipts"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, repo.root / folder, ignore=ignore)

    assert told(repo) == []
