"""Dockerfiles for members of a workspace that have a handler and no Dockerfile yet."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import Problem
from lamina.workspace.blocks import END, TASK_ROOT, copy_lines, mark, mount_lines
from lamina.workspace.members import PYPROJECT, Member, UvWorkspace

_UV = "uv==0.13.9"
_PYTHONS = ((3, 13), (3, 14), (3, 12), (3, 11), (3, 10))
"""Python versions of Lambda's runtimes, the preferred one first."""
_CLAUSE = re.compile(r"(>=|<=|==|~=|!=|<|>)\s*(\d+)\.(\d+)(?:\.[\d*]+)*")
_LAMBDA = re.compile(
    r"aws.?lambda|lambda_(?:handler|function|context)|lambdas?(?:/|$)|LambdaContext", re.IGNORECASE
)
_TEMPLATE = """\
# {name}. `lamina sync` keeps the marked lines in step with the workspace.
FROM --platform=$BUILDPLATFORM {runtime} AS deps
ARG TARGETARCH
RUN --mount=type=cache,target=/root/.cache/pip \\
    python3 -m pip install --quiet --root-user-action=ignore {uv}
RUN --mount=type=cache,target=/root/.cache/uv \\
    {mount_mark}
{mounts}
    {end}
    arch=x86_64; if [ "$TARGETARCH" = arm64 ]; then arch=aarch64; fi; \\
    mkdir -p /rootfs{root} && \\
    uv export --quiet --frozen --no-dev --no-emit-workspace --package {name} -o /tmp/pylock.toml && \\
    uv pip install --preview-features=pylock --target /rootfs{root} \\
    --python-platform "$arch-manylinux_2_28" --compile-bytecode --link-mode=copy -r /tmp/pylock.toml

FROM {runtime}
COPY --link --from=deps /rootfs/ /
{copy_mark}
{copies}
{end}
CMD ["{handler}"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedDockerfile:
    """A Dockerfile to write. path: relative to the workspace. handler: why it is proposed."""

    member: str
    handler: str
    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceProposal:
    """The Dockerfiles to write, and notes about the members with a handler that get none."""

    dockerfiles: tuple[ProposedDockerfile, ...] = ()
    notes: tuple[Problem, ...] = ()


def propose_dockerfiles(
    workspace: UvWorkspace, existing: Iterable[str], deployed: Collection[str]
) -> WorkspaceProposal:
    """Return Dockerfiles for members with a handler that no Dockerfile installs.

    A member that others require is a library, unless something in it names Lambda: ``handler`` with two
    parameters is no certain sign.

    Args:
        existing: the paths of the repository's Dockerfiles.
        deployed: the paths that a deployment names, of which some may not exist.
    """
    texts = [_text(workspace.root / path) for path in existing]
    candidates = any(each.handler for each in workspace.members.values())
    required = set(_required(workspace)) if candidates else set()
    found: list[ProposedDockerfile] = []
    notes: list[Problem] = []
    for member in workspace.members.values():
        if (
            not member.handler
            or member.folder == "."
            or any(_serves(text, member) for text in texts)
            or (workspace.root / member.folder / "Dockerfile").exists()
        ):
            continue
        if (
            member.name not in required
            or f"{member.folder}/Dockerfile" in deployed
            or _names_lambda(workspace.root, member, member.handler)
        ):
            found.append(_proposed(workspace, member, member.handler))
        else:
            notes.append(_library(member, member.handler))
    return WorkspaceProposal(dockerfiles=tuple(found), notes=tuple(notes))


def _library(member: Member, handler: str) -> Problem:
    """Return the note about a member that is taken for a library."""
    return Problem(
        what=f"no Dockerfile is proposed for {member.name}: other members require it, and nothing in it "
        f"names Lambda, so {handler} is not taken for a function",
        where=f"{member.folder}/{PYPROJECT}",
        hint=f"if it is one, write {member.folder}/Dockerfile and run invoke init again",
    )


def _required(workspace: UvWorkspace) -> Iterator[str]:
    """Yield the members that other members require."""
    for name in workspace.members:
        yield from (each.name for each in workspace.closure(name) if each.name != name)


def _names_lambda(root: Path, member: Member, handler: str) -> bool:
    """Whether the handler, its module, the folder or the project file of a member names Lambda."""
    module = handler.rpartition(".")[0].replace(".", "/")
    folder = root / member.folder
    files = [folder / PYPROJECT]
    for base in (folder, folder / "src"):
        files += [base / f"{module}.py", base / module / "__init__.py"]
    texts = (handler, member.folder, *map(_text, files))
    return any(_LAMBDA.search(each) for each in texts)


def _proposed(workspace: UvWorkspace, member: Member, handler: str) -> ProposedDockerfile:
    python = ".".join(map(str, _python(workspace)))
    copies = [line for each in workspace.closure(member.name) for line in copy_lines(each, ".", TASK_ROOT)]
    text = _TEMPLATE.format(
        name=member.name,
        runtime=f"public.ecr.aws/lambda/python:{python}",
        uv=_UV,
        mount_mark=mark("mount", member.name),
        mounts="\n".join(f"    {line}" for line in mount_lines((member,), ".")),
        end=END,
        root=TASK_ROOT,
        copy_mark=mark("copy", member.name),
        copies="\n".join(copies),
        handler=handler,
    )
    return ProposedDockerfile(
        member=member.name, handler=handler, path=f"{member.folder}/Dockerfile", text=text
    )


def _serves(text: str, member: Member) -> bool:
    """Whether a Dockerfile is about a member: it installs it, or copies its files."""
    installs = re.search(rf"--package[= ]{re.escape(member.name)}(?![\w.-])", text)
    return bool(installs or re.search(rf"(?:^|[\s=./]){re.escape(member.folder)}(?:/|\s)", text))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _python(workspace: UvWorkspace) -> tuple[int, int]:
    """Return the runtime's version: the one in ``.python-version``, else one that the workspace allows."""
    pinned = re.match(r"(?:cpython-)?(\d+)\.(\d+)", _text(workspace.root / ".python-version").strip())
    if pinned and (int(pinned[1]), int(pinned[2])) in _PYTHONS:
        return int(pinned[1]), int(pinned[2])
    try:
        lock = tomllib.loads(_text(workspace.root / "uv.lock").partition("[[package]]")[0])
    except tomllib.TOMLDecodeError:
        lock = {}
    clauses = _CLAUSE.findall(str(lock.get("requires-python", "")))
    allowed = (each for each in _PYTHONS if all(_allows(each, *clause) for clause in clauses))
    return next(allowed, _PYTHONS[0])


def _allows(version: tuple[int, int], operator: str, major: str, minor: str) -> bool:
    bound = (int(major), int(minor))
    return {
        ">=": version >= bound,
        ">": version >= bound,
        "<=": version <= bound,
        "<": version < bound,
        "==": version == bound,
        "~=": version[0] == bound[0] and version >= bound,
        "!=": True,
    }[operator]
