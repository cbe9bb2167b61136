"""What rules of lint are worth: the bad and the good form of each, built again after the edit it is about.

``python -m bench.rules [LAM104 …]`` builds both in the engine that answers, in turns, and prints a line for
each rule: seconds of the images' own steps after an edit, their bytes, and the bytes of layers that the edit
made new; medians of all rounds. The figures are in ``lamina/lint/gains.py``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.rule_forms import FILES, MEASURES, Form, Measure
from lamina.execute.engine import find_engine
from lamina.process import SubprocessRunner
from lamina.refs import Reference
from lamina.registries.local import LocalStore
from lamina.report import figures
from lamina.wiring import sandbox


def main(words: Sequence[str]) -> None:
    """Measure the named rules, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.rules", description=__doc__)
    parser.add_argument("rules", nargs="*", metavar="RULE", help="default: all that are measured here")
    parser.add_argument("--rounds", type=int, default=2, help="edits after which both forms are built (2)")
    given = parser.parse_args(words)
    if unknown := [rule for rule in given.rules if rule not in MEASURES]:
        parser.error(f"{unknown[0]} is not measured here; allowed: {', '.join(MEASURES)}")
    store = LocalStore(find_engine(SubprocessRunner(), sandbox()).host)
    for rule in given.rules or MEASURES:
        with tempfile.TemporaryDirectory() as folder:
            found = _Yard(Path(folder), MEASURES[rule], store).measure(given.rounds)
        sys.stdout.write(f"{rule}: {found}\n")
        sys.stdout.flush()


@dataclass(slots=True)
class _Figures:
    """Of each round: the seconds of a form's own steps, its bytes, and those of its new layers."""

    seconds: list[float] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)


class _Yard:
    """A repository with both forms of a rule."""

    def __init__(self, root: Path, measure: Measure, store: LocalStore) -> None:
        self._root = root
        self._measure = measure
        self._store = store
        self._forms: Mapping[str, Form] = {"bad": measure.bad, "good": measure.good}
        self._layers: dict[str, Mapping[str, int]] = {}
        images = {"base-shop": measure.base} if measure.base else {}
        for form in self._forms.values():
            images |= form
        for path, text in (
            *FILES.items(),
            *((f"dockerfiles/{name}/Dockerfile", "\n".join(lines) + "\n") for name, lines in images.items()),
        ):
            root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            root.joinpath(path).write_text(text)

    def measure(self, rounds: int) -> str:
        """Build both forms, then edit and build them again in every round; return the medians in a line."""
        found = {name: _Figures() for name in self._forms}
        self._lock()
        for name, form in self._forms.items():
            self._build(name, form)
        for number in range(rounds):
            self._edit()
            if self._measure.base:
                self._build_one("base-shop")
            for name in sorted(self._forms, reverse=bool(number % 2)):
                before = self._layers[name]
                found[name].seconds.append(self._build(name, self._forms[name]))
                after = self._layers[name]
                found[name].size.append(sum(after.values()))
                found[name].new.append(sum(after[each] for each in after.keys() - before.keys()))
        bad, good = found["bad"], found["good"]
        return (
            f"{figures.seconds(median(bad.seconds))} -> {figures.seconds(median(good.seconds))} after an "
            f"edit of {self._measure.edited}; {_size(bad.size)} -> {_size(good.size)}, "
            f"of which new {_size(bad.new)} -> {_size(good.new)}"
        )

    def _edit(self) -> None:
        mark = uuid.uuid4().hex
        for file in self._root.glob(self._measure.edited):
            text = FILES[file.relative_to(self._root).as_posix()]
            file.write_text(f"{text}{self._measure.line.format(mark)}\n")
        self._lock()

    def _lock(self) -> None:
        if self._measure.locked:
            self._root.joinpath("uv.lock").unlink()
            argv = (sys.executable, "-m", "uv", "lock", "--quiet", "--python", sys.executable)
            subprocess.run(argv, cwd=self._root, check=True)

    def _build(self, name: str, form: Form) -> float:
        """Build the images of a form, one after the other, and keep its layers; return the seconds."""
        built = [self._build_one(image) for image in form]
        self._layers[name] = {
            digest: size for _, ref in built for digest, size in self._store.layers(Reference.parse(ref))
        }
        return sum(seconds for seconds, _ in built)

    def _build_one(self, image: str) -> tuple[float, str]:
        """Build an image; return the seconds of its own steps, and its name. Exits if the build fails."""
        argv = (sys.executable, "-m", "lamina", "build-all", "--json", "--image", image)
        done = subprocess.run(
            (*argv, "--stack", self._root.name.lower()),
            cwd=self._root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        found = {each["name"]: each for each in json.loads(done.stdout)["images"]}[image]
        return found["seconds"], found["ref"].partition("@")[0]


def _size(values: Sequence[int]) -> str:
    return figures.size(int(median(values)))


if __name__ == "__main__":
    main(sys.argv[1:])
