"""`config`: settings, images and the ids of secrets."""

from __future__ import annotations

import json

import pytest

from lamina.declare.settings import SETTINGS

from ..conftest import Repo
from .conftest import Command

SECRETS = '[tool.lamina.secrets]\npip = { file = "pip.conf" }\nnpm = { file = ".npmrc", optional = true }\n'


def test_secrets_are_listed_by_id_and_never_by_value(
    lamina: Command, repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.config(SECRETS)
    repo.write("pip.conf", "hush-hush\n")

    assert lamina("config") == 0
    out = capsys.readouterr().out
    assert ["secret", "has", "a", "file"] in map(str.split, out.splitlines())
    assert [line.split() for line in out.splitlines()][-2:] == [["npm", "no"], ["pip", "yes"]]

    assert lamina("config", "--json") == 0
    as_json = capsys.readouterr().out
    assert json.loads(as_json)["secrets"] == {"npm": False, "pip": True}
    assert "hush-hush" not in out + as_json


def test_a_setting_is_explained_in_a_short_line() -> None:
    assert {name: len(each.help) for name, each in SETTINGS.items() if len(each.help) > 90} == {}
