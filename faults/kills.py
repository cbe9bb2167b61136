"""Kill the client, the engine or the registry at any moment; ask a command to stop."""

from __future__ import annotations

import signal
import time
from functools import partial

from faults.cases import Fault
from faults.edits import edit_once
from faults.scene import Codes, Scene, Started

_LONGEST_SECONDS = 2.2
"""About the time of a command: some faults come before its first request, and some after its end."""
_MOST_REQUESTS = 30
"""About the number of requests of a push of all images."""

_NO_ENGINE = frozenset({0, 1, 4})
_NO_REGISTRY = frozenset({0, 5})


def _at_a_moment(scene: Scene, *, local: bool = False) -> tuple[Started, bool]:
    """Start a run, of all images or after an edit, and wait for a random moment of it.

    The moment is a time, or the arrival of a request at the registry. Return the run, and whether it has not
    yet sent a request to the registry.

    Args:
        local: whether the run may also build into the engine's store.
    """
    random, gate = scene.random, scene.ground.gate
    scene.push = not local or random.random() < 0.7
    if random.random() < 0.5:
        scene.run()
        edit_once(scene.repo.root, random)
    before = len(gate.asked)
    started = scene.start()
    if not scene.push or random.random() < 0.4:
        time.sleep(random.uniform(0.02, _LONGEST_SECONDS))
    else:
        wanted = before + random.randint(1, _MOST_REQUESTS)
        while len(gate.asked) < wanted and started.child.poll() is None:
            time.sleep(0.005)
    scene.struck = started.child.poll() is None
    return started, len(gate.asked) == before


def _kill_client(scene: Scene) -> None:
    started, _ = _at_a_moment(scene, local=True)
    started.send(signal.SIGKILL)
    scene.finish(started, {0, -signal.SIGKILL})


def _kill_engine(scene: Scene, *, dockerd: bool, containerd: bool) -> None:
    started, _ = _at_a_moment(scene)
    scene.ground.kill_engine(dockerd=dockerd, containerd=containerd)
    scene.finish(started, _NO_ENGINE)


def _kill_registry(scene: Scene, *, at_once: bool) -> None:
    """Kill the registry. at_once: start it again while the command still runs."""
    started, _ = _at_a_moment(scene)
    scene.ground.kill_registry()
    if at_once:
        scene.ground.start_registry()
    scene.finish(started, _NO_REGISTRY)
    scene.ground.start_registry()


def _stop(scene: Scene, *numbers: signal.Signals, codes: Codes) -> None:
    """Send signals to the command, or to its whole group as a terminal does."""
    started, early = _at_a_moment(scene, local=True)
    group = scene.random.random() < 0.5
    for number in numbers:
        started.send(number, group=group)
        time.sleep(scene.random.uniform(0, 0.3) if len(numbers) > 1 else 0)
    # While Python itself starts, a signal has its default effect.
    by_default = {-number for number in numbers} if early else set()
    scene.finish(started, {0, *codes, *by_default})


FAULTS = (
    Fault(name="kill.client", what="the command is killed", strike=_kill_client, quick=5, full=13),
    Fault(
        name="kill.dockerd",
        what="dockerd is killed, containerd goes on",
        strike=partial(_kill_engine, dockerd=True, containerd=False),
        quick=2,
        full=4,
    ),
    Fault(
        name="kill.containerd",
        what="containerd is killed below dockerd",
        strike=partial(_kill_engine, dockerd=False, containerd=True),
        quick=1,
        full=3,
    ),
    Fault(
        name="kill.engine",
        what="dockerd and containerd are killed",
        strike=partial(_kill_engine, dockerd=True, containerd=True),
        quick=2,
        full=4,
    ),
    Fault(
        name="kill.registry",
        what="the registry is killed, and back before the next run",
        strike=partial(_kill_registry, at_once=False),
        quick=2,
        full=3,
    ),
    Fault(
        name="kill.registry-restarts",
        what="the registry is killed and back at once",
        strike=partial(_kill_registry, at_once=True),
        quick=2,
        full=3,
    ),
    Fault(
        name="signal.int",
        what="Ctrl-C",
        strike=lambda scene: _stop(scene, signal.SIGINT, codes={130}),
        quick=3,
        full=4,
    ),
    Fault(
        name="signal.int-twice",
        what="Ctrl-C, and again before it has ended",
        strike=lambda scene: _stop(scene, signal.SIGINT, signal.SIGINT, codes={130, -signal.SIGINT}),
        quick=2,
        full=4,
    ),
    Fault(
        name="signal.term",
        what="SIGTERM",
        strike=lambda scene: _stop(scene, signal.SIGTERM, codes={143}),
        quick=2,
        full=4,
    ),
    Fault(
        name="signal.hup",
        what="SIGHUP: the terminal is closed",
        strike=lambda scene: _stop(scene, signal.SIGHUP, codes={129}),
        quick=2,
        full=4,
    ),
)
