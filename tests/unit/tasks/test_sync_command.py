"""`lamina init` and `lamina sync` on a uv workspace, from the command line."""

from __future__ import annotations

import json
import shutil
import tomllib

import pytest

from uv_workspace import WORKSPACE, dockerfile

from ..conftest import Repo
from .conftest import Command

Capture = pytest.CaptureFixture[str]
HANDLER = "def handler(event, context): ...\n"


@pytest.fixture
def workspace(repo: Repo) -> Repo:
    shutil.copytree(WORKSPACE, repo.root, dirs_exist_ok=True)
    for package in ("common", "store"):
        repo.write(f"packages/{package}/src/{package}/__init__.py")
    repo.write("packages/web/web/__init__.py")
    repo.write("packages/web/tests/__init__.py")
    for member in ("ingest", "report"):
        repo.write(f"functions/{member}/handler.py", HANDLER)
        repo.write(f"functions/{member}/test_handler.py", HANDLER)
    return repo


@pytest.fixture
def written(workspace: Repo, lamina: Command, capsys: Capture) -> Repo:
    assert lamina("init", "--write") == 0
    capsys.readouterr()
    return workspace


def copies(repo: Repo, member: str) -> list[str]:
    lines = (repo.root / f"functions/{member}/Dockerfile").read_text().splitlines()
    return [each for each in lines if each.startswith("COPY --link ") and "--from" not in each]


def require_web(repo: Repo) -> None:
    """Let the member `store` require the member `web`, as `uv add` and `uv lock` do."""
    first, then = '    { name = "common" },\n', '    { name = "numpy", version = "1'
    repo.edit("uv.lock", first + then, f'{first}    {{ name = "web" }},\n{then}')


def test_init_proposes_a_dockerfile_for_each_handler(
    workspace: Repo, lamina: Command, capsys: Capture
) -> None:
    assert lamina("init", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert [each["path"] for each in document["dockerfiles"]] == [
        "functions/ingest/Dockerfile",
        "functions/report/Dockerfile",
    ]
    assert not list(workspace.root.rglob("Dockerfile"))


@pytest.mark.parametrize(
    ("handler", "proposed"),
    [
        ("def handler(message, level):\n    return message\n", False),
        ("import aws_lambda_powertools\ndef handler(event, context):\n    return 1\n", True),
        ("def lambda_handler(event, context):\n    return 1\n", True),
    ],
)
def test_a_library_is_proposed_only_with_a_sign_of_lambda(
    workspace: Repo, lamina: Command, capsys: Capture, handler: str, *, proposed: bool
) -> None:
    workspace.write("packages/common/src/common/__init__.py", handler)

    assert lamina("init", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    paths = [each["path"] for each in document["dockerfiles"]]
    assert ("packages/common/Dockerfile" in paths) is proposed
    noted = [each for each in document["messages"] if "no Dockerfile is proposed for common" in str(each)]
    assert bool(noted) is not proposed
    workspace.write(
        "template.yaml",
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Common:\n    Type: AWS::Serverless::Function\n"
        "    Properties: {PackageType: Image}\n    Metadata: {DockerContext: packages/common}\n",
    )
    assert lamina("init") == 0
    shown = capsys.readouterr().out
    assert "packages/common/Dockerfile is proposed, because common has common." in shown
    assert "does not exist" not in shown


@pytest.mark.parametrize("others", [False, True])
def test_the_preview_has_the_tables_that_are_written(
    workspace: Repo, lamina: Command, capsys: Capture, *, others: bool
) -> None:
    if others:
        workspace.write("label/Dockerfile", "FROM scratch\n")

    assert lamina("init") == 0
    shown = capsys.readouterr().out
    before = (workspace.root / "pyproject.toml").read_text()
    assert lamina("init", "--write") == 0

    assert (workspace.root / "pyproject.toml").read_text()[len(before) :].strip() in shown
    note = "not in the plan, because their Dockerfiles are not written yet: ingest, report"
    assert f"note: {note}" in shown
    assert note not in capsys.readouterr().out
    assert ("1 to build" in shown) is others


def test_the_files_that_init_writes_are_declared_planned_and_without_findings(
    written: Repo, lamina: Command, capsys: Capture
) -> None:
    tables = tomllib.loads((written.root / "pyproject.toml").read_text())["tool"]["lamina"]["images"]
    assert tables.keys() == {"ingest", "report"}
    assert copies(written, "ingest") == [
        "COPY --link packages/common/src/common/ /var/task/common/",
        "COPY --link packages/store/src/store/ /var/task/store/",
        "COPY --link functions/ingest/handler.py /var/task/",
    ]
    assert copies(written, "report")[0] == "COPY --link packages/web/web/ /var/task/web/"
    assert lamina("ignore", "--write") == 0
    assert lamina("lint") == 0
    assert lamina("plan", "--offline", "--json") == 0
    assert lamina("sync", "--check") == 0
    assert "2 Dockerfiles, 0 out of date" in capsys.readouterr().out


def test_a_handler_of_a_package_itself_is_named_by_the_package(workspace: Repo, lamina: Command) -> None:
    workspace.move("functions/report/handler.py", "functions/report/src/report/__init__.py")

    assert lamina("init", "--write") == 0

    assert 'CMD ["report.handler"]' in (workspace.root / "functions/report/Dockerfile").read_text()
    assert lamina("lint", "--select", "LAM6") == 0


def test_the_lock_of_such_an_image_is_an_excerpt(written: Repo) -> None:
    before = written.fingerprints()
    written.edit("uv.lock", "httpx-0", "httpx_0")

    after = written.fingerprints()

    assert {name for name in before if before[name] != after[name]} == {"report"}


def test_a_member_that_is_added_later_is_declared_too(
    written: Repo, lamina: Command, capsys: Capture
) -> None:
    (written.root / "functions/report/Dockerfile").unlink()
    text = (written.root / "pyproject.toml").read_text()
    written.write("pyproject.toml", text[: text.index("[tool.lamina.images.report]")])

    assert lamina("init", "--write") == 0

    assert tomllib.loads((written.root / "pyproject.toml").read_text()) == tomllib.loads(text)
    assert "already configured: ingest\n" in capsys.readouterr().out


def test_a_member_with_a_dockerfile_or_without_a_certain_handler_gets_none(
    workspace: Repo, lamina: Command, capsys: Capture
) -> None:
    workspace.write("docker/one/Dockerfile", dockerfile("ingest"))
    workspace.write("functions/report/one.py", HANDLER)
    workspace.move("functions/report/handler.py", "functions/report/two.py")

    assert lamina("init", "--json") == 0

    assert json.loads(capsys.readouterr().out)["dockerfiles"] == []


def test_a_required_member_is_copied_everywhere(written: Repo, lamina: Command, capsys: Capture) -> None:
    require_web(written)

    assert lamina("plan", "--offline") == 2
    assert (
        "ingest requires web of the workspace, and nothing of packages/web is copied"
        in capsys.readouterr().err
    )
    assert lamina("sync", "--check") == 6
    assert "functions/ingest/Dockerfile: the marked lines are not those" in capsys.readouterr().err
    assert lamina("sync", "--dry-run") == 0
    assert "+COPY --link packages/web/web/ /var/task/web/" in capsys.readouterr().out
    assert lamina("sync", "--check") == 6
    assert lamina("sync") == 0
    assert copies(written, "ingest")[2] == "COPY --link packages/web/web/ /var/task/web/"
    assert lamina("sync", "--check") == 0
    assert lamina("plan", "--offline") == 0


def test_lines_between_marks_are_put_right_and_the_others_kept(written: Repo, lamina: Command) -> None:
    path = "functions/ingest/Dockerfile"
    before = (written.root / path).read_text()
    written.edit(path, "COPY --link packages/store/src/store/ /var/task/store/\n", "")
    written.edit(path, "    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\\n", "")
    written.edit(path, "CMD", "# mine\nCMD")

    assert lamina("sync") == 0

    assert (written.root / path).read_text() == before.replace("CMD", "# mine\nCMD")


def test_marks_choose_another_folder_and_all_members(written: Repo, lamina: Command) -> None:
    path = "functions/ingest/Dockerfile"
    written.edit(path, "copy ingest", "copy ingest into /function")
    written.edit(path, "mount ingest", "mount ingest with all members")

    assert lamina("sync") == 0

    text = (written.root / path).read_text()
    assert "COPY --link packages/common/src/common/ /function/common/" in text
    assert "source=packages/web/pyproject.toml,target=packages/web/pyproject.toml" in text


def test_a_dockerfile_that_installs_one_member_gets_marks(
    workspace: Repo, lamina: Command, capsys: Capture
) -> None:
    text = dockerfile("ingest")
    workspace.write("dockerfiles/ingest/Dockerfile", text)

    assert lamina("sync") == 0

    lines = (workspace.root / "dockerfiles/ingest/Dockerfile").read_text().splitlines()
    assert lines[lines.index("# lamina sync: copy ingest") :] == [
        "# lamina sync: copy ingest",
        "COPY --link packages/common/src/common/ /var/task/common/",
        "COPY --link packages/store/src/store/ /var/task/store/",
        "COPY --link functions/ingest/handler.py /var/task/",
        "# lamina sync: end",
        'CMD ["handler.handler"]',
    ]
    assert sum("handler.py" in line for line in lines) == 1


def test_all_faults_of_marks_are_reported_at_once(written: Repo, lamina: Command, capsys: Capture) -> None:
    written.edit("functions/ingest/Dockerfile", "copy ingest", "copy injest")
    written.edit("functions/ingest/Dockerfile", "mount ingest", "shake ingest")
    written.edit("functions/report/Dockerfile", "# lamina sync: end\nCMD", "CMD")

    assert lamina("sync") == 2

    shown = capsys.readouterr().err
    assert "injest is not a member of the workspace" in shown
    assert "unknown block: # lamina sync: shake ingest" in shown
    assert "functions/report/Dockerfile:20: the block is not ended" in shown


def test_a_workspace_without_a_lock_says_what_to_run(
    workspace: Repo, lamina: Command, capsys: Capture
) -> None:
    (workspace.root / "uv.lock").unlink()

    assert lamina("init") == 2
    assert "uv.lock: the workspace has no lock\n  next: run uv lock" in capsys.readouterr().err


def test_a_project_that_is_not_a_workspace_has_nothing_to_sync(
    app: Repo, lamina: Command, capsys: Capture
) -> None:
    assert lamina("sync") == 3
    assert "not a workspace of uv" in capsys.readouterr().err


@pytest.fixture
def listed(repo: Repo) -> Repo:
    """A function whose requirements for pip name two projects of the repository."""
    for name in ("x", "y"):
        repo.write(f"packages/{name}/pyproject.toml", f'[project]\nname = "{name}"\nversion = "1"\n')
        repo.write(f"packages/{name}/{name}.py", "")
    repo.write(
        "functions/a/requirements.txt",
        "-r ../base.txt\n-e ../../packages/x[more]  # editable\nboto3==1.40.0\n"
        "z @ https://example.org/z.whl\nw @ git+https://example.org/w\n",
    )
    repo.write("functions/base.txt", "requests==2.32.0\n")
    repo.write("functions/a/handler.py", HANDLER)
    repo.image(
        "a",
        "FROM public.ecr.aws/lambda/python:3.13",
        "WORKDIR /src",
        "# lamina sync: copy functions/a/requirements.txt",
        "# lamina sync: end",
        "RUN cd functions/a && pip install -r requirements.txt",
        "COPY functions/a/handler.py /var/task/",
        'CMD ["handler.handler"]',
    )
    return repo


def block(repo: Repo) -> list[str]:
    lines = [each.strip() for each in (repo.root / "dockerfiles/a/Dockerfile").read_text().splitlines()]
    start = next(index for index, line in enumerate(lines) if line.startswith("# lamina sync:"))
    return lines[start + 1 : lines.index("# lamina sync: end")]


def test_projects_that_requirements_of_pip_name_are_copied(
    listed: Repo, lamina: Command, capsys: Capture
) -> None:
    assert lamina("sync", "--check") == 6
    assert lamina("sync") == 0
    assert block(listed) == [
        "COPY functions/a/requirements.txt functions/a/",
        "COPY functions/base.txt functions/",
        "COPY packages/x/ packages/x/",
    ]
    assert lamina("plan", "--offline") == 0
    assert lamina("sync", "--check") == 0

    listed.edit("functions/base.txt", "requests", "y @ file:../packages/y\nrequests")
    assert lamina("sync", "--check") == 6
    assert lamina("sync") == 0
    assert block(listed)[-2:] == ["COPY packages/x/ packages/x/", "COPY packages/y/ packages/y/"]
    capsys.readouterr()


def test_they_are_mounted_or_copied_below_another_folder(listed: Repo, lamina: Command) -> None:
    path = "dockerfiles/a/Dockerfile"
    listed.edit(path, "requirements.txt\n", "requirements.txt into /build\n")
    assert lamina("sync") == 0
    assert block(listed)[1:] == [
        "COPY functions/base.txt /build/functions/",
        "COPY packages/x/ /build/packages/x/",
    ]

    listed.write(
        path,
        "FROM public.ecr.aws/lambda/python:3.13\nRUN \\\n"
        "    # lamina sync: mount functions/a/requirements.txt\n    # lamina sync: end\n"
        "    cd functions/a && pip install -r requirements.txt\n",
    )
    assert lamina("sync") == 0
    assert block(listed)[1:] == [
        "--mount=type=bind,source=functions/base.txt,target=functions/base.txt \\",
        "--mount=type=bind,source=packages/x,target=packages/x,rw \\",
    ]


def test_a_path_that_is_not_in_the_context_is_an_error(
    listed: Repo, lamina: Command, capsys: Capture
) -> None:
    listed.edit("functions/a/requirements.txt", "packages/x", "packages/gone")
    listed.edit(
        "dockerfiles/a/Dockerfile",
        "# lamina sync: end",
        "# lamina sync: end\n# lamina sync: copy b.txt\n# lamina sync: end",
    )

    assert lamina("sync") == 2

    shown = capsys.readouterr().err
    assert "-e ../../packages/gone[more]: ../../packages/gone is not in the context" in shown
    assert "dockerfiles/a/Dockerfile:5: b.txt cannot be read as a file of requirements" in shown
