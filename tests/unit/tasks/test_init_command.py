"""`lamina init` from the command line, on repositories without any configuration of Lamina."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from ..conftest import Repo
from .conftest import Command

DATA = Path(__file__).parents[2] / "data"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def shared(repo: Repo) -> Repo:
    shutil.copytree(DATA / "layout-shared", repo.root, dirs_exist_ok=True)
    return repo


def test_nothing_is_written_unless_it_is_asked_for(shared: Repo, lamina: Command, capsys: Capture) -> None:
    before = {file: file.read_bytes() for file in shared.root.rglob("*") if file.is_file()}

    assert lamina("init", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["ok"], document["written"]) == ("init", True, False)
    assert {each["name"]: each["dockerfile"] for each in document["images"]} == {
        "shared-base": "docker/shared-base.Dockerfile",
        "receipts-worker": "docker/worker.Dockerfile",
    }
    assert document["images"][1]["functions"] == [
        f"receipts-{{stack}}-{name}" for name in ("resize", "label", "thumbnail")
    ]
    assert document["context_bytes"]["after"] < document["context_bytes"]["before"]
    assert document["findings"] == []
    assert {file: file.read_bytes() for file in shared.root.rglob("*") if file.is_file()} == before


def test_an_ignore_file_that_is_kept_saves_nothing(repo: Repo, lamina: Command, capsys: Capture) -> None:
    repo.write("fn/Dockerfile", "FROM scratch\nCOPY . /\n")
    repo.write("fn/Dockerfile.dockerignore", "*\n!a\n")
    repo.write("fn/a", "a")
    repo.write("fn/big", "b" * 1000)

    assert lamina("init", "--json") == 0

    sizes = json.loads(capsys.readouterr().out)["context_bytes"]
    assert sizes == {"before": 1, "after": 1}


def test_the_written_text_is_the_one_shown_and_plans(shared: Repo, lamina: Command, capsys: Capture) -> None:
    before = (shared.root / "pyproject.toml").read_bytes()

    assert lamina("init") == 0
    shown = capsys.readouterr().out
    assert lamina("init", "--write") == 0

    after = (shared.root / "pyproject.toml").read_bytes()
    assert after.startswith(before)
    added = after[len(before) :].decode().strip()
    assert added in shown
    assert tomllib.loads(added)["tool"]["lamina"]["platform"] == "linux/arm64"
    assert lamina("plan", "--offline") == 0
    capsys.readouterr()
    assert lamina("init", "--write") == 0
    assert "already configured: receipts-worker, shared-base; nothing to write" in capsys.readouterr().out
    assert (shared.root / "pyproject.toml").read_bytes() == after


def test_a_configuration_above_the_current_folder_is_named(
    receipts: Repo, lamina: Command, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another repository was copied into this one: what is found is not its own."""
    (receipts.root / "sub/shop").mkdir(parents=True)
    monkeypatch.chdir(receipts.root / "sub/shop")

    assert lamina("init") == 0

    assert capsys.readouterr().out.startswith("already configured in ../..: base-receipt-dynamo, ")


def test_a_repository_of_the_usual_layout_needs_no_configuration(
    receipts: Repo, lamina: Command, capsys: Capture
) -> None:
    receipts.write("web/Dockerfile", "FROM scratch\n")

    assert lamina("init", "--write") == 0

    out = capsys.readouterr().out
    assert out.startswith("already configured: base-receipt-dynamo, ")
    assert "note: web/Dockerfile: not an image of the project" in out
    assert not (receipts.root / "pyproject.toml").exists()


def test_faults_that_a_plan_refuses_are_reported_and_the_proposal_stands(
    repo: Repo, lamina: Command, capsys: Capture
) -> None:
    repo.write("embed/Dockerfile", "FROM scratch\nCOPY handler.py made.whl /var/task/\n")
    repo.write("embed/handler.py")
    repo.write("infra/template.yaml", "Transform: AWS::Serverless-2016-10-31\n# Image\nResources: [\n")
    repo.write("helm/template.yaml", "{{ if }}\n")

    assert lamina("init", "--write") == 0

    out = capsys.readouterr().out
    assert "note: infra/template.yaml:4: cannot be read as YAML" in out
    assert "to fix before a build:" in out
    assert "note: embed/Dockerfile:2: COPY made.whl: there is no such file in the context" in out
    assert 'dockerfile = "embed/Dockerfile"\ncontext = "embed"' in (repo.root / "lamina.toml").read_text()


def test_a_folder_without_dockerfiles_is_3(repo: Repo, lamina: Command, capsys: Capture) -> None:
    assert lamina("init") == 3
    err = capsys.readouterr().err
    assert "no Dockerfile found" in err
    assert "next: write dockerfiles/<image>/Dockerfile" in err


def test_a_workspace_without_a_handler_is_told_what_a_handler_is(
    repo: Repo, lamina: Command, capsys: Capture
) -> None:
    shutil.copytree(DATA / "uv-workspace", repo.root, dirs_exist_ok=True)

    assert lamina("init") == 3

    err = capsys.readouterr().err
    assert "no Dockerfile found" in err
    assert "has handler(event, context) or lambda_handler(event, context)" in err


@pytest.mark.parametrize("name", ["pyproject.toml", "app.py", "serverless.yml", "template.yaml"])
def test_bytes_that_are_no_text_end_no_command_with_a_traceback(
    repo: Repo, lamina: Command, capsys: Capture, name: str
) -> None:
    repo.write("embed/Dockerfile", "FROM scratch\n")
    repo.write(name, b"\xff\xfe\x00docker_build")

    assert lamina("init") == (2 if name == "pyproject.toml" else 0)


def test_missing_images_of_a_template_are_reported(repo: Repo, lamina: Command, capsys: Capture) -> None:
    repo.write("embed/Dockerfile", "FROM scratch\n")
    repo.write("embed/lambda.docker", "FROM scratch\n")
    repo.write(
        "template.yaml",
        "Globals: {Function: {PackageType: Image}}\nResources:\n"
        + "".join(
            f"  {name}:\n    Type: AWS::Serverless::Function\n"
            f"    Metadata: {{DockerContext: {context}, Dockerfile: {file}}}\n"
            for name, context, file in (
                ("Gone", "gone", "Dockerfile"),
                ("Odd", "embed", "lambda.docker"),
                ("Embed", "embed/more", "../Dockerfile"),
            )
        ),
    )

    assert lamina("init") == 0

    out = capsys.readouterr().out
    assert "note: template.yaml:4: names gone/Dockerfile, which does not exist" in out
    assert 'dockerfile = "embed/lambda.docker"' in out
    assert "to fix before a build:\nnote: lamina.toml:" in out
    assert f"the context of embed is not a folder: {repo.root}/embed/more" in out


def test_a_file_with_settings_gets_the_text_that_was_shown(
    repo: Repo, lamina: Command, capsys: Capture
) -> None:
    repo.write("embed/Dockerfile", "FROM scratch\n")
    repo.write(
        "template.yaml", (DATA / "layout-sam/template.yaml").read_text().replace("functions/ingest", "embed")
    )
    repo.config("[tool.lamina]\nstack = 'prod'\n")

    assert lamina("init", "--json", "--write") == 0

    toml = json.loads(capsys.readouterr().out)["toml"]
    assert (repo.root / "pyproject.toml").read_text() == f"[tool.lamina]\nstack = 'prod'\n\n{toml}\n"
    assert tomllib.loads(toml)["tool"]["lamina"]["images"]["embed"]["platform"] == "linux/arm64"


def test_a_repository_without_a_pyproject_gets_a_file_of_its_own(
    repo: Repo, lamina: Command, capsys: Capture
) -> None:
    repo.write("embed/Dockerfile", "FROM scratch\n")

    assert lamina("init", "--write") == 0

    assert "written: lamina.toml\n" in capsys.readouterr().out
    assert (repo.root / "lamina.toml").read_text() == '[images.embed]\ndockerfile = "embed/Dockerfile"\n'
    assert not (repo.root / "pyproject.toml").exists()
    assert lamina("plan", "--offline") == 0
    repo.write("label/Dockerfile", "FROM scratch\n")

    assert lamina("init") == 0

    hint = "label/Dockerfile: not an image of the project\n  next: list it in [images.<name>]"
    assert hint in capsys.readouterr().out


def test_a_repository_without_an_image_for_lambda_is_told_so(
    repo: Repo, lamina: Command, capsys: Capture
) -> None:
    repo.write("zip/Dockerfile", "FROM alpine:3\n")
    repo.write("stack.py", "DockerImage.from_build('zip')\n")

    assert lamina("init", "--write") == 0

    out = capsys.readouterr().out
    assert "note: zip/Dockerfile: left out" in out
    assert out.endswith("no image is proposed\n")
    assert not (repo.root / "lamina.toml").exists()


LAYOUTS: dict[str, dict[str, list[object]]] = {
    "layout-sam": {"ingest": ["ingest"], "notify": []},
    "layout-shared": {
        "shared-base": [],
        "receipts-worker": [f"receipts-{{stack}}-{name}" for name in ("resize", "label", "thumbnail")],
    },
    "layout-terraform": {"labels": ["{stack}-labels"], "resize": [], "thumbnail": ["thumbnail"]},
    "layout-cdk-typescript": {"invoices": [], "orders": ["shop-orders"]},
    "layout-few-lambdas": {"mailer": [{"stack": "shop-{stack}", "id": "Mailer"}]},
}
"""Layout -> its images, with their functions."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_planned_and_linted_as_init_writes_it(
    repo: Repo, lamina: Command, capsys: Capture, layout: str
) -> None:
    shutil.copytree(DATA / layout, repo.root, dirs_exist_ok=True)

    assert lamina("init", "--write", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["functions"] for each in document["images"]} == LAYOUTS[layout]
    assert document["findings"] == []
    assert lamina("plan", "--offline") == 0
    assert lamina("ignore", "--write") == 0
    assert lamina("lint", "--fix") == 0


def test_a_second_init_gives_the_reason_of_the_first(repo: Repo, lamina: Command, capsys: Capture) -> None:
    repo.write("fn/Dockerfile", "FROM public.ecr.aws/lambda/python:3.13\n")
    repo.write("zip/Dockerfile", "FROM alpine:3\n")
    repo.write("stack.py", "DockerImage.from_build('zip')\n")

    assert lamina("init", "--write") == 0
    first = capsys.readouterr().out
    assert lamina("init") == 0

    note = "note: zip/Dockerfile: left out, because it makes no Lambda image: stack.py:1 takes its files"
    assert note in first
    assert note in capsys.readouterr().out
