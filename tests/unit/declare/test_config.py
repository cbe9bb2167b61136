"""The configured project, and every way to get it wrong: all problems are reported at once, with lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lamina.declare.config import Secret, find_root, load_project
from lamina.declare.machine import native_platform
from lamina.errors import ConfigError

from ..conftest import RUNTIME, Repo


def refusals(repo: Repo) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        repo.project()
    return [str(problem) for problem in caught.value.problems]


def test_a_repository_with_the_layout_needs_no_configuration(repo: Repo) -> None:
    repo.image("b", f"FROM {RUNTIME}")
    repo.image("a", f"FROM {RUNTIME}")

    project = load_project(repo.root, env={})

    assert list(project.images) == ["a", "b"]
    image = project.images["a"]
    assert image.dockerfile == repo.root / "dockerfiles/a/Dockerfile"
    assert image.dockerfile_path == "dockerfiles/a/Dockerfile"
    assert image.context == repo.root
    assert image.platform == native_platform()
    assert project.repository("a") == "a-dev"
    assert project.state == repo.root / ".lamina"


@pytest.mark.parametrize(
    ("repository", "stack"),
    [("a-prod", "prod"), ("a-dev", "dev"), ("b-dev", None), ("a-b-dev", None), ("other", None)],
)
def test_a_repository_says_its_stack_where_only_one_image_can_be_meant(
    repo: Repo, repository: str, stack: str | None
) -> None:
    for name in ("a", "a-b"):
        repo.image(name, f"FROM {RUNTIME}")

    assert load_project(repo.root, env={}).stack_of("a", repository) == stack


def test_an_image_says_all_that_can_be_said(repo: Repo) -> None:
    repo.write("svc/Dockerfile.lambda", f"FROM {RUNTIME}\n")
    repo.folder("third")
    repo.config(
        """
[tool.lamina]
stack = "prod"
repository = "team/{image}"
args = { VERSION = "1", DEBUG = true, JOBS = 4 }

[tool.lamina.ecr]
account = "123456789012"

[tool.lamina.images.svc]
dockerfile = "svc/Dockerfile.lambda"
context = "svc"
target = "final"
platform = "linux/arm64"
kind = "base"
args = { VERSION = "2" }
contexts = { lib = "third" }
functions = ["one", "two"]
"""
    )
    repo.flags = {}

    project = repo.project()
    image = project.images["svc"]

    assert (image.target, image.platform, image.kind) == ("final", "linux/arm64", "base")
    assert image.context == repo.root / "svc"
    assert image.contexts == {"lib": repo.root / "third"}
    assert image.build_args == {"VERSION": "2", "DEBUG": "true", "JOBS": "4"}
    assert image.args == {"VERSION": "2"}
    assert [each.name for each in image.functions] == ["one", "two"]
    assert image.source == "pyproject.toml:10"
    assert project.repository("svc") == "team/svc"
    assert project.ecr.account == "123456789012"


def test_the_platform_flag_has_the_last_word(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config('[tool.lamina.images.app]\nplatform = "linux/arm64"\n')

    for flags, env, platform in (
        ({}, {}, "linux/arm64"),
        ({}, {"LAMINA_PLATFORM": "linux/s390x"}, "linux/arm64"),
        ({"platform": "linux/amd64"}, {}, "linux/amd64"),
    ):
        repo.flags, repo.env = flags, env
        assert repo.project().images["app"].platform == platform


@pytest.mark.parametrize("written", ["x86_64", "linux/x86-64", "linux/amd64/v1"])
def test_a_platform_may_have_any_of_dockers_names(repo: Repo, written: str) -> None:
    """Each spelling gives the same image as the usual name."""
    repo.image("app", f"FROM {RUNTIME}", "ARG TARGETPLATFORM", "ARG TARGETARCH", "COPY ${TARGETARCH}.txt /")
    repo.write("amd64.txt", "")
    usual = repo.fingerprints()

    repo.flags = {}
    repo.config(f'[tool.lamina.images.app]\nplatform = "{written}"\n')
    assert repo.fingerprints() == usual
    repo.config(f'[tool.lamina]\nplatform = "{written}"\n')
    assert repo.fingerprints() == usual
    repo.config("")
    repo.flags = {"platform": written}
    assert repo.fingerprints() == usual


def test_an_unknown_key_is_answered_with_the_nearest(repo: Repo) -> None:
    repo.config('[tool.lamina]\n\nregistri = "local"\n')

    (told,) = refusals(repo)

    assert told.startswith(
        "pyproject.toml:3: unknown key tool.lamina.registri; did you mean registry?\n  allowed: append, "
    )


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('[tool.lamina.images.app]\ndockerfil = "x"', "2: unknown key tool.lamina.images.app.dockerfil"),
        ('[tool.lamina.images.app]\ncontext = "nowhere"', "2: the context of app is not a folder"),
        (
            '[tool.lamina.images.app.contexts]\nlib = "nowhere"',
            "2: the context lib of app is not a folder",
        ),
        ("[tool.lamina.images.app]\ncontext = 3", "2: tool.lamina.images.app.context is 3"),
        ('[tool.lamina.images.app]\nkind = "lambada"', "2: 'lambada'"),
        ('[tool.lamina.images.app]\nplatform = "windows/arm64"', "2: 'windows/arm64' is not a platform"),
        (
            "[tool.lamina.images.app]\nargs = { V = 3.10 }",
            "2: tool.lamina.images.app.args.V is a decimal number",
        ),
        ("[tool.lamina.images.app]\nargs = { V = [1] }", "2: tool.lamina.images.app.args.V must be a string"),
        ("[tool.lamina]\nimages = 3", "2: tool.lamina.images is 3"),
        ("[tool.lamina.images]\napp = 3", "2: tool.lamina.images.app must be a table"),
        ("[tool.lamina]\njobs = true", "2: tool.lamina.jobs is True"),
        ('[tool.lamina]\nstack = "Dev Stack"', "2: 'Dev Stack'"),
        ('[tool.lamina]\nplatform = "windows"', "2: 'windows' is not a platform"),
        ('[tool.lamina]\nrepository = "all"', "2: repository must contain {image}"),
        ('[tool.lamina.images."No Name"]\ndockerfile = "x"', "1: 'No Name'"),
        ("[tool.lamina.images.ghost]", "1: image ghost has no Dockerfile"),
        ('[tool.lamina.ecr]\nacount = "1"', "2: unknown key tool.lamina.ecr.acount; did you mean account?"),
        ('[tool.lamina.secrets]\nca = { file = "none" }', "2: secret ca: there is no file"),
        (
            '[tool.lamina.secrets]\nca = { file = "~no-such-user/none" }',
            "2: secret ca: there is no file",
        ),
        ("[tool.lamina.secrets]\nca = { optional = true }", "2: secret ca names no file"),
        ('[tool.lamina.secrets]\nca = { file = "${X" }', "2: secret ca names no file"),
        ("[tool]\nlamina = 3", ": [tool.lamina] is not a table"),
        ("[tool.lamina]\nstack = \n", "2: not valid TOML"),
    ],
)
def test_bad_configuration_is_reported_with_its_line(repo: Repo, config: str, says: str) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config(config + "\n")
    repo.flags = {}

    (told,) = refusals(repo)

    assert told.startswith(f"pyproject.toml{'' if says.startswith(':') else ':'}{says}")


def test_all_faults_are_reported_at_once(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config('[tool.lamina]\nregistri = "x"\njobs = "many"\nstack = "A"\n[tool.lamina.args]\nV = 1.5\n')
    repo.flags = {}

    told = refusals(repo)

    assert [each.split(":")[1] for each in told] == ["2", "3", "4", "6"]

    repo.config(
        '[tool.lamina.args]\nV = 1.5\n[tool.lamina.images.ghost]\n[tool.lamina.images.app]\nkind = ""\n'
    )
    assert sorted(each.split(":")[1] for each in refusals(repo)) == ["2", "3", "5"]


def test_two_images_of_one_name_are_refused(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.write("other/Dockerfile", f"FROM {RUNTIME}\n")
    repo.config('[tool.lamina.images.app]\ndockerfile = "other/Dockerfile"\n')

    (told,) = refusals(repo)

    assert told == (
        "pyproject.toml:2: two images are called app: other/Dockerfile and dockerfiles/app/Dockerfile\n"
        "  next: rename one of them"
    )


def test_two_tables_of_one_name_are_refused(repo: Repo) -> None:
    repo.config("[tool.lamina.images.app]\n[tool.lamina.images.app]\n")

    (told,) = refusals(repo)

    assert told.startswith("pyproject.toml:2: not valid TOML: Cannot declare")


def test_a_found_image_may_be_configured_under_any_spelling_of_its_path(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}")
    repo.config('[tool.lamina.images.app]\ndockerfile = "./dockerfiles/app/Dockerfile"\n')

    assert repo.project().images["app"].dockerfile.is_file()


def test_secrets_are_files_that_the_environment_may_name(repo: Repo) -> None:
    file = repo.write("certificate.pem", "x")
    repo.config(
        "[tool.lamina.secrets]\n"
        'ca = { file = "${CERT:-nowhere}" }\n'
        'home = { file = "~/none", optional = true }\n'
        'plain = { file = "certificate.pem" }\n'
    )
    repo.env = {"CERT": str(file)}

    assert repo.project().secrets == (Secret(name="ca", file=file), Secret(name="plain", file=file))


def test_the_root_is_the_nearest_folder_with_images_or_a_table(tmp_path: Path) -> None:
    configured, laid_out = tmp_path / "configured", tmp_path / "laid-out"
    for root in (configured, laid_out):
        (root / "deep/er").mkdir(parents=True)
    (configured / "pyproject.toml").write_text('[tool.lamina]\nstack = "dev"\n')
    (configured / "deep/pyproject.toml").write_text("[tool.other]\n")
    (laid_out / "dockerfiles/app").mkdir(parents=True)
    (laid_out / "dockerfiles/app/Dockerfile").touch()

    assert find_root(configured / "deep/er") == configured
    assert find_root(laid_out / "deep/er") == laid_out
    assert find_root(tmp_path) == tmp_path


def test_a_locale_in_which_names_read_otherwise_is_refused(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    (fault,) = refusals(repo)
    assert "iso8859-1" in fault
    assert "PYTHONUTF8=1" in fault


@pytest.mark.parametrize(("text", "milliseconds"), [("3s", 3000), ("2.5 s", 2500), ("800ms", 800)])
def test_the_longest_init_is_a_duration(repo: Repo, text: str, milliseconds: float) -> None:
    repo.image("a", f"FROM {RUNTIME}")
    repo.config(f'[tool.lamina.images.a]\nmax-init = "{text}"\n')

    assert repo.project().images["a"].max_init == milliseconds


def test_a_longest_init_that_is_not_a_duration_is_refused(repo: Repo) -> None:
    repo.image("a", f"FROM {RUNTIME}")
    repo.config('[tool.lamina.images.a]\nmax-init = "soon"\n')

    assert refusals(repo) == [
        "pyproject.toml:2: 'soon' is not a duration\n  allowed: 3s, 2.5s, 800ms",
    ]
