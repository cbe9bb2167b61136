"""The rules of docs/preflight.md against reality: trees that they report fail, and right ones answer."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from conftest import TestEngine, sampled
from projects import Repo

import lamina
from lamina.preflight.check import RULES
from lamina.sandbox.runtime import REPOSITORY
from preflight_cases import APP, CASES, CMD, PUT, PY, Case, likely, right
from trees import Tree

pytestmark = pytest.mark.engine

INIT = "the runtime ended before it was ready"
FAILS: Mapping[str, str] = {
    "python": INIT,
    "a server": INIT,
    "a path": "the 'package' argument is required",
    "a command line": "No module named 'python app'",
    "no function": "Bad handler 'app'",
    "as for uvicorn": "Bad handler 'app:handler'",
    "entrypoint without client": "Runtime exited without providing a reason",
    "entrypoint is a server": "executable file not found in $PATH",
    "script with CRLF": "fork/exec /run.sh: no such file or directory",
    "script not executable": "fork/exec /run.sh: permission denied",
    "script without #!": "fork/exec /run.sh: exec format error",
    "script elsewhere": "fork/exec /run.sh: no such file or directory",
    "a package for root alone": "No module named 'parcel'",
    "a package in a folder of its own": "No module named 'parcel'",
    "a package that is shadowed": "module 'parcel' has no attribute 'SIZE'",
    "file in /tmp": "No such file or directory: '/tmp/model.bin'",
    "a module that is gone": "No module named 'telnetlib'",
    "spelling": "No module named 'Utils'",
    "nothing is installed": "No module named 'pandas'",
    "data file": "No such file or directory: '/var/task/prompts/a.txt'",
    "data file of the folder": "No such file or directory: 'config.json'",
    "write": "Read-only file system: '/var/task/app.log'",
    "pool": "FileNotFoundError",
    "a submodule that is imported": "cannot import name 'size' from 'lib'",
}
"""Tree -> how the function fails on Lambda."""
ANOTHER = dict.fromkeys(
    ("a package for root alone", "a package in a folder of its own", "spelling", "nothing is installed"),
    "LAM631",
)
"""Trees whose last lines have a more frequent cause, which is the one that is named."""
BREAKS: Mapping[str, str] = {
    "included file": "Could not open requirements file: [Errno 2] No such file or directory: '/common.txt'",
    "included constraints": "Could not open requirements file: [Errno 2]",
    "local project": "is not a valid editable requirement",
    "local wheel": "looks like a filename, but the file does not exist",
}
"""Tree -> how its build fails."""
ANSWERS = (
    "right: a folder",
    "right: chmod",
    "right: chmod later",
    "right: line ends are fixed",
    "right: sh runs it",
    "right: PATH is kept",
    "right: a package",
    "right: a module that is gone, if there is one",
    "right: data file",
    "right: data file if there is one",
    "right: write below /tmp",
    "right: a socket",
)
UNSEEN: Mapping[str, str] = {
    "LAM614": "the stand-in has no /var/lang, which PATH and LD_LIBRARY_PATH would hide",
    "LAM615": "a date",
    "LAM621": "needs Amazon Linux",
    "LAM622": "the tool is asked: test_preflight_tools.py",
    "LAM624": "is about a build that does not happen",
    "LAM625": "the tool is asked: test_preflight_tools.py",
    "LAM627": "needs a server of git over SSH",
    "LAM628": "needs packages of the index",
    "LAM629": "the tool is asked: test_preflight_tools.py",
    "LAM631": "the tool is asked: test_preflight_tools.py",
    "LAM636": "the stand-in's Python is where Debian's images have theirs",
    "LAM637": "the tool is asked: test_preflight_tools.py",
    "LAM638": "needs the runtime's own boto3",
    "LAM650": "needs uv and packages of the index; the image builds, and lacks a package",
    "LAM626": "needs another C library and packages of the index",
}
"""Rules of which the engine cannot show a tree without the network, with the reason."""


def wheel(name: str, text: str) -> bytes:
    """Return a wheel of one package."""
    held = io.BytesIO()
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(f"{name}/__init__.py", text)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return held.getvalue()


PIP = "COPY w /w/\nCOPY requirements.txt /r/\nENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore\n"
PARCEL: dict[str, str | bytes] = {
    "w/parcel-1.0-py3-none-any.whl": wheel("parcel", "SIZE = 1\n"),
    "requirements.txt": "--no-index\n--find-links /w\nparcel==1.0\n",
    "app.py": "import parcel\n\nSIZE = parcel.SIZE\n" + APP,
}
INSTALLED = f"{PY}{PIP}RUN pip install -r /r/requirements.txt\n"
MORE: Mapping[str, Case] = {
    "a package for root alone": likely(
        "LAM632", f"{PY}{PIP}RUN pip install --user -r /r/requirements.txt\n{PUT}{CMD}", "--user", **PARCEL
    ),
    "a package that is shadowed": likely(
        "LAM634",
        f"{INSTALLED}COPY parcel /var/task/parcel\n{PUT}{CMD}",
        "shadows",
        **{**PARCEL, "parcel/__init__.py": ""},
    ),
    "a package in a folder of its own": likely(
        "LAM635", f"{PY}{PIP}RUN pip install -t /deps -r /r/requirements.txt\n{PUT}{CMD}", "/deps", **PARCEL
    ),
    "right: a package": right(f"{INSTALLED}{PUT}{CMD}", **PARCEL),
    "a submodule that is imported": likely(
        "LAM645",
        f"{PY}COPY vendor/lib /var/task/lib\n{PUT}{CMD}",
        "submodule",
        **{"vendor/lib/": "", "app.py": "from lib import size\n" + APP},
    ),
}
TREES = {**CASES, **MORE}


def slug(name: str) -> str:
    """The name of a tree's image."""
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def first_rule(text: str) -> str:
    """The rule that a text names first; empty if it names none."""
    found = re.search(r"LAM\d+", text)
    return found[0] if found else ""


def write(repo: Repo, names: Iterable[str]) -> None:
    """Write each tree as an image with a context of its own; no rule stops the build."""
    tables = ["[tool.lamina.lint]", f"ignore = {json.dumps([rule.id for rule in RULES])}"]
    for name in names:
        folder = f"trees/{slug(name)}"
        TREES[name].write(Tree(repo.root / folder))
        tables += [
            f"[tool.lamina.images.{slug(name)}]",
            f'dockerfile = "{folder}/dockerfiles/fn/Dockerfile"',
            f'context = "{folder}"',
        ]
    repo.write("pyproject.toml", "\n".join(tables))


@sampled("names", sample=["script with CRLF", "right: chmod"], complete=[*FAILS, *ANSWERS])
def test_reported_trees_fail_in_the_emulator_and_right_ones_answer(repo: Repo, names: list[str]) -> None:
    write(repo, names)
    repo.ok("build-all")

    done = repo.run("smoke", "--json")

    assert done.code == 1, done.text
    found = {each["name"]: each for each in done.json["images"]}
    payloads = {name: found[slug(name)]["payload"] for name in names}
    assert payloads == {name: None if name in FAILS else {"ok": True} for name in names}
    told = {name: message_of(done.told, name) for name in names if name in FAILS}
    assert {name: text for name, text in told.items() if FAILS[name] not in text} == {}
    rules = {name: first_rule(text.partition("next: ")[2]) for name, text in told.items()}
    assert rules == {name: ANOTHER.get(name, TREES[name].rule) for name in told}


@pytest.mark.nightly
def test_reported_requirements_fail_in_the_build(repo: Repo) -> None:
    write(repo, BREAKS)

    done = repo.fails(1, "build-all", "--keep-going", "--json")

    told = {name: message_of(done.told, name) for name in BREAKS}
    assert {name: text for name, text in told.items() if BREAKS[name] not in text} == {}


@pytest.mark.nightly
def test_strings_of_a_newer_python_are_found_by_that_python(engine: TestEngine) -> None:
    newer = ("""f"{a["k"]}" """, """f"{"\\n".join(a)}" """, """f"{f"{a}"}" """)
    older = ("""f"{a['k']}" """, """'b' f"{a['k']}" """, """f"{a!r:>{b}} {{" """, """f"a\\n{b}" """)
    script = "import sys; from lamina.identify.modules import read_module as read\n"
    script += "for each in sys.argv[1:]: print(*(trait.text[:4] for trait in read(each.encode()).traits))"
    stand_in = next(name for name in engine.names() if name.startswith(f"{REPOSITORY}:3.13"))
    package = Path(lamina.__file__).parents[1]

    said = engine.call(
        *(
            "run",
            "--rm",
            "--entrypoint=python3",
            f"--volume={package}:/package:ro",
            "--env=PYTHONPATH=/package",
        ),
        *(stand_in, "-B", "-c", script, *newer, *older),
    )

    assert said.splitlines() == ["3.12"] * len(newer) + [""] * len(older)


def message_of(told: str, name: str) -> str:
    """The message about a tree's image."""
    found = re.search(rf"\b{slug(name)}(?:: | failed )(.*(?:\n  .*)*)", told)
    return found[1] if found else ""


def test_every_rule_is_seen_or_has_a_reason() -> None:
    seen = {TREES[name].rule for name in (*FAILS, *BREAKS)}

    assert {rule.id for rule in RULES} == seen | UNSEEN.keys()
    assert not seen & UNSEEN.keys()
    assert all(not TREES[name].told for name in ANSWERS)
