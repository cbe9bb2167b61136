from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from lamina.errors import EngineError
from lamina.process import Command
from lamina.smoke.emulator import VERSION, emulator

from ..sandbox.conftest import ScriptedRunner


@pytest.fixture(autouse=True)
def pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this environment has pip."""
    monkeypatch.setattr("lamina.smoke.emulator.find_spec", lambda name: name)


def wheel(command: Command, member: str) -> None:
    """Write the wheel that pip would download."""
    folder = next(word.removeprefix("--dest=") for word in command.argv if word.startswith("--dest="))
    with zipfile.ZipFile(Path(folder) / "aws_sam_cli.whl", "w") as archive:
        archive.writestr(member, b"another program")


def test_a_cached_emulator_is_not_downloaded_again(cache: Path, runner: ScriptedRunner) -> None:
    file = cache / "emulator" / f"aws-lambda-rie-{VERSION}-amd64"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"program")

    assert emulator(runner, "amd64", print) == file
    assert runner.seen == []


def test_another_program_than_the_known_one_is_refused_and_not_kept(
    cache: Path, runner: ScriptedRunner
) -> None:
    member = "samcli/local/rapid/aws-lambda-rie-x86_64"
    runner.expect("download", f"aws-sam-cli=={VERSION}", effect=lambda command: wheel(command, member))

    with pytest.raises(EngineError, match=r"aws_sam_cli\.whl .*sha256 [0-9a-f]{64}"):
        emulator(runner, "amd64", lambda _: None)
    assert [each.name for each in (cache / "emulator").iterdir()] == [".lock"]


def test_an_environment_without_pip_borrows_one(
    monkeypatch: pytest.MonkeyPatch, cache: Path, runner: ScriptedRunner
) -> None:
    monkeypatch.setattr("lamina.smoke.emulator.find_spec", lambda name: None)
    runner.expect("-m", "venv")
    runner.expect("download", effect=lambda command: wheel(command, "samcli/other"))

    with pytest.raises(EngineError, match="has no Lambda emulator"):
        emulator(runner, "amd64", lambda _: None)
    made, download = runner.seen
    assert download.argv[0] == f"{made.argv[-1]}/bin/python"


def test_a_wheel_without_the_program_is_an_error(cache: Path, runner: ScriptedRunner) -> None:
    runner.expect("download", effect=lambda command: wheel(command, "samcli/other"))

    with pytest.raises(EngineError, match=r"aws_sam_cli\.whl has no Lambda emulator"):
        emulator(runner, "amd64", lambda _: None)


def test_pips_own_words_come_through(cache: Path, runner: ScriptedRunner) -> None:
    runner.expect("download", code=1, stderr="ERROR: No matching distribution found")

    with pytest.raises(EngineError, match="No matching distribution found"):
        emulator(runner, "arm64", lambda _: None)


def test_an_architecture_that_lambda_lacks_has_no_emulator(cache: Path, runner: ScriptedRunner) -> None:
    with pytest.raises(EngineError, match="no Lambda emulator for riscv64"):
        emulator(runner, "riscv64", print)
