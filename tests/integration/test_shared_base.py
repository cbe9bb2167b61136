"""The base image that `lint --fix --select LAM108` writes: it builds, and the functions on it answer."""

from __future__ import annotations

import pytest
from projects import Repo

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

RUNTIME = "public.ecr.aws/lambda/python:3.13"
CA = '[tool.lamina.secrets]\nca = { file = "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" }\n'
TRUST = "RUN --mount=type=secret,id=ca,target=/ca.pem export PIP_CERT=/ca.pem; "
"""What the machine needs to download packages; the fix is about the steps without it."""


def test_the_images_of_a_new_base_answer(repo: Repo) -> None:
    repo.write("pyproject.toml", CA)
    for name, requires in (("dynamo", '"iniconfig", "pluggy"'), ("label", '"dynamo", "tabulate"')):
        project = f'[project]\nname = "{name}"\nversion = "1"\ndependencies = [{requires}]\n'
        repo.write(f"{name}/pyproject.toml", project + f'[tool.setuptools]\npackages = ["{name}"]\n')
        repo.write(f"{name}/{name}/__init__.py", "import iniconfig\nNAME = __name__\n")
    for image, folders in (("one", ("dynamo",)), ("two", ("dynamo", "label"))):
        copies = "".join(f"COPY {each}/ /src/{each}/\n" for each in folders)
        installs = " && ".join(f"pip install --no-cache-dir /src/{each}" for each in folders)
        removed = " ".join(f"/src/{each}" for each in folders)
        repo.write(
            f"dockerfiles/{image}/Dockerfile",
            f"FROM {RUNTIME} AS deps\n{copies}RUN {installs} && rm -rf {removed}\n\nFROM deps\n"
            f'COPY src/{image}.py /var/task/handler.py\nCMD ["handler.handler"]\n',
        )
        imports = "".join(f"import {each}\n" for each in folders)
        repo.write(f"src/{image}.py", f"{imports}def handler(event, context): return [{folders[-1]}.NAME]\n")

    repo.ok("lint", "--fix", "--select", "LAM108")
    for file in repo.root.glob("dockerfiles/*/Dockerfile"):
        file.write_text(file.read_text().replace("RUN ", TRUST))

    assert repo.ok("build-all", "--json").built == ["base-dynamo", "one", "two"]
    answers = repo.ok("smoke", "--json").json["images"]
    assert [each["ok"] for each in answers] == [True, True]
    assert len(repo.installs()) == 2
    repo.append("src/one.py", "# edited\n")
    assert repo.ok("build-all", "--json").built == ["one"]
