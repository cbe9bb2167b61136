"""Write a monorepo of the size and shape of one in production: 9 packages, 320,000 lines of Python.

The packages have 10 to 306 modules that import each other; an image copies a tenth of all files. Everything
comes from a fixed seed, so two runs write the same bytes.

    python -m bench.monorepo FOLDER [--layout uv] [--images 20]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.tree import AWS_RUNTIME, PYTHON, Tree, write

Layout = Literal["pip", "uv"]
FILES = 5_150
LINES = 320_000
IMAGES = 20
_SEED = 20260101
_TESTS = 0.45
"""Of a package's files, in its folder ``tests``."""
_FOLDERS = ("", "data.", "entities.", "services.", "utils.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """requires: packages of the repository. outside: packages of the index."""

    modules: int
    lines: int
    requires: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


_DYNAMO, _CHROMA, _PLACES, _UPLOAD = "receipt_dynamo", "receipt_chroma", "receipt_places", "receipt_upload"
_ON_DYNAMO = (_DYNAMO,)
_PACKAGES = {
    _DYNAMO: _Package(modules=306, lines=120_000, outside=("boto3>=1.34", "requests>=2.31")),
    "receipt_dynamo_stream": _Package(modules=27, lines=4_800, requires=_ON_DYNAMO, outside=("boto3>=1.34",)),
    _CHROMA: _Package(
        modules=94, lines=29_000, requires=_ON_DYNAMO, outside=("chromadb>=0.5", "openai>=1.50")
    ),
    _PLACES: _Package(modules=23, lines=6_900, requires=_ON_DYNAMO, outside=("httpx>=0.27", "pydantic>=2.9")),
    _UPLOAD: _Package(
        modules=138, lines=47_000, requires=(_DYNAMO, _CHROMA), outside=("pillow>=10", "numpy>=1.26")
    ),
    "receipt_langsmith": _Package(modules=60, lines=17_000, requires=_ON_DYNAMO, outside=("langsmith>=0.1",)),
    "receipt_layoutlm": _Package(modules=30, lines=12_900, requires=_ON_DYNAMO, outside=("torch>=2.3",)),
    "receipt_logo": _Package(modules=10, lines=1_300, outside=("numpy>=1.26",)),
    "receipt_agent": _Package(
        modules=164,
        lines=61_000,
        requires=(_DYNAMO, _CHROMA, _PLACES, _UPLOAD),
        outside=("langgraph>=0.2", "openai>=1.50"),
    ),
}
_BESIDE = {
    "portfolio": (840, 16_000),
    "tools": (1_467, 6_000),
    "infra/components": (370, 5_000),
    "docs": (600, 9_000),
    "screenshots": (900, 12_000),
}
"""Folder that no image copies -> its number of files, and their bytes."""


def make_monorepo(
    root: Path,
    *,
    images: int = IMAGES,
    files: float = 1.0,
    lines: float = 1.0,
    runtime: str | None = None,
    layout: Layout = "pip",
) -> Tree:
    """Write the repository.

    Args:
        files: Times as many files.
        lines: Times as many lines and bytes in each.
        runtime: For linked images that install nothing. None: packages are installed one after the other by
            pip, as people write it, under Dockerfiles that are not configured.
        layout: ``uv``: a workspace whose members are the packages and the functions. It has no lock yet, and
            only every fourth function has a Dockerfile.
    """
    rng = random.Random(_SEED)  # noqa: S311 - repeatable, not secret
    for name in _PACKAGES:
        _write_package(root, rng, name, files, lines)
    write_function = _write_member if layout == "uv" else _write_function
    functions = [write_function(root, rng, number, runtime) for number in range(images)]
    for folder, (count, size) in _BESIDE.items():
        for index in range(round(count * files)):
            ending = rng.choice(["json", "tsx", "md", "svg"])
            text = f"{rng.randrange(10**9)} " * round(size * lines / 10)
            write(root, f"{folder}/d{index % 37}/f{index}.{ending}", text)
    members = '\n[tool.uv.workspace]\nmembers = ["receipt_*", "infra/fn-*"]\n' if layout == "uv" else ""
    write(root, "pyproject.toml", _project("monorepo") + members)
    write(root, ".gitignore", "__pycache__/\n.lamina/\n")
    edited = functions[len(functions) // 2]
    return Tree(
        root=root,
        images=dict.fromkeys(functions),
        edited=edited,
        handler=f"infra/{edited}/{'handler' if layout == 'uv' else 'work'}.py",
        base_code=f"{_DYNAMO}/{_DYNAMO}/m0.py",
    )


def _write_package(root: Path, rng: random.Random, name: str, files: float, lines: float) -> None:
    package = _PACKAGES[name]
    modules = max(4, round(package.modules * files))
    inside = max(3, round(modules * (1 - _TESTS)))
    names = [f"{_FOLDERS[each % len(_FOLDERS)]}m{each}" for each in range(inside)]
    base = f"{name}/{name}"
    shown = (f"from {name}.{each} import value_0 as {each.replace('.', '_')}_0\n" for each in names)
    write(root, f"{base}/__init__.py", 'VERSION = "1.0"\n' + "".join(shown))
    for folder in _FOLDERS[1:]:
        write(root, f"{base}/{folder[:-1]}/__init__.py", "")
    each_lines = package.lines / package.modules * lines
    for index, each in enumerate(names):  # they import only what comes before: no circles
        text = _module(rng, name, names[:index], each_lines * rng.uniform(0.3, 1.7))
        write(root, f"{base}/{each.replace('.', '/')}.py", text)
    for index in range(modules - inside):
        kind = rng.choice(["unit", "integration"])
        write(root, f"{name}/tests/{kind}/test_m{index}.py", _module(rng, name, names, each_lines))
    write(root, f"{base}/data/schema.json", "{}\n")
    needs = (*package.outside, *(each.replace("_", "-") for each in package.requires))
    build = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
    write(root, f"{name}/pyproject.toml", build + _project(name.replace("_", "-"), needs))


def _project(name: str, needs: tuple[str, ...] = ()) -> str:
    listed = "".join(f'  "{each}",\n' for each in needs)
    return (
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
        f"dependencies = [\n{listed}]\n{_sources(needs)}"
    )


def _sources(needs: tuple[str, ...]) -> str:
    """Return where uv finds the packages of the repository; pip does not read it."""
    own = [each for each in needs if each.replace("-", "_") in _PACKAGES]
    lines = "".join(f"{each} = {{ workspace = true }}\n" for each in own)
    return f"\n[tool.uv.sources]\n{lines}" if own else ""


def _module(rng: random.Random, package: str, names: list[str], lines: float) -> str:
    """Return a module with imports at its top, under try and TYPE_CHECKING, as people write them."""
    others = _PACKAGES[package].requires
    out = [
        *('"""Generated."""', "from __future__ import annotations", "import json", "import os"),
        *("from dataclasses import dataclass", "from typing import TYPE_CHECKING, Any", ""),
    ]
    chosen = rng.sample(names, min(len(names), rng.randint(1, 5)))
    out += [f"from {package}.{name} import value_0 as {name.replace('.', '_')}_value" for name in chosen]
    out += [f"from {each} import VERSION as {each.upper()}_VERSION" for each in others if rng.random() < 0.3]
    out += ["if TYPE_CHECKING:", "    from boto3.session import Session"]
    out += ["try:", "    import orjson", "except ImportError:", "    orjson = None", ""]
    out += ["def value_0() -> int:", "    return 0", ""]
    number = 0
    while len(out) < max(30, lines):
        number += 1
        out += _entity(rng, number)
    return "\n".join(out) + "\n"


def _entity(rng: random.Random, number: int) -> Iterator[str]:
    yield from (
        "",
        "@dataclass(frozen=True)",
        f"class Entity{number}:",
        f'    """Row {number} of a table."""',
    )
    for field in range(8):
        yield f"    field_{field}: str = '{rng.randrange(10**9)}' and 'x'"
    for method in range(rng.randint(2, 5)):
        yield f"    def method_{method}(self, items: list[Any], limit: int = {rng.randrange(99)}) -> Any:"
        yield f'        """Walk {rng.randrange(999)} items."""'
        yield "        found: dict[str, Any] = {}"
        yield "        for index, item in enumerate(items):"
        yield f"            if index > limit and item.get('k{rng.randrange(99)}') is not None:"
        yield "                continue"
        yield "            found[str(index)] = {key: json.dumps(value) for key, value in item.items()}"
        yield f"        return found or {{'empty': os.environ.get('X{rng.randrange(99)}', self.field_0)}}"
        yield ""


def _closure(names: list[str]) -> list[str]:
    """Return packages and all that they require, requirements first."""
    found: dict[str, None] = {}
    for name in names:
        found.update(dict.fromkeys([*_closure([*_PACKAGES[name].requires]), name]))
    return list(found)


def _write_function(root: Path, rng: random.Random, number: int, runtime: str | None) -> str:
    """Write a function and its Dockerfile. Return the image's name."""
    roots = rng.sample(sorted(_PACKAGES), rng.choice([1, 1, 2, 2, 3]))
    packages, name = _closure([_DYNAMO, *roots]), f"fn-{number:03}"
    folder = f"infra/{name}"
    imports = "".join(f"from {each}.m0 import value_0 as {each}_value\n" for each in packages)
    body = f"\n\ndef handler(event, context):\n    return {{'n': {number}, 'v': {_DYNAMO}_value()}}\n"
    write(root, f"{folder}/work.py", imports + body)
    write(root, f"{folder}/helper.py", "def help_me():\n    return 1\n")
    if runtime is None:
        write(root, f"{folder}/Dockerfile", _installing(folder, packages))
    else:
        write(root, f"dockerfiles/{name}/Dockerfile", _linked(folder, packages, runtime))
    return name


def _write_member(root: Path, rng: random.Random, number: int, runtime: str | None) -> str:
    """Write a function as a member of a workspace. Return its name."""
    roots = rng.sample(sorted(_PACKAGES), rng.choice([1, 1, 2, 2, 3]))
    required = list(dict.fromkeys([_DYNAMO, *roots]))
    name = f"fn-{number:03}"
    folder = f"infra/{name}"
    imports = "".join(f"from {each}.m0 import value_0 as {each}_value\n" for each in _closure(required))
    body = f"\n\ndef handler(event, context):\n    return {{'n': {number}, 'v': {_DYNAMO}_value()}}\n"
    write(root, f"{folder}/handler.py", imports + body)
    write(root, f"{folder}/helper.py", "def help_me():\n    return 1\n")
    write(
        root, f"{folder}/pyproject.toml", _project(name, tuple(each.replace("_", "-") for each in required))
    )
    if number % 4 == 3:
        write(root, f"{folder}/Dockerfile", _exporting(name, folder, required, runtime or AWS_RUNTIME))
    return name


def _exporting(name: str, folder: str, required: list[str], runtime: str) -> str:
    """Return a Dockerfile that lacks the packages which the required ones require: nobody added them."""
    copies = "".join(f"COPY {each}/{each} /var/task/{each}/\n" for each in required)
    return (
        f"FROM {runtime}:{PYTHON} AS deps\nWORKDIR /src\nRUN pip install uv==0.13.9\n"
        f"COPY pyproject.toml uv.lock ./\nCOPY {folder}/pyproject.toml {folder}/\n"
        f"RUN uv export --frozen --no-dev --no-emit-workspace --package {name} -o /tmp/r.txt && \\\n"
        "    uv pip install --target /deps -r /tmp/r.txt\n\n"
        f"FROM {runtime}:{PYTHON}\nCOPY --from=deps /deps /var/task/\n{copies}"
        f'COPY {folder}/handler.py {folder}/helper.py /var/task/\nCMD ["handler.handler"]\n'
    )


def _installing(folder: str, packages: list[str]) -> str:
    copies = "".join(f"COPY {each}/ /src/{each}/\n" for each in packages)
    installs = " && \\\n    ".join(f"pip install --no-cache-dir /src/{each}" for each in packages)
    removes = " ".join(f"/src/{each}" for each in packages)
    return (
        f"FROM public.ecr.aws/lambda/python:{PYTHON} AS dependencies\n{copies}"
        f"RUN {installs} && \\\n    rm -rf {removes}\n\nFROM dependencies\n"
        f"COPY {folder}/work.py ${{LAMBDA_TASK_ROOT}}/handler.py\n"
        f'COPY {folder}/helper.py ${{LAMBDA_TASK_ROOT}}/\nCMD ["handler.handler"]\n'
    )


def _linked(folder: str, packages: list[str], runtime: str) -> str:
    copies = "".join(f"COPY --link {each}/{each}/ /var/task/{each}/\n" for each in packages)
    return (
        f"FROM {runtime}:{PYTHON}\n{copies}COPY --link {folder}/work.py /var/task/handler.py\n"
        f'COPY --link {folder}/helper.py /var/task/\nCMD ["handler.handler"]\n'
    )


def main() -> None:
    """Write a repository into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", choices=("pip", "uv"), default="pip")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--files", type=float, default=1.0, help="times as many files")
    options = parser.parse_args()
    make_monorepo(options.folder, images=options.images, files=options.files, layout=options.layout)


if __name__ == "__main__":
    main()
