"""The house rules that a machine can read: who may import whom, and who may do what."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "build" / "lamina"
TYPES = ("json_data", "oci", "patterns", "reachable", "values")
GROUND = ("errors", "process", "refs", "files", "masks", "parallel", *TYPES)
CORE: dict[str, tuple[str, ...]] = {
    "parallel": ("process",),
    "provider": ("errors", "process"),
    "aws": GROUND,
    "registries": (*GROUND, "aws"),
    "declare": GROUND,
    "identify": (*GROUND, "declare"),
    "preflight": (*GROUND, "declare", "identify"),
    "decide": (*GROUND, "declare", "identify"),
    "execute": (*GROUND, "provider", "registries", "declare", "identify", "preflight", "decide"),
    "report": (*GROUND, "aws", "registries", "declare", "identify", "decide", "execute"),
    "flow": (
        *GROUND,
        "aws",
        "provider",
        "registries",
        "declare",
        "identify",
        "preflight",
        "decide",
        "execute",
        "report",
    ),
}
"""Core package -> what it may import besides itself: only what stands above it."""
WINGS: dict[str, tuple[str, ...]] = {
    "affected": (),
    "audit": (),
    "codebuild": (),
    "ecr": ("deploy",),
    "handoff": ("deploy",),
    "iam": ("codebuild",),
    "lint": (),
    "size": (),
    "smoke": (),
    "telemetry": (),
    "workspace": ("lint",),
    "bump": ("lint",),
    "adopt": ("lint", "workspace"),
    "deploy": ("smoke",),
    "diff": ("affected", "size"),
}
"""Wing (one feature: its rules, its flow, what it shows) -> the other wings that it may import."""
SUPPLY = {"sandbox": (*GROUND, "provider"), "wiring": ("sandbox",)}
"""What the core gets from outside, by `EngineProvider`: one module knows it."""
FACE: dict[str, tuple[str, ...]] = {
    "tasks": (*GROUND, *CORE, *WINGS, "wiring", "__version__"),
    "__init__": ("handoff", "wiring"),
    "__main__": ("tasks",),
}
"""What users call -> what it may import."""
ALLOWED = {
    **dict.fromkeys(GROUND, TYPES),
    **CORE,
    **{wing: (*GROUND, *CORE, *others) for wing, others in WINGS.items()},
    **SUPPLY,
    **FACE,
}
CHEAP = {"__future__"}
"""What importing the package may import: whoever imports any part of it waits for that."""
LONGEST = 400
MOST_ANY = 50
"""Mentions of `Any`, imports included. A document gets its type where it enters: a TypedDict, or `Json`."""
LAZY = {
    "boto3": ("registries/", "aws/"),
    "botocore": ("registries/", "aws/"),
    "docker": ("registries/local.py", "execute/engine.py", "smoke/container.py", "smoke/instance.py"),
    "jinja2": ("report/page.py",),
    "watchfiles": ("smoke/file_events.py",),
    "rich": ("report/rich_console.py", "report/live.py", "report/streams.py", "report/table.py"),
    "hcl2": ("adopt/hcl.py",),
    "lark": ("adopt/hcl.py",),
    "yaml": ("adopt/yaml_files.py",),
    "opentelemetry": ("telemetry/otel.py",),
}
"""Slow to import: package -> where it may be used, and even there not at the top of the module."""
LATE = (
    *("report/rich_console.py", "report/live.py", "tasks/collection.py", "tasks/invoke_program.py"),
    "telemetry/otel.py",
)
"""Modules that are imported where they are used: they may import slow packages at their top."""


@dataclass(frozen=True, slots=True)
class Import:
    """module: absolute, with the name that is imported from it. typing: under ``if TYPE_CHECKING``."""

    module: str
    line: int
    at_top: bool
    typing: bool

    @property
    def package(self) -> str:
        return self.module.split(".")[0]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def shown(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


@cache
def imports(file: Path) -> tuple[Import, ...]:
    """Every import, at any depth."""
    return tuple(_imports(tree(file), at_top=True, typing=False))


def _imports(node: ast.AST, *, at_top: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typed = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        if isinstance(child, ast.Import):
            yield from (Import(each.name, child.lineno, at_top, typing) for each in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"relative import in line {child.lineno}"
            names = (f"{child.module}.{each.name}" for each in child.names)
            yield from (Import(name, child.lineno, at_top, typing) for name in names)
        yield from _imports(child, at_top=at_top and not inside, typing=typed)


def part(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def test_packages_import_only_what_the_table_allows() -> None:
    strays = [
        f"{shown(file)}:{each.line}: {each.module}"
        for file in modules()
        for each in imports(file)
        if each.package == "lamina" and each.module.split(".")[1] not in {part(file), *ALLOWED[part(file)]}
    ]

    assert strays == []


def test_the_core_is_a_ladder() -> None:
    seen = set(GROUND)
    for name, below in CORE.items():
        assert set(below) <= seen, name
        seen.add(name)


def test_no_two_modules_import_each_other() -> None:
    """Not by way of others either, nor for types alone."""
    graph = {file: {other for each in imports(file) for other in targets(each.module)} for file in modules()}
    done: set[Path] = set()

    def visit(file: Path, path: tuple[Path, ...]) -> None:
        assert file not in path, " -> ".join(map(shown, (*path[path.index(file) :], file)))
        if file not in done:
            for other in graph[file] - {file}:
                visit(other, (*path, file))
            done.add(file)

    for file in graph:
        visit(file, ())


def targets(module: str) -> Iterator[Path]:
    """The module of ours that an import names, if any; a package only where nothing in it is named."""
    words = module.split(".")
    if words[0] != "lamina":
        return
    for end in (len(words), len(words) - 1):
        file = PACKAGE.joinpath(*words[1:end]).with_suffix(".py") if end > 1 else None
        if file is not None and file.is_file():
            yield file
            return


def test_importing_the_package_waits_for_nothing() -> None:
    at_top = {each.package for each in imports(PACKAGE / "__init__.py") if each.at_top and not each.typing}

    assert at_top <= CHEAP


def test_one_module_starts_processes() -> None:
    doors = {"subprocess", "pty", "multiprocessing"}
    users = {shown(file) for file in modules() for each in imports(file) if each.package in doors}
    calls = [
        f"{shown(file)}:{node.lineno}: os.{node.attr}"
        for file in modules()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and (
            node.attr in {"system", "popen", "fork"} or node.attr.startswith(("exec", "spawn", "posix_spawn"))
        )
    ]

    assert calls == []
    assert users == {"process.py", "smoke/starting.py"}  # the latter runs in a container


def test_a_session_is_told_nothing_after_it_was_made() -> None:
    told = [
        f"{shown(file)}:{node.lineno}: {ast.unparse(target)}"
        for file in modules()
        for node in ast.walk(tree(file))
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "session"
    ]

    assert [each for each in told if not each.startswith("registries/wire.py")] == []


def test_few_modules_start_threads() -> None:
    pools = {shown(file) for file in modules() for each in imports(file) if each.package == "concurrent"}
    starts = {shown(file) for file in modules() if re.search(r"\bThread\(", file.read_text("utf-8"))}

    assert pools == {"smoke/warm.py"}, "slow to import: only a watch waits for it"
    assert starts == {"deploy/rollout.py", "parallel.py", "smoke/file_events.py"}


def test_one_module_prints() -> None:
    prints = {
        shown(file)
        for file in modules()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }

    assert prints == {"report/console.py"}


def test_modules_can_be_read_in_one_sitting() -> None:
    lengths = {shown(file): len(file.read_text("utf-8").splitlines()) for file in modules()}

    assert {name: length for name, length in lengths.items() if length >= LONGEST} == {}


def test_few_values_may_be_anything() -> None:
    places = [
        f"{shown(file)}:{node.lineno}"
        for file in modules()
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.alias) and node.name == "Any")
    ]

    assert len(places) < MOST_ANY, places


def test_a_name_of_a_class_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in modules():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(shown(file))

    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_slow_packages_are_imported_where_they_are_used() -> None:
    strays = [
        f"{shown(file)}:{each.line}: {each.module}{' at the top' if each.at_top else ''}"
        for file in modules()
        for each in imports(file)
        if not each.typing
        and each.package in LAZY
        and ((each.at_top and shown(file) not in LATE) or not shown(file).startswith(LAZY[each.package]))
    ]

    assert strays == []


def test_modules_that_import_slow_packages_are_imported_where_they_are_used() -> None:
    early = {
        f"{shown(file)}: {shown(target)}"
        for file in modules()
        for each in imports(file)
        for target in targets(each.module)
        if each.at_top and not each.typing and shown(target) in LATE and shown(file) not in LATE
    }

    assert early == set()


def loaded_with(start: str) -> set[str]:
    """A module and all that is loaded with it."""
    waiting, seen = [start], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        found = (
            each.module.split(".") for each in imports(PACKAGE / name) if each.at_top and not each.typing
        )
        paths = ("/".join(parts[1:end]) for parts in found if parts[0] == "lamina" for end in (4, 3, 2))
        files = {path for each in paths for path in (f"{each}.py", f"{each}/__init__.py")}
        waiting += [each for each in files - seen if (PACKAGE / each).is_file()]
    return seen


@pytest.mark.parametrize(
    ("start", "needed", "unwanted"),
    [
        (
            "tasks/commands.py",
            {"tasks/flags.py", "tasks/table/every_day.py"},
            ("declare/", "flow/", "report/", "tasks/images.py"),
        ),
        (
            "tasks/collection.py",
            {"tasks/frame.py", "report/console.py"},
            ("adopt/", "aws/", "lint/", "sandbox/", "smoke/"),
        ),
        (
            "flow/build.py",
            {"execute/retag.py"},
            (
                *(f"registries/{each}.py" for each in ("ecr", "oci", "session", "wire")),
                *(f"execute/{each}.py" for each in ("append", "bake", "engine", "run")),
            ),
        ),
    ],
    ids=["the table of commands", "a list of tasks", "a build of nothing"],
)
def test_unneeded_modules_are_not_imported(start: str, needed: set[str], unwanted: tuple[str, ...]) -> None:
    seen = loaded_with(start)

    assert needed <= seen
    assert sorted(each for each in seen if each.startswith(unwanted)) == []


def test_the_table_of_commands_needs_the_standard_library_alone() -> None:
    others = {
        each.package
        for name in loaded_with("tasks/commands.py")
        for each in imports(PACKAGE / name)
        if each.at_top and not each.typing
    }

    assert others - sys.stdlib_module_names == {"lamina"}


def test_checks_read_the_disk_by_one_module() -> None:
    """What they find is kept until one of those answers changes: see `lamina.preflight.kept`."""
    parts = ("layout", "wheel", "importable", "imports", "reach", "missing")
    readers = {"open", "glob", "rglob", "iterdir", "scandir", "listdir", "stat", "lstat", "readlink"}
    readers |= {"read_text", "read_bytes", "is_dir", "is_symlink", "isfile", "isdir", "environ", "getenv"}
    reads = [
        f"{shown(file)}:{node.lineno}: {ast.unparse(node)}"
        for file in modules()
        if shown(file) in {f"identify/{each}.py" for each in parts}
        or (part(file) == "preflight" and shown(file) != "preflight/kept.py")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in readers
        and not ast.unparse(node.func).startswith("view.readings.")
    ]

    assert reads == []


def test_the_environment_is_never_edited() -> None:
    edits = [
        f"{shown(file)}:{node.lineno}"
        for file in modules()
        for node in ast.walk(tree(file))
        if isinstance(node, (ast.Subscript, ast.Attribute))
        and ast.unparse(node).startswith(("os.environ[", "os.putenv", "os.environ.update"))
        and (isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load))
    ]

    assert edits == []
