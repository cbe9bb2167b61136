from __future__ import annotations

from pathlib import Path

from lamina.codebuild.limits import needed_secrets, notes, unfit
from lamina.declare.codebuild import CodeBuildSettings
from lamina.declare.config import Secret

from ..conftest import RUNTIME, Repo

CA = Secret(name="ca", file=Path("/ca.pem"))


def told(repo: Repo, settings: CodeBuildSettings | None = None, **more: object) -> list[str]:
    given = {"secrets": (), "stand_ins": {}, **more}
    return [str(each) for each in unfit(settings or CodeBuildSettings(), repo.images(), **given)]  # type: ignore[arg-type]


def test_an_image_that_can_be_built_has_no_problem(receipts: Repo) -> None:
    assert told(receipts, secrets=(CA,)) == []


def test_a_stand_in_stays_here(app: Repo) -> None:
    (problem,) = told(app, stand_ins={RUNTIME: "stand-in.invalid/python:3.13-1"})

    assert problem.startswith(f"stand-in.invalid/python:3.13-1: {RUNTIME} is a stand-in here")


def test_a_secret_has_to_be_where_the_build_is(app: Repo) -> None:
    app.image("app", f"FROM {RUNTIME}", "RUN --mount=type=secret,id=ca cat /run/secrets/ca")
    known = CodeBuildSettings(secrets={"ca": "team/ca", "other": "team/other"})
    (problem,) = told(app, secrets=(CA,))

    assert "app needs the secret ca" in problem
    assert told(app, secrets=(Secret(name="ca", file=CA.file, optional=True),)) == []
    assert told(app, known, secrets=(CA,)) == []
    assert needed_secrets(known, app.images().values()) == {"ca": "team/ca"}


def test_codebuild_has_no_ssh_agent(app: Repo) -> None:
    app.image("app", f"FROM {RUNTIME}", "RUN --mount=type=ssh pip install git+ssh://git@host/lib")
    (problem,) = told(app, ssh=True)

    assert "app mounts an SSH agent (--mount=type=ssh), and CodeBuild has none" in problem
    assert "invoke build --image app --push" in problem
    assert told(app) == []


def test_a_base_is_built_by_the_same_machine(receipts: Repo) -> None:
    receipts.config('[tool.lamina.images.lambda-embedding]\nplatform = "linux/riscv64"\n')
    receipts.flags = {}
    receipts.env = {"LAMINA_PLATFORM": "linux/amd64"}
    no_machine, base = told(receipts)

    assert "CodeBuild has no machines for linux/riscv64" in no_machine
    assert "allowed: linux/amd64, linux/arm64" in no_machine
    assert "invoke codebuild.build --image base-receipt-label" in base


def test_a_missing_image_of_buildkit_is_noted() -> None:
    assert tuple(notes(CodeBuildSettings(buildkit="x"))) == ()
    assert "no image of BuildKit is configured" in next(notes(CodeBuildSettings())).what
