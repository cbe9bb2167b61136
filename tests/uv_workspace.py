"""A uv workspace of two functions on three packages, with a lock as uv writes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from trees import Tree

WORKSPACE = Path(__file__).parent / "data" / "uv-workspace"
PYTHON = "public.ecr.aws/lambda/python:3.13"
INSTALL = "--frozen --no-dev --no-emit-workspace --package {member}"
DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM {python} AS deps
RUN pip install uv==0.13.9
RUN --mount=type=cache,target=/root/.cache/uv \\
    --mount=type=bind,source=uv.lock,target=uv.lock \\
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \\
    --mount=type=bind,source=functions/{member}/pyproject.toml,target=functions/{member}/pyproject.toml \\
    uv export --quiet {options} -o /tmp/requirements.txt && \\
    uv pip install --target /rootfs/var/task -r /tmp/requirements.txt

FROM {python}
COPY --link --from=deps /rootfs/ /
COPY --link functions/{member}/handler.py /var/task/
CMD ["handler.handler"]
"""


def dockerfile(member: str, options: str = INSTALL) -> str:
    """A linked image of a function, whose dependencies come from the lock."""
    return DOCKERFILE.format(python=PYTHON, member=member, options=options.format(member=member))


def write_workspace(tree: Tree) -> None:
    """Write the workspace, with a Dockerfile for each function."""
    shutil.copytree(WORKSPACE, tree.root, dirs_exist_ok=True)
    for member in ("ingest", "report"):
        tree.write(f"functions/{member}/handler.py", "def handler(event, context): ...\n")
        tree.write(f"dockerfiles/{member}/Dockerfile", dockerfile(member))
