"""The stand-in for AWS' Lambda base image, for machines that cannot reach its registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from lamina.errors import EngineError
from lamina.files import cache_home, draft_beside, locked, write_atomic
from lamina.process import Command, Runner
from lamina.provider import EngineAddress, Say
from lamina.sandbox.rootfs import ENTRYPOINT, INCLUDE, PACKAGES, build_root
from lamina.values import dataclass

RUNTIME = "public.ecr.aws/lambda/python"
"""The image that a stand-in takes the place of."""
LABEL = "dev.lamina.stand-in"
# RFC 2606: no registry can have this name.
REPOSITORY = "stand-in.lamina.invalid/python"
# Debian's releases have one Python each, and none has 3.12.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
_WORKDIR = "/var/task"
_ENTRYPOINT = ("/lambda-entrypoint.sh",)
# The inputs of the image besides its packages. Increase the number when the build changes.
_RECIPE = {
    "number": 3,
    "include": list(INCLUDE),
    "packages": list(PACKAGES),
    "environment": _ENVIRONMENT,
    "workdir": _WORKDIR,
    "entrypoint": [*_ENTRYPOINT, ENTRYPOINT],
}
_RECORD = "stand-in.json"
_ARCHIVE = "image.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """The replacement of ``public.ecr.aws/lambda/python:<python>`` on this machine.

    Attributes:
        identity: sha256 over the recipe and the packages, equal on machines with the same packages.
        ref: an image name that no registry can serve.
        packages: Debian's and Python's, ``name=version``, sorted.
    """

    python: str
    architecture: str
    identity: str
    ref: str
    packages: tuple[str, ...]

    @classmethod
    def of(cls, python: str, architecture: str, packages: Iterable[str]) -> StandIn:
        """Return the stand-in of ``packages`` and the current recipe."""
        ordered = tuple(sorted(packages))
        identity = identify(python, architecture, ordered)
        tag = f"{python}-{identity.removeprefix('sha256:')[:12]}"
        return cls(
            python=python,
            architecture=architecture,
            identity=identity,
            ref=f"{REPOSITORY}:{tag}",
            packages=ordered,
        )

    @property
    def notice(self) -> str:
        """The warning to show whenever the stand-in is used."""
        return (
            f"STAND-IN RUNTIME: {self.ref} takes the place of {RUNTIME}:{self.python}; "
            "it is not AWS's image, do not deploy what is built on it"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _StandInRecord:
    """The record of a stand-in: its manifest's digest and its packages."""

    digest: str
    packages: tuple[str, ...]


def identify(python: str, architecture: str, packages: Iterable[str]) -> str:
    """Return ``sha256:<hex>`` over the recipe and the packages, not over the image's bytes."""
    content = {
        "recipe": _RECIPE,
        "python": python,
        "architecture": architecture,
        "suite": SUITES.get(python),
        "packages": sorted(packages),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def check(python: str, architecture: str) -> None:
    """Raise EngineError if no stand-in of this version can be made on this machine. Starts no process."""
    if python not in SUITES:
        raise EngineError.of(
            f"there is no stand-in for the Lambda runtime python:{python}",
            allowed=", ".join(sorted(SUITES)),
            hint=f"`lamina lock` where {RUNTIME} can be reached, and commit lamina.lock",
        )
    from lamina.sandbox.packages import machine_architecture

    here = machine_architecture()
    if architecture != here:
        raise EngineError.of(
            f"a stand-in for {architecture} cannot be built on this machine, which is {here}"
        )


def recorded(python: str, architecture: str) -> StandIn | None:
    """Return the stand-in that this machine has built before; None without one. Reads one small file."""
    record = _read_record(_folder(python, architecture))
    return StandIn.of(python, architecture, record.packages) if record else None


def ensure(runner: Runner, engine: EngineAddress, python: str, architecture: str, say: Say) -> StandIn:
    """Return the stand-in, built on first use (a minute) and loaded into ``engine`` if missing.

    Callers must show its `StandIn.notice`. Raises EngineError when it cannot be built on this machine.
    """
    folder = _folder(python, architecture)
    record = _read_record(folder)
    if record is None:
        with locked(folder.parent / f".{folder.name}.lock"):
            record = _read_record(folder)
            if record is None:
                record = _make(runner, folder, python, architecture, say)
    stand_in = StandIn.of(python, architecture, record.packages)
    if _loaded_digest(runner, engine, stand_in) != record.digest:
        _load(runner, engine, stand_in, folder / _ARCHIVE, say)
    return stand_in


def _folder(python: str, architecture: str) -> Path:
    return cache_home() / "stand-ins" / f"python{python}-{architecture}-{_RECIPE['number']}"


def _read_record(folder: Path) -> _StandInRecord | None:
    try:
        record = json.loads((folder / _RECORD).read_text())
    except FileNotFoundError:
        return None
    if not (folder / _ARCHIVE).exists():
        return None
    return _StandInRecord(digest=record["digest"], packages=tuple(record["packages"]))


def _make(runner: Runner, folder: Path, python: str, architecture: str, say: Say) -> _StandInRecord:
    import shutil  # a plan only reads records

    from lamina.sandbox.archive import ImageConfig, write_archive
    from lamina.sandbox.packages import machine_source, prefix

    check(python, architecture)
    tools = prefix(runner, say)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with draft_beside(folder) as scratch:
        root, draft = scratch / "root", scratch / "draft"
        draft.mkdir()
        packages = build_root(
            runner, tools, machine_source(), root, suite=SUITES[python], python=python, say=say
        )
        stand_in = StandIn.of(python, architecture, packages)
        say("packing the image")
        config = ImageConfig(
            architecture=architecture,
            environment=_ENVIRONMENT,
            entrypoint=_ENTRYPOINT,
            workdir=_WORKDIR,
            labels={LABEL: stand_in.identity},
        )
        digest = write_archive(root, draft / _ARCHIVE, config=config, ref=stand_in.ref)
        record = {"identity": stand_in.identity, "digest": digest, "packages": stand_in.packages}
        write_atomic(draft / _RECORD, json.dumps(record, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)  # a leftover without its archive
        draft.rename(folder)
    return _StandInRecord(digest=digest, packages=stand_in.packages)


def _loaded_digest(runner: Runner, engine: EngineAddress, stand_in: StandIn) -> str | None:
    """Return the digest of the engine's image with the stand-in's name; None without one."""
    argv = (str(engine.docker), "image", "inspect", "--format", "{{json .Id}}", stand_in.ref)
    done = runner.run(Command(argv=argv, env=engine.environment))
    return str(json.loads(done.stdout)) if done.ok else None


def _load(runner: Runner, engine: EngineAddress, stand_in: StandIn, archive: Path, say: Say) -> None:
    say(f"loading {stand_in.ref} into the engine")
    argv = (str(engine.docker), "image", "load", "--quiet", "--input", str(archive))
    done = runner.run(Command(argv=argv, env=engine.environment))
    if not done.ok:
        raise EngineError.of(f"the engine cannot load {archive}: {done.stderr.strip()}", where=engine.host)
