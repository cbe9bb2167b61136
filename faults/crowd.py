"""Many runs at once."""

from __future__ import annotations

from functools import partial

from faults.cases import Fault
from faults.edits import edit_once
from faults.scene import Scene

SECONDS = 600.0
"""The time limit of all runs of a crowd."""


def _same_tree(scene: Scene, many: int) -> None:
    """Run all builds in one folder: one state, one set of tags."""
    scene.push = scene.random.random() < 0.5
    scene.shared = True
    started = [scene.start() for _ in range(many)]
    for each in started:
        scene.finish(each, {0}, seconds=SECONDS)


def _different_trees(scene: Scene, many: int) -> None:
    """Run each build in its own clone with its own edit, on one engine and the same repositories."""
    scene.push = scene.random.random() < 0.5
    scene.shared = True
    clones = [scene.repo.clone(scene.repo.root.parent / f"clone-{each}/repo") for each in range(many)]
    for clone in clones:
        edit_once(clone.root, scene.random)
    started = [scene.start(repo=clone) for clone in clones]
    for clone, each in zip(clones, started, strict=True):
        scene.finish(each, {0}, repo=clone, seconds=SECONDS)


FAULTS = (
    Fault(
        name="crowd.same-tree-8",
        what="8 runs at once in one folder",
        strike=partial(_same_tree, many=8),
        quick=2,
        full=3,
    ),
    Fault(
        name="crowd.different-trees-8",
        what="8 runs at once in clones that differ",
        strike=partial(_different_trees, many=8),
        quick=1,
        full=3,
    ),
    Fault(
        name="crowd.same-tree-50",
        what="50 runs at once in one folder",
        strike=partial(_same_tree, many=50),
        quick=0,
        full=1,
    ),
    Fault(
        name="crowd.different-trees-50",
        what="50 runs at once in clones that differ",
        strike=partial(_different_trees, many=50),
        quick=0,
        full=1,
    ),
)
