from __future__ import annotations

from lamina.decide.exposure import copied, exposed, secret_arguments

from ..conftest import RUNTIME, Repo


def told(repo: Repo) -> list[str]:
    return [each.what for each in exposed(repo.images().values())]


def test_arguments_that_look_like_secrets_are_reported_by_name_only(repo: Repo) -> None:
    repo.image("app", f"FROM {RUNTIME}", "ARG API_TOKEN", "ARG PIP_INDEX_URL", "ARG MODEL")
    repo.config(
        '[tool.lamina.args]\nAPI_TOKEN = "hunter2"\nMODEL = "m"\nOTHER_TOKEN = "hunter2"\n'
        'PIP_INDEX_URL = "https://bob:hunter2@h/simple"\n'
    )
    first, second = told(repo)
    assert first.startswith("build argument API_TOKEN of app looks like a secret, by its name")
    assert second.startswith("build argument PIP_INDEX_URL of app looks like a secret, by the password")
    assert "hunter2" not in first + second
    assert secret_arguments(repo.images()["app"]) == ("API_TOKEN", "PIP_INDEX_URL")


def test_arguments_without_a_value_or_a_use_are_not(app: Repo) -> None:
    app.config('[tool.lamina.args]\nAPI_TOKEN = "hunter2"\n')
    assert told(app) == []


def test_the_file_of_a_secret_is_not_part_of_an_image(app: Repo) -> None:
    app.write("src/.netrc", "machine h login bob password hunter2hunter2\n")
    app.config('[tool.lamina.secrets]\nnetrc = { file = "src/.netrc" }\n')
    secrets = app.project().secrets

    (problem,) = copied(app.images().values(), secrets)

    assert problem.what == "the file of secret netrc would be copied into app: src/.netrc"
    app.image("app", f"FROM {RUNTIME}", "COPY src /var/task/", ignore=("src/.netrc",))
    assert list(copied(app.images().values(), secrets)) == []
    assert list(copied(app.images().values(), ())) == []
