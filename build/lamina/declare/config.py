"""The project: its settings, its images and its secrets, read from ``[tool.lamina]`` and the layout.

Nothing need be written: a repository with ``dockerfiles/<image>/Dockerfile`` is configured by its folders.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamina.declare.accounts import Ecr, Retention, read_ecr, read_retention
from lamina.declare.codebuild import TABLE as CODEBUILD
from lamina.declare.codebuild import CodeBuildSettings, read_codebuild
from lamina.declare.document import CONFIG_FILE, Document
from lamina.declare.expand import ExpansionError, expand
from lamina.declare.functions import Function, check_claims, read_functions
from lamina.declare.grammar import (
    CONTEXTS,
    NAMES,
    SECRET,
    SECRETS,
    is_context,
    is_name,
    unusable,
)
from lamina.declare.machine import native_platform
from lamina.declare.settings import SETTINGS, Value, read_platform, read_settings
from lamina.errors import ConfigError
from lamina.files import EPOCH

KINDS = ("base", "lambda")
SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
"""The build argument that BuildKit dates an image by: https://reproducible-builds.org/specs/source-date-epoch/"""
_IMAGE_KEYS: Mapping[str, type] = {
    "dockerfile": str,
    "context": str,
    "target": str,
    "platform": str,
    "kind": str,
    "args": dict,
    "contexts": dict,
    "functions": list,
}
_SECRET_KEYS: Mapping[str, type] = {"file": str, "optional": bool}
_KEYS: Mapping[str, type] = {
    **{name: each.kind for name, each in SETTINGS.items()},
    **dict.fromkeys(("images", "args", "secrets", "ecr", "gc", "lint", CODEBUILD), dict),
}
_LINT_KEYS: Mapping[str, type] = {"ignore": list}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A file that steps may read at ``--mount=type=secret,id=<name>``. Never hashed, copied or printed.

    optional: whether steps can do without it.
    """

    name: str
    file: Path
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """What is declared of one image. Paths are absolute, but for those for messages: relative to the project.

    context_path: of the context; empty for the project itself.
    """

    name: str
    dockerfile: Path
    dockerfile_path: str
    context: Path
    context_path: str
    target: str | None
    platform: str
    kind: str | None
    args: Mapping[str, str]
    """The image's own build arguments: one that its Dockerfile does not declare is worth a warning."""
    shared_args: Mapping[str, str]
    """The project's build arguments: used where declared."""
    contexts: Mapping[str, Path]
    functions: tuple[Function, ...]
    source: str

    @property
    def build_args(self) -> Mapping[str, str]:
        """All build arguments that may reach the image."""
        return {**self.shared_args, **self.args}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A configured repository."""

    root: Path
    settings: Mapping[str, Value]
    images: Mapping[str, ImageSpec]
    secrets: tuple[Secret, ...] = ()
    """Those whose files are there."""
    secret_names: frozenset[str] = frozenset()
    """Of all that are declared."""
    ecr: Ecr = field(default=Ecr())
    retention: Retention = field(default=Retention())
    lint_ignores: Value = field(default=Value(value=(), source="default"))
    """The rules of lint that are not wanted, by id or name."""
    codebuild: CodeBuildSettings = field(default=CodeBuildSettings())

    def get(self, name: str) -> Any:
        """The value of a setting of `SETTINGS`."""
        return self.settings[name].value

    @property
    def state(self) -> Path:
        """``.lamina/``: a cache that may be deleted at any time."""
        return self.root / ".lamina"

    def repository(self, image: str) -> str:
        """The repository name of an image in this stack."""
        template: str = self.get("repository")
        return template.replace("{image}", image).replace("{stack}", self.get("stack"))

    def stack_of(self, image: str, repository: str) -> str | None:
        """The stack of an image's repository; None where the name does not say it for certain."""
        template: str = self.get("repository")
        stacks = {
            name: found["stack"]
            for name in self.images
            if (found := _pattern(template, name).fullmatch(repository)) and "stack" in found.groupdict()
        }
        return stacks.get(image) if len(stacks) == 1 else None


def _pattern(template: str, image: str) -> re.Pattern[str]:
    """The repositories of an image in any stack."""
    text = re.escape(template).replace(re.escape("{image}"), re.escape(image))
    return re.compile(text.replace(re.escape("{stack}"), r"(?P<stack>[a-z0-9][a-z0-9._-]*)", 1))


def find_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` that is configured or laid out for images, else ``start``."""
    for folder in (start, *start.parents):
        file = folder / CONFIG_FILE
        if any(folder.glob(f"{SETTINGS['dockerfiles'].default}/*/Dockerfile")):
            return folder
        if file.is_file() and "[tool.lamina" in file.read_text("utf-8", errors="replace"):
            return folder
    return start


def load_project(
    root: Path,
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    text: str | None = None,
) -> Project:
    """Read everything that is configured. Raises ConfigError with all faults at once.

    flags: values from the command line by setting name; None means not given. text: the configuration
    file as it would be, instead of the one that is there.
    """
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise ConfigError.of(
            f"file names are read as {encoding} here, and would give other fingerprints than elsewhere",
            where="the locale",
            allowed="UTF-8",
            hint="export PYTHONUTF8=1",
        )
    environment = os.environ if env is None else env
    document = Document(root, text)
    for path, what in unusable(document.table):
        document.problem(what, where=document.where(*path))
    document.check()  # before anything of it is looked for on the disk
    document.table = document.known(document.table, _KEYS)
    settings = read_settings(document, environment, flags or {})
    images = dict(_images(root, document, settings))
    secrets = tuple(_secrets(root, document, environment))
    ecr, retention = read_ecr(document), read_retention(document)
    check_claims({name: each.functions for name, each in images.items()}, ecr, document)
    lint = document.known(document.table.get("lint", {}), _LINT_KEYS, "lint")
    codebuild = read_codebuild(document)
    document.check()
    ignores = tuple(str(each) for each in lint.get("ignore", ()))
    return Project(
        root=root,
        settings=settings,
        images=images,
        secrets=secrets,
        secret_names=frozenset(document.table.get("secrets", {})),
        ecr=ecr,
        retention=retention,
        lint_ignores=Value(value=ignores, source=document.where("lint", "ignore")),
        codebuild=codebuild,
    )


def _images(root: Path, document: Document, settings: Mapping[str, Value]) -> Iterator[tuple[str, ImageSpec]]:
    """The declared images and those found by layout, sorted by name."""
    declared: Mapping[str, Any] = document.table.get("images", {})
    shared_args = document.strings(document.table.get("args", {}), "args")
    if settings["reproducible"].value:
        shared_args = {SOURCE_DATE_EPOCH: str(EPOCH), **shared_args}
    folder = str(settings["dockerfiles"].value)
    found = {
        file.parent.name: f"{folder}/{file.parent.name}/Dockerfile"
        for file in root.joinpath(folder).glob("*/Dockerfile")
    }
    for name in sorted({*declared, *found}):
        given = document.known(declared.get(name, {}), _IMAGE_KEYS, "images", name)
        dockerfile = given.get("dockerfile", found.get(name))
        where = document.where("images", name) if name in declared else found[name]
        if not is_name(name):
            document.problem(
                f"{name!r} is no image name: it is part of a repository name", where=where, allowed=NAMES
            )
        elif dockerfile is None:
            document.problem(
                f"image {name} has no Dockerfile",
                where=where,
                hint=f'write {folder}/{name}/Dockerfile or set dockerfile = "path/to/Dockerfile"',
            )
        elif name in found and posixpath.normpath(dockerfile) != found[name]:
            document.problem(
                f"two images are called {name}: {dockerfile} and {found[name]}",
                where=document.where("images", name, "dockerfile"),
                hint="rename one of them",
            )
        else:
            yield name, _image(root, name, given, dockerfile, shared_args, document, settings)


def _image(
    root: Path,
    name: str,
    given: Mapping[str, Any],
    dockerfile: str,
    shared_args: Mapping[str, str],
    document: Document,
    settings: Mapping[str, Value],
) -> ImageSpec:
    kind = given.get("kind")
    if kind not in {None, *KINDS}:
        document.problem(
            f"{kind!r} is no kind of image",
            where=document.where("images", name, "kind"),
            allowed=", ".join(KINDS),
        )
    context_path = posixpath.normpath(given.get("context", settings["context"].value))
    context = root / context_path
    if not context.is_dir():
        document.problem(
            f"the context of {name} is no folder: {context}",
            where=document.where("images", name, "context"),
        )
    platform = settings["platform"]
    own = "" if platform.source.startswith("--") else given.get("platform", "")
    own = read_platform(own, document.where("images", name, "platform"), document)
    contexts = document.strings(given.get("contexts", {}), "images", name, "contexts")
    for key, path in contexts.items():
        if not is_context(key):
            document.problem(
                f"{key!r} is no name of a context",
                where=document.where("images", name, "contexts", key),
                allowed=CONTEXTS,
            )
        elif not (root / path).is_dir():
            document.problem(
                f"the context {key} of {name} is no folder: {root / path}",
                where=document.where("images", name, "contexts", key),
                allowed="a folder of this machine",
            )
    return ImageSpec(
        name=name,
        dockerfile=root / dockerfile,
        dockerfile_path=dockerfile,
        context=context.resolve(),
        context_path="" if context_path == "." else context_path,
        target=given.get("target"),
        platform=own or platform.value or native_platform(),
        kind=kind,
        args=document.strings(given.get("args", {}), "images", name, "args"),
        shared_args=shared_args,
        contexts={key: (root / path).resolve() for key, path in contexts.items()},
        functions=tuple(read_functions(given.get("functions", ()), document, name, settings["stack"].value)),
        source=document.where("images", name) if given else dockerfile,
    )


def _secrets(root: Path, document: Document, env: Mapping[str, str]) -> Iterator[Secret]:
    """The secrets whose files are there; one that is missing is a problem unless it is optional."""
    for name, table in document.table.get("secrets", {}).items():
        where = document.where("secrets", name)
        given = document.known(table, _SECRET_KEYS, "secrets", name)
        if not SECRET.fullmatch(name):
            document.problem(f"{name!r} is no id of a secret", where=where, allowed=SECRETS)
            continue
        try:
            file = root / Path(expand(given["file"], env, open_world=False)).expanduser()
        except (KeyError, ExpansionError) as error:
            document.problem(
                f"secret {name} names no file ({error})",
                where=where,
                allowed='{ file = "path, $VARIABLE or ${VARIABLE:-path}", optional = true }',
            )
            continue
        if file.is_file():
            yield Secret(name=name, file=file, optional=given.get("optional", False))
        elif not given.get("optional", False):
            document.problem(
                f"secret {name}: there is no file {file}",
                where=where,
                hint="create it, or mark the secret optional = true",
            )
