"""The house rules that a machine can read: who may import whom, and who may do what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "build" / "lamina"
GROUND = ("errors", "process", "refs", "files", "masks")
ROOMS: dict[str, tuple[str, ...]] = {
    "errors": (),
    "process": (),
    "refs": (),
    "files": (),
    "masks": (),
    "registries": GROUND,
    "aws": (*GROUND, "registries"),
    "sandbox": GROUND,
    "declare": GROUND,
    "identify": (*GROUND, "declare"),
    "decide": (*GROUND, "declare", "identify"),
    "lint": (*GROUND, "declare", "identify", "decide"),
    "adopt": (*GROUND, "declare", "identify", "decide", "lint"),
    "execute": (*GROUND, "registries", "sandbox", "declare", "identify", "decide"),
    "report": (*GROUND, "registries", "sandbox", "declare", "identify", "decide", "lint", "adopt", "execute"),
}
"""Room -> the rooms that it may import besides itself."""
ROOMS["bench"] = (*ROOMS["report"], "aws", "report")
ROOMS["workflow"] = (*ROOMS["bench"], "bench")
ROOMS["tasks"] = (*ROOMS["workflow"], "workflow")
ENTRANCE = {
    "__init__": ("workflow",),
    "__main__": ("tasks",),
}
"""Modules of the package itself -> the rooms that they lead into."""
CHEAP = {"__future__"}
"""What importing the package may import: whoever imports any room of it waits for that."""
LONGEST = 400
LAZY = {
    "boto3": ("registries/", "aws/"),
    "botocore": ("registries/", "aws/"),
    "docker": ("registries/local.py", "execute/engine.py", "smoke/container.py"),
    "matplotlib": ("bench/chart.py",),
    "watchfiles": ("smoke/file_events.py",),
    "yaml": ("adopt/yaml_files.py",),
}
"""Slow to import: package -> where it may be used, and even there not at the top of the module."""


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    line: int
    at_top: bool


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def shown(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def imports(file: Path) -> Iterator[Import]:
    """Every import that is carried out, at any depth; what stands under TYPE_CHECKING is not."""
    yield from _imports(tree(file), at_top=True)


def _imports(node: ast.AST, *, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(child, ast.Import):
            yield from (Import(each.name, child.lineno, at_top) for each in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"relative import in line {child.lineno}"
            yield from (Import(f"{child.module}.{each.name}", child.lineno, at_top) for each in child.names)
        yield from _imports(child, at_top=at_top and not inside)


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("file", modules(), ids=shown)
def test_a_room_imports_only_rooms_above_it(file: Path) -> None:
    own = room(file)
    allowed = set(ENTRANCE[own]) if own in ENTRANCE else {own, *ROOMS[own]}
    if own in {"tasks", "bench"}:
        allowed.add("__version__")
    strays = [
        f"line {each.line}: {each.module}"
        for each in imports(file)
        if each.module.split(".")[0] == "lamina" and each.module.split(".")[1] not in allowed
    ]
    assert strays == []


def test_the_rooms_are_a_ladder() -> None:
    seen: set[str] = set()
    for name, above in ROOMS.items():
        assert set(above) <= seen, name
        seen.add(name)
    assert {room(file) for file in modules()} - ENTRANCE.keys() <= seen


def test_importing_the_package_waits_for_nothing() -> None:
    at_top = {each.module.split(".")[0] for each in imports(PACKAGE / "__init__.py") if each.at_top}

    assert at_top <= CHEAP


@pytest.mark.parametrize("file", modules(), ids=shown)
def test_one_module_starts_processes(file: Path) -> None:
    doors = {"subprocess", "pty", "multiprocessing"}
    users = [each for each in imports(file) if each.module.split(".")[0] in doors]
    calls = [
        f"line {node.lineno}: os.{node.attr}"
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and (
            node.attr in {"system", "popen", "fork"} or node.attr.startswith(("exec", "spawn", "posix_spawn"))
        )
    ]

    assert calls == []
    assert users == [] or shown(file) == "process.py"


@pytest.mark.parametrize("file", modules(), ids=shown)
def test_one_module_prints(file: Path) -> None:
    prints = [
        f"line {node.lineno}"
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert prints == [] or shown(file) == "report/console.py"


@pytest.mark.parametrize("file", modules(), ids=shown)
def test_modules_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) < LONGEST


@pytest.mark.parametrize("file", modules(), ids=shown)
def test_slow_packages_are_imported_where_they_are_used(file: Path) -> None:
    strays = [
        f"line {each.line}: {each.module}{' at the top' if each.at_top else ''}"
        for each in imports(file)
        for package in [each.module.split(".")[0]]
        if package in LAZY and (each.at_top or not shown(file).startswith(LAZY[package]))
    ]

    assert strays == []


def loaded_with(start: str) -> set[str]:
    """A module and all that is loaded with it."""
    waiting, seen = [start], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        found = (each.module.split(".") for each in imports(PACKAGE / name) if each.at_top)
        paths = ("/".join(parts[1:end]) for parts in found if parts[0] == "lamina" for end in (3, 2))
        files = {path for each in paths for path in (f"{each}.py", f"{each}/__init__.py")}
        waiting += [each for each in files - seen if (PACKAGE / each).is_file()]
    return seen


def test_a_list_of_tasks_waits_for_no_room_that_only_some_of_them_need() -> None:
    seen = loaded_with("tasks/__init__.py")

    assert {"tasks/images.py", "report/console.py"} <= seen
    assert sorted(each for each in seen if each.startswith(("adopt/", "aws/", "bench/", "lint/"))) == []


def test_a_build_without_a_registry_waits_for_no_client_of_one() -> None:
    seen = loaded_with("flow/build.py")

    assert "execute/run.py" in seen
    assert sorted(seen & {f"registries/{each}.py" for each in ("ecr", "oci", "session", "wire")}) == []


@pytest.mark.parametrize("file", modules(), ids=shown)
def test_the_environment_is_never_edited(file: Path) -> None:
    edits = [
        f"line {node.lineno}"
        for node in ast.walk(tree(file))
        if isinstance(node, (ast.Subscript, ast.Attribute))
        and ast.unparse(node).startswith(("os.environ[", "os.putenv", "os.environ.update"))
        and (isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load))
    ]

    assert edits == []
