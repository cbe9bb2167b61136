"""The commands about the private engine and the local registry."""

from __future__ import annotations

import pytest

from .conftest import Command


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_does_not_exist_starts_nothing(
    lamina: Command, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lamina("registry.up", "--port", port) == 2

    said = capsys.readouterr().err
    assert f"--port: {port} is not a port" in said
    assert "allowed: 1 to 65535, or 0 for any free one" in said
