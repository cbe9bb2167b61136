"""What rules of lint are worth: the bad and the good form of each, built again after the edit it is about.

``python -m bench.rules [LAM104 …]`` builds both in the engine that answers, and prints a line for each rule:
seconds of the image's own steps after the edit, and its size. The figures are in ``lamina/lint/gains.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lamina.report import figures

_RUNTIME = "FROM public.ecr.aws/lambda/python:3.13"
_CERTIFICATES = "if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; "
_CACHE = "--mount=type=cache,target=/root/.cache/pip "
_REQUIREMENTS = "boto3==1.40.0\npydantic==2.11.7\nopenai==1.97.0\n"
_PROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "shop"
version = "1"
dependencies = ["boto3==1.40.0", "pydantic==2.11.7", "openai==1.97.0"]

[tool.setuptools]
packages = ["shop"]
package-dir = { shop = "." }
"""
_CONFIG = """[tool.lamina]
append = "never"

[tool.lamina.secrets]
ca = { file = "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}", optional = true }
"""
FILES = {
    "src/handler.py": "def handler(event, context): ...\n",
    "src/requirements.txt": _REQUIREMENTS,
    "shop/__init__.py": "",
    "shop/pyproject.toml": _PROJECT,
    "pyproject.toml": _CONFIG,
}


def _run(command: str, mounts: str = "") -> str:
    return f"RUN {mounts}--mount=type=secret,id=ca {_CERTIFICATES}{command}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A rule's two forms. edited: the file that gets another line. base: of both, if they need one."""

    edited: str
    bad: tuple[str, ...]
    good: tuple[str, ...]
    base: tuple[str, ...] = ()


_PINNED = "-r /tmp/requirements.txt"
_INSTALL = _run(f"pip install -q {_PINNED}", _CACHE)
_FORCED = _run(f"pip install -q --force-reinstall {_PINNED}", _CACHE)
_ALONE = _run("pip install -q --no-deps /src", _CACHE)
_COPY_REQUIREMENTS = "COPY src/requirements.txt /tmp/"
_COPY_HANDLER = "COPY src/handler.py /var/task/"
_CMD = 'CMD ["handler.handler"]'
_HANDLER = 'CMD ["src.handler.handler"]'
_FUNCTION = (_COPY_HANDLER, _CMD)
MEASURES: Mapping[str, Measure] = {
    "LAM101": Measure(
        edited="src/requirements.txt",
        base=(_RUNTIME, _COPY_REQUIREMENTS, _INSTALL),
        bad=("FROM base-shop:stable", _COPY_REQUIREMENTS, _FORCED, *_FUNCTION),
        good=("FROM base-shop:stable", _COPY_REQUIREMENTS, _INSTALL, *_FUNCTION),
    ),
    "LAM104": Measure(
        edited="shop/__init__.py",
        bad=(_RUNTIME, "COPY shop /src", _run("pip install -q /src", _CACHE), *_FUNCTION),
        good=(_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, "COPY shop /src", _ALONE, *_FUNCTION),
    ),
    "LAM105": Measure(
        edited="src/requirements.txt",
        bad=(_RUNTIME, _COPY_REQUIREMENTS, _run(f"pip install -q --no-cache-dir {_PINNED}"), *_FUNCTION),
        good=(_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, *_FUNCTION),
    ),
    "LAM106": Measure(
        edited="src/requirements.txt",
        bad=(_RUNTIME, _COPY_REQUIREMENTS, _run(f"pip install -q {_PINNED}"), *_FUNCTION),
        good=(_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, *_FUNCTION),
    ),
    "LAM201": Measure(
        edited="src/handler.py",
        bad=(_RUNTIME, "COPY . /var/task/", _run("pip install -q -r src/requirements.txt", _CACHE), _HANDLER),
        good=(_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, "COPY . /var/task/", _HANDLER),
    ),
    "LAM202": Measure(
        edited="src/handler.py",
        bad=(_RUNTIME, _COPY_HANDLER, _COPY_REQUIREMENTS, _INSTALL, _CMD),
        good=(_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, *_FUNCTION),
    ),
}
"""Rule -> its two forms, with the packages of the bench in them."""


def main(rules: list[str]) -> None:
    """Measure the named rules, or all."""
    for rule in rules or MEASURES:
        sys.stdout.write(f"{measure(rule, MEASURES[rule])}\n")
        sys.stdout.flush()


def measure(rule: str, each: Measure) -> str:
    """Return a line with the seconds and the sizes of both forms."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        forms = {"bad": each.bad, "good": each.good}
        images = {"base-shop": each.base, **forms} if each.base else forms
        for path, text in (
            *FILES.items(),
            *((f"dockerfiles/{name}/Dockerfile", "\n".join(lines) + "\n") for name, lines in images.items()),
        ):
            root.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            root.joinpath(path).write_text(text)
        _build(root, *images)
        with root.joinpath(each.edited).open("a") as file:
            file.write(f"# {uuid.uuid4().hex}\n")
        if each.base:
            _build(root, "base-shop")
        (bad, bad_size), (good, good_size) = (_build(root, name)[name] for name in forms)
    return (
        f"{rule}: {figures.seconds(bad)} -> {figures.seconds(good)} after an edit of {each.edited}; "
        f"{figures.size(bad_size)} -> {figures.size(good_size)}"
    )


def _build(root: Path, *names: str) -> Mapping[str, tuple[float, int]]:
    """Build images; return name -> seconds of its own steps, and bytes. Raises if a build fails."""
    words = [word for name in names for word in ("--image", name)]
    argv = (sys.executable, "-m", "lamina", "build-all", "--json", "--stack", root.name.lower(), *words)
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return {each["name"]: (each["seconds"], each["size"]) for each in json.loads(done.stdout)["images"]}


if __name__ == "__main__":
    main(sys.argv[1:])
