"""The project's settings, images and secrets, read from its configuration file and the folder layout.

Configuration is optional: each ``dockerfiles/<image>/Dockerfile`` is an image without being listed.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from lamina.declare.accounts import GC_KEYS, Retention, read_retention
from lamina.declare.codebuild import KEYS as CODEBUILD_KEYS
from lamina.declare.codebuild import TABLE as CODEBUILD
from lamina.declare.codebuild import CodeBuildSettings, read_codebuild
from lamina.declare.document import LAMINA_TOML, PYPROJECT, TEXTS, Document, Entries, Key, has_table
from lamina.declare.ecr import ECR_KEYS, Ecr, read_ecr
from lamina.declare.expand import ExpansionError, expand
from lamina.declare.functions import FUNCTIONS, Function, check_claims, check_regions, read_functions
from lamina.declare.grammar import (
    CONTEXTS,
    NAME,
    NAMES,
    SECRET,
    SECRETS,
    is_context,
    is_name,
    unusable,
)
from lamina.declare.machine import native_platform
from lamina.declare.settings import (
    DEFAULT,
    SETTINGS,
    Settings,
    SettingValue,
    Value,
    read_platform,
    read_settings,
    stack_name,
)
from lamina.declare.stacks import STACKS, Stack, declared_stacks, select_stack, stacks_key
from lamina.errors import ConfigError
from lamina.files import EPOCH, with_home
from lamina.patterns import regex
from lamina.values import dataclass

KINDS = ("base", "lambda")
SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
"""The build argument for timestamps: https://reproducible-builds.org/specs/source-date-epoch/"""
_DURATION = regex(r"(\d+(?:\.\d+)?) ?(ms|s)")
# fmt: off
_IMAGE_KEYS: Mapping[str, Key] = {
    "dockerfile": Key(kind=str, help="path of the Dockerfile; by default <dockerfiles>/<image>/Dockerfile"),
    "context": Key(kind=str, help="folder of the build context"),
    "target": Key(kind=str, help="the stage to build; by default the last"),
    "platform": Key(kind=str, help="linux/amd64 or linux/arm64"),
    "kind": Key(kind=str, choices=KINDS, help="by default an image that others build FROM is a base"),
    "args": Key(kind=dict, values=TEXTS, help="build arguments of this image"),
    "contexts": Key(kind=dict, values=(Key(kind=str),), help="further build contexts: name -> folder"),
    "functions": FUNCTIONS,
    "before": Key(kind=str, help="shell command that makes sources of the image; run with --prepare, in the "
                                 "project's folder"),
    "max-init": Key(kind=str, pattern=_DURATION.pattern,
                    help="the longest init that smoke accepts: 3s, 2.5s, 800ms"),
    "snap-start": Key(kind=bool, help="whether Lambda starts published versions from a snapshot (SnapStart); "
                                      "by default deploy leaves the functions' setting alone"),
}
_SECRET_KEYS: Mapping[str, Key] = {
    "file": Key(kind=str, help="path, $VARIABLE or ${VARIABLE:-path}"),
    "optional": Key(kind=bool, help="whether the file may be missing"),
}
_LINT_KEYS: Mapping[str, Key] = {
    "ignore": Key(kind=list, values=(Key(kind=str),), help="rules to switch off, by id or name"),
}
_PROJECT_KEYS: Mapping[str, Key] = {
    **{
        name: Key(kind=each.kind, help=each.help, choices=each.choices, least=0 if each.kind is int else None)
        for name, each in SETTINGS.items()
    },
    "images": Key(kind=dict, names=NAME.pattern, values=(Key(kind=dict, table=_IMAGE_KEYS),),
                  help="what differs from <dockerfiles>/<image>/Dockerfile, by image"),
    "args": Key(kind=dict, values=TEXTS, help="build arguments of all images that declare them"),
    "secrets": Key(kind=dict, names=SECRET.pattern, values=(Key(kind=dict, table=_SECRET_KEYS),),
                   help="files that steps may mount, by id; they are never hashed, copied or printed"),
    "ecr": Key(kind=dict, table=ECR_KEYS, help="the registry, if it is ECR"),
    "gc": Key(kind=dict, table=GC_KEYS, help="the images that gc keeps"),
    "lint": Key(kind=dict, table=_LINT_KEYS),
    CODEBUILD: Key(kind=dict, table=CODEBUILD_KEYS, help="how to build on AWS CodeBuild"),
}
KEYS: Mapping[str, Key] = {**_PROJECT_KEYS, STACKS: stacks_key(_PROJECT_KEYS)}
"""The keys of ``[tool.lamina]``."""
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A file that steps may read at ``--mount=type=secret,id=<name>``. Never hashed, copied or printed.

    Attributes:
        optional: Whether the file may be missing.
    """

    name: str
    file: Path
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """The declaration of one image.

    Attributes:
        dockerfile: Absolute path; `dockerfile_path` is relative to the project, for messages.
        context: Absolute path; `context_path` is relative to the project, empty for the project itself.
        source: Where the image is declared, for messages.
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
    """The image's own build arguments. One that the Dockerfile does not declare gets a warning."""
    shared_args: Mapping[str, str]
    """The project's build arguments, used by images that declare them."""
    contexts: Mapping[str, Path]
    functions: tuple[Function, ...]
    source: str
    before: str | None = None
    """The shell command that makes sources of the image, if any. `lamina.flow.prepare` runs it."""
    max_init: float | None = None
    """The longest init that `invoke smoke` accepts, in milliseconds."""
    snap_start: bool | None = None
    """Whether its functions use SnapStart; None leaves their setting alone."""

    @property
    def build_args(self) -> Mapping[str, str]:
        """All build arguments that may reach the image; the image's own take precedence."""
        return {**self.shared_args, **self.args}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A configured repository."""

    root: Path
    settings: Settings
    images: Mapping[str, ImageSpec]
    secrets: tuple[Secret, ...] = ()
    """The secrets whose files exist."""
    secret_names: frozenset[str] = frozenset()
    """The names of all declared secrets, including those without a file."""
    ecr: Ecr = field(default=Ecr())
    retention: Retention = field(default=Retention())
    lint_ignores: Value[tuple[str, ...]] = field(default=Value(value=(), source=DEFAULT))
    """The lint rules to switch off, by id or name."""
    codebuild: CodeBuildSettings = field(default=CodeBuildSettings())
    stack: Stack = field(default=Stack(name="dev"))
    """The selected stack."""
    stacks: tuple[str, ...] = ()
    """The declared stacks."""

    @property
    def state(self) -> Path:
        """The state folder, ``.lamina/``. It is a cache and may be deleted at any time."""
        return self.root / ".lamina"

    def repository(self, image: str) -> str:
        """Return the repository name of an image in the current stack."""
        named = self.settings.repository.replace("{image}", image)
        return named.replace("{stack}", self.settings.stack)

    def stack_of(self, image: str, repository: str) -> str | None:
        """Return the stack in an image's repository name, or None when it is not certain."""
        template = self.settings.repository
        stacks = {
            name: found["stack"]
            for name in self.images
            if (found := _pattern(template, name).fullmatch(repository)) and "stack" in found.groupdict()
        }
        return stacks.get(image) if len(stacks) == 1 else None


def _pattern(template: str, image: str) -> re.Pattern[str]:
    """Return a pattern that matches the repository names of an image in any stack."""
    text = re.escape(template).replace(re.escape("{image}"), re.escape(image))
    return re.compile(text.replace(re.escape("{stack}"), r"(?P<stack>[a-z0-9][a-z0-9._-]*)", 1))


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` with a configuration or Dockerfiles, else ``start``."""
    for folder in (start, *start.parents):
        if any(folder.glob(f"{SETTINGS['dockerfiles'].default}/*/Dockerfile")):
            return folder
        if (folder / LAMINA_TOML).is_file() or has_table(folder / PYPROJECT):
            return folder
    return start


def load_project(
    root: Path,
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, SettingValue | None] | None = None,
    text: str | None = None,
) -> Project:
    """Read the whole configuration.

    Args:
        env: Environment variables; None means those of this process.
        flags: Setting name -> value from the command line. None means not given.
        text: Text to read instead of the configuration file.

    Raises:
        ConfigError: With all problems at once.
    """
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise ConfigError.of(
            f"the file system encoding is {encoding}, which would change file names and fingerprints",
            where="the locale",
            allowed="UTF-8",
            hint="export PYTHONUTF8=1",
        )
    environment = os.environ if env is None else env
    document = Document(root, text)
    for path, fault in unusable(document.table):
        document.problem(fault, where=document.where(*path))
    document.check()  # before any configured path is looked up on the disk
    document.table = document.known(document.table, KEYS)
    stacks = declared_stacks(document)
    stack = select_stack(document, stack_name(document, environment, flags or {}), KEYS[STACKS])
    settings = read_settings(document, environment, flags or {})
    images = dict(_images(root, document, settings))
    secrets = tuple(_secrets(root, document, environment))
    ecr = read_ecr(document, account=stack.account, region=stack.region)
    retention = read_retention(document)
    functions = {name: each.functions for name, each in images.items()}
    check_claims(functions, stack, ecr, document)
    check_regions(settings.sourced("registry"), ecr, functions, document)
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
        stack=stack,
        stacks=stacks,
    )


def _images(root: Path, document: Document, settings: Settings) -> Iterator[tuple[str, ImageSpec]]:
    """Yield the declared images and those found by layout, sorted by name."""
    declared: Entries = document.table.get("images", {})
    shared_args = document.strings(document.table.get("args", {}), "args")
    if settings.reproducible:
        shared_args = {SOURCE_DATE_EPOCH: str(EPOCH), **shared_args}
    folder = settings.dockerfiles
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
                f"{name!r} is not an image name: it is part of a repository name", where=where, allowed=NAMES
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
    given: Entries,
    dockerfile: str,
    shared_args: Mapping[str, str],
    document: Document,
    settings: Settings,
) -> ImageSpec:
    kind = given.get("kind")
    if kind not in {None, *KINDS}:
        document.problem(
            f"{kind!r} is not a kind of image",
            where=document.where("images", name, "kind"),
            allowed=", ".join(KINDS),
        )
    context_path = posixpath.normpath(given.get("context", settings.context))
    context = root / context_path
    if not context.is_dir():
        document.problem(
            f"the context of {name} is not a folder: {context}",
            where=document.where("images", name, "context"),
        )
    own = "" if settings.source("platform").startswith("--") else given.get("platform", "")
    own = read_platform(own, document.where("images", name, "platform"), document)
    contexts = document.strings(given.get("contexts", {}), "images", name, "contexts")
    for key, path in contexts.items():
        if not is_context(key):
            document.problem(
                f"{key!r} is not a context name",
                where=document.where("images", name, "contexts", key),
                allowed=CONTEXTS,
            )
        elif not (root / path).is_dir():
            document.problem(
                f"the context {key} of {name} is not a folder: {root / path}",
                where=document.where("images", name, "contexts", key),
                allowed="a folder on this machine",
            )
    return ImageSpec(
        name=name,
        dockerfile=root / dockerfile,
        dockerfile_path=dockerfile,
        context=context.resolve(),
        context_path="" if context_path == "." else context_path,
        target=given.get("target"),
        platform=own or settings.platform or native_platform(),
        kind=kind,
        args=document.strings(given.get("args", {}), "images", name, "args"),
        shared_args=shared_args,
        contexts={key: (root / path).resolve() for key, path in contexts.items()},
        functions=tuple(read_functions(given.get("functions", ()), document, name, settings.stack)),
        source=document.where("images", name) if given else dockerfile,
        before=given.get("before"),
        max_init=_milliseconds(given.get("max-init"), document, "images", name, "max-init"),
        snap_start=given.get("snap-start"),
    )


def _milliseconds(text: str | None, document: Document, *path: str) -> float | None:
    """Read a duration; a problem goes to the document."""
    found = _DURATION.fullmatch(text or "")
    if text is not None and not found:
        document.problem(
            f"{text!r} is not a duration", where=document.where(*path), allowed="3s, 2.5s, 800ms"
        )
    return float(found[1]) * (1 if found[2] == "ms" else 1000) if found else None


def _secrets(root: Path, document: Document, env: Mapping[str, str]) -> Iterator[Secret]:
    """Yield the secrets whose files exist. A missing file is a problem unless the secret is optional."""
    for name, table in document.table.get("secrets", {}).items():
        where = document.where("secrets", name)
        given = document.known(table, _SECRET_KEYS, "secrets", name)
        if not SECRET.fullmatch(name):
            document.problem(f"{name!r} is not a secret id", where=where, allowed=SECRETS)
            continue
        try:
            file = root / with_home(expand(given["file"], env, open_world=False))
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
