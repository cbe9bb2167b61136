"""``python -m faults``: try the faults, print each violation and the table; exit code 1 on any violation."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from random import SystemRandom

from faults import appending, clocks, crowd, disk, edits, kills, registry_faults, state_damage
from faults.cases import Case, allowed, choose_cases
from faults.ground import opened
from faults.scene import try_case
from faults.table import Result, fill, render
from lamina.sandbox.engine import unsupported

FAULTS = (
    *registry_faults.FAULTS,
    *appending.FAULTS,
    *kills.FAULTS,
    *state_damage.FAULTS,
    *edits.FAULTS,
    *crowd.FAULTS,
    *disk.FAULTS,
    *clocks.FAULTS,
)
PAGE = Path(__file__).parents[1] / "docs/reliability.md"


class Session:
    """The cases left to try, and the results of the others."""

    def __init__(self, cases: Iterable[Case]) -> None:
        self._waiting: SimpleQueue[Case] = SimpleQueue()
        self.results: list[Result] = []
        self.stopped = threading.Event()
        for case in cases:
            self._waiting.put(case)

    def work(self, name: str) -> None:
        """Try cases on a ground with this name until none is left."""
        with opened(name) as ground, suppress(Empty):
            while not self.stopped.is_set():
                case = self._waiting.get_nowait()
                begun = time.monotonic()
                try:
                    scene = try_case(ground, case)
                    struck, violations = scene.struck, scene.violations
                except Exception:  # one broken case must not end the session
                    struck, violations = True, [f"the case broke off:\n{traceback.format_exc()}"]
                self._take(case, struck, violations, time.monotonic() - begun)

    def _take(self, case: Case, struck: bool, violations: list[str], seconds: float) -> None:
        violations = list(dict.fromkeys(violations))  # a lasting violation is seen twice
        self.results.append(Result(fault=case.fault.name, struck=struck, violations=tuple(violations)))
        word = "VIOLATION" if violations else "survived" if struck else "missed"
        lines = [f"{word:9} {case.fault.name} seed {case.seed} {seconds:.1f} s"]
        lines += [f"  - {each}" for each in violations]
        lines += [f"  replay: {case.replay}"] if violations else []
        print("\n".join(lines), flush=True)


def main(words: list[str] | None = None) -> int:
    """Run the session and return its exit code."""
    flags = _parser().parse_args(words)
    # In the background of a script this process ignores Ctrl-C, and so would its children.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    first = SystemRandom().randrange(1_000_000)
    try:
        cases = choose_cases(FAULTS, only=flags.only, seed=flags.seed, first=first, quick=flags.quick)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if reason := unsupported():
        print(reason, file=sys.stderr)
        return 2
    begun = time.monotonic()
    session = Session(cases)
    _work(session, min(flags.lanes, len(cases)))
    table = render(session.results, {fault.name: fault.what for fault in FAULTS})
    print(f"\n{table}\n{len(session.results)} cases in {(time.monotonic() - begun) / 60:.0f} minutes")
    if any(case.fault.name == "clock.machine" for case in cases) and clocks.faketime() is None:
        print("clock.machine was not tried: libfaketime cannot be fetched from this machine's mirror")
    if flags.write:
        PAGE.write_text(fill(PAGE.read_text(), table))
    return 1 if len(session.results) < len(cases) or any(each.violations for each in session.results) else 0


def _work(session: Session, many: int) -> None:
    """Try all cases, in lanes. After Ctrl-C the cases under way are finished, and no other starts."""
    names = [f"faults-{os.getpid()}-{lane}" for lane in range(many)]
    lanes = [threading.Thread(target=session.work, args=(name,)) for name in names]
    for lane in lanes:
        lane.start()
    while any(lane.is_alive() for lane in lanes):
        try:
            for lane in lanes:
                lane.join()
        except KeyboardInterrupt:
            session.stopped.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer tries of each: about 8 minutes")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help=", ".join(allowed(FAULTS))
    )
    parser.add_argument("--seed", type=int, help="try each fault once, with this seed")
    parser.add_argument(
        "--lanes", type=int, default=3, help="how many to try at once, each on its own engine"
    )
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
