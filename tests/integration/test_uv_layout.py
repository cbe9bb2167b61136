"""A usual layout of uv: `lint --fix` takes the code out of its environment, and it still answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from projects import Repo

pytestmark = [pytest.mark.engine, pytest.mark.nightly]

UV = Path(sys.executable).with_name("uv")
PROJECT = """\
[project]
name = "my-app"
version = "1"
requires-python = ">=3.11"
dependencies = ["iniconfig", "awslambdaric"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
DOCKERFILE = """\
FROM public.ecr.aws/lambda/python:3.13 AS build
RUN pip install uv==0.13.9
ENV UV_PROJECT_ENVIRONMENT=/function
WORKDIR /src
COPY . .
RUN uv sync --no-dev --no-editable

FROM public.ecr.aws/lambda/python:3.13
COPY --from=build /function /function
WORKDIR /function
ENTRYPOINT ["./bin/python3", "-m", "awslambdaric"]
CMD ["my_app.main.handler"]
"""
CA = '\n[tool.lamina.secrets]\nca = { file = "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" }\n'
"""What the machine needs to download packages; it is not about the layout."""


def test_an_edit_of_the_code_leaves_the_environment_alone(repo: Repo) -> None:
    repo.write("pyproject.toml", PROJECT)
    repo.write("src/my_app/__init__.py", "")
    repo.write("src/my_app/main.py", "import iniconfig\ndef handler(event, context): return event\n")
    repo.write("dockerfiles/app/Dockerfile", DOCKERFILE)
    subprocess.run([str(UV), "lock", "--quiet"], cwd=repo.root, check=True)

    repo.ok("ignore", "--write")
    repo.ok("lint", "--fix")
    file = repo.root / "dockerfiles/app/Dockerfile"
    text = file.read_text()
    assert "COPY --link src/my_app/ /function/lib/python3.13/site-packages/my_app/" in text
    assert text.count("uv sync") == 1
    trust = "RUN --mount=type=secret,id=ca,target=/ca.pem "
    text = text.replace("RUN ", trust).replace("pip install", "PIP_CERT=/ca.pem pip install")
    file.write_text(text.replace("    uv sync", "    SSL_CERT_FILE=/ca.pem uv sync"))
    repo.append("pyproject.toml", CA)

    assert repo.ok("build-all", "--json").built == ["app"]
    assert repo.ok("smoke", "--json").json["images"][0]["ok"]
    repo.append("src/my_app/main.py", "# edited\n")
    assert repo.ok("build-all", "--json").built == ["app"]
    assert repo.installs() == []
    assert repo.ok("smoke", "--json").json["images"][0]["ok"]
