from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lamina.errors import RegistryError
from lamina.registries.credentials import Credential, DockerConfig
from lamina.registries.docker_home import PrivateDockerConfig, merge

HOST = "1.dkr.ecr.eu-west-1.amazonaws.com"
TOKEN = Credential(username="AWS", secret="t0k3n")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def user(tmp_path: Path) -> DockerConfig:
    folder = tmp_path / "user"
    for name in ("contexts", "buildx", "cli-plugins"):
        (folder / name).mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"auths": {"ghcr.io": {"auth": "Z2g6cHc="}}, "currentContext": "colima"})
    )
    return DockerConfig.load({"DOCKER_CONFIG": str(folder)})


@pytest.fixture
def home(tmp_path: Path, user: DockerConfig) -> PrivateDockerConfig:
    return PrivateDockerConfig.under(tmp_path / "cache", "me", user)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_merged_configuration_keeps_what_the_user_has(user: DockerConfig) -> None:
    merged = merge(user, {HOST: TOKEN})
    assert merged["auths"] == {"ghcr.io": {"auth": "Z2g6cHc="}, HOST: {"auth": TOKEN.encoded}}
    assert merged["currentContext"] == "colima"
    assert merged["cliPluginsExtraDirs"] == [str(user.folder / "cli-plugins")]
    assert "credHelpers" not in merged
    assert HOST not in user.document["auths"]


def test_a_store_that_would_hide_the_token_is_set_aside_for_this_host_only() -> None:
    user = DockerConfig(
        folder=Path("/u"),
        document={
            "credsStore": "desktop",
            "credHelpers": {"gcr.io": "gcloud"},
            "cliPluginsExtraDirs": ["/p"],
        },
    )
    merged = merge(user, {HOST: TOKEN})
    assert merged["credsStore"] == "desktop"
    assert merged["credHelpers"] == {"gcr.io": "gcloud", HOST: ""}
    assert merged["cliPluginsExtraDirs"] == ["/p", "/u/cli-plugins"]


def test_only_its_owner_can_read_it(home: PrivateDockerConfig) -> None:
    before = os.umask(0)
    try:
        home.write(HOST, TOKEN, NOON)
    finally:
        os.umask(before)
    assert (mode(home.path), mode(home.path.parent)) == (0o700, 0o700)
    files = [path for path in home.path.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"config.json", "lamina.json"}
    assert {mode(path) for path in files} == {0o600}
    assert TOKEN.encoded not in (home.path / "lamina.json").read_text()


def test_contexts_and_builders_are_the_users_own(home: PrivateDockerConfig, user: DockerConfig) -> None:
    home.write(HOST, TOKEN, NOON)
    home.write(HOST, TOKEN, NOON)
    for name in ("contexts", "buildx"):
        assert (home.path / name).readlink() == user.folder / name
    assert home.environment == {
        "DOCKER_CONFIG": str(home.path),
        "BUILDX_CONFIG": os.environ.get("BUILDX_CONFIG", str(user.folder / "buildx")),
    }


def test_a_run_inside_a_run_links_to_the_users_folders(home: PrivateDockerConfig, user: DockerConfig) -> None:
    home.write(HOST, TOKEN, NOON)
    inner = DockerConfig.load({"DOCKER_CONFIG": str(home.path)})
    again = PrivateDockerConfig(path=home.path, user=inner)
    again.write(HOST, TOKEN, NOON)
    assert (home.path / "contexts").readlink() == user.folder / "contexts"
    other = PrivateDockerConfig(path=home.path.parent / "other", user=inner)
    other.write(HOST, TOKEN, NOON)
    assert (other.path / "contexts").readlink() == user.folder / "contexts"


def test_a_kept_login_comes_back(home: PrivateDockerConfig) -> None:
    assert home.kept() is None
    home.write(HOST, TOKEN, NOON)
    kept = home.kept()
    assert kept is not None
    assert (kept.host, kept.credential, kept.expires) == (HOST, TOKEN, NOON)
    home.write(HOST, TOKEN, None)
    assert home.kept().expires is None  # type: ignore[union-attr]
    home.write(HOST, None, None)
    assert home.kept().credential is None  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["config.json", "lamina.json"])
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"host": 1, "expires": "never"}', '{"auths": []}'])
def test_a_damaged_cache_is_only_a_new_token(home: PrivateDockerConfig, name: str, text: str) -> None:
    home.write(HOST, TOKEN, NOON)
    (home.path / name).write_text(text)
    kept = home.kept()
    assert kept is None or kept.credential is None


def test_outlived_tokens_of_other_identities_are_swept(home: PrivateDockerConfig, user: DockerConfig) -> None:
    for name, expires in (
        ("old", NOON - timedelta(hours=1)),
        ("new", NOON + timedelta(hours=1)),
        ("odd", None),
    ):
        PrivateDockerConfig(path=home.path.parent / name, user=user).write(HOST, TOKEN, expires)
    home.write(HOST, TOKEN, NOON - timedelta(hours=1))
    home.sweep(NOON)
    assert {folder.name for folder in home.path.parent.iterdir()} == {"me", "new"}
    assert (user.folder / "contexts").is_dir()


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, user: DockerConfig) -> None:
    (tmp_path / "file").write_text("")
    home = PrivateDockerConfig.under(tmp_path / "file", "me", user)
    with pytest.raises(RegistryError, match="LAMINA_CACHE"):
        home.write(HOST, TOKEN, NOON)
