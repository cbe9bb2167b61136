"""The mutation table before two judges: the fingerprint, and BuildKit on what Lamina staged.

Stale is what BuildKit builds anew and the fingerprint does not; extra is what the fingerprint builds anew and
BuildKit finds unchanged. A run writes the scoreboard of ``docs/identity.md``.
"""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from buildkit import BuildKit, Built, bake_of, digest_of
from projects import ROOT

from lamina.decide import preflight
from lamina.files import write_atomic
from mutations import DOCKERFILES, MUTATIONS, OLD_RUNTIME, RUNTIME, TOOL, Mutation, World, make_scene

pytestmark = pytest.mark.engine

BATCH = 12  # targets a bake; larger ones take longer for each target
PAGE = ROOT / "docs/identity.md"
BOARD = re.compile(r"(?<=<!-- scoreboard -->\n).*(?=<!-- /scoreboard -->)", re.DOTALL)
ASSETS = (b"an asset\n", b"another asset\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A row and what was found: ``changed``, ``same``, of BuildKit also ``config``; None when not asked.

    told: whether the plan notes that what a URL serves is not in the fingerprint.
    """

    row: Mutation
    fingerprint: str
    told: bool
    buildkit: str | None
    evidence: tuple[str, ...]

    @property
    def stale(self) -> bool:
        """Whether an image would be skipped that comes out another one, and nobody says so."""
        return self.fingerprint == "same" and self.buildkit in {"changed", "config"} and not self.told

    @property
    def extra(self) -> bool:
        """Whether an image would be built that comes out the same."""
        return self.fingerprint == "changed" and self.buildkit == "same"

    @property
    def expected(self) -> bool:
        """Whether the fingerprint did as the table says."""
        verdict = "rebuilt" if self.fingerprint == "changed" else "kept, and told" if self.told else "kept"
        return verdict == self.row.expected

    def __str__(self) -> str:
        buildkit = self.buildkit or f"not asked: {self.row.unjudged}"
        return f"| {re.sub(r'([<*_])', r'\\\1', self.row.name)} | {self.row.expected} | {self.fingerprint} | {buildkit} |"


class Site(http.server.BaseHTTPRequestHandler):
    """Serves an asset that moves."""

    asset: ClassVar[bytes]

    @classmethod
    def move(cls) -> None:
        cls.asset = ASSETS[1]

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.asset)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    Site.asset = ASSETS[0]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(buildkit: BuildKit, registry: str, site: str) -> World:
    buildkit.push_outside(registry)
    python, old, later, tool, later_tool = (
        digest_of(f"{registry}/{name}") for name in (RUNTIME, OLD_RUNTIME, "python:later", TOOL, "uv:later")
    )
    first, second = (hashlib.sha256(asset).hexdigest() for asset in ASSETS)
    return World(
        registry=registry,
        digests={RUNTIME: (python, later), OLD_RUNTIME: (old, old), TOOL: (tool, later_tool)},
        site=site,
        sums=(first, second),
        move_asset=Site.move,
    )


def test_no_mutation_is_stale_and_none_is_extra(world: World, buildkit: BuildKit, tmp_path: Path) -> None:
    judged = judge(world, buildkit, tmp_path)
    write_scoreboard(judged)
    wrong = [each for each in judged if each.stale or each.extra or not each.expected]
    assert not wrong, "\n".join(f"{each} {each.evidence}" for each in wrong)


def judge(world: World, buildkit: BuildKit, folder: Path) -> list[Judged]:
    """Build all images of the tree, change it in every way, and build what each change is about."""
    scene = make_scene(folder / "before", world)
    images = {name: scene.image(name, prefix=f"{world.registry}/before/") for name in DOCKERFILES}
    before = buildkit.build({name: bake_of(scene, image) for name, image in images.items()})
    changed, bakes = {}, {}
    for number, row in enumerate(MUTATIONS):
        copy = scene.copy(folder / str(number))
        row.change(copy)
        changed[row] = copy.image(row.image, prefix=f"{world.registry}/{number}/")
        if row.unjudged is None:
            bakes[f"row-{number}"] = bake_of(copy, changed[row])
    built: dict[str, Built] = {}
    names = list(bakes)
    for start in range(0, len(names), BATCH):
        built |= buildkit.build({name: bakes[name] for name in names[start : start + BATCH]})
    found = []
    for number, row in enumerate(MUTATIONS):
        after = built.get(f"row-{number}")
        moved = changed[row].fingerprint != images[row.image].fingerprint
        found.append(
            Judged(
                row=row,
                fingerprint="changed" if moved else "same",
                told=any(
                    "not in the fingerprint" in str(each) for each in preflight.notes({"": changed[row]})
                ),
                buildkit=after.since(before[row.image]) if after else None,
                evidence=after.ran if after else (),
            )
        )
    return found


def write_scoreboard(judged: Sequence[Judged]) -> None:
    """Put the table between its markers; a run that finds what an earlier one found changes nothing."""
    lines = ["| mutation | expected | fingerprint | BuildKit |", "|---|---|---|---|", *map(str, judged)]
    stale, extra = sum(each.stale for each in judged), sum(each.extra for each in judged)
    lines += ["", f"{len(judged)} mutations: {stale} stale, {extra} extra."]
    page = PAGE.read_text()
    assert BOARD.search(page), f"{PAGE} has no scoreboard"
    write_atomic(PAGE, BOARD.sub(lambda _: "\n".join(lines) + "\n", page))
