"""Which program a command of a RUN calls: pip, uv and the tools of projects are read alike."""

from __future__ import annotations

import pytest

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.pip import read_install, read_uv_install
from lamina.declare.project_tools import read_tool_install
from lamina.declare.script import ShellCommand, call_of, read_script


def command(text: str) -> ShellCommand:
    dockerfile = parse_dockerfile(f"FROM x\nRUN {text}\n", "Dockerfile")
    (found,) = read_script(dockerfile, dockerfile.stages[-1].instructions[-1]).commands
    return found


@pytest.mark.parametrize(
    ("text", "program", "arguments"),
    [
        ("pip install six", "pip", ["install", "six"]),
        ("A=1 exec /opt/bin/pip3.12 install six", "pip3.12", ["install", "six"]),
        ("/usr/bin/python3 -m pip install six", "pip", ["install", "six"]),
        ("python -m uv pip install six", "uv", ["pip", "install", "six"]),
        ("python -c 1", "python", ["-c", "1"]),
        ("A=1", "", []),
    ],
)
def test_a_call_has_a_program_and_arguments(text: str, program: str, arguments: list[str]) -> None:
    name, rest = call_of(command(text))

    assert (name, [word.text for word in rest]) == (program, arguments)


def test_pip_uv_and_other_tools_are_found_behind_the_same_words() -> None:
    for before in ("", "A=1 ", "exec ", "python -m "):
        assert read_install(command(f"{before}pip install six")) is not None
        assert read_uv_install(command(f"{before}uv pip install six")) is not None
        assert read_tool_install(command(f"{before}poetry install")) is not None
    assert read_uv_install(command("uv sync")) is None


def test_commands_in_parentheses_are_read_and_may_not_be_all_that_runs() -> None:
    text = "--mount=type=cache,target=/c ( cd /a && pip install six )"
    dockerfile = parse_dockerfile(f"FROM x\nRUN {text}\n", "Dockerfile")

    found = read_script(dockerfile, dockerfile.stages[-1].instructions[-1]).commands

    assert [[word.text for word in each.words] for each in found] == [["cd", "/a"], ["pip", "install", "six"]]
    assert not any(each.top for each in found)
