from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.config import load_project
from lamina.declare.functions import Function
from lamina.errors import ConfigError

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:far"


def functions(root: Path, text: str) -> tuple[Function, ...]:
    (root / "dockerfiles/app").mkdir(parents=True)
    (root / "dockerfiles/app/Dockerfile").write_text("FROM scratch\n")
    (root / "pyproject.toml").write_text(f"[tool.lamina.images.app]\nfunctions = {text}\n")
    return load_project(root, env={}).images["app"].functions


def test_a_function_is_a_name_an_arn_or_a_table(tmp_path: Path) -> None:
    one, far, other = functions(tmp_path, f'["one", "{ARN}", {{ name = "two", command = ["app.other"] }}]')

    assert one == Function(name="one")
    assert (far.name, far.region, str(far)) == ("far", "eu-west-1", ARN)
    assert (other.command, other.region) == (("app.other",), None)


def test_all_faults_are_told_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        functions(tmp_path, f'["a b", "one", "one", "{ARN}:7", {{ nam = "x" }}]')

    told = str(caught.value)
    for fault in ("'a b' is no", "one is named twice", f"'{ARN}:7' is no", "did you mean name?"):
        assert f"pyproject.toml:2: {fault}" in told or fault in told
    assert "pyproject.toml:2" in told
