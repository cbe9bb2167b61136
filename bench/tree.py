"""The repositories that the bench builds: a copy of the sample, and generated ones of any size."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.locks import LOCK, pins, with_package
from bench.recipes import recipes
from lamina.errors import ConfigError
from lamina.process import Command, Runner

PYTHON = "3.13"
AWS_RUNTIME = "public.ecr.aws/lambda/python"
SAMPLE = {
    "base-receipt-dynamo": None,
    "base-receipt-label": "base-receipt-dynamo",
    "lambda-embedding": "base-receipt-label",
    "lambda-word-label": "base-receipt-dynamo",
}
"""The sample's images, bases first -> the project's image that each is based on."""
EDITED_IMAGE = "lambda-embedding"
HANDLER = "receipts/embedding_step_functions/handler.py"
BASE_CODE = "receipts/receipt_dynamo/receipt_dynamo/entities.py"
TEST_FILE = "receipts/receipt_dynamo/tests/test_entities.py"
REQUIREMENTS = "receipts/receipt_dynamo/pyproject.toml"
WAITING = 12
"""The images of `make_waiting`."""
_BOTO = '"boto3>=1.35"'
_MEMBERS = ("receipt-dynamo", "receipt-label", "embedding-step-functions")
"""The members that install packages, each on the image of the one before."""


@dataclass(slots=True, kw_only=True)
class Tree:
    """A repository on disk.

    images: image, bases first -> the image it is based on. handler: the path of the handler to edit. edited:
    the image of that handler. base_code: the path of code that many images have.
    """

    root: Path
    images: Mapping[str, str | None]
    edited: str
    handler: str
    base_code: str = BASE_CODE
    _original: dict[str, str] = field(default_factory=dict)

    def reset(self) -> None:
        """Restore the original text of every edited file."""
        for path, text in self._original.items():
            (self.root / path).write_text(text, "utf-8")

    def append(self, path: str, line: str) -> None:
        """Write a file's original text with one more line."""
        self._write(path, f"{self._first(path)}{line}\n")

    def replace(self, path: str, old: str, new: str) -> None:
        """Write a file's original text with a part replaced. Raises ConfigError if it is missing."""
        text = self._first(path)
        if old not in text:
            raise ConfigError.of(f"there is no {old} to edit", where=path)
        self._write(path, text.replace(old, new))

    def require(self, package: str) -> None:
        """Add a dependency to the lowest base, one of `bench.locks.ADDED`."""
        self.replace(REQUIREMENTS, _BOTO, f'{_BOTO}, "{package}"')
        if (self.root / LOCK).exists():
            self._write(LOCK, with_package(self._first(LOCK), _MEMBERS[0], package))

    def forget(self) -> None:
        """Remove the state of earlier runs, as in a fresh clone."""
        shutil.rmtree(self.root / ".lamina", ignore_errors=True)

    def _first(self, path: str) -> str:
        return self._original.setdefault(path, (self.root / path).read_text("utf-8"))

    def _write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text, "utf-8")


def check_source(source: Path) -> None:
    """Raise ConfigError if the sample is missing in the current folder."""
    for name in ("dockerfiles", "receipts", "pyproject.toml"):
        if not (source / name).exists():
            raise ConfigError.of(
                f"there is no {name}: the bench builds the sample images of Lamina's repository",
                where=str(source),
                hint="run it in a clone",
            )


def copy_sample(runner: Runner, source: Path, root: Path, *, variant: str, runtime: str) -> Tree:
    """Copy the sample for a variant, under git. runtime: the repository that replaces AWS's image."""
    check_source(source)
    keep = shutil.ignore_patterns("__pycache__", ".lamina", "*.pyc")
    for name in ("dockerfiles", "receipts"):
        shutil.copytree(source / name, root / name, ignore=keep)
    shutil.copy(source / "pyproject.toml", root / "pyproject.toml")
    (root / ".gitignore").write_text(".lamina/\n")
    if variant in {"before", "seed"}:
        _write_for_pip(root)
        for image, recipe in recipes(variant, f"{runtime}:{PYTHON}").items():
            (root / f"dockerfiles/{image}/Dockerfile").write_text(recipe.dockerfile)
            ignore = root / f"dockerfiles/{image}/Dockerfile.dockerignore"
            ignore.unlink(missing_ok=True)
            if recipe.ignore is not None:
                ignore.write_text(recipe.ignore)
    else:
        for file in root.glob("dockerfiles/*/Dockerfile"):
            file.write_text(file.read_text("utf-8").replace(AWS_RUNTIME, runtime), "utf-8")
    commit(runner, root)
    return Tree(root=root, images=SAMPLE, edited=EDITED_IMAGE, handler=HANDLER)


def _write_for_pip(root: Path) -> None:
    """Replace the lock by the files of pip: constraints for each member, and a list for the function."""
    lock = (root / LOCK).read_text("utf-8")
    known: set[str] = set()
    for member in _MEMBERS:
        new = sorted(set(pins(lock, member)) - known)
        write(root, f"receipts/{member.replace('-', '_')}/constraints.txt", "\n".join(new) + "\n")
        known |= set(new)
    write(root, "receipts/embedding_step_functions/requirements.txt", "chromadb>=0.5.0\n")
    for path in (
        LOCK,
        "receipts/pyproject.toml",
        "receipts/embedding_step_functions/pyproject.toml",
        "receipts/word_label_step_functions/pyproject.toml",
    ):
        (root / path).unlink()


def make_functions(runner: Runner, root: Path, count: int, *, runtime: str) -> Tree:
    """Write ``count`` functions of one file each, linked onto the runtime."""
    names = _write_functions(root, count, runtime, copy="COPY --link")
    commit(runner, root)
    return _tree_of(root, names, names[count // 2])


def waiting_step(mark: str) -> str:
    """Return a step that waits for three seconds; a BuildKit runs one at a time. mark: makes it new."""
    return f"RUN --mount=type=cache,id=turn,target=/turn,sharing=locked sleep 3 && : {mark}"


def make_waiting(runner: Runner, root: Path, mark: str, *, runtime: str) -> Tree:
    """Write functions that get steps like `waiting_step`. mark: makes their images others than before."""
    names = _write_functions(root, WAITING, runtime, copy="COPY", end=f"RUN : {mark}\n")
    commit(runner, root)
    return _tree_of(root, names, names[0])


def _write_functions(root: Path, count: int, runtime: str, *, copy: str, end: str = "") -> list[str]:
    """Write functions of one file each on the runtime; return their names. end: of their Dockerfiles."""
    names = [f"lambda-{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        write(root, f"functions/{name}/handler.py", _handler(number))
        write(
            root,
            f"dockerfiles/{name}/Dockerfile",
            f"FROM {runtime}:{PYTHON}\n{copy} functions/{name}/handler.py /var/task/\n"
            f'CMD ["handler.handler"]\n{end}',
        )
    write(root, ".gitignore", ".lamina/\n")
    return names


def _tree_of(root: Path, names: list[str], edited: str) -> Tree:
    handler = f"functions/{edited}/handler.py"
    return Tree(root=root, images=dict.fromkeys(names), edited=edited, handler=handler)


def make_packages(root: Path, count: int, files: int) -> Tree:
    """Write ``count`` images FROM scratch, with ``files`` files in total."""
    names = [f"lambda-{number:03}" for number in range(count)]
    for number, name in enumerate(names):
        write(root, f"packages/{name}/handler.py", _handler(number))
        for part in range(files // count - 1):
            write(root, f"packages/{name}/part{part // 50:02}/m{part:04}.py", f"VALUE = {number}, {part}\n")
        write(
            root,
            f"dockerfiles/{name}/Dockerfile",
            f'FROM scratch\nCOPY --link packages/{name}/ /var/task/\nCMD ["handler.handler"]\n',
        )
    handler = f"packages/{names[0]}/handler.py"
    return Tree(root=root, images=dict.fromkeys(names), edited=names[0], handler=handler)


def _handler(number: int) -> str:
    return (
        f'"""Function {number}."""\n\n\ndef handler(event, context):\n    return {{"function": {number}}}\n'
    )


def write(root: Path, path: str, text: str) -> None:
    """Write a file and its folder."""
    file = root / path
    try:
        file.write_text(text, "utf-8")
    except FileNotFoundError:
        file.parent.mkdir(parents=True)
        file.write_text(text, "utf-8")


def commit(runner: Runner, root: Path) -> None:
    """Commit the files with git, if git is installed; the bench does not depend on it."""
    who = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid", "-c", "commit.gpgsign=false")
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message=All"),
    ):
        runner.run(Command(argv=("git", *who, *words), cwd=root))
