"""The mutation table as judged by the fingerprint. The integration tests compare it with BuildKit."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.decide import preflight
from mutations import MUTATIONS, OLD_RUNTIME, RUNTIME, TOOL, Mutation, Scene, World, make_scene

WORLD = World(
    registry="registry.test",
    digests={
        name: (f"sha256:{at:064}", f"sha256:{at + 5:064}")
        for at, name in enumerate((RUNTIME, OLD_RUNTIME, TOOL), start=1)
    },
    site="https://site.test",
    sums=("1" * 64, "2" * 64),
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_scene(tmp_path / "repo", WORLD)


@pytest.mark.parametrize("row", MUTATIONS, ids=lambda row: row.name)
def test_the_fingerprint_moves_when_it_must_and_only_then(scene: Scene, row: Mutation) -> None:
    before = scene.image(row.image).fingerprint
    row.change(scene)
    after = scene.image(row.image)
    assert (after.fingerprint != before) == (row.expected == "rebuilt")
    told = [str(note) for note in preflight.notes({row.image: after})]
    assert any("not in the fingerprint" in note for note in told) == (row.expected == "kept, with a note")


def test_every_change_is_another_one(scene: Scene, tmp_path: Path) -> None:
    seen = {scene.image(image).fingerprint: image for image in ("mixed", "bare", "whole")}
    for number, row in enumerate(row for row in MUTATIONS if row.expected == "rebuilt"):
        copy = scene.copy(tmp_path / str(number))
        row.change(copy)
        assert seen.setdefault(copy.image(row.image).fingerprint, row.name) == row.name


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({row.name for row in MUTATIONS}) == len(MUTATIONS)
