"""The mutation table before two judges: the fingerprint, and BuildKit on what Lamina staged.

Stale is what BuildKit builds anew and the fingerprint does not; extra is what the fingerprint builds anew and
BuildKit finds unchanged. A run of all rows writes the scoreboard of
``docs/identity.md``; ``make test`` judges a few of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from buildkit import BuildKit, Built, bake_of
from conftest import sampled
from projects import ROOT

from lamina.decide import preflight
from lamina.files import write_atomic
from mutations import DOCKERFILES, MUTATIONS, Mutation, World, make_scene

pytestmark = pytest.mark.engine

BATCH = 12  # targets a bake; larger ones take longer for each target
PAGE = ROOT / "docs/identity.md"
BOARD = re.compile(r"(?<=<!-- scoreboard -->\n).*(?=<!-- /scoreboard -->)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A row and its verdicts: ``changed``, ``same``, of BuildKit also ``config``; None when it is not asked.

    told: whether the plan notes that what a URL serves is not in the fingerprint.
    """

    row: Mutation
    fingerprint: str
    told: bool
    buildkit: str | None
    evidence: tuple[str, ...]

    @property
    def stale(self) -> bool:
        """Whether a changed image would be skipped without a note."""
        return self.fingerprint == "same" and self.buildkit in {"changed", "config"} and not self.told

    @property
    def extra(self) -> bool:
        """Whether an unchanged image would be built."""
        return self.fingerprint == "changed" and self.buildkit == "same"

    @property
    def expected(self) -> bool:
        """Whether the fingerprint did as the table says."""
        verdict = "rebuilt" if self.fingerprint == "changed" else "kept, with a note" if self.told else "kept"
        return verdict == self.row.expected

    def __str__(self) -> str:
        buildkit = self.buildkit or f"not asked: {self.row.unjudged}"
        name = re.sub(r"([<*_])", r"\\\1", self.row.name)
        return f"| {name} | {self.row.expected} | {self.fingerprint} | {buildkit} |"


@sampled("rows", sample=MUTATIONS[::12], complete=MUTATIONS)
def test_no_mutation_is_stale_and_none_is_extra(
    world: World, buildkit: BuildKit, tmp_path: Path, rows: Sequence[Mutation]
) -> None:
    judged = judge(rows, world, buildkit, tmp_path)
    if rows is MUTATIONS:
        write_scoreboard(judged)
    wrong = [each for each in judged if each.stale or each.extra or not each.expected]
    assert not wrong, "\n".join(f"{each} {each.evidence}" for each in wrong)


def judge(rows: Sequence[Mutation], world: World, buildkit: BuildKit, folder: Path) -> list[Judged]:
    """Build all images of the tree, apply each change to a copy, and build the image that it is about."""
    scene = make_scene(folder / "before", world)
    images = {name: scene.image(name, prefix=f"{world.registry}/before/") for name in DOCKERFILES}
    stages = folder / "stages"
    before = buildkit.build({name: bake_of(scene, each, stages / "-") for name, each in images.items()})
    changed, bakes = {}, {}
    for number, row in enumerate(rows):
        copy = scene.copy(folder / str(number))
        row.change(copy)
        changed[row] = copy.image(row.image, prefix=f"{world.registry}/{number}/")
        if row.unjudged is None:
            bakes[f"row-{number}"] = bake_of(copy, changed[row], stages / str(number))
    built: dict[str, Built] = {}
    names = list(bakes)
    for start in range(0, len(names), BATCH):
        built |= buildkit.build({name: bakes[name] for name in names[start : start + BATCH]})
    found = []
    for number, row in enumerate(rows):
        after = built.get(f"row-{number}")
        notes = preflight.notes({row.image: changed[row]})
        moved = changed[row].fingerprint != images[row.image].fingerprint
        found.append(
            Judged(
                row=row,
                fingerprint="changed" if moved else "same",
                told=any("not in the fingerprint" in str(note) for note in notes),
                buildkit=after.since(before[row.image]) if after else None,
                evidence=after.ran if after else (),
            )
        )
    return found


def write_scoreboard(judged: Sequence[Judged]) -> None:
    """Put the table between its markers. The same verdicts give the same file."""
    lines = ["| mutation | expected | fingerprint | BuildKit |", "|---|---|---|---|", *map(str, judged)]
    stale, extra = sum(each.stale for each in judged), sum(each.extra for each in judged)
    lines += ["", f"{len(judged)} mutations: {stale} stale, {extra} extra."]
    page = PAGE.read_text()
    assert BOARD.search(page), f"{PAGE} has no scoreboard"
    write_atomic(PAGE, BOARD.sub(lambda _: "\n".join(lines) + "\n", page))
