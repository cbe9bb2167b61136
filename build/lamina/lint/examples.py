"""A wrong and a right form for each rule, as ``lamina rule`` and the page of rules show them.

Those of the rules about Lambda are in docs/preflight.md. A test lints each Dockerfile here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_RUNTIME = "FROM public.ecr.aws/lambda/python:3.13"
_PIP = "RUN --mount=type=cache,target=/root/.cache/pip pip install"
_PIPENV = "RUN --mount=type=cache,target=/root/.cache/pipenv"
_UV = "RUN --mount=type=cache,target=/root/.cache/uv uv sync --compile-bytecode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Two forms of the same thing.

    Attributes:
        in_dockerfile: Whether they are Dockerfiles that need no other files or settings to show it.
    """

    bad: tuple[str, ...]
    good: tuple[str, ...]
    in_dockerfile: bool = True


EXAMPLES: Mapping[str, Example] = {
    "LAM101": Example(bad=(_RUNTIME, f"{_PIP} --force-reinstall boto3"), good=(_RUNTIME, f"{_PIP} boto3")),
    "LAM102": Example(
        bad=("FROM base-dynamo:stable", "COPY dynamo /tmp/dynamo", f"{_PIP} /tmp/dynamo"),
        good=("FROM base-dynamo:stable", "COPY --link src/handler.py /var/task/"),
    ),
    "LAM103": Example(
        bad=("FROM base-dynamo:stable", f"{_PIP} 'iniconfig==2.0'"),
        good=("FROM base-dynamo:stable", f"{_PIP} tabulate"),
    ),
    "LAM104": Example(
        bad=(_RUNTIME, "COPY dynamo /src", f"{_PIP} /src"),
        good=(
            _RUNTIME,
            "COPY src/requirements.txt /tmp/",
            f"{_PIP} -r /tmp/requirements.txt",
            "COPY dynamo /src",
            f"{_PIP} --no-deps /src",
        ),
    ),
    "LAM105": Example(
        bad=(_RUNTIME, "RUN pip install --no-cache-dir boto3"), good=(_RUNTIME, f"{_PIP} boto3")
    ),
    "LAM106": Example(bad=(_RUNTIME, "RUN pip install boto3"), good=(_RUNTIME, f"{_PIP} boto3")),
    "LAM107": Example(bad=("boto3>=1.34",), good=("boto3==1.34.162",), in_dockerfile=False),
    "LAM108": Example(
        bad=("one/Dockerfile: RUN pip install numpy pandas", "two/Dockerfile: RUN pip install numpy pandas"),
        good=(
            "base-data/Dockerfile: RUN pip install numpy pandas",
            "one/Dockerfile, two/Dockerfile: FROM base-data:stable",
        ),
        in_dockerfile=False,
    ),
    "LAM109": Example(bad=(_RUNTIME, f"{_PIP} chromadb>=0.5"), good=(_RUNTIME, f"{_PIP} 'chromadb>=0.5'")),
    "LAM110": Example(bad=(_RUNTIME, f"{_PIP} --no-compile boto3"), good=(_RUNTIME, f"{_PIP} boto3")),
    "LAM111": Example(bad=(_RUNTIME, _UV), good=(_RUNTIME, f"{_UV} --locked")),
    "LAM112": Example(
        bad=(
            f"{_RUNTIME} AS build",
            "COPY . /src",
            "RUN cd /src && poetry install",
            _RUNTIME,
            "COPY --from=build /src/.venv /function",
        ),
        good=(
            f"{_RUNTIME} AS build",
            "COPY src/requirements.txt /src/",
            f"{_PIP} --target /deps -r /src/requirements.txt",
            _RUNTIME,
            "COPY --link --from=build /deps /var/task",
            "COPY --link src/handler.py /var/task/",
        ),
    ),
    "LAM113": Example(
        bad=(_RUNTIME, "COPY uv.lock pyproject.toml ./", f"{_UV} --locked --package app"),
        good=(
            _RUNTIME,
            "RUN --mount=type=bind,source=uv.lock,target=uv.lock \\",
            "    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\",
            "    uv sync --locked --package app",
        ),
        in_dockerfile=False,
    ),
    "LAM114": Example(
        bad=(_RUNTIME, f"{_PIPENV} pipenv sync --dev"),
        good=(_RUNTIME, f"{_PIPENV} pipenv sync"),
    ),
    "LAM115": Example(bad=(_RUNTIME, f"{_PIP} uv"), good=(_RUNTIME, f"{_PIP} uv==0.13.9")),
    "LAM116": Example(
        bad=(_RUNTIME, f"{_UV} --locked --no-dev"),
        good=(_RUNTIME, f"{_UV} --locked --no-dev --link-mode=copy"),
    ),
    "LAM117": Example(
        bad=("RUN uv export --frozen --package ingest -o /r.txt && uv pip install -r /r.txt …",),
        good=("RUN uv export --frozen --package ingest --no-emit-package botocore -o /r.txt && …",),
        in_dockerfile=False,
    ),
    "LAM118": Example(
        bad=('[project] dependencies = ["httpx", "pytest"]',),
        good=('[project] dependencies = ["httpx"]', '[dependency-groups] dev = ["pytest"]'),
        in_dockerfile=False,
    ),
    "LAM119": Example(
        bad=(
            "base-data/Dockerfile: RUN pip install numpy==1.26.4",
            "one/Dockerfile: RUN pip install numpy==2.4.0",
        ),
        good=("base-data/Dockerfile: RUN pip install numpy==2.4", "one/Dockerfile: FROM base-data:stable"),
        in_dockerfile=False,
    ),
    "LAM120": Example(
        bad=(
            f"{_RUNTIME} AS deps",
            "RUN uv export --frozen --package app -o /tmp/requirements.txt && \\",
            "    uv pip install --target /deps -r /tmp/requirements.txt",
            _RUNTIME,
            "COPY --link --from=deps /deps /var/task",
        ),
        good=(
            f"{_RUNTIME} AS deps",
            "RUN uv export --frozen --package app -o /tmp/pylock.toml && \\",
            "    uv pip install --preview-features=pylock --target /deps -r /tmp/pylock.toml",
            _RUNTIME,
            "COPY --link --from=deps /deps /var/task",
        ),
    ),
    "LAM121": Example(
        bad=("RUN pip install --target /deps -r requirements.txt",),
        good=("RUN pip install --target /deps -r requirements.txt && rm -rf /deps/numpy/*/tests",),
        in_dockerfile=False,
    ),
    "LAM201": Example(
        bad=(_RUNTIME, "COPY . /var/task/", f"{_PIP} -r src/requirements.txt"),
        good=(
            _RUNTIME,
            "COPY src/requirements.txt /tmp/",
            f"{_PIP} -r /tmp/requirements.txt",
            "COPY . /var/task/",
        ),
    ),
    "LAM202": Example(
        bad=(
            _RUNTIME,
            "COPY src/handler.py /var/task/",
            "COPY src/requirements.txt /tmp/",
            f"{_PIP} -r /tmp/requirements.txt",
        ),
        good=(
            _RUNTIME,
            "COPY src/requirements.txt /tmp/",
            f"{_PIP} -r /tmp/requirements.txt",
            "COPY src/handler.py /var/task/",
        ),
    ),
    "LAM203": Example(
        bad=(_RUNTIME, "COPY src/handler.py ${LAMBDA_TASK_ROOT}/"),
        good=(_RUNTIME, "COPY --link src/handler.py ${LAMBDA_TASK_ROOT}/"),
    ),
    "LAM204": Example(
        bad=(_RUNTIME, "COPY --chmod=600 src/handler.py /var/task/"),
        good=(_RUNTIME, "COPY --chmod=644 src/handler.py /var/task/"),
    ),
    "LAM301": Example(bad=("FROM debian",), good=("FROM debian:13.2",)),
    "LAM302": Example(bad=("FROM base-dynamo:latest",), good=("FROM base-dynamo:stable",)),
    "LAM303": Example(
        bad=("ARG BASE", "FROM ${BASE:-public.ecr.aws/lambda/python:3.13}"),
        good=("ARG BASE=base-dynamo:stable", "FROM ${BASE}"),
    ),
    "LAM304": Example(
        bad=(_RUNTIME, f"{_PIP} boto3"),
        good=(
            f"{_RUNTIME} AS deps",
            f"{_PIP} --target /rootfs/var/task boto3",
            _RUNTIME,
            "COPY --link --from=deps /rootfs/ /",
        ),
    ),
    "LAM305": Example(
        bad=("FROM --platform=linux/arm64 public.ecr.aws/lambda/python:3.13",), good=(_RUNTIME,)
    ),
    "LAM306": Example(bad=("# syntax=docker/dockerfile:1", _RUNTIME), good=(_RUNTIME,)),
    "LAM307": Example(
        bad=(_RUNTIME, "ARG CACHE_BUST", "RUN make"), good=(_RUNTIME, "ARG VERSION=1.2", "RUN make")
    ),
    "LAM401": Example(
        bad=("app/Dockerfile",), good=("app/Dockerfile", "app/Dockerfile.dockerignore"), in_dockerfile=False
    ),
    "LAM402": Example(
        bad=("Dockerfile.dockerignore: (empty)",),
        good=("Dockerfile.dockerignore: *", "                         !src/handler.py"),
        in_dockerfile=False,
    ),
    "LAM403": Example(bad=("src/.dockerignore",), good=("Dockerfile.dockerignore",), in_dockerfile=False),
    "LAM404": Example(
        bad=(_RUNTIME, "COPY src/handlers.py /var/task/"), good=(_RUNTIME, "COPY src/handler.py /var/task/")
    ),
    "LAM405": Example(bad=("src/hanlder.py",), good=("src/handler.py",), in_dockerfile=False),
    "LAM501": Example(
        bad=(_RUNTIME, "ENV DB_PASSWORD=hunter2"),
        good=(_RUNTIME, "ENV DB_SECRET_ARN=arn:aws:secretsmanager:eu-central-1:123456789012:secret:db"),
    ),
    "LAM601": Example(
        bad=(_RUNTIME, "COPY src/handler.py /var/task/", 'CMD ["handler.main"]'),
        good=(_RUNTIME, "COPY src/handler.py /var/task/", 'CMD ["handler.handler"]'),
    ),
    "LAM602": Example(bad=(_RUNTIME, 'CMD ["uv", "run", "app"]'), good=(_RUNTIME, 'CMD ["app.handler"]')),
    "LAM603": Example(
        bad=("FROM python:3.13-slim",),
        good=("FROM python:3.13-slim", 'LABEL com.amazonaws.lambda.feature.snapstart="Allow"'),
        in_dockerfile=False,
    ),
    "LAM604": Example(
        bad=("SESSION = uuid.uuid4()",),
        good=("@register_after_restore", "def fresh():", "    global SESSION; SESSION = uuid.uuid4()"),
        in_dockerfile=False,
    ),
}
"""Rule -> its example."""
