"""Small trees that fail on Lambda, and right ones, with the rule that must report each.

Each is a public report, rewritten. ``tests/unit/preflight`` judges the rules by them.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass, field

from lamina.errors import Certainty
from trees import Tree

PY = "FROM public.ecr.aws/lambda/python:3.13\n"
OLD = "FROM public.ecr.aws/lambda/python:3.11\n"
PUT = "COPY app.py /var/task/\n"
CMD = 'CMD ["app.handler"]\n'
APP = 'def handler(event, context):\n    return {"ok": True}\n'
INSTALL = "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
PINNED = "requests==2.32.3\n"
UV = "COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/uv\n"
SYNC = "COPY pyproject.toml uv.lock ./\nRUN uv sync --frozen --no-dev"
PROJECT = """[project]
name = "app"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["requests==2.32.3"]
"""
LOCK = """version = 1
requires-python = ">=3.11"

[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "requests" }]

[[package]]
name = "requests"
version = "2.32.3"
source = { registry = "https://index.invalid/simple" }
"""
SYSTEM = "ENV UV_PROJECT_ENVIRONMENT=/var/lang\n"
OVER_SSH = "RUN --mount=type=ssh pip install -r requirements.txt\n"
ENTRY = 'COPY run.sh /run.sh\nENTRYPOINT ["/run.sh"]\n'
RUN_SH = '#!/bin/sh\nexec /lambda-entrypoint.sh "$@"\n'
ELSEWHERE = (
    "COPY app/requirements.txt /r/\nRUN pip install -r /r/requirements.txt\nCOPY app/app.py /var/task/\n"
)
PROMPT = 'from pathlib import Path\n\nTEXT = (Path(__file__).parent / "prompts/a.txt").read_text()\n'
SLIM = "FROM python:3.13-slim\nWORKDIR /app\nCOPY app.py .\n"
CLIENT = 'ENTRYPOINT ["python", "-m", "awslambdaric"]\nCMD ["app.handler"]\n'
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 123456789\n"


def locked(name: str, version: str, *tags: str, source: bool = True) -> str:
    """Return a lock of one package with a wheel for each tag."""
    at = f"https://files.invalid/{name}-{version}"
    sdist = f'sdist = {{ url = "{at}.tar.gz", hash = "sha256:00", size = 1 }}\n' if source else ""
    wheels = "".join(f'    {{ url = "{at}-{tag}.whl", hash = "sha256:00", size = 1 }},\n' for tag in tags)
    return LOCK.replace("requests", name).replace("2.32.3", version) + sdist + f"wheels = [\n{wheels}]\n"


def member(name: str, *needs: str) -> str:
    """Return the project file of a member of a workspace."""
    sources = "".join(f"{need} = {{ workspace = true }}\n" for need in needs)
    listed = ", ".join(f'"{need}"' for need in needs)
    return (
        f'[project]\nname = "{name}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
        f"dependencies = [{listed}]\n" + (f"[tool.uv.sources]\n{sources}" if needs else "")
    )


WORKSPACE = {
    "pyproject.toml": member("app", "lib", "other") + '[tool.uv.workspace]\nmembers = ["packages/*"]\n',
    "packages/lib/pyproject.toml": member("lib"),
    "packages/lib/lib/__init__.py": "",
    "packages/other/pyproject.toml": member("other"),
    "packages/other/other/__init__.py": "",
    "app.py": "import lib\n" + APP,
    "uv.lock": "version = 1\n\n[manifest]\nmembers = ["
    '"app", "lib", "other"]\n\n[[package]]\nname = "app"\nsource = { virtual = "." }\n'
    'dependencies = [{ name = "lib" }, { name = "other" }]\n\n'
    '[[package]]\nname = "lib"\nsource = { editable = "packages/lib" }\n\n'
    '[[package]]\nname = "other"\nsource = { editable = "packages/other" }\n',
}


CLOSURE = (
    PY
    + "AS deps\nRUN pip install uv==0.13.9\nRUN --mount=type=bind,source=uv.lock,target=uv.lock \\\n"
    + "    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\\n"
    + "    uv export --frozen --no-dev --no-emit-workspace --package app -o /r.txt && \\\n"
    + "    uv pip install --target /deps -r /r.txt\n"
    + PY
    + "COPY --from=deps /deps /var/task\n"
).replace("3.13\nAS", "3.13 AS")
"""What a member requires from elsewhere, installed from the lock."""


BUILT = (
    UV + "WORKDIR /app\nCOPY pyproject.toml uv.lock ./\nCOPY src* src/\n"
    "RUN uv sync --frozen --no-install-project\n"
)
SHIPPED = "COPY --from=build /app/.venv /app/.venv\nCOPY app.py /var/task/\nWORKDIR /var/task\n"
IN_VENV = 'ENTRYPOINT ["/app/.venv/bin/python", "-m", "awslambdaric"]\nCMD ["app.handler"]\n'
ON_PATH = "ENV PYTHONPATH=/app/.venv/lib/python3.13/site-packages\n" + CMD
EDITABLE: dict[str, str | bytes] = {
    "pyproject.toml": PROJECT.replace('"app"', '"lib"'),
    "uv.lock": LOCK.replace('"app"', '"lib"').replace("virtual", "editable"),
    "src/lib/__init__.py": "",
    "app.py": APP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A tree and the finding about it.

    Attributes:
        told: None for a right tree.
        rule: Empty for what stops the image from being read.
        words: A text in the finding or its hint.
        file: The end of the path that the finding names.
        files: A name that ends with ``*`` is executable, with ``!`` a socket, with ``/`` an empty folder.
        config: ``[tool.lamina]`` and its tables; the tree then has a ``pyproject.toml``.
    """

    told: Certainty | None
    dockerfile: str | bytes
    rule: str = ""
    words: str = ""
    file: str = "Dockerfile"
    files: dict[str, str | bytes] = field(default_factory=dict)
    config: str = ""

    def write(self, tree: Tree) -> None:
        """Write the tree as the image ``fn``."""
        tree.write("dockerfiles/fn/Dockerfile", self.dockerfile)
        if not any(name.endswith(("app.py", "worker.py")) for name in self.files):
            tree.write("app.py", APP)
        for name, content in self.files.items():
            if name.endswith("/"):
                tree.folder(name.rstrip("/"))
            elif name.endswith("!"):
                _socket(tree, name.rstrip("!"))
            else:
                tree.write(name.rstrip("*"), content, executable=name.endswith("*"))
        if self.config:
            tree.write("pyproject.toml", self.config)


def _socket(tree: Tree, path: str) -> None:
    folder, _, name = path.rpartition("/")
    (tree.root / folder).mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tree.root / folder):
        server.bind(name)
    assert os.path.lexists(tree.root / path)


def certain(rule: str, dockerfile: str, words: str, file: str = "Dockerfile", **files: str | bytes) -> Case:
    """Return a tree that certainly fails."""
    return Case(told="certain", rule=rule, dockerfile=dockerfile, words=words, file=file, files=files)


def likely(rule: str, dockerfile: str, words: str, file: str = "Dockerfile", **files: str | bytes) -> Case:
    """Return a tree that probably fails."""
    return Case(told="likely", rule=rule, dockerfile=dockerfile, words=words, file=file, files=files)


def right(dockerfile: str, config: str = "", **files: str | bytes) -> Case:
    """Return a tree about which no rule may say anything certain or likely."""
    return Case(told=None, dockerfile=dockerfile, files=files, config=config)


_COMMANDS: dict[str, Case] = {
    "python": certain("LAM611", PY + PUT + 'CMD ["python", "app.py"]\n', 'CMD ["app.handler"]'),
    "a server": certain("LAM611", PY + PUT + 'CMD ["uvicorn", "app:app", "--port", "8080"]\n', "uvicorn"),
    "a path": certain("LAM611", PY + PUT + 'CMD ["/var/task/app.handler"]\n', "module.function"),
    "a command line": certain("LAM611", PY + PUT + 'CMD ["python app.py"]\n', "command line"),
    "no function": certain("LAM611", PY + PUT + 'CMD ["app"]\n', "names no function"),
    "as for uvicorn": certain("LAM611", PY + PUT + 'CMD ["app:handler"]\n', 'CMD ["app.handler"]'),
    "two words of a child": certain(
        "LAM611", "FROM public.ecr.aws/lambda/nodejs:22\n" + PUT + 'CMD ["node", "index.js"]\n', "one word"
    ),
    "single quotes": certain("LAM601", PY + PUT + "CMD ['app.handler']\n", 'CMD ["app.handler"]'),
    "right: the functions have commands": right(
        PY + PUT + 'CMD ["python", "app.py"]\n',
        '[tool.lamina.images.fn]\nfunctions = [{ name = "f", command = ["app.handler"] }]\n',
    ),
    "right: a folder": right(
        PY + 'COPY src /var/task/src/\nCMD ["src/app.handler"]\n', **{"src/app.py": APP}
    ),
    "right: web adapter": right(
        f"{PY}COPY --from=public.ecr.aws/awsguru/aws-lambda-adapter:0.9.1 /lambda-adapter /opt/extensions/\n"
        + PUT
        + 'ENTRYPOINT []\nCMD ["uvicorn", "app:app"]\n'
    ),
    "right: a client of its own": right(
        PY + PUT + 'ENTRYPOINT ["python", "app.py"]\n',
        **{"app.py": 'import os\nAPI = os.environ["AWS_LAMBDA_RUNTIME_API"]\n' + APP},
    ),
    "right: a worker": right(
        'FROM python:3.13-slim\nWORKDIR /app\nCOPY worker.py .\nCMD ["python", "worker.py"]\n',
        **{"worker.py": "print(1)\n"},
    ),
    "right: nginx": right("FROM nginx:1.27\nCOPY app.py /usr/share/nginx/html/\n"),
    "right: a wrapper of a vendor": right(PY + PUT + 'CMD ["datadog_lambda.handler.handler"]\n'),
    "right: a bundle": right(
        PY
        + 'RUN uv pip install --target /asset requests==2.32.3\nCOPY app.py /asset/\nCMD ["echo", "hello"]\n'
    ),
    "right: a script of another image": right(
        'FROM python:3.13-slim\nWORKDIR /opt\nRUN make all\nCOPY app.py scripts/\nCMD ["./scripts/app.py"]\n'
    ),
    "right: any handler of another language": right(
        'FROM public.ecr.aws/lambda/java:21\nCOPY app.py /x\nCMD ["com.example.Handler::handleRequest"]\n'
    ),
    "entrypoint without client": likely(
        "LAM612", PY + PUT + 'ENTRYPOINT ["python", "app.py"]\n', "not a runtime interface client"
    ),
    "entrypoint is a server": likely(
        "LAM612", PY + PUT + 'ENTRYPOINT ["gunicorn", "app:app"]\n', "gunicorn, which is not a runtime"
    ),
    "no client": likely("LAM612", SLIM + CLIENT, "pip install awslambdaric"),
    "right: client of a requirement": right(
        SLIM + "COPY requirements.txt .\nRUN pip install -r requirements.txt\n" + CLIENT,
        **{"requirements.txt": "awslambdaric==3.1.1\n"},
    ),
    "right: client of a lock": right(
        "ARG FUNCTION_DIR=/function\nFROM python:3.13-slim AS build\nARG FUNCTION_DIR\n"
        + UV
        + "ENV UV_PROJECT_ENVIRONMENT=${FUNCTION_DIR} UV_LINK_MODE=copy\n"
        "RUN --mount=type=cache,target=/root/.cache --mount=type=bind,source=uv.lock,target=uv.lock "
        "--mount=type=bind,source=pyproject.toml,target=pyproject.toml "
        "uv sync --locked --no-dev --no-install-project\n"
        "FROM python:3.13-slim\nARG FUNCTION_DIR\nWORKDIR ${FUNCTION_DIR}\n"
        "COPY --from=build ${FUNCTION_DIR} ${FUNCTION_DIR}\nCOPY app.py .\n"
        'ENTRYPOINT ["./bin/python3", "-m", "awslambdaric"]\nCMD ["app.handler"]\n',
        **{
            "pyproject.toml": PROJECT.replace("requests==2.32.3", "awslambdaric==3.1.1"),
            "uv.lock": LOCK.replace("requests", "awslambdaric"),
        },
    ),
    "script with CRLF": certain(
        "LAM613", PY + PUT + ENTRY + CMD, "CRLF", "run.sh", **{"run.sh*": RUN_SH.replace("\n", "\r\n")}
    ),
    "script not executable": certain(
        "LAM613", PY + PUT + ENTRY + CMD, "is not executable", "run.sh", **{"run.sh": RUN_SH}
    ),
    "script without #!": certain(
        "LAM613", PY + PUT + ENTRY + CMD, "begin with #!", "run.sh", **{"run.sh*": RUN_SH.partition("\n")[2]}
    ),
    "script of bash on alpine": likely(
        "LAM613",
        "FROM python:3.13-alpine\nRUN pip install awslambdaric\nCOPY app.py .\n"
        'COPY run.sh /run.sh\nENTRYPOINT ["/run.sh"]\nCMD ["app.handler"]\n',
        "bash",
        "run.sh",
        **{
            "run.sh*": '#!/bin/bash\nexec python -m awslambdaric "$@"\n',
            "pyproject.toml": '[tool.lamina.images.fn]\nfunctions = ["f"]\n',
        },
    ),
    "script elsewhere": likely(
        "LAM613",
        PY + PUT + 'COPY run.sh /opt/run.sh\nENTRYPOINT ["/run.sh"]\n' + CMD,
        "/opt/run.sh",
        **{"run.sh*": RUN_SH},
    ),
    "right: chmod": right(
        PY + PUT + 'COPY --chmod=755 run.sh /run.sh\nENTRYPOINT ["/run.sh"]\n' + CMD, **{"run.sh": RUN_SH}
    ),
    "right: chmod later": right(
        PY + PUT + 'COPY run.sh /run.sh\nRUN chmod +x /run.sh\nENTRYPOINT ["/run.sh"]\n' + CMD,
        **{"run.sh": RUN_SH},
    ),
    "right: line ends are fixed": right(
        PY + PUT + "COPY run.sh /run.sh\nRUN sed -i 's/\\r$//' /run.sh\nENTRYPOINT [\"/run.sh\"]\n" + CMD,
        **{"run.sh*": RUN_SH.replace("\n", "\r\n")},
    ),
    "right: sh runs it": right(
        PY + PUT + 'COPY run.sh /run.sh\nENTRYPOINT ["sh", "/run.sh"]\n' + CMD, **{"run.sh": RUN_SH}
    ),
    "PATH without the runtime": likely("LAM614", PY + "ENV PATH=/opt/bin\n" + PUT + CMD, "/var/lang/bin"),
    "libraries without the runtime": likely(
        "LAM614", PY + "ENV LD_LIBRARY_PATH=/opt/lib\n" + PUT + CMD, "$LD_LIBRARY_PATH"
    ),
    "right: PATH is kept": right(PY + 'ENV PATH="/opt/bin:${PATH}"\n' + PUT + CMD),
}
_INSTALLS: dict[str, Case] = {
    "yum on Amazon Linux 2023": certain("LAM621", PY + "RUN yum install -y gcc\n" + PUT + CMD, "dnf"),
    "dnf on Amazon Linux 2": certain("LAM621", OLD + "RUN dnf install -y gcc && ls\n" + PUT + CMD, "yum"),
    "apt-get on Amazon Linux": certain(
        "LAM621", PY + "RUN apt-get update && apt-get install gcc\n" + PUT + CMD, "dnf"
    ),
    "apt-get on alpine": certain("LAM621", "FROM python:3.13-alpine\nRUN apt-get update\n" + PUT, "apk"),
    "yum whose failure is ignored": likely(
        "LAM621", PY + "RUN yum install -y gcc || true\n" + PUT + CMD, "dnf"
    ),
    "right: yum is installed": right(PY + "RUN dnf install -y yum\nRUN yum install -y gcc\n" + PUT + CMD),
    "right: yum if there is one": right(PY + "RUN if command -v yum; then yum -y update; fi\n" + PUT + CMD),
    "right: yum of the full image": right("FROM amazonlinux:2023\nRUN yum install -y python3\n"),
    "git for a requirement": likely(
        "LAM621",
        PY + "COPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "has no git",
        **{"requirements.txt": "lib @ git+https://example.invalid/team/lib.git@v1.2\n"},
    ),
    "git and ssh for a requirement": likely(
        "LAM621",
        PY + "COPY requirements.txt .\nRUN --mount=type=ssh pip install -r requirements.txt\n" + PUT + CMD,
        "no git and no ssh",
        **{"requirements.txt": "lib @ git+ssh://git@example.invalid/team/lib.git@v1.2\n"},
    ),
    "git for a lock": likely(
        "LAM621",
        PY + UV + SYNC + " --no-install-project\nENV PYTHONPATH=/var/task/.venv\n" + PUT + CMD,
        "uv.lock:13 is a git repository",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK.replace("{ registry", "{ git")},
    ),
    "ssh without an agent": likely(
        "LAM627",
        PY + "RUN dnf install -y git openssh-clients\nCOPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "--mount=type=ssh",
        **{"requirements.txt": "lib @ git+ssh://git@example.invalid/team/lib.git@v1.2\n"},
    ),
    "ssh to an unknown host": likely(
        "LAM627",
        PY + "RUN dnf install -y git openssh-clients\nCOPY requirements.txt .\n" + OVER_SSH + PUT + CMD,
        "ssh-keyscan",
        **{"requirements.txt": "lib @ git+ssh://git@example.invalid/team/lib.git@v1.2\n"},
    ),
    "right: ssh": right(
        PY
        + "RUN dnf install -y git openssh-clients; ssh-keyscan x >> /etc/ssh/ssh_known_hosts\n"
        + "COPY requirements.txt .\n"
        + OVER_SSH
        + PUT
        + CMD,
        **{"requirements.txt": "lib @ git+ssh://git@example.invalid/team/lib.git@v1.2\n"},
    ),
    "right: a deploy key": right(
        PY
        + "RUN dnf install -y git openssh-clients\nCOPY requirements.txt .\n"
        + "RUN --mount=type=secret,id=key,target=/root/.ssh/id_rsa pip install -r requirements.txt\n"
        + PUT
        + CMD,
        **{"requirements.txt": "lib @ git+ssh://git@example.invalid/team/lib.git@v1.2\n"},
    ),
    "a package that has no wheel": likely(
        "LAM628",
        OLD + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        "numpy==2.2.0 has no wheel for Python 3.11 and glibc 2.26 (x86_64)",
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("numpy", "2.2.0", "cp311-cp311-manylinux_2_28_x86_64"),
        },
    ),
    "a package without wheel and source": likely(
        "LAM628",
        "FROM public.ecr.aws/lambda/python:3.14\n" + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        "no source either",
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("odd", "1.0", "cp313-cp313-manylinux_2_17_x86_64", source=False),
        },
    ),
    "a package without source whose wheels need a newer glibc": certain(
        "LAM628",
        OLD + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        "odd==1.0 has no wheel for Python 3.11 and glibc 2.26 (x86_64)",
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("odd", "1.0", "cp311-cp311-manylinux_2_28_x86_64", source=False),
        },
    ),
    "the same, which a marker may leave out": likely(
        "LAM628",
        OLD + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        "odd==1.0 has no wheel",
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("odd", "1.0", "cp311-cp311-manylinux_2_28_x86_64", source=False).replace(
                '{ name = "odd" }', '{ name = "odd", marker = "sys_platform == \'darwin\'" }'
            ),
        },
    ),
    "right: a package that has a wheel": right(
        PY + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("numpy", "2.2.0", "cp313-cp313-manylinux_2_28_x86_64"),
        },
    ),
    "right: a wheel for the Python that uv downloads, in an image of a server": right(
        "FROM python:3.12-slim\n"
        + UV
        + "WORKDIR /api\nCOPY pyproject.toml uv.lock app.py ./\n"
        + SYNC
        + '\nCMD ["/api/.venv/bin/fastapi", "run", "app.py"]\n',
        **{
            "pyproject.toml": PROJECT.replace(">=3.11", ">=3.13"),
            "uv.lock": locked("pydantic-core", "2.33.2", "cp313-cp313-manylinux_2_17_x86_64").replace(
                ">=3.11", ">=3.13"
            ),
        },
    ),
    "right: a package that has a wheel for abi3": right(
        PY + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("bcrypt", "5.0.0", "cp39-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64"),
        },
    ),
    "right: a package of Windows": right(
        PY + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("pywin32", "310", "cp313-cp313-win_amd64", source=False),
        },
    ),
    "right: a compiler": right(
        OLD + UV + SYSTEM + "RUN yum install -y gcc-c++ gcc\n" + SYNC + " --inexact\n" + PUT + CMD,
        **{
            "pyproject.toml": PROJECT,
            "uv.lock": locked("numpy", "2.2.0", "cp311-cp311-manylinux_2_28_x86_64"),
        },
    ),
    "a project of a newer Python": certain(
        "LAM629",
        PY + "COPY pyproject.toml app.py ./\nRUN pip install .\n" + CMD,
        "requires Python >=3.14",
        **{"pyproject.toml": PROJECT.replace(">=3.11", ">=3.14")},
    ),
    "a project of poetry of a newer Python": likely(
        "LAM629",
        PY
        + "ENV POETRY_VIRTUALENVS_CREATE=false\nCOPY pyproject.toml ./\nRUN poetry install || true\n"
        + PUT
        + CMD,
        "requires Python ~3.12",
        **{"pyproject.toml": '[tool.poetry]\nname = "app"\n[tool.poetry.dependencies]\npython = "~3.12"\n'},
    ),
    "a pinned Python": likely(
        "LAM629",
        PY + UV + SYSTEM + "COPY .python-version .\n" + SYNC + " --inexact\n" + PUT + CMD,
        "UV_PYTHON=3.13",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK, ".python-version": "3.12\n"},
    ),
    "right: a pinned Python that is overridden": right(
        PY + UV + SYSTEM + "ENV UV_PYTHON=3.13\nCOPY .python-version .\n" + SYNC + " --inexact\n" + PUT + CMD,
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK, ".python-version": "3.12\n"},
    ),
    "right: a project of that Python": right(
        PY + "COPY pyproject.toml app.py ./\nRUN pip install .\n" + CMD,
        **{"pyproject.toml": PROJECT.replace(">=3.11", ">=3.11,<3.14,!=3.12.0")},
    ),
    "right: git is installed": right(
        PY + "RUN dnf install -y gcc git\nCOPY requirements.txt .\n" + INSTALL + PUT + CMD,
        **{"requirements.txt": "lib @ git+https://example.invalid/team/lib.git@v1.2\n"},
    ),
    "uv sync --system": certain(
        "LAM622",
        PY + "RUN pip install uv\n" + SYNC + " --system\n" + PUT + CMD,
        "--system",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK},
    ),
    "pip install --frozen": certain(
        "LAM622", PY + "RUN pip install --frozen requests==2.32.3\n" + PUT + CMD, "--frozen"
    ),
    "right: uv pip install --system": right(
        PY + "RUN uv pip install --system requests==2.32.3\n" + PUT + CMD
    ),
    "included file": certain(
        "LAM623",
        PY + ELSEWHERE + CMD,
        "common.txt",
        "requirements.txt",
        **{
            "app/requirements.txt": "-r ../common.txt\nrequests==2.32.3\n",
            "common.txt": "idna==3.10\n",
            "app/app.py": APP,
        },
    ),
    "included constraints": certain(
        "LAM623",
        PY + "COPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "constraints.txt",
        "requirements.txt",
        **{"requirements.txt": "-c constraints.txt\nrequests==2.32.3\n", "constraints.txt": "idna==3.10\n"},
    ),
    "local project": certain(
        "LAM623",
        PY + ELSEWHERE + CMD,
        "mypackage",
        "requirements.txt",
        **{
            "app/requirements.txt": "requests==2.32.3\n-e ../packages/mypackage\n",
            "packages/mypackage/pyproject.toml": '[project]\nname = "mypackage"\nversion = "0"\n',
            "packages/mypackage/mypackage/__init__.py": "",
            "app/app.py": "import mypackage\n" + APP,
        },
    ),
    "local wheel": certain(
        "LAM623",
        PY + "COPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "wheels/x-1-py3-none-any.whl",
        "requirements.txt",
        **{"requirements.txt": "./wheels/x-1-py3-none-any.whl\n"},
    ),
    "right: included file": right(
        PY + "COPY requirements.txt common.txt ./\n" + INSTALL + PUT + CMD,
        **{"requirements.txt": "-r common.txt\n", "common.txt": "idna==3.10\n"},
    ),
    "right: included file is mounted": right(
        PY + "RUN --mount=type=bind,target=/src pip install -r /src/app/requirements.txt\n" + PUT + CMD,
        **{"app/requirements.txt": "-r ../common.txt\n", "common.txt": "idna==3.10\n", "app.py": APP},
    ),
    "right: files that include each other": right(
        PY + "COPY requirements.txt common.txt ./\n" + INSTALL + PUT + CMD,
        **{"requirements.txt": "-r common.txt\nidna==3.10\n", "common.txt": "-r requirements.txt\n"},
    ),
    "right: a step writes the file": right(
        PY + "COPY requirements.txt .\nRUN echo idna==3.10 > common.txt\n" + INSTALL + PUT + CMD,
        **{"requirements.txt": "-r common.txt\n"},
    ),
    "a branch": likely(
        "LAM624",
        PY + "RUN dnf install -y git\nCOPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "main",
        "requirements.txt",
        **{"requirements.txt": "lib @ git+https://example.invalid/team/lib.git@main\n"},
    ),
    "no revision": likely(
        "LAM624",
        PY + "RUN dnf install -y git\nCOPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "no commit",
        "requirements.txt",
        **{"requirements.txt": "lib @ git+https://example.invalid/team/lib.git#egg=lib\n"},
    ),
    "member": certain(
        "LAM625",
        PY + UV + "ENV UV_PROJECT_ENVIRONMENT=/var/lang\nCOPY pyproject.toml uv.lock ./\n"
        "COPY packages/lib packages/lib\nRUN uv sync --frozen --no-dev --inexact\n" + PUT + CMD,
        "packages/other",
        **WORKSPACE,
    ),
    "right: members are not installed": right(
        PY + UV + "ENV UV_PROJECT_ENVIRONMENT=/var/lang\nCOPY pyproject.toml uv.lock ./\n"
        "RUN uv sync --frozen --no-install-workspace --inexact\nCOPY packages/lib/lib lib\n" + PUT + CMD,
        **WORKSPACE,
    ),
    "right: one member": right(
        PY + UV + "ENV UV_PROJECT_ENVIRONMENT=/var/lang\nCOPY pyproject.toml uv.lock ./\n"
        "COPY packages/lib packages/lib\nRUN uv sync --frozen --package lib --inexact\n" + PUT + CMD,
        **WORKSPACE,
    ),
    "member left out": certain(
        "LAM650",
        CLOSURE + PUT + "COPY packages/lib/lib /var/task/lib\n" + CMD,
        "packages/other",
        **WORKSPACE,
    ),
    "right: all members are copied": right(
        CLOSURE
        + PUT
        + "COPY packages/lib/lib /var/task/lib\nCOPY packages/other/other /var/task/other\n"
        + CMD,
        **WORKSPACE,
    ),
    "newer glibc": likely(
        "LAM626",
        "FROM python:3.11-trixie AS build\n"
        "RUN pip install -t /deps cryptography==44.0.0 --no-binary cryptography\n"
        + OLD
        + "COPY --from=build /deps /var/task/\n"
        + PUT
        + CMD,
        "glibc",
        **{"app.py": "import cryptography\n" + APP},
    ),
    "musl": likely(
        "LAM626",
        "FROM python:3.13-alpine AS build\nRUN pip install -t /deps numpy==2.2.0\n"
        + PY
        + "COPY --from=build /deps /var/task/\n"
        + PUT
        + CMD,
        "musl",
        **{"app.py": "import numpy\n" + APP},
    ),
    "another Python": likely(
        "LAM626",
        "FROM public.ecr.aws/lambda/python:3.12 AS build\nRUN pip install -t /deps numpy==2.2.0\n"
        + PY
        + "COPY --from=build /deps /var/task/\n"
        + PUT
        + CMD,
        "python3.12",
        **{"app.py": "import numpy\n" + APP},
    ),
    "another Python of SAM": likely(
        "LAM626",
        "FROM public.ecr.aws/sam/build-python3.12 AS build\nRUN yum install -y git\n"
        "RUN pip install -t /deps numpy==2.2.0\n" + PY + "COPY --from=build /deps /var/task/\n" + PUT + CMD,
        "python3.12",
    ),
    "right: a stage of SAM": right(
        "FROM public.ecr.aws/sam/build-python3.11 AS build\nRUN yum install -y git\n"
        "RUN pip install -t /deps cryptography==44.0.0 --no-binary cryptography\n"
        + OLD
        + "COPY --from=build /deps /var/task/\n"
        + PUT
        + CMD,
    ),
    "apt-get on lambci": certain(
        "LAM621",
        "FROM lambci/lambda:build-python3.8 AS build\nRUN apt-get update\n"
        + PY
        + "COPY --from=build /x /x\n"
        + PUT
        + CMD,
        "yum",
    ),
    "another machine": likely(
        "LAM626",
        PY
        + "RUN pip install --platform manylinux2014_aarch64 --only-binary=:all: -t . numpy==2.2.0\n"
        + PUT
        + CMD,
        "aarch64",
    ),
    "right: packages without modules": right(
        "FROM python:3.13-alpine AS build\nRUN pip install -t /deps requests==2.32.3\n"
        + PY
        + "COPY --from=build /deps /var/task/\n"
        + PUT
        + CMD,
    ),
    "right: wheels on a newer Debian": right(
        "FROM python:3.13-bookworm AS build\nRUN pip install -t /deps numpy==2.2.0\n"
        + PY
        + "COPY --from=build /deps /var/task/\n"
        + PUT
        + CMD,
    ),
}
_PLACES: dict[str, Case] = {
    "a folder that is not searched": likely(
        "LAM635",
        PY + "COPY requirements.txt .\nRUN pip install -r requirements.txt --target /deps\n" + PUT + CMD,
        "/deps",
        **{"requirements.txt": PINNED, "app.py": "import requests\n" + APP},
    ),
    "right: a folder that PYTHONPATH names": right(
        PY + "COPY requirements.txt .\nRUN pip install -r requirements.txt -t /deps\n"
        "ENV PYTHONPATH=/deps\n" + PUT + CMD,
        **{"requirements.txt": PINNED, "app.py": "import requests\n" + APP},
    ),
    "right: a folder that is copied": right(
        PY
        + "COPY requirements.txt .\nRUN pip install -r requirements.txt -t /deps && cp -r /deps/* .\n"
        + PUT
        + CMD,
        **{"requirements.txt": PINNED, "app.py": "import requests\n" + APP},
    ),
    "right: a folder that the code names": right(
        PY + "COPY requirements.txt .\nRUN pip install -r requirements.txt -t vendor\n" + PUT + CMD,
        **{
            "requirements.txt": PINNED,
            "app.py": 'import sys\nsys.path.append("vendor")\nimport requests\n' + APP,
        },
    ),
    "right: the folder of a layer": right(
        PY + "COPY requirements.txt .\nRUN pip install -r requirements.txt -t /opt/python\n" + PUT + CMD,
        **{"requirements.txt": PINNED, "app.py": "import requests\n" + APP},
    ),
    "the runtime's own boto3": likely(
        "LAM638",
        "FROM public.ecr.aws/lambda/python:3.10\nCOPY requirements.txt .\n" + INSTALL + PUT + CMD,
        "boto3==1.34.0",
        "requirements.txt",
        **{"requirements.txt": "requests==2.32.3\nboto3==1.34.0\n", "app.py": "import boto3\n" + APP},
    ),
    "right: boto3 beside the function": right(
        "FROM public.ecr.aws/lambda/python:3.10\nCOPY requirements.txt .\n"
        "RUN pip install -r requirements.txt -t .\n" + PUT + CMD,
        **{"requirements.txt": "boto3==1.34.0\n", "app.py": "import boto3\n" + APP},
    ),
    "right: boto3 of a newer runtime": right(
        OLD + "COPY requirements.txt .\n" + INSTALL + PUT + CMD,
        **{"requirements.txt": "boto3==1.34.0\n", "app.py": "import boto3\n" + APP},
    ),
    "an environment of another Python, and a step": likely(
        "LAM636",
        "FROM python:3.13-slim AS build\n" + BUILT + PY + "RUN ./make\n" + SHIPPED + IN_VENV,
        "/usr/local/bin/python3.13",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK},
    ),
    "an environment of another Python, and a COPY of it": likely(
        "LAM636",
        "FROM python:3.13-slim AS build\n"
        + BUILT
        + PY
        + "COPY --from=build /usr/local /usr/local\n"
        + SHIPPED
        + IN_VENV,
        "/usr/local/bin/python3.13",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK},
    ),
    "an environment of another Python": certain(
        "LAM636",
        "FROM python:3.13-slim AS build\n" + BUILT + PY + SHIPPED + IN_VENV,
        "/usr/local/bin/python3.13",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK},
    ),
    "right: an environment of the same Python": right(
        "FROM python:3.13-slim AS build\n" + BUILT + "FROM python:3.13-slim\n" + SHIPPED + IN_VENV,
        **{"pyproject.toml": PROJECT.replace("requests==2.32.3", "awslambdaric"), "uv.lock": LOCK},
    ),
    "an editable project": likely(
        "LAM637",
        PY.replace("\n", " AS build\n") + BUILT.replace(" --no-install-project", "") + PY + SHIPPED + ON_PATH,
        "is installed as a path to /app",
        **EDITABLE,
    ),
    "an editable project that the function imports": certain(
        "LAM637",
        PY.replace("\n", " AS build\n") + BUILT.replace(" --no-install-project", "") + PY + SHIPPED + ON_PATH,
        "app.py imports lib, which fails",
        **{**EDITABLE, "app.py": "import lib\n" + APP},
    ),
    "right: an editable project with its source": right(
        PY.replace("\n", " AS build\n")
        + BUILT.replace(" --no-install-project", "")
        + PY
        + SHIPPED
        + "COPY src /app/src\n"
        + ON_PATH,
        **EDITABLE,
    ),
    "right: a project that is not editable": right(
        PY.replace("\n", " AS build\n")
        + BUILT.replace("--no-install-project", "--no-editable")
        + PY
        + SHIPPED
        + ON_PATH,
        **EDITABLE,
    ),
    "environment of uv": certain(
        "LAM631",
        PY + UV + SYNC + " --no-install-project\n" + PUT + CMD,
        "UV_PROJECT_ENVIRONMENT",
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK, "app.py": "import requests\n" + APP},
    ),
    "environment of poetry": likely(
        "LAM631",
        PY
        + "RUN pip install poetry==2.1.1\nCOPY pyproject.toml ./\nRUN poetry install --only main\n"
        + PUT
        + CMD,
        "POETRY_VIRTUALENVS_CREATE",
        **{"pyproject.toml": PROJECT, "app.py": "import requests\n" + APP},
    ),
    "right: poetry without environment": right(
        PY
        + "RUN pip install poetry==2.1.1\nCOPY pyproject.toml poetry.toml ./\nRUN poetry install\n"
        + PUT
        + CMD,
        **{"pyproject.toml": PROJECT, "poetry.toml": "[virtualenvs]\ncreate = false\n"},
    ),
    "right: poetry exports, and pip installs": right(
        PY
        + "RUN pip install poetry==2.1.1\nCOPY pyproject.toml ./\nRUN poetry install\n"
        + "RUN poetry export > requirements.txt\nRUN pip install -r requirements.txt\n"
        + PUT
        + CMD,
        **{"pyproject.toml": PROJECT, "app.py": "import requests\n" + APP},
    ),
    "right: PYTHONPATH": right(
        PY
        + UV
        + SYNC
        + " --no-install-project\nENV PYTHONPATH=/var/task/.venv/lib/python3.13/site-packages\n"
        + PUT
        + CMD,
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK, "app.py": "import requests\n" + APP},
    ),
    "right: the system's environment": right(
        PY
        + UV
        + "ENV UV_PROJECT_ENVIRONMENT=/var/lang\n"
        + SYNC
        + " --inexact --no-install-project\n"
        + PUT
        + CMD,
        **{"pyproject.toml": PROJECT, "uv.lock": LOCK, "app.py": "import requests\n" + APP},
    ),
    "for root alone": likely(
        "LAM632",
        PY + "COPY requirements.txt .\nRUN pip install --user -r requirements.txt\n" + PUT + CMD,
        "--user",
        **{"requirements.txt": PINNED, "app.py": "import requests\n" + APP},
    ),
    "a model of root": likely(
        "LAM632",
        PY + "RUN pip install nltk==3.9.1 && python -m nltk.downloader punkt\n" + PUT + CMD,
        "NLTK_DATA",
    ),
    "right: a model elsewhere": right(
        PY
        + "ENV NLTK_DATA=/opt/nltk\nRUN pip install nltk==3.9.1 && python -m nltk.downloader punkt\n"
        + PUT
        + CMD
    ),
    "file in /tmp": certain(
        "LAM633",
        PY + "COPY model.bin /tmp/model.bin\n" + PUT + CMD,
        "/tmp",
        **{"model.bin": "x", "app.py": 'DATA = open("/tmp/model.bin").read()\n' + APP},
    ),
    "file in /tmp that nothing uses": likely(
        "LAM633", PY + "COPY model.bin /tmp/\n" + PUT + CMD, "/tmp", **{"model.bin": "x"}
    ),
    "right: a step uses /tmp": right(
        PY + "COPY requirements.txt /tmp/\nRUN pip install -r /tmp/requirements.txt\n" + PUT + CMD,
        **{"requirements.txt": PINNED},
    ),
    "shadow": likely(
        "LAM634",
        PY + "COPY requirements.txt .\n" + INSTALL + "COPY requests /var/task/requests\n" + PUT + CMD,
        "shadows",
        "requests",
        **{
            "requirements.txt": PINNED,
            "requests/__init__.py": "",
            "app.py": "import requests\nrequests.get\n" + APP,
        },
    ),
    "right: a folder without modules": right(
        PY + "COPY requirements.txt .\n" + INSTALL + "COPY requests /var/task/requests\n" + PUT + CMD,
        **{
            "requirements.txt": PINNED,
            "requests/a.json": "{}",
            "app.py": "import requests\nrequests.get\n" + APP,
        },
    ),
}
_SOURCES: dict[str, Case] = {
    "match": certain(
        "LAM641",
        "FROM public.ecr.aws/lambda/python:3.9\n" + PUT + CMD,
        "3.9",
        "app.py",
        **{"app.py": APP + "\n\ndef kind(x):\n    match x:\n        case 1:\n            return 2\n"},
    ),
    "except*": certain(
        "LAM641",
        "FROM public.ecr.aws/lambda/python:3.10\n" + PUT + CMD,
        "3.11",
        "app.py",
        **{"app.py": "try:\n    X = 1\nexcept* OSError:\n    X = 2\n" + APP},
    ),
    "no Python at all": certain(
        "LAM641",
        "FROM public.ecr.aws/lambda/python:3.9\n" + PUT + CMD,
        "cannot read it",
        "app.py",
        **{"app.py": "print 1\n" + APP},
    ),
    "a module that is gone": certain(
        "LAM641",
        "FROM public.ecr.aws/lambda/python:3.13\n" + PUT + CMD,
        "telnetlib",
        "app.py",
        **{"app.py": "import telnetlib\n" + APP},
    ),
    "a module that is new": certain(
        "LAM641",
        "FROM public.ecr.aws/lambda/python:3.10\n" + PUT + CMD,
        "tomllib",
        "app.py",
        **{"app.py": "import tomllib\n" + APP},
    ),
    "syntax of a module that may be imported": likely(
        "LAM641",
        "FROM public.ecr.aws/lambda/python:3.9\nCOPY *.py /var/task/\n" + CMD,
        "3.9",
        "kinds.py",
        **{
            "app.py": "def handler(event, context):\n    if event:\n        import kinds\n",
            "kinds.py": "def kind(x):\n    match x:\n        case 1:\n            return 2\n",
        },
    ),
    "right: a module that is gone, if there is one": right(
        PY + PUT + CMD,
        **{"app.py": "try:\n    import tomllib\nexcept ImportError:\n    import tomli\n" + APP},
    ),
    "right: a file that is not imported": right(
        "FROM public.ecr.aws/lambda/python:3.11\nCOPY *.py /var/task/\n" + CMD,
        **{"app.py": APP, "tool.py": "print 1\n"},
    ),
    "spelling": certain(
        "LAM642",
        PY + "COPY *.py /var/task/\n" + CMD,
        "utils",
        "app.py",
        **{"app.py": "import Utils\n" + APP, "utils.py": ""},
    ),
    "data file": likely(
        "LAM643",
        PY + "COPY src/app.py /var/task/\n" + CMD,
        "prompts",
        "app.py",
        **{
            "src/app.py": PROMPT + APP,
            "src/prompts/a.txt": "x",
        },
    ),
    "data file of the folder": likely(
        "LAM643",
        PY + PUT + CMD,
        "config.json",
        "app.py",
        **{
            "app.py": 'import json\n\nwith open("config.json") as file:\n    CONFIG = json.load(file)\n'
            + APP,
            "config.json": "{}",
        },
    ),
    "right: data file": right(
        PY + "COPY src /var/task/\n" + CMD,
        **{
            "src/app.py": PROMPT + APP,
            "src/prompts/a.txt": "x",
        },
    ),
    "right: data file if there is one": right(
        PY + PUT + CMD,
        **{
            "app.py": 'import os\n\nif os.path.exists("config.json"):\n    C = open("config.json").read()\n'
            + APP,
            "config.json": "{}",
        },
    ),
    "write": likely(
        "LAM644",
        PY + PUT + CMD,
        "/tmp/app.log",
        "app.py",
        **{"app.py": 'import logging\n\nLOG = logging.FileHandler("app.log")\n' + APP},
    ),
    "pool": likely(
        "LAM644",
        PY + PUT + CMD,
        "/dev/shm",
        "app.py",
        **{"app.py": "from multiprocessing import Pool\n\nPOOL = Pool(4)\n" + APP},
    ),
    "right: write below /tmp": right(
        PY + PUT + CMD, **{"app.py": 'import os\n\nos.makedirs("/tmp/x", exist_ok=True)\n' + APP}
    ),
    "lfs": likely(
        "LAM645",
        PY + "COPY model.bin /var/task/\n" + PUT + CMD,
        "123 MB",
        "model.bin",
        **{"model.bin": POINTER},
    ),
    "submodule": likely(
        "LAM645",
        PY + "COPY vendor/lib /var/task/lib\n" + PUT + CMD,
        "submodule",
        "vendor/lib",
        **{
            ".gitmodules": '[submodule "vendor/lib"]\n\tpath = vendor/lib\n\turl = ../lib.git\n',
            "vendor/lib/": "",
        },
    ),
    "right: a pointer that is not shipped": right(
        "FROM alpine AS other\nCOPY model.bin /\n" + PY + PUT + CMD, **{"model.bin": POINTER}
    ),
    "right: a socket": right(
        PY + "COPY src /var/task/\n" + CMD, **{"src/app.py": APP, "src/agent.sock!": ""}
    ),
    "UTF-16": Case(told="certain", dockerfile=(PY + PUT + CMD).encode("utf-16"), words="UTF-16"),
    "CR line ends": Case(told="certain", dockerfile=(PY + PUT + CMD).replace("\n", "\r"), words="bare CR"),
    "an argument without value": Case(
        told="certain",
        words="PYTHON_VERSION has no value",
        dockerfile="ARG PYTHON_VERSION\nFROM public.ecr.aws/lambda/python:${PYTHON_VERSION}\n" + PUT + CMD,
    ),
}
PANDAS = "import pandas\n" + APP
MOTO = "import requests\nimport moto\n" + APP
DEV_LOCK = LOCK.replace(
    'dependencies = [{ name = "requests" }]\n',
    'dependencies = [\n    { name = "requests" },\n]\n\n'
    '[package.dev-dependencies]\ndev = [\n    { name = "moto" },\n]\n',
) + (
    '\n[[package]]\nname = "moto"\nversion = "5.1.0"\n'
    'source = { registry = "https://index.invalid/simple" }\n'
)
"""A lock that has moto in the group dev alone."""
DEV: dict[str, str | bytes] = {"pyproject.toml": PROJECT, "uv.lock": DEV_LOCK, "app.py": MOTO}
SYNCED = PY + UV + SYSTEM + SYNC + " --no-install-project --inexact\n" + PUT + CMD
HASHED = "requests==2.32.3 --hash=sha256:00\nidna==3.10 \\\n    --hash=sha256:00\n"
COMPILED = "# autogenerated by pip-compile\nrequests==2.32.3\n    # via -r requirements.in\nidna==3.10\n"
PIP = "COPY requirements.txt .\nRUN pip install -r requirements.txt\n"
PANDAS_LOCK = LOCK.replace("requests", "pandas")


def needs(source: str, **files: str | bytes) -> dict[str, str | bytes]:
    """Return the files of an image whose requirements file does not have what its handler imports."""
    return {"requirements.txt": PINNED, "app.py": source, **files}


POETRY_LOCK = "".join(
    f'[[package]]\nname = "{name}"\nversion = "1.0"\noptional = false\ngroups = [{groups}]\nfiles = []\n\n'
    for name, groups in (("requests", '"main", "dev"'), ("moto", '"dev"'))
)
WITH_POETRY = (
    PY
    + "RUN pip install poetry==2.1.1 && poetry config virtualenvs.create false\n"
    + "COPY pyproject.toml poetry.lock ./\nRUN poetry install --only main --no-root --no-interaction\n"
    + PUT
    + CMD
)
POETRY: dict[str, str | bytes] = {"pyproject.toml": PROJECT, "poetry.lock": POETRY_LOCK, "app.py": MOTO}


_NEEDS: dict[str, Case] = {
    "a package of poetry's group dev": likely(
        "LAM651", WITH_POETRY, "which poetry.lock has and no step", "app.py", **POETRY
    ),
    "a package of poetry's group dev, exported": likely(
        "LAM651",
        PY
        + "RUN pip install poetry==2.1.1 poetry-plugin-export\nCOPY pyproject.toml poetry.lock ./\n"
        + "RUN poetry export --without dev > r.txt && pip install -r r.txt\n"
        + PUT
        + CMD,
        "imports moto",
        "app.py",
        **POETRY,
    ),
    "right: poetry installs the group": right(WITH_POETRY.replace("--only main", "--with dev"), **POETRY),
    "right: a lock of poetry that notes no groups": right(
        WITH_POETRY, **{**POETRY, "poetry.lock": re.sub("groups.*\n", "", POETRY_LOCK)}
    ),
    "right: poetry writes the lock": right(
        WITH_POETRY.replace("RUN poetry install", "RUN poetry lock && poetry install"), **POETRY
    ),
    "right: a mounted folder of PYTHONPATH": right(
        PY + "ENV PYTHONPATH=/mnt/lib\n" + PUT + CMD, **needs(PANDAS)
    ),
    "a package of the group dev, exported without metadata": certain(
        "LAM651", SYNCED.replace(UV, UV + "ENV UV_NO_INSTALLER_METADATA=1\n"), "imports moto", "app.py", **DEV
    ),
    "a package beside programs of the system": certain(
        "LAM651",
        SYNCED.replace(UV, UV + "RUN dnf install -y gcc python3-pip && echo x:x:1 >> /etc/passwd\n"),
        "imports moto",
        "app.py",
        **DEV,
    ),
    "nothing is installed": certain(
        "LAM651",
        PY + PUT + CMD,
        "no step of dockerfiles/fn/Dockerfile installs pandas",
        "app.py",
        **needs(PANDAS),
    ),
    "nothing is installed, by a module of the function": certain(
        "LAM651",
        PY + "COPY app.py db.py /var/task/\n" + CMD,
        "imports psycopg2",
        "db.py",
        **needs("import db\n" + APP, **{"db.py": "import os\n\nimport psycopg2\n"}),
    ),
    "nothing is installed, and a folder is copied": likely(
        "LAM651",
        PY + "COPY src/ /var/task/\n" + CMD,
        "imports pandas",
        "src/app.py",
        **{"src/app.py": PANDAS},
    ),
    "nothing is installed, in an image that has no boto3": certain(
        "LAM651",
        "FROM python:3.13-slim\nRUN pip install awslambdaric\nWORKDIR /app\nCOPY app.py .\n" + CLIENT,
        "imports boto3",
        "app.py",
        **needs("import boto3\n" + APP),
    ),
    "a package of the group dev": certain("LAM651", SYNCED, "which uv.lock has and no step", "app.py", **DEV),
    "a package of the group dev, exported": certain(
        "LAM651",
        PY
        + UV
        + "COPY pyproject.toml uv.lock ./\nRUN uv export --frozen --no-dev --no-emit-project -o /r.txt \\\n"
        + "    && uv pip install --system -r /r.txt\n"
        + PUT
        + CMD,
        "move moto from its group or extra",
        "app.py",
        **DEV,
    ),
    "a package of the group dev, and the lock is mounted": certain(
        "LAM651",
        PY
        + UV
        + "RUN --mount=type=bind,source=uv.lock,target=uv.lock \\\n"
        + "    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\\n"
        + "    uv export --frozen --no-dev --no-emit-project | uv pip install --system -r -\n"
        + PUT
        + CMD,
        "imports moto",
        "app.py",
        **DEV,
    ),
    "a package of the group dev, and the project is built": likely(
        "LAM651",
        PY + UV + SYSTEM + SYNC + " --inexact\n" + PUT + CMD,
        "imports moto",
        "app.py",
        **{**DEV, "uv.lock": DEV_LOCK.replace("virtual", "editable")},
    ),
    "a package of the group dev, and the lock may be written anew": likely(
        "LAM651", SYNCED.replace(" --frozen", ""), "imports moto", "app.py", **DEV
    ),
    "a package of the group dev, and one of a repository": likely(
        "LAM651",
        SYNCED,
        "imports moto",
        "app.py",
        **{
            **DEV,
            "uv.lock": DEV_LOCK.replace(
                'version = "2.32.3"\nsource = { registry = "https://index.invalid/simple" }',
                'version = "2.32.3"\nsource = { git = "https://index.invalid/requests?rev=abc#abc" }',
            ),
        },
    ),
    "hashes without the package": likely(
        "LAM651",
        PY + PIP + PUT + CMD,
        "add pandas",
        "app.py",
        **needs(PANDAS, **{"requirements.txt": HASHED}),
    ),
    "a compiled list without the package": likely(
        "LAM651",
        PY + PIP + PUT + CMD,
        "add pandas",
        "app.py",
        **needs(PANDAS, **{"requirements.txt": COMPILED}),
    ),
    "a short list without the package": likely(
        "LAM651", PY + PIP + PUT + CMD, "imports pandas", "app.py", **needs(PANDAS)
    ),
    "a package of another name": likely(
        "LAM651", PY + PIP + PUT + CMD, "add pyyaml", "app.py", **needs("import yaml\n" + APP)
    ),
    "right: a module that is not known": right(PY + PUT + CMD, **needs("import acme.client\n" + APP)),
    "right: what the runtime has": right(
        PY + PUT + CMD,
        **needs("import boto3\nimport botocore.config\nfrom dateutil import tz\nimport json\n" + APP),
    ),
    "right: a module of a newer Python": right(PY + PUT + CMD, **needs("import annotationlib\n" + APP)),
    "right: the package of the list": right(
        PY + PIP + PUT + CMD, **needs(PANDAS, **{"requirements.txt": "pandas==2.2.3\n"})
    ),
    "right: what a package requires": right(
        PY + PIP + PUT + CMD, **needs("import numpy\n" + APP, **{"requirements.txt": "pandas==2.2.3\n"})
    ),
    "right: what an unknown package may require": right(
        PY + PIP + PUT + CMD, **needs(PANDAS, **{"requirements.txt": "acme-reports==1.0\n"})
    ),
    "right: what an extra may require": right(
        PY + PIP + PUT + CMD,
        **needs("import socks\n" + APP, **{"requirements.txt": "requests[socks]==2.32.3\n"}),
    ),
    "right: a package of another name": right(
        PY + PIP + PUT + CMD,
        **needs(
            "import yaml\nimport bs4\nfrom PIL import Image\nimport cv2\nimport jwt\nimport psycopg2\n" + APP,
            **{
                "requirements.txt": "PyYAML==6.0\nbeautifulsoup4==4.12\npillow==11.0\nPyJWT==2.9\n"
                "opencv-python-headless==4.10 --hash=sha256:00\npsycopg2-binary==2.9\n"
            },
        ),
    ),
    "right: namespace packages": right(
        PY + PIP + PUT + CMD,
        **needs(
            "from google.cloud import storage\nimport opentelemetry.trace\nimport azure.identity\n" + APP,
            **{
                "requirements.txt": "google-cloud-storage==2.0 --hash=sha256:00\n"
                "opentelemetry-api==1.0 --hash=sha256:00\nazure-identity==1.0 --hash=sha256:00\n"
            },
        ),
    ),
    "right: an import that may fail": right(
        PY + PUT + CMD,
        **needs(
            "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import pandas\n"
            "try:\n    import numpy\n"
            "except ImportError:\n    numpy = None\nif numpy:\n    import scipy\n\n\n"
            "def later():\n    import torch\n\n\n" + APP
        ),
    ),
    "right: an import whose failure a manager catches": right(
        PY + PUT + CMD,
        **needs("from contextlib import suppress as s\n\nwith s(Exception):\n    import pandas\n" + APP),
    ),
    "right: a module that the handler does not import": right(
        PY + "COPY app.py tool.py /var/task/\n" + CMD, **needs(APP, **{"tool.py": PANDAS})
    ),
    "right: a vendored folder": right(
        PY + "COPY app.py /var/task/\nCOPY vendor/ /var/task/\n" + CMD,
        **needs(PANDAS, **{"vendor/pandas/__init__.py": ""}),
    ),
    "right: a vendored folder that the code names": right(
        PY + "COPY app.py setup_path.py /var/task/\nCOPY vendor/ /opt/vendor/\n" + CMD,
        **needs(
            "import setup_path\nimport pandas\n" + APP,
            **{"setup_path.py": 'import sys\n\nsys.path.append("/mnt/lib")\n', "vendor/x.py": ""},
        ),
    ),
    "right: COPY of everything": right(
        PY + "COPY . .\n" + CMD,
        **needs("from lib.models import pandas\nimport lib\n" + APP, **{"lib/models/pandas.py": ""}),
    ),
    "right: a folder of PYTHONPATH": right(
        PY + "ENV PYTHONPATH=/opt/src\nCOPY src/ /opt/src/\n" + PUT + CMD,
        **needs("import shared.db\n" + APP, **{"src/shared/__init__.py": "", "src/shared/db.py": ""}),
    ),
    "right: a layer": right(
        PY + "COPY layer/ /opt/\n" + PUT + CMD, **needs(PANDAS, **{"layer/python/pandas/__init__.py": ""})
    ),
    "right: a layer in an archive": right(
        PY + "ADD layer.tar.gz /opt/\n" + PUT + CMD, **needs(PANDAS, **{"layer.tar.gz": "x"})
    ),
    "right: an archive without the name of one": right(
        PY + "ADD layer /opt/\n" + PUT + CMD, **needs(PANDAS, layer=b"\x1f\x8b")
    ),
    "a folder and a text that ADD copies": certain(
        "LAM651",
        SYNCED.replace(PUT, PUT + "ADD lib requirements.txt ./\n"),
        "imports moto",
        "app.py",
        **{**DEV, "requirements.txt": "", "lib/x.txt": ""},
    ),
    "right: sources that a command makes": right(
        SYNCED.replace(PUT, PUT + "COPY lib/ ./\n"),
        PROJECT + '[tool.lamina.images.fn]\nbefore = "pip install --target lib moto"\n',
        **{**DEV, "lib/x.txt": ""},
    ),
    "right: the command command": right(SYNCED.replace(PUT, "RUN command pip install moto\n" + PUT), **DEV),
    "a program is looked for": certain(
        "LAM651", SYNCED.replace(PUT, "RUN command -v python\n" + PUT), "imports moto", "app.py", **DEV
    ),
    "right: a package of the system by its address": right(
        SYNCED.replace(PUT, "RUN rpm -i https://index.invalid/moto.rpm\n" + PUT), **DEV
    ),
    "right: pip of what a step takes out of a file": right(
        PY
        + "COPY requirements .\nRUN grep -v boto3 requirements > r.txt && pip install -r r.txt\n"
        + PUT
        + CMD,
        **needs(PANDAS, requirements="pandas\nboto3\n"),
    ),
    **{
        f"right: {code}": right(SYNCED, **{**DEV, "app.py": f"{code}\n{MOTO}"})
        for code in (
            "from sys import path",
            "import sys as system",
            'PACKAGES = "/mnt/packages"',
            "import builtins",
            "import os; os.execv",
            "import pkg_resources",
        )
    },
    "right: packages of an image that is not known": right(
        PY + "COPY --from=registry.invalid/layers:1 /opt/ /opt/\n" + PUT + CMD, **needs(PANDAS)
    ),
    "right: a base that is not known": right(
        "FROM registry.invalid/python-base:1\n" + PUT + CMD, **needs(PANDAS)
    ),
    "right: packages of another stage": right(
        "FROM python:3.13-slim AS build\nCOPY requirements.txt .\n"
        "RUN pip install --target /deps -r requirements.txt\n"
        + PY
        + "COPY --from=build /deps/ /var/task/\n"
        + PUT
        + CMD,
        **needs("import requests\nimport idna\n" + APP),
    ),
    "right: a stage with a step that is not known": right(
        "FROM python:3.13-slim AS build\nRUN ./fetch-packages /usr/local/lib/python3.13/site-packages\n"
        + PY
        + "COPY --from=build /usr/local/lib/python3.13/site-packages/ /var/task/\n"
        + PUT
        + CMD,
        **needs(PANDAS),
    ),
    "right: python -m pip": right(PY + "RUN python3 -m pip install pandas\n" + PUT + CMD, **needs(PANDAS)),
    "right: pip in parentheses": right(
        PY + "RUN ( \\\n    cd /tmp && \\\n    pip install pandas \\\n)\n" + PUT + CMD, **needs(PANDAS)
    ),
    "right: pip in a list": right(PY + 'RUN ["pip", "install", "pandas"]\n' + PUT + CMD, **needs(PANDAS)),
    "right: pip in a heredoc": right(
        PY + "RUN <<EOF\npip install pandas\nEOF\n" + PUT + CMD, **needs(PANDAS)
    ),
    "right: pip of a list that a step writes": right(
        PY + "RUN echo pandas > r.txt && pip install -r r.txt\n" + PUT + CMD, **needs(PANDAS)
    ),
    "right: pip of a list that a list includes": right(
        PY + "COPY *.txt ./\nRUN pip install -r requirements.txt\n" + PUT + CMD,
        **needs(PANDAS, **{"requirements.txt": "-r more.txt\nrequests==2.32.3\n", "more.txt": "pandas\n"}),
    ),
    "right: packages of the system": right(
        PY + "RUN dnf install -y python3-pandas\n" + PUT + CMD, **needs(PANDAS)
    ),
    "right: a path file": right(
        PY + 'RUN echo /opt/x > "/var/lang/lib/python3.13/site-packages/x.pth"\n' + PUT + CMD, **needs(PANDAS)
    ),
    "right: a local project": right(
        PY + "COPY lib/ /lib/\nRUN pip install /lib\n" + PUT + CMD,
        **needs(
            PANDAS,
            **{
                "lib/pyproject.toml": '[project]\nname = "lib"\nversion = "0"\ndependencies = ["acme"]\n',
                "lib/lib.py": "",
            },
        ),
    ),
    "right: an editable project": right(
        PY + "COPY lib/ /lib/\nRUN pip install -e /lib\n" + PUT + CMD,
        **needs(
            PANDAS, **{"lib/pyproject.toml": '[project]\nname = "lib"\nversion = "0"\n', "lib/lib.py": ""}
        ),
    ),
    "right: the package of the lock": right(SYNCED, **{**DEV, "app.py": "import requests\n" + APP}),
    "right: the group dev is installed": right(SYNCED.replace(" --no-dev", ""), **DEV),
    "right: the group dev is asked for": right(SYNCED.replace("--no-dev", "--group dev"), **DEV),
    "right: all extras": right(
        SYNCED.replace("--no-dev", "--no-dev --all-extras"),
        **{**DEV, "uv.lock": DEV_LOCK.replace("dev-dependencies", "optional-dependencies")},
    ),
    "right: a member of the workspace": right(
        PY
        + UV
        + SYSTEM
        + SYNC
        + " --no-install-workspace --inexact\nCOPY packages/lib/lib/ /var/task/lib/\n"
        + PUT
        + CMD,
        **{
            **WORKSPACE,
            "uv.lock": str(WORKSPACE["uv.lock"]) + "\n",
        },
    ),
    "right: another package than that of the group dev": right(
        SYNCED,
        **{
            **DEV,
            "uv.lock": DEV_LOCK.replace("requests", "opencv-python-headless").replace(
                '"moto"', '"opencv-python"'
            ),
            "app.py": "import cv2\n" + APP,
        },
    ),
    "right: types are in the group dev": right(
        SYNCED,
        **{
            **DEV,
            "uv.lock": DEV_LOCK.replace('"moto"', '"types-requests"'),
            "app.py": "import requests\n" + APP,
        },
    ),
    "right: the function's wrapper": right(
        PY + "ENV AWS_LAMBDA_EXEC_WRAPPER=/var/task/wrap\nCOPY wrap /var/task/\n" + PUT + CMD,
        **needs(PANDAS, **{"wrap*": '#!/bin/sh\nexec env PYTHONPATH=/mnt/lib "$@"\n'}),
    ),
    "right: an entry script": right(PY + ENTRY + PUT + CMD, **needs(PANDAS, **{"run.sh*": RUN_SH})),
}
CASES: dict[str, Case] = {**_COMMANDS, **_INSTALLS, **_PLACES, **_SOURCES, **_NEEDS}
