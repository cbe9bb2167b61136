"""``python -m bench.layers``: what it costs to have the same files in more layers.

Packages are generated, copied into an image in one group or in several, and pushed to a registry. Then an
engine that has only the base pulls each image, starts a container of it, and imports all modules. All forms
take turns in each round. The result is printed as a table: medians of seconds, and of the seconds of the
processor that the engine, or the import, used.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.meter import check
from bench.tree import PYTHON, write
from lamina.errors import LaminaError
from lamina.process import Command, Completed, SubprocessRunner
from lamina.report.console import Screen
from lamina.sandbox import engine as engines
from lamina.sandbox import registry, runtime
from lamina.sandbox.packages import machine_architecture
from lamina.sandbox.running import PrivateEngine

NAME = "bench-layers"
LAYERS = (1, 12, 30)
PACKAGES, MODULES = 90, 40
_LARGE, _LARGE_BYTES, _SMALL_BYTES = 10, 8_000_000, 200_000
"""Every so many packages one has a large file, as those with machine code have; others have a small one."""
_IMPORT = """
import importlib, json, time
begun, used = time.perf_counter(), time.process_time()
for package in range(%d):
    for module in range(%d):
        importlib.import_module(f"package{package:02}.module{module:02}")
print(json.dumps([time.perf_counter() - begun, time.process_time() - used]))
"""


@dataclass(slots=True)
class Figures:
    """Seconds of each round, by what took them."""

    pull: list[float] = field(default_factory=list)
    pull_cpu: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    start_cpu: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    load_cpu: list[float] = field(default_factory=list)

    def cells(self) -> Iterator[str]:
        """Yield the medians, to milliseconds: seconds, and those of the processor."""
        for wall, used in (
            (self.pull, self.pull_cpu),
            (self.start, self.start_cpu),
            (self.load, self.load_cpu),
        ):
            yield f"{statistics.median(wall):.3f} s ({statistics.median(used):.3f} s)"


def main(words: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each form is measured")
    given = parser.parse_args(words)
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="lamina-layers-") as folder:
            found = _Yard(Path(folder), screen).measure(given.rounds)
    except LaminaError as error:
        screen.error(error)
        return error.exit_code
    finally:
        for down in (engines.down, registry.down):
            down(SubprocessRunner(), NAME, purge=True)
    headings = ("layers", "pull (engine's CPU)", "create and start (engine's CPU)", "import all (its CPU)")
    screen.rows(headings, ((str(layers), *found[layers].cells()) for layers in LAYERS))
    return 0


class _Yard:
    """An engine and a registry, and the images in it."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self._folder = folder
        self._screen = screen
        self._runner = SubprocessRunner()
        self._registry = registry.up(self._runner, name=NAME, port=0, say=screen.say).address
        self._engine = self._start()

    def measure(self, rounds: int) -> Mapping[int, Figures]:
        """Build all forms, then pull, start and import each in every round. Return layers -> figures."""
        base = runtime.ensure(self._runner, self._engine, PYTHON, machine_architecture(), self._screen.say)
        self._docker("tag", base.ref, self._ref("base"))
        self._docker("push", "--quiet", self._ref("base"))
        write_packages(self._folder / "packages")
        for layers in LAYERS:
            self._screen.say(f"building {layers} layers")
            self._build(layers)
        engines.down(self._runner, NAME, purge=True)
        self._engine = self._start()
        self._docker("pull", "--quiet", self._ref("base"))
        found = {layers: Figures() for layers in LAYERS}
        for number in range(rounds):
            for layers in sorted(LAYERS, reverse=bool(number % 2)):
                self._round(self._ref(str(layers)), found[layers])
        return found

    def _round(self, ref: str, figures: Figures) -> None:
        wall, used, _ = self._timed("pull", "--quiet", ref)
        figures.pull.append(wall)
        figures.pull_cpu.append(used)
        run = ("run", "--rm", "--network=none", "--entrypoint=python3", ref, "-B")
        wall, used, _ = self._timed(*run, "-S", "-c", "")
        figures.start.append(wall)
        figures.start_cpu.append(used)
        done = self._docker(*run, "-c", _IMPORT % (PACKAGES, MODULES))
        wall, used = json.loads(done.stdout)
        figures.load.append(wall)
        figures.load_cpu.append(used)
        self._docker("image", "rm", "--force", ref)

    def _timed(self, *words: str) -> tuple[float, float, Completed]:
        used, begun = engine_seconds(self._engine.pid), time.monotonic()
        done = self._docker(*words)
        return time.monotonic() - begun, engine_seconds(self._engine.pid) - used, done

    def _build(self, layers: int) -> None:
        """Push an image with the packages in so many layers. Bytecode is compiled by its own Python."""
        context = self._folder / str(layers)
        names = sorted(path.name for path in (self._folder / "packages").iterdir())
        lines = [
            f"FROM {self._ref('base')} AS deps",
            "COPY groups /groups",
            "RUN python3 -m compileall -q /groups",
        ]
        lines.append(f"FROM {self._ref('base')}")
        for group in range(layers):
            for name in names[group::layers]:
                shutil.copytree(self._folder / "packages" / name, context / f"groups/{group}/{name}")
            lines.append(f"COPY --link --from=deps /groups/{group} /var/task/")
        write(context, "Dockerfile", "\n".join(lines) + "\n")
        argv = (str(self._engine.buildx), "build", "--quiet", "--provenance=false")
        output = f"--output=type=image,name={self._ref(str(layers))},push=true,oci-mediatypes=true"
        self._must(Command(argv=(*argv, output, str(context)), env=self._engine.environment))
        shutil.rmtree(context)

    def _start(self) -> PrivateEngine:
        return engines.up(self._runner, name=NAME, say=self._screen.say)

    def _ref(self, tag: str) -> str:
        return f"{self._registry}/layers:{tag}"

    def _docker(self, *words: str) -> Completed:
        argv = (str(self._engine.docker), *words)
        return self._must(Command(argv=argv, env=self._engine.environment))

    def _must(self, command: Command) -> Completed:
        done = self._runner.run(command)
        check(command, done)
        return done


def write_packages(root: Path) -> None:
    """Write packages of modules that do little when they are imported, each with a file of random bytes."""
    rng = random.Random(7)  # noqa: S311 - content, not secrets
    for package in range(PACKAGES):
        name = f"package{package:02}"
        write(root, f"{name}/__init__.py", "")
        for module in range(MODULES):
            functions = (
                f'def function{n}(first, second={rng.random()}):\n    """Return {rng.random()}."""\n'
                f"    return first + second * {rng.random()}\n\n"
                for n in range(40)
            )
            write(root, f"{name}/module{module:02}.py", "\n".join(functions))
        size = _SMALL_BYTES if package % _LARGE else _LARGE_BYTES
        (root / name / "code.so").write_bytes(rng.randbytes(size))


def engine_seconds(pid: int) -> float:
    """Return the seconds of the processor that an engine and its children have used."""
    ticks: dict[int, int] = {}
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        each = int(file.parent.name)
        parents[each] = int(fields[1])
        ticks[each] = sum(map(int, fields[11:15]))
    family = {pid}
    while grown := {each for each, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(ticks.get(each, 0) for each in family) / 100


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
