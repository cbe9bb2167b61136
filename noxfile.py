"""Sessions: the project's health (tests, lint, types, package) by default; the others by name.

``nox -s unit -- -k staging`` passes everything after ``--`` to the session's tool.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2026.10"
nox.options.sessions = ["integration", "unit", "handoff", "types", "package", "docs", "lint"]
nox.options.allow_parallel = True
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
PACKAGE = Path("build/lamina")


def install(session: nox.Session, *groups: str) -> None:
    """Install the package in editable mode, and the named dependency groups."""
    # Set in many containers. Each of some hundred processes would compile all that it imports.
    session.env["PYTHONDONTWRITEBYTECODE"] = None
    session.install("--editable", ".", *nox.project.dependency_groups(PROJECT, *groups))


def run_pytest(session: nox.Session, *words: str) -> None:
    """Run pytest beside other sessions: in a folder of its own, for pytest tidies those of earlier runs.

    Not below the repository, whose configuration the tests would find.
    """
    with tempfile.TemporaryDirectory(prefix=f"lamina-{session.name}-") as folder:
        session.run("pytest", *(session.posargs or words), env={"PYTEST_DEBUG_TEMPROOT": folder})


SPREAD = ("--numprocesses=4", "--dist=loadfile", "--no-loadscope-reorder", "--durations=12")
"""Four processes on two cores, with an engine each: tests of engines wait as much as they compute.

tests/integration/conftest.py keeps the tests of the built sample together, and begins with the slow files.
"""
CALM = {"GOGC": "400"}
"""Engines and their tools are Go programs: they collect garbage later, a sixth less CPU for a build."""


@nox.session
def integration(session: nox.Session) -> None:
    """Run the integration tests, without those of `nightly`."""
    install(session, "tests")
    session.run("pytest", *(session.posargs or (*SPREAD, "-m", "not nightly", "tests/integration")), env=CALM)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the unit tests and the sample's own, in one process: each of four would import all of them."""
    install(session, "tests", "samples")
    run_pytest(session, "tests/unit", "receipts")


@nox.session
def nightly(session: nox.Session) -> None:
    """Run the slow tests: builds from scratch, BuildKit on random trees, the browser, the bench."""
    install(session, "tests", "docs")
    session.run("pytest", *(session.posargs or (*SPREAD, "-m", "nightly", "tests/integration")), env=CALM)


@nox.session
def handoff(session: nox.Session) -> None:
    """Run programs of Pulumi's real SDK on mocks. Separate: the SDK is 170 MB with its own gRPC."""
    install(session, "pulumi")
    run_pytest(session, "tests/handoff")


@nox.session
def cdk(session: nox.Session) -> None:
    """Run the programs that --format cdk prints. Separate: CDK and the Node it runs in are 450 MB."""
    install(session, "cdk")
    run_pytest(session, "tests/cdk")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and common faults with ruff."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy in strict mode."""
    install(session, "types", "tests")
    session.run("mypy", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build and check what is published, and run the wheel in an empty environment."""
    session.install(*nox.project.dependency_groups(PROJECT, "package"))
    folder = Path(session.create_tmp(), "dist")
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--installer=uv", f"--outdir={folder}", silent=True)
    source, wheel = next(folder.glob("*.tar.gz")), next(folder.glob("*.whl")).absolute()
    session.run("twine", "check", "--strict", str(source), str(wheel))
    session.run("check-wheel-contents", str(wheel))
    # Without an e-mail address, and without a home page until there is one.
    session.run("pyroma", "--min=10", "--skip-tests=AuthorEmail,Url", "--file", str(source))
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("lamina/")}
    files = [
        *PACKAGE.rglob("*.py"),
        *PACKAGE.glob("report/assets/*"),
        *PACKAGE.glob("iam/*.json"),
        PACKAGE / "py.typed",
    ]
    files.append(PACKAGE / "lamina.schema.json")
    wanted = {str(file.relative_to("build")) for file in files}
    if inside != wanted:
        session.error(f"the wheel and the package differ: {sorted(inside ^ wanted)}")
    empty = Path(session.create_tmp(), "empty").absolute()
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(empty))
    session.run("uv", "pip", "install", "--quiet", f"--python={empty}", str(wheel))
    session.run(str(empty / "bin/lamina"), "--help", external=True, silent=True)
    session.run(str(empty / "bin/lamina"), "--version", external=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        foreign = shutil.copytree("tests/data/layout-sam", Path(elsewhere, "foreign"))
        with session.chdir(foreign):
            session.run(str(empty / "bin/lamina"), "init", "--write", external=True)
            session.run(str(empty / "bin/lamina"), "plan", "--offline", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into .nox/site, and follow its links."""
    session.install("pytest", *nox.project.dependency_groups(PROJECT, "docs"))
    session.run("zensical", "build", "--strict", "--clean", silent=True)
    run_pytest(session, "tests/site")


@nox.session
def build(session: nox.Session) -> None:
    """Build all images in isolation: with the wheel, in an engine and a docker configuration of their own."""
    session.install(str(build_wheel(session)))
    docker = Path(session.create_tmp(), "docker")
    docker.mkdir(exist_ok=True)
    env = {"LAMINA_ENGINE": "nox", "DOCKER_CONFIG": str(docker.absolute())}
    try:
        session.run("lamina", "build-all", *session.posargs, env=env)
    finally:
        session.run("lamina", "engine.down", env=env)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what builds cost in seconds and bytes, compared with other tools, in an engine of their own."""
    session.env["UV_COMPILE_BYTECODE"] = "1"  # as pip does: the first run would otherwise compile
    session.install(str(build_wheel(session)), *nox.project.dependency_groups(PROJECT, "bench"))
    session.run("python", "-m", "bench", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Run real builds under faults: kills, broken registry, damaged state, edits, crowds, full disks."""
    install(session)
    session.run("python", "-m", "faults", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Repeat cold exports of the remote cache beside busy processes: each must be found again."""
    session.install(str(build_wheel(session)))
    session.run("python", "-m", "bench.soak", *session.posargs)


@nox.session
def growth(session: nox.Session) -> None:
    """Measure how the cost of a plan grows with the number of images and of files."""
    session.install(str(build_wheel(session)), *nox.project.dependency_groups(PROJECT, "bench"))
    session.run("python", "-m", "bench.growth", *session.posargs)


def build_wheel(session: nox.Session) -> Path:
    """Build the wheel in the session's own folder, and return its path."""
    session.install("build", "uv")
    folder = Path(session.create_tmp())
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "build", "--installer=uv", "--wheel", f"--outdir={folder}", silent=True)
    return next(folder.glob("*.whl")).absolute()
