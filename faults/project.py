"""The project of a case: its images build fast, and their files tell which tree they were built from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from projects import Repo, write_tiny

from lamina.declare.config import load_project
from lamina.declare.graph import read_graph
from lamina.identify.image import identify

IMAGES = ("base-dynamo", "base-label", "lambda-tiny")
HANDLER = "dockerfiles/lambda-tiny/Dockerfile"
EDITION = "edition"
"""A label of the Lambda image. It tells which version of the Dockerfile the image was built from."""
LINKED = "linked-"
"""The start of editions of which all copies are linked, so that code changes need no builder."""

Content = tuple[bool, bytes]
"""Whether a file is executable, and its bytes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All inputs of the images: the files below ``src/``, and the edition of the Dockerfile."""

    files: Mapping[str, Content]
    edition: str

    @property
    def key(self) -> tuple[object, ...]:
        """A key that is equal for equal trees."""
        return (self.edition, *sorted(self.files.items()))


def write_project(repo: Repo, random: Random) -> None:
    """Write two bases and a function with a folder of files; no two seeds have a file in common."""
    write_tiny(repo)
    for name in ("dynamo", "label", "handler"):
        repo.append(f"src/{name}.py", f"# {random.getrandbits(64):x}\n")
    for number in range(random.randint(2, 5)):
        repo.write(f"src/pack/{number}.txt", filler(random))
    write_edition(repo.root, f"{random.getrandbits(32):x}")


def write_edition(root: Path, edition: str) -> None:
    """Write the Dockerfile of the Lambda image, in one step."""
    link = "--link " if edition.startswith(LINKED) else ""
    text = (
        "FROM base-label:stable\n"
        "COPY --link src/handler.py /var/task/\n"
        f"COPY {link}src/pack/ /var/task/pack/\n"
        f'LABEL {EDITION}="{edition}"\n'
        'CMD ["handler.handler"]\n'
    )
    draft = root / f"{HANDLER}.draft"
    draft.write_text(text)
    draft.replace(root / HANDLER)


def filler(random: Random) -> str:
    """Return a text of up to 40 kB that no other file has."""
    return f"{random.getrandbits(64):x}\n" * random.choice((1, 3, 60, 2_400))


@dataclass(slots=True)
class Oracle:
    """Computes the fingerprints of trees, independent of the state of any run."""

    _known: dict[tuple[object, ...], Mapping[str, str]] = field(default_factory=dict)

    def fingerprints(self, tree: Snapshot) -> Mapping[str, str]:
        """Return image -> fingerprint of a tree."""
        if tree.key not in self._known:
            with tempfile.TemporaryDirectory(prefix="lamina-faults-") as folder:
                _write_snapshot(Path(folder), tree)
                self._known[tree.key] = fingerprints(Path(folder))
        return self._known[tree.key]


def fingerprints(root: Path) -> Mapping[str, str]:
    """Return image -> fingerprint of the current tree."""
    project = load_project(root, env={})
    graph = read_graph(project)
    images, _ = identify(project, graph, IMAGES, prefix="", bases={})
    return {name: image.fingerprint for name, image in images.items()}


def _write_snapshot(root: Path, tree: Snapshot) -> None:
    """Write a tree to disk, with placeholders for files that its image does not hold."""
    write_tiny(Repo(root))
    (root / "src/pack").mkdir()
    write_edition(root, tree.edition)
    for path, (executable, content) in tree.files.items():
        file = root / "src" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if executable else 0o644)
