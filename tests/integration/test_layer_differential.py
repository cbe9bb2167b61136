"""The layers that Lamina makes held against those of BuildKit's ``COPY --link``, byte for byte.

LAMINA_CASES (1) is how many trees are drawn, LAMINA_SEED (1) from where. The time of folders is set to the
fixed one before the comparison: those that COPY creates have the time of the build.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import posixpath
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from test_context_differential import Node, draw_tree, shell, tame
from test_ignore_differential import Buildx, Engine

from lamina.declare.dockerfile import parse_dockerfile
from lamina.declare.resolve import resolve
from lamina.execute.layer_tar import Owner, layer_tar
from lamina.files import EPOCH
from lamina.identify.context import select
from lamina.identify.copy_layer import CopyError, CopyTree, CopyWords, LayerEntry
from lamina.identify.fingerprint import make_build_inputs
from lamina.identify.ignore import EMPTY
from lamina.identify.stage import StagedContext, StagedTree, stage
from lamina.identify.tree import DiskFiles

pytestmark = pytest.mark.engine

CASES = int(os.environ.get("LAMINA_CASES", "1"))
NIGHTLY_CASES = 100
SEED = os.environ.get("LAMINA_SEED", "1")
COPIES = 16
PLATFORM = "linux/amd64"
LONG = "/".join(["a-folder-with-a-long-name"] * 7)
TARGETS = (
    "/",
    "/var/task/",
    "/var/task",
    "/x",
    "/x/y/",
    "/a/./b/",
    "/a/../b",
    "/c/.",
    "/日本/",
    "/s p/",
    f"/{LONG}/",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    words: CopyWords
    owner: str

    @property
    def line(self) -> str:
        words = json.dumps([*(shell(each) for each in self.words.sources), shell(self.words.target)])
        return f"COPY --link{self.owner and f' --chown={self.owner}'} {words}"

    @property
    def numbers(self) -> Owner:
        user, _, group = self.owner.partition(":")
        return Owner(user=int(user or 0), group=int(group or user or 0))


def test_layers_are_those_of_buildkit(engine: Engine, tmp_path: Path) -> None:
    compare_all(Buildx(engine=engine, home=tmp_path), CASES)


@pytest.mark.nightly
def test_layers_of_many_trees_are_those_of_buildkit(engine: Engine, tmp_path: Path) -> None:
    compare_all(Buildx(engine=engine, home=tmp_path), max(CASES, NIGHTLY_CASES))


def compare_all(buildx: Buildx, cases: int) -> None:
    known = sum(compare(buildx, number) for number in range(cases))

    assert known > cases * COPIES / 2, "most copies are refused: this shows little"


def compare(buildx: Buildx, number: int) -> int:
    """Build the copies of one tree whose layers are certain; return how many there were."""
    random = Random(f"{SEED}/{number}")
    root = buildx.home / f"tree{number}"
    tree = draw_tree(random, 30, odd=random.random() < 0.3)
    write(root, tree)
    made = {}
    copies = [draw_copy(random, tree) for _ in range(COPIES)]
    whole = "FROM scratch\nCOPY . /\n"
    recipe = resolve(parse_dockerfile(whole, "Dockerfile"), platform=PLATFORM, build_platform=PLATFORM)
    context = select(DiskFiles(root), recipe, EMPTY)
    inputs = make_build_inputs(recipe, {"": context}, bases={}, parents={}, requirements={})
    files = inputs.files[""]
    for copy in copies:
        if any(letter < " " for source in copy.words.sources for letter in source):
            continue  # BuildKit sends sources in a header, and refuses control characters
        try:
            made[copy] = CopyTree(files).layer(copy.words)
        except CopyError:
            continue
    text = "\n".join(["FROM scratch", *(copy.line for copy in made)]) + "\n"
    staged = stage(
        root.with_name(f"stage{number}"),
        "sha256:" + "0" * 64,
        text,
        {"": StagedTree(root=root, context=context)},
    )
    theirs = built(buildx, staged, number)
    assert len(theirs) == len(made), text
    for (copy, entries), their in zip(made.items(), theirs, strict=True):
        ours = layer_tar(entries, copy.numbers, lambda entry: content(root, entry))
        assert ours == their, f"seed {SEED}/{number}: {copy}\n{listed(ours)}\n\nBuildKit:\n{listed(their)}"
    return len(made)


def draw_copy(random: Random, tree: dict[str, Node]) -> Copy:
    paths = [*tree, ""]
    sources = [draw_source(random, random.choice(paths)) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    target = random.choice(TARGETS)
    if len(sources) > 1 and not target.endswith("/"):
        target += "/"
    owner = random.choice(("", "", "", "12:34", "7", "3000000:5"))
    return Copy(words=CopyWords(sources=tuple(sources), target=target), owner=owner)


def draw_source(random: Random, path: str) -> str:
    parts = path.split("/")
    if path and random.random() < 0.4:
        at = random.randrange(len(parts))
        parts[at] = tame(random, parts[at])
    return posixpath.join(random.choice(("", "/", "./")), "/".join(parts)) or "."


def write(root: Path, tree: dict[str, Node]) -> None:
    root.mkdir()
    for path, node in tree.items():
        place = root / path
        if node.kind == "dir":
            place.mkdir()
        elif node.kind == "link":
            place.symlink_to(node.text)
        else:
            place.write_text(path * (len(path) * 30))
            place.chmod(0o755 if node.kind == "exec" else 0o644)


def content(root: Path, entry: LayerEntry) -> bytes:
    place = root / entry.source
    stored = os.readlink(place) if entry.kind == "link" else None  # noqa: PTH115 - as stored, not normalised
    found = place.read_bytes() if stored is None else os.fsencode(stored)
    assert hashlib.sha256(found).hexdigest() == entry.sha256
    return found


def built(buildx: Buildx, staged: StagedContext, number: int) -> list[bytes]:
    """The tars of the layers of a staged Dockerfile, with the fixed time in all folders."""
    archive = buildx.home / f"image{number}.tar"
    target = {
        "context": str(staged.context()),
        "dockerfile": str(staged.dockerfile),
        "output": [f"type=oci,dest={archive}"],
        "attest": ["type=provenance,disabled=true"],
    }
    plan = buildx.home / f"plan{number}.json"
    plan.write_text(json.dumps({"target": {"default": target}}))
    done = buildx.run("bake", "--allow", f"fs.read={buildx.home}", "--file", plan.name, "--progress", "plain")
    assert done.ok, f"{staged.dockerfile.read_text()}\n{done.stderr}"
    with tarfile.open(archive) as tar:

        def blob(digest: str) -> bytes:
            found = tar.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert found is not None
            return found.read()

        found = tar.extractfile("index.json")
        assert found is not None
        manifest = json.loads(blob(json.load(found)["manifests"][0]["digest"]))
        return [timeless(gzip.decompress(blob(each["digest"]))) for each in manifest["layers"] or ()]


def timeless(layer: bytes) -> bytes:
    """Set the time of each folder's header, and the header's sum."""
    made = bytearray(layer)
    with tarfile.open(fileobj=BytesIO(layer)) as tar:
        for member in tar:
            if member.isdir():
                block = member.offset_data - 512
                made[block + 136 : block + 148] = b"%011o\0" % EPOCH
                made[block + 148 : block + 156] = b" " * 8
                made[block + 148 : block + 156] = b"%06o\0 " % sum(made[block : block + 512])
    return bytes(made)


def listed(layer: bytes) -> str:
    with tarfile.open(fileobj=BytesIO(layer)) as tar:
        return "\n".join(
            f"{each.name!r} {each.type!r} {each.mode:o} {each.uid}:{each.gid} {each.mtime} {each.size} "
            f"{each.linkname!r} {each.pax_headers}"
            for each in tar
        )
