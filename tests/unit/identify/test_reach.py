"""What is found by following imports without parsing is what parsing every module finds."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from lamina.identify.importable import Importable, Portions
from lamina.identify.imports import ImportWalk
from lamina.identify.layout import SITE, Gap, Layout
from lamina.identify.missing import ImportFault
from lamina.identify.modules import every_import, read_module
from lamina.identify.reach import Disk, Reach
from lamina.identify.scan import Mention, Scanned, UnusualError, names_files, scan
from lamina.identify.wheel import Dropped

SEED = int(os.environ.get("LAMINA_SEED", "7"))
CASES = int(os.environ.get("LAMINA_CASES", "40"))
NAMES = ("a", "b", "c", "p", "q", "r", "json", "boto3")
FORMS = (
    "import {dotted}",
    "from {dotted} import {name}",
    "from {package} import {name}, {other}",
    "from . import {name}",
    "from .{name} import x",
    "from .. import {name}",
    "from ..{name} import {other}",
    "try:\n    import {dotted}\nexcept ImportError:\n    pass",
    "try:\n    from {dotted} import x\nexcept ImportError:\n    from {package} import {other}",
    "def f():\n    import {dotted}",
    "if True:\n    from {package} import {name}",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {dotted} import {name}",
    '"""\nimport {dotted}\n"""',
    "# import {dotted}",
    "from {package} \\\n    import {name}",
    "{name} = 1",
    "from pathlib import Path\nDATA = Path(__file__).parent / '{name}.json'",
    "import {dotted} as x; import {name}",
    "def",
)


class ParseAll(Reach):
    """Never certain without parsing, so that every module is parsed."""

    def follow(self, names: Importable, places: Iterable[str]) -> None:  # type: ignore[override]
        return None


class Tree:
    """A random repository and random images that lack some of its files."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.packages = ["", *rng.sample(["p", "q", "p/r", "p/q", "q/p"], 3)]
        for package in self.packages:
            for name in rng.sample(NAMES[:6], 3):
                self.write(f"{package}/{name}.py".lstrip("/"))
            if package and rng.random() < 0.8:
                self.write(f"{package}/__init__.py")
        self.write("handler.py", "def handler(event, context):\n    import a\n    return f")
        self.files = {str(each.relative_to(root)): str(each) for each in sorted(root.rglob("*.py"))}

    def write(self, path: str, end: str = "") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        parts = [
            self.form(relative="/" in path or self.rng.random() < 0.1) for _ in range(self.rng.randint(0, 5))
        ]
        file.write_text("\n".join([*parts, end, ""]), "utf-8")

    def form(self, *, relative: bool) -> str:
        package = self.rng.choice([each for each in self.packages if each]).replace("/", ".")
        name, other = self.rng.choice(NAMES), self.rng.choice(NAMES)
        forms = [each for each in FORMS if relative or not each.startswith("from .")]
        form = self.rng.choice(forms[:-1] if self.rng.random() < 0.97 else forms)
        dotted = self.rng.choice([name, f"{package}.{name}", package])
        return form.format(package=package, name=name, other=other, dotted=dotted)

    def layout(self) -> Layout:
        held = [path for path in self.files if self.rng.random() < 0.7 or path == "handler.py"]
        homes = {
            path: self.rng.choice(["/var/task", "/var/task", SITE, "/var/task/p"]) for path in self.packages
        }
        files = {
            f"{'/var/task' if path == 'handler.py' else homes[path.rpartition('/')[0]]}/{path}": self.files[
                path
            ]
            for path in held
        }
        left = {self.files[path]: _DROPPED for path in self.files if self.rng.random() < 0.1}
        data = {str(self.root / self.rng.choice(self.packages) / "a.json"): _DROPPED}
        return Layout(
            files=files,
            paths=self.rng.choice([(), ("/var/task/p",)]),
            gaps=self.rng.choice([(), (), (Gap(by="something"),)]),
            dropped=self.rng.choice([{}, {**left, **data}]),
            required=self.rng.choice([frozenset(), frozenset({"shop"})]),
        )

    def disk(self) -> Disk:
        projects = self.rng.choice([{}, {"q": (str(self.root / "q/__init__.py"), "shop")}])
        return Disk(
            module=lambda origin: read_module(Path(origin).read_bytes()),
            scanned=lambda origin: _scanned(Path(origin).read_bytes()),
            exists=os.path.isfile,
            projects=projects,
        )


_DROPPED = Dropped(project="shop", file="pyproject.toml", line=1, setting="s", fix="f")


def _scanned(source: bytes) -> Scanned:
    try:
        return scan(source)
    except UnusualError:
        module = read_module(source)
        imports = every_import(module.needs) if module else ()
        found = (Mention(each.level, each.module, each.names) for each in imports)
        return Scanned(tuple(found), names_files(source))


@pytest.mark.parametrize("case", range(CASES))
def test_findings_are_those_of_parsing_everything(tmp_path: Path, case: int) -> None:
    tree = Tree(tmp_path, random.Random(f"{SEED} {case}"))
    disk = tree.disk()
    shared, portions = Reach(disk), Portions()
    for _ in range(4):
        layout = tree.layout()
        assert _found(layout, disk, shared, portions) == _found(layout, disk, ParseAll(disk), Portions())


def _found(layout: Layout, disk: Disk, reach: Reach, portions: Portions) -> list[ImportFault]:
    walk = ImportWalk(layout, disk, reach, portions)
    return [*walk.run(("handler.handler",), overridden=False), *walk.opened()]
