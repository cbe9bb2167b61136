"""The two forms of each rule that `bench.rules` measures: files, Dockerfiles, and the edit between builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Lines = tuple[str, ...]
Form = Mapping[str, Lines]
"""Image -> the lines of its Dockerfile, bases first."""
_RUNTIME = "FROM public.ecr.aws/lambda/python:3.13"
_CERTIFICATES = (
    "if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi; "
)
_CACHE = "--mount=type=cache,target=/root/.cache/pip "
_UV_CACHE = "--mount=type=cache,target=/root/.cache/uv "
_REQUIREMENTS = "boto3==1.40.0\npydantic==2.11.7\nopenai==1.97.0\n"
_REORDERED = "openai==1.97.0\npydantic==2.11.7\nboto3==1.40.0\n"
"""BuildKit runs equal steps on equal files once."""
_DEPENDENCIES = '"boto3==1.40.0", "pydantic==2.11.7", "openai==1.97.0"'
_PROJECT = f"""[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "shop"
version = "1"
dependencies = [{_DEPENDENCIES}]

[tool.setuptools]
packages = ["shop"]
package-dir = {{ shop = "." }}
"""
_WORKSPACE = f"""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = [{_DEPENDENCIES}, "awslambdaric"]

[dependency-groups]
dev = ["pytest==8.4.1", "mypy==1.16.1"]

[tool.uv.workspace]
members = ["other"]

[tool.lamina]
append = "never"

[tool.lamina.secrets]
ca = {{ file = "${{SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}", optional = true }}
"""
_OTHER = """[project]
name = "other"
version = "1"
requires-python = ">=3.11"
"""
_LOCK = """version = 1
revision = 3
requires-python = ">=3.11"

[manifest]
members = [
    "app",
    "other",
]

[[package]]
name = "app"
version = "1"
source = { editable = "." }
dependencies = [
    { name = "botocore" },
]

[package.dev-dependencies]
dev = [
    { name = "pytest" },
]

[[package]]
name = "botocore"
version = "1.40.0"
source = { registry = "https://index.invalid/simple" }
wheels = [
    { url = "https://index.invalid/botocore-1.40.0-py3-none-any.whl", hash = "sha256:00", size = 14000000 },
]

[[package]]
name = "other"
version = "1"
source = { virtual = "other" }

[[package]]
name = "pytest"
version = "8.4.1"
source = { registry = "https://index.invalid/simple" }
wheels = [
    { url = "https://index.invalid/pytest-8.4.1-py3-none-any.whl", hash = "sha256:00", size = 1 },
]
"""
FILES = {
    "src/handler.py": "def handler(event, context): ...\n",
    "src/requirements.txt": _REQUIREMENTS,
    "batch/requirements.txt": _REORDERED,
    "shop/__init__.py": "",
    "shop/pyproject.toml": _PROJECT,
    "pyproject.toml": _WORKSPACE,
    "app/__init__.py": "",
    "app/main.py": "def handler(event, context): ...\n",
    "other/pyproject.toml": _OTHER,
    "uv.lock": _LOCK,
}
"""The files of the repository. For measures with ``locked`` uv writes the whole lock instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A rule's two forms; the seconds and bytes of all their images count.

    edited: the files that get another line before each build, as a pattern. line: that line; {} is a new
    mark. base: what both are built from, if they need it. locked: whether uv makes the lock after each edit.
    """

    edited: str
    bad: Form
    good: Form
    line: str = "# {}"
    base: Lines = ()
    locked: bool = False


def _single(edited: str, bad: Lines, good: Lines, *, base: Lines = ()) -> Measure:
    """Return the measure of a rule about one image."""
    return Measure(edited=edited, bad={"bad": bad}, good={"good": good}, base=base)


def _run(command: str, mounts: str = "") -> str:
    return f"RUN {mounts}--mount=type=secret,id=ca {_CERTIFICATES}{command}"


_PINNED = "-r /tmp/requirements.txt"
_INSTALL = _run(f"pip install -q {_PINNED}", _CACHE)
_UNCACHED = _run(f"pip install -q {_PINNED}")
_FORCED = _run(f"pip install -q --force-reinstall {_PINNED}", _CACHE)
_ALONE = _run("pip install -q --no-deps /src", _CACHE)
_COPY_REQUIREMENTS = "COPY src/requirements.txt /tmp/"
_COPY_HANDLER = "COPY src/handler.py /var/task/"
_CMD = 'CMD ["handler.handler"]'
_HANDLER = 'CMD ["src.handler.handler"]'
_FUNCTION = (_COPY_HANDLER, _CMD)
_SHOP = (_RUNTIME, _COPY_REQUIREMENTS, _INSTALL)
_PLAIN = (*_SHOP, *_FUNCTION)
_ON_SHOP = ("FROM base-shop:stable", *_FUNCTION)


def _installed(form: str, folder: str) -> Lines:
    """Return the steps of an install. form: its name, or BuildKit takes the steps of one for the other's."""
    return (_RUNTIME, f"ENV FORM={form}", f"COPY {folder}/requirements.txt /tmp/", _INSTALL)


_UV = _run("pip install -q uv==0.13.9", _CACHE)
_STAGE = (f"{_RUNTIME} AS build", _UV, "ENV UV_PROJECT_ENVIRONMENT=/function", "WORKDIR /src")
_COPY_LOCK = "COPY uv.lock pyproject.toml ./"
_MOUNTS = "".join(f"--mount=type=bind,source={each},target={each} " for each in ("uv.lock", "pyproject.toml"))
_ENVIRONMENT = (
    _RUNTIME,
    "COPY --from=build /function /function",
    'ENTRYPOINT ["/function/bin/python3", "-m", "awslambdaric"]',
)
_STARTED = 'CMD ["app.main.handler"]'
_SITE = "/function/lib/python3.13/site-packages/app/"
_APP = (*_ENVIRONMENT, f"COPY --link app/ {_SITE}", _STARTED)
_CODE = (f"COPY --link app/ {_SITE}", _ENVIRONMENT[-1], _STARTED)


def _sync(options: str, mounts: str = _UV_CACHE) -> str:
    return _run(f"uv sync -q --frozen --compile-bytecode {options}", mounts)


_DEPENDENCIES_ALONE = "--no-dev --no-install-project --link-mode=copy"


def _synced(options: str) -> Lines:
    """Return an image whose environment is made from the copied lock."""
    return (*_STAGE, _COPY_LOCK, _sync(f"--no-install-project {options}"), *_APP)


def _exported(file: str, option: str = "", mounts: str = "", without: Lines = ()) -> Lines:
    """Return an image whose packages come from an export of the lock, with an empty cache."""
    left_out = "".join(f" --no-emit-package {each}" for each in without)
    command = (
        f"uv export -q --frozen --no-dev --no-emit-project{left_out} -o /tmp/{file} && "
        f"uv pip install -q{option} --target /deps -r /tmp/{file}"
    )
    return (
        *_STAGE,
        *(() if mounts else (_COPY_LOCK,)),
        _run(command, mounts),
        _RUNTIME,
        "COPY --link --from=build /deps /var/task",
        *_FUNCTION,
    )


_IN_IMAGE = (*_STAGE[1:], _COPY_LOCK)
_REQUIRED, _LOCKED = "src/requirements.txt", "pyproject.toml"
MEASURES: Mapping[str, Measure] = {
    "LAM101": _single(
        _REQUIRED,
        ("FROM base-shop:stable", _COPY_REQUIREMENTS, _FORCED, *_FUNCTION),
        ("FROM base-shop:stable", _COPY_REQUIREMENTS, _INSTALL, *_FUNCTION),
        base=_SHOP,
    ),
    "LAM103": _single(
        _REQUIRED,
        ("FROM base-shop:stable", _run("pip install -q pydantic==2.11.7", _CACHE), *_FUNCTION),
        _ON_SHOP,
        base=_SHOP,
    ),
    "LAM104": _single(
        "shop/__init__.py",
        (_RUNTIME, "COPY shop /src", _run("pip install -q /src", _CACHE), *_FUNCTION),
        (_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, "COPY shop /src", _ALONE, *_FUNCTION),
    ),
    "LAM105": _single(
        _REQUIRED,
        (_RUNTIME, _COPY_REQUIREMENTS, _run(f"pip install -q --no-cache-dir {_PINNED}"), *_FUNCTION),
        _PLAIN,
    ),
    "LAM106": Measure(
        edited=_LOCKED,
        bad={"bad": (_RUNTIME, *_IN_IMAGE, _sync("--no-dev --no-install-project", ""), *_CODE)},
        good={"good": (_RUNTIME, *_IN_IMAGE, _sync(_DEPENDENCIES_ALONE), *_CODE)},
        locked=True,
    ),
    "LAM108": Measure(
        edited="*/requirements.txt",
        bad={
            "bad-one": (*_installed("bad", "src"), *_FUNCTION),
            "bad-two": (*_installed("bad", "batch"), *_FUNCTION),
        },
        good={"base-shop": _installed("good", "src"), "good-one": _ON_SHOP, "good-two": _ON_SHOP},
    ),
    "LAM112": Measure(
        edited="app/__init__.py",
        bad={
            "bad": (
                *_STAGE,
                _sync(_DEPENDENCIES_ALONE, _UV_CACHE + _MOUNTS),
                "COPY . .",
                _sync("--no-dev --no-editable --link-mode=copy"),
                *_ENVIRONMENT,
                _STARTED,
            )
        },
        good={"good": (*_STAGE, _sync(_DEPENDENCIES_ALONE, _UV_CACHE + _MOUNTS), *_APP)},
        locked=True,
    ),
    "LAM113": Measure(
        edited="other/pyproject.toml",
        line='[dependency-groups]\nx{} = ["iniconfig"]',
        bad={"bad": _synced("--no-dev --package app --link-mode=copy")},
        good={
            "good": (
                *_STAGE,
                _sync("--no-install-project --no-dev --package app --link-mode=copy", _UV_CACHE + _MOUNTS),
                *_APP,
            )
        },
        locked=True,
    ),
    "LAM114": Measure(
        edited=_LOCKED,
        bad={"bad": _synced("--link-mode=copy")},
        good={"good": _synced("--no-dev --link-mode=copy")},
        locked=True,
    ),
    "LAM115": _single(
        _REQUIRED,
        (_RUNTIME, _COPY_REQUIREMENTS, _run("pip install -q uv", _CACHE), *_FUNCTION),
        (_RUNTIME, _COPY_REQUIREMENTS, _run("pip install -q uv==0.13.9", _CACHE), *_FUNCTION),
    ),
    "LAM116": Measure(
        edited=_LOCKED,
        bad={"bad": _synced("--no-dev")},
        good={"good": _synced("--no-dev --link-mode=copy")},
        locked=True,
    ),
    "LAM117": Measure(
        edited="src/handler.py",
        bad={"bad": _exported("requirements.txt", mounts=_MOUNTS)},
        good={
            "good": _exported("requirements.txt", mounts=_MOUNTS, without=("boto3", "botocore", "s3transfer"))
        },
        locked=True,
    ),
    "LAM119": _single(
        _REQUIRED,
        ("FROM base-shop:stable", _run("pip install -q pydantic==2.10.6", _CACHE), *_FUNCTION),
        _ON_SHOP,
        base=_SHOP,
    ),
    "LAM120": Measure(
        edited=_LOCKED,
        bad={"bad": _exported("requirements.txt")},
        good={"good": _exported("pylock.toml", " --preview-features=pylock")},
        locked=True,
    ),
    "LAM201": _single(
        "src/handler.py",
        (_RUNTIME, "COPY . /var/task/", _run("pip install -q -r src/requirements.txt", _CACHE), _HANDLER),
        (_RUNTIME, _COPY_REQUIREMENTS, _INSTALL, "COPY . /var/task/", _HANDLER),
    ),
    "LAM202": _single(
        "src/handler.py", (_RUNTIME, _COPY_HANDLER, _COPY_REQUIREMENTS, _INSTALL, _CMD), _PLAIN
    ),
    "LAM307": Measure(
        edited=_LOCKED,
        line='[tool.lamina.args]\nCACHE_BUST = "{}"',
        bad={"bad": (_RUNTIME, "ARG CACHE_BUST", *_PLAIN[1:])},
        good={"good": _PLAIN},
    ),
}
"""Rule -> its two forms, with the packages of the bench in them."""
