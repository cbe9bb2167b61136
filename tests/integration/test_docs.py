"""Run every command in README.md and docs/, in order, in a copy of the built sample."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import new_repo
from projects import ROOT, Done, Repo, copy_sample, write_programs

pytestmark = pytest.mark.engine

DOCS = ("README.md", *sorted(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")))
NOT_RUN = {
    r"make test\b.*": "it is what runs this",
    r"uv lock.*": "the versions that an index has by then",
    r"make bench\b.*": "half an hour",
    r"make faults\b.*": "minutes of broken engines and registries",
    r"pip install lamina\b.*": "the session `package` installs the wheel where nothing else is",
    r"docker buildx imagetools inspect .*": "an image of somebody else",
    r"docker buildx create .*": "no image of BuildKit can be pulled here",
    r"invoke registry\.(?:up|down)": "the machine's own registry may be in use; the test has one of its own",
    r"invoke build-all --push(?: --builder big)?": "needs that builder",
    r"lamina build-all --push --builder a --builder b": "needs those builders, as test_builders.py has them",
    r"\.venv/bin/invoke lint --image embedding.*": "of a repository that has faults",
    r"invoke report --run \S+": "a run that was somebody else's",
    r"invoke smoke --image fn-writes .*": "of functions that are made to fail",
    r"invoke codebuild\..*": "needs an account; test_codebuild.py runs them in one of its own",
    r"docker buildx imagetools create .*": "copies an image of BuildKit into an account",
    r"invoke watch.*": "it ends when it is stopped",
    r"invoke (?:bootstrap|deploy|promote|status)\b.*": "an account of AWS; test_deploy.py runs them with one",
    r"invoke outputs .*--ssm\b.*": "an account of AWS; tests/unit/handoff runs them with one in memory",
    r"lamina bump .*": "asks the package index; tests/unit/bump runs it without",
    r"invoke check --ref .*": "an image of another stack",
    r"lamina iam\b.*": "an account of AWS; test_iam_command.py runs it with one in memory",
    r"invoke (?:ecr\.setup|gc)\b.*": "an account of AWS; tests/integration/test_ecr.py runs them with one",
}
"""A pattern of commands -> why this test does not run them."""
SLOW = {"docs/adopt.md", "docs/handoff.md", "docs/run.md", "docs/security.md"}
"""Documents that push or invoke the whole sample; test_smoke.py, test_adopt.py and others do it with less."""
TUTORIAL = "docs/tutorial.md"
"""Its commands run in the repository that it takes as its example."""
REGISTRY = "127.0.0.1:5000"
"""The local registry of the docs; another one takes its place."""
_FENCE = re.compile(r"^```(?P<kind>console|bash)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_ERROR = re.compile(r"^error: ", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A command of a document and the output below it. line: its number."""

    document: str
    line: int
    command: str
    output: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.command}"

    @property
    def fails(self) -> bool:
        """Whether it is shown to end with an error."""
        return _ERROR.search(self.output) is not None

    @property
    def reason(self) -> str | None:
        """Why it is not run, if so."""
        for pattern, reason in NOT_RUN.items():
            if re.fullmatch(pattern, self.command):
                return reason
        return None


def commands(document: str) -> Iterator[Shown]:
    text = (ROOT / document).read_text("utf-8")
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 2
        parts = re.split(r"^\$ ", fence["body"], flags=re.MULTILINE)
        if fence["kind"] == "bash":
            parts = ["", *(f"{each}\n" for each in fence["body"].splitlines() if each.strip())]
        line += parts[0].count("\n")
        for part in parts[1:]:
            command, _, output = part.partition("\n")
            yield Shown(document, line, re.sub(r"\s+#.*", "", command).strip(), output)
            line += part.count("\n")


@contextmanager
def spoiled(shown: Shown, root: Path) -> Iterator[None]:
    """Make the mistake with which a command fails as shown."""
    file = root / "dockerfiles/lambda-embedding/Dockerfile"
    right = file.read_text()
    if shown.fails:
        assert "embeding_step_functions" in shown.output, f"{shown}: how does that fail?"
        file.write_text(right.replace("COPY --link receipts/embedding_", "COPY --link receipts/embeding_"))
    yield
    file.write_text(right)


@pytest.fixture(scope="module")
def built(first_build: tuple[Repo, Done], tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """The sample, built, as it is checked out: with its Makefile, `invoke` and `lamina`, under git.

    Its images have names of their own: some commands build them again.
    """
    folder = tmp_path_factory.mktemp("docs")
    repo = new_repo(folder)
    copy_sample(repo.root)
    repo.ok("build-all")
    programs = folder / "bin"
    write_programs(programs, "invoke", "lamina")
    (repo.root / ".venv").mkdir()
    (repo.root / ".venv/bin").symlink_to(programs)
    (repo.root / ".venv/.ready").touch()
    shutil.copy(ROOT / "Makefile", repo.root)
    repo.commit()
    repo.env["PATH"] = f"{programs}:{repo.environment()['PATH']}"
    return repo


@pytest.fixture
def here(built: Repo, tmp_path: Path) -> Repo:
    """The same in a folder of the test's own."""
    return built.copy(tmp_path / "repo")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(each, marks=pytest.mark.nightly if each in SLOW else ())
        for each in DOCS
        if each != TUTORIAL and not all(shown.reason for shown in commands(each))
    ],
)
def test_the_commands_of_a_document_run_as_shown(here: Repo, registry: str, document: str) -> None:
    for shown in commands(document):
        if shown.reason:
            continue
        with spoiled(shown, here.root):
            run_as_shown(shown, here, registry)


def test_the_commands_of_the_tutorial_run_as_shown(repo: Repo, registry: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests/data/layout-sam", repo.root, dirs_exist_ok=True)
    programs = tmp_path / "bin"
    write_programs(programs, "lamina")
    repo.env["PATH"] = f"{programs}:{repo.environment()['PATH']}"

    for shown in commands(TUTORIAL):
        run_as_shown(shown, repo, registry)


def run_as_shown(shown: Shown, repo: Repo, registry: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", shown.command.replace(REGISTRY, registry)],
        cwd=repo.root,
        env=repo.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = f"{shown} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    has_findings = " warnings, " in shown.output and done.returncode == 6
    assert (done.returncode != 0) is (shown.fails or has_findings), told
    assert "Traceback" not in done.stderr, told


def test_every_exception_for_a_command_is_used() -> None:
    shown = [each for document in DOCS for each in commands(document)]

    assert len(shown) > 20
    assert [
        pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, each.command) for each in shown)
    ] == []
