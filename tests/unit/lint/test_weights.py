"""Packages that make an image larger, by the sizes in the lock of uv."""

from __future__ import annotations

import pytest

from lamina.lint.findings import Finding
from lamina.report.sizes import KeptSize, keep_size
from uv_workspace import INSTALL, dockerfile

from ..conftest import RUNTIME, Repo
from .conftest import look

PACKAGE = """
[[package]]
name = "{name}"
version = "{version}"
source = {{ registry = "https://pypi.example/simple" }}
wheels = [
    {{ url = "https://x/{name}-{version}-py3-none-any.whl", hash = "sha256:00", size = {size} }},
]
"""
HEAD = """\
version = 1
revision = 3
requires-python = ">=3.13"

[manifest]
members = [
    "ingest",
]

[[package]]
name = "ingest"
version = "1"
source = {{ virtual = "functions/ingest" }}
dependencies = [
{edges}
]
"""


def lock(**sizes: int) -> str:
    names = {name.replace("_", "-"): size for name, size in sizes.items()}
    edges = "\n".join(f'    {{ name = "{name}" }},' for name in names)
    packages = (PACKAGE.format(name=name, version="1.2.3", size=size) for name, size in names.items())
    return HEAD.format(edges=edges) + "".join(packages)


def workspace(repo: Repo, text: str, *, options: str = INSTALL) -> None:
    repo.write("uv.lock", text)
    repo.write("pyproject.toml", '[project]\nname = "mono"\n[tool.uv.workspace]\nmembers = ["functions/*"]\n')
    repo.write("functions/ingest/pyproject.toml", '[project]\nname = "ingest"\nversion = "1"\n')
    repo.write("functions/ingest/handler.py", "def handler(event, context): ...\n")
    repo.write("dockerfiles/ingest/Dockerfile", dockerfile("ingest", options))


def found(repo: Repo, rule: str) -> list[Finding]:
    return [each for each in look(repo) if each.rule == rule]


def test_what_the_runtime_has_is_weighed(repo: Repo) -> None:
    workspace(repo, lock(boto3=140_000, botocore=14_000_000, httpx=70_000))

    [finding] = found(repo, "LAM117")
    assert finding.message == "boto3, botocore: 14 MB of wheels that Lambda's runtime has as well"
    assert finding.severity == "note"
    assert (finding.hint or "").endswith("--no-emit-package boto3 --no-emit-package botocore")


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ({"boto3": 140_000}, INSTALL),
        ({"botocore": 14_000_000}, f"{INSTALL} --no-emit-package botocore"),
        ({"botocore": 14_000_000}, f"{INSTALL} --unknown"),
    ],
    ids=["small", "left out", "not certain"],
)
def test_small_or_uncertain_weights_are_no_findings(repo: Repo, sizes: dict[str, int], options: str) -> None:
    workspace(repo, lock(**sizes), options=options)

    assert found(repo, "LAM117") == []


def test_tools_and_stubs_are_found_unless_they_are_imported(repo: Repo) -> None:
    workspace(repo, lock(ruff=11_000_000, types_requests=20_000, httpx=5_000_000))

    [finding] = found(repo, "LAM118")
    assert finding.message == "ruff, types-requests: 11 MB of wheels that a function does not run"
    assert (finding.certainty, finding.unless) == ("likely", "a function imports them")


def test_two_versions_in_a_base_and_above_it_are_found(repo: Repo) -> None:
    repo.write("requirements.txt", "numpy==2.4.0\niniconfig==2.0.0\n")
    repo.image("base-data", f"FROM {RUNTIME}", "RUN pip install numpy==1.26.4 iniconfig==2.0.0 pluggy")
    repo.image(
        "app",
        f"FROM {RUNTIME} AS tools",
        "RUN pip install pluggy==1.5.0",
        "FROM base-data:stable",
        "COPY requirements.txt /r.txt",
        "COPY --from=tools /usr/bin/env /env",
        "RUN pip install -r /r.txt",
    )

    [finding] = found(repo, "LAM119")
    assert (finding.image, finding.line) == ("app", 6)
    assert finding.message == (
        "numpy==2.4.0 is installed above numpy==1.26.4 of the base base-data: the image has both"
    )
    repo.write("requirements.txt", "numpy==1.26.4\n")
    assert found(repo, "LAM119") == []


def test_what_size_found_last_is_told_again(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", 'CMD ["a.b"]')
    kinds = (("tests", 9_000_000), ("docs", 1_000_000), ("not opened", 90_000_000))
    keep_size(
        repo.root / ".lamina",
        "app",
        "sha-000000000000",
        [KeptSize(kind=kind, bytes=count, parts=("numpy",)) for kind, count in kinds],
    )

    [finding] = found(repo, "LAM121")
    assert finding.message == "tests: 9.0 MB in numpy of sha-000000000000, which was measured last"
    repo.write(".lamina/sizes.json", "{}")
    assert found(repo, "LAM121") == []
