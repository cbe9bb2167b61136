"""Hand-off: `outputs` and the package's functions name the images that the registry serves."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from doubles.aws_front import AwsFront
from doubles.served import Served, stack_of
from projects import Done, Repo

pytestmark = pytest.mark.engine

TINY = "lambda-tiny"
ASK = f"import lamina; print(lamina.image_uri({TINY!r}), lamina.base_image_name('base-label'))"


def ask(repo: Repo) -> Done:
    """A program in a folder of the repository that asks for two images."""
    folder = repo.root / "infra"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=folder,
        env=repo.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def sourced(repo: Repo, text: str, variable: str) -> str:
    """The value of a variable once sh has read the text."""
    done = subprocess.run(
        ["/bin/sh", "-euc", f'{text}\nprintf %s "${variable}"'], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_outputs_name_the_images_that_ecr_serves(ecr: Repo, front: AwsFront, served: Served) -> None:
    repository = f"{TINY}-{stack_of(ecr)}"
    ecr.write(
        "pyproject.toml",
        f"[tool.lamina.images.{TINY}]\n"
        """functions = ["one", { name = "two", command = ["handler.it's"] }]\n""",
    )
    early = ecr.fails(2, "outputs", "--plan-only")
    assert (early.stdout, "the host of the ECR registry is not known" in early.stderr) == ("", True)

    ecr.ok("build-all")
    unpushed = ecr.fails(3, "outputs", "--format", "env")
    assert (unpushed.stdout, "was not pushed" in unpushed.stderr) == ("", True)

    pushed = ecr.ok("build-all", "--push", "--create", "--json").images("digest")
    front.calls.clear()
    found = json.loads(ecr.ok("outputs").stdout)
    planned = json.loads(ecr.ok("outputs", "--plan-only").stdout)
    asked = ask(ecr)
    text = ecr.ok("outputs", "--format", "env").stdout
    assert front.calls == [], "nobody is asked"

    uri = f"{served.address}/{repository}@{pushed[TINY]}"
    assert list(found) == [TINY]
    assert served.digest(repository, found[TINY]["digest"]) == pushed[TINY]
    assert planned[TINY]["uri"] == f"{served.address}/{repository}:{found[TINY]['tag']}"
    assert served.digest(repository, planned[TINY]["tag"]) == pushed[TINY]
    base = f"{served.address}/base-label-{stack_of(ecr)}@{pushed['base-label']}"
    assert (asked.code, asked.stdout, asked.stderr) == (0, f"{uri} {base}\n", "")
    assert sourced(ecr, text, "LAMBDA_TINY_IMAGE_URI") == found[TINY]["uri"] == uri
    assert sourced(ecr, text, "LAMBDA_TINY_FUNCTIONS") == "one two"
    assert json.loads(sourced(ecr, text, "LAMBDA_TINY_COMMANDS")) == {"two": ["handler.it's"]}

    ecr.append("src/handler.py", "# edited\n")
    behind = ecr.fails(3, "outputs")
    assert "src/handler.py modified" in behind.stderr
    assert f"python -m lamina build-all --push --image {TINY}" in behind.stderr
    assert "src/handler.py modified" in ask(ecr).stderr
    assert json.loads(ecr.ok("outputs", "--allow-stale").stdout)[TINY]["uri"] == uri
    later = json.loads(ecr.ok("outputs", "--plan-only").stdout)[TINY]["tag"]
    digest = ecr.ok("build-all", "--push", "--image", TINY, "--json").images("digest")[TINY]
    assert served.digest(repository, later) == digest != pushed[TINY]
    assert json.loads(ecr.ok("outputs").stdout)[TINY]["digest"] == digest
