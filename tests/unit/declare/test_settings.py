from __future__ import annotations

import pytest

from lamina.declare.settings import SETTINGS, Value
from lamina.errors import ConfigError

from ..conftest import Repo


@pytest.mark.parametrize(
    ("config", "env", "flags", "expected"),
    [
        ("", {}, {}, Value(value="dev", source="default")),
        ('stack = "a"', {}, {}, Value(value="a", source="pyproject.toml:2")),
        ('stack = "a"', {"LAMINA_STACK": "b"}, {}, Value(value="b", source="$LAMINA_STACK")),
        ('stack = "a"', {"LAMINA_STACK": "b"}, {"stack": "c"}, Value(value="c", source="--stack")),
        ('stack = "a"', {}, {"stack": None}, Value(value="a", source="pyproject.toml:2")),
    ],
)
def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(
    repo: Repo, config: str, env: dict[str, str], flags: dict[str, object], expected: Value
) -> None:
    repo.config(f"[tool.lamina]\n{config}\n")
    repo.env, repo.flags = env, flags

    assert repo.project().settings.sourced("stack") == expected


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_static_mode_is_switched_on_by_the_variable_of_the_plan(repo: Repo, text: str) -> None:
    repo.env = {"USE_STATIC_BASE_IMAGE": text}

    assert repo.project().settings.sourced("static") == Value(value=True, source="$USE_STATIC_BASE_IMAGE")


@pytest.mark.parametrize("text", ["", "0", "False", "no", "off"])
def test_and_off(repo: Repo, text: str) -> None:
    repo.config("[tool.lamina]\nstatic = true\n")
    repo.env = {"USE_STATIC_BASE_IMAGE": text}

    assert repo.project().settings.static is False


def test_the_first_variable_of_a_setting_wins(repo: Repo) -> None:
    repo.env = {"LAMINA_BUILDER": "ours", "BUILDX_BUILDER": "theirs"}

    assert repo.project().settings.sourced("builder") == Value(value="ours", source="$LAMINA_BUILDER")


@pytest.mark.parametrize(
    ("env", "flags", "says"),
    [
        ({"USE_STATIC_BASE_IMAGE": "maybe"}, {}, "$USE_STATIC_BASE_IMAGE: 'maybe' is not true or false"),
        ({"LAMINA_JOBS": "-1"}, {}, "$LAMINA_JOBS: '-1' is not a whole number, 0 or more"),
        (
            {},
            {"platform": "arm"},
            "--platform: 'arm' is not a platform\n  allowed: linux/amd64, linux/arm64",
        ),
        ({}, {"stack": "a/b"}, "--stack: 'a/b' is not a stack"),
        ({}, {"stall": -1}, "--stall: stall is -1"),
        ({"LAMINA_STALL": "soon"}, {}, "$LAMINA_STALL: 'soon' is not a whole number"),
    ],
)
def test_a_bad_value_is_reported_with_its_source(
    repo: Repo, env: dict[str, str], flags: dict[str, object], says: str
) -> None:
    repo.env, repo.flags = env, flags

    with pytest.raises(ConfigError) as caught:
        repo.project()

    assert str(caught.value).startswith(says)


def test_numbers_come_from_variables_as_numbers(repo: Repo) -> None:
    repo.env = {"LAMINA_JOBS": " 3 "}

    assert repo.project().settings.jobs == 3


def test_every_setting_has_a_default_of_its_type_a_variable_and_a_help() -> None:
    for name, setting in SETTINGS.items():
        assert setting.name == name
        assert isinstance(setting.default, setting.kind)
        variable = f"LAMINA_{name.upper().replace('-', '_')}"
        assert setting.env[0] == (variable if name != "cache" else "LAMINA_CACHE_MODE")  # _CACHE: a folder
        assert setting.help
