"""Faults while code changes are pushed without a builder."""

from __future__ import annotations

import signal
import time
from functools import partial

from faults.cases import Fault
from faults.edits import edit_code
from faults.project import IMAGES, LINKED, write_edition
from faults.proxy import Spoil
from faults.registry_faults import SPOILS, TOLD
from faults.scene import Scene

_REQUESTS = (
    *("GET manifest", "HEAD manifest", "PUT manifest", "GET blob", "HEAD blob"),
    *("POST upload", "PUT upload"),
)
_LONGEST_SECONDS = 1.5
_MOST_REQUESTS = 25
"""About the number of requests of a push of one changed base."""
_MANY = 6


def _change(scene: Scene) -> None:
    """Push all images, which a builder makes, then change code that reaches one or several of them."""
    scene.appends = True
    write_edition(scene.repo.root, f"{LINKED}{scene.random.getrandbits(32):x}")
    scene.run()
    for _ in range(scene.random.choice((1, 1, 2))):
        edit_code(scene.repo.root, scene.random)


def _spoil(scene: Scene, how: str) -> None:
    """Push the change while the registry has the fault once, a few times or always."""
    _change(scene)
    random = scene.random
    spoil = Spoil(
        how=how,
        where=random.choice(_REQUESTS),
        skip=random.choice((0, 0, 1, 2)),
        times=random.choice((1, 1, 3, None)),
    )
    refused = {1} if how in {"wrong-type", "wrong-digest", "not-found", "flipped"} else set()
    with scene.ground.gate.spoiling(spoil):
        scene.run(allowed=TOLD | refused)
    scene.struck = spoil.struck > 0


def _kill(scene: Scene) -> None:
    """Kill the command at a random moment: a time, or the arrival of a request."""
    _change(scene)
    random, gate = scene.random, scene.ground.gate
    before = len(gate.asked)
    started = scene.start()
    if random.random() < 0.3:
        time.sleep(random.uniform(0.02, _LONGEST_SECONDS))
    else:
        wanted = before + random.randint(1, _MOST_REQUESTS)
        while len(gate.asked) < wanted and started.child.poll() is None:
            time.sleep(0.002)
    scene.struck = started.child.poll() is None
    started.send(signal.SIGKILL)
    scene.finish(started, {0, -signal.SIGKILL})


def _crowd(scene: Scene, *, clones: bool) -> None:
    """Push the same change, or one of each clone, several times at once."""
    _change(scene)
    scene.shared = True
    folder = scene.repo.root.parent
    repos = [
        scene.repo.clone(folder / f"clone-{each}/repo") if clones else scene.repo for each in range(_MANY)
    ]
    for repo in repos if clones else ():
        edit_code(repo.root, scene.random)
    started = [scene.start(repo=repo) for repo in repos]
    for repo, each in zip(repos, started, strict=True):
        scene.finish(each, {0}, repo=repo)


def _lose_layer(scene: Scene) -> None:
    """Lose a layer of an image that is appended to: the builder takes over, or the image is not touched."""
    _change(scene)
    scene.shared = True  # the digests of the first run are replaced by the second
    manifest = scene.manifest_of(scene.random.choice(IMAGES))
    scene.ground.lose_blob(scene.random.choice(manifest["layers"])["digest"])
    scene.run(allowed=TOLD)
    scene.run("--force")


FAULTS = (
    *(
        Fault(
            name=f"append.{how}",
            what=f"{what}, without a builder",
            strike=partial(_spoil, how=how),
            quick=1,
            full=4,
        )
        for how, (what, _) in SPOILS.items()
        if how not in {"503", "drip"}
    ),
    Fault(
        name="append.kill",
        what="the command is killed in a push without a builder",
        strike=_kill,
        quick=2,
        full=8,
    ),
    Fault(
        name="append.same-tree",
        what=f"{_MANY} pushes without a builder at once in one folder",
        strike=partial(_crowd, clones=False),
        quick=1,
        full=2,
    ),
    Fault(
        name="append.different-trees",
        what=f"{_MANY} pushes without a builder at once, of clones that differ",
        strike=partial(_crowd, clones=True),
        quick=1,
        full=2,
    ),
    Fault(
        name="append.lost-layer",
        what="a layer is gone of the image that is appended to",
        strike=_lose_layer,
        quick=1,
        full=3,
    ),
)
