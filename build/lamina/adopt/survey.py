"""Survey a repository: its Dockerfiles, and the infrastructure files that deploy them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.adopt.cdk_helpers import Helper
from lamina.adopt.cdk_typescript import helpers_of, read_cdk_typescript
from lamina.adopt.compose import read_compose
from lamina.adopt.declared import Asset, Declared, ImageFunction, Reading
from lamina.adopt.pulumi_typescript import is_pulumi, read_pulumi_typescript
from lamina.adopt.python_infra import read_python_infra
from lamina.adopt.sam import read_sam
from lamina.adopt.serverless import read_serverless
from lamina.adopt.terraform import read_terraform
from lamina.adopt.terraform_folders import terraform_folders
from lamina.errors import Problem
from lamina.identify.tree import shown

_SKIPPED = frozenset(
    {
        *(".git", ".hg", ".svn", ".lamina", ".aws-sam", ".serverless", "cdk.out", ".terraform", ".idea"),
        *("node_modules", "bower_components", "site-packages", "dist-packages", "__pycache__"),
        *("vendor", "vendored", "third_party", "venv", ".venv", ".tox", ".nox", ".mypy_cache"),
    }
)
_TESTS = frozenset({"test", "tests"})
_DOCKERFILE = re.compile(r"[Dd]ockerfile(?:\.(?!dockerignore$)[^/]+)?|[^/]+\.[Dd]ockerfile")
_OTHER = re.compile(r".*(?:~|\.(?:orig|bak|swp|md|txt|j2|tmpl|template|py|pyi|js|ts|go))")
_SAM = re.compile(r"(?:.*[-_.])?(?:template|sam)(?:[-_.].*)?\.ya?ml")
_SERVERLESS = re.compile(r"serverless(?:[-_.].*)?\.ya?ml")
_COMPOSE = re.compile(r"(?:docker-)?compose(?:[-_.].*)?\.ya?ml")
_TYPESCRIPT = re.compile(r".*(?<!\.d)\.tsx?")
_JAVASCRIPT = re.compile(r".*\.[cm]?js")
_COMPILED = frozenset({"dist", "build", "out"})
"""Folders of JavaScript that is made from other files."""
_IS_SAM = "AWS::Serverless"
_SAM_IMAGE = re.compile(r"\bImage\b")
_SERVERLESS_IMAGE = re.compile(r"\becr\b")
"""Words without which a file is not about images. Reading YAML takes long."""
_TERRAFORM = (".tf", ".auto.tfvars", "terraform.tfvars")
_LANGUAGES = {"go": "Go", "java": "Java", "cs": "C#", "kt": "Kotlin"}
_RUNS_IMAGES = re.compile("DockerImage(?:Function|Code)")
_MOST_BYTES = 1_000_000
_MAKES_IMAGES = re.compile(
    "DockerImage|DockerBuild|from_image_asset|from(?:Image|AssetI)|pulumi_docker|docker_build|ContainerImage"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySurvey:
    """A repository's files.

    Attributes:
        dockerfiles: sorted POSIX paths, relative to it.
        declared: their deployments.
        assets: those whose files go into zip files.
        unbuilt: functions whose images nothing builds that is known.
    """

    dockerfiles: tuple[str, ...]
    declared: tuple[Declared, ...]
    notes: tuple[Problem, ...]
    assets: tuple[Asset, ...] = ()
    unbuilt: tuple[ImageFunction, ...] = ()


def survey(root: Path, planned: Collection[str] = ()) -> RepositorySurvey:
    """Survey a repository; installed, vendored and generated folders are skipped.

    planned: Dockerfiles that are proposed, and perhaps not written yet.
    """
    paths = sorted(_files(root))
    helpers = _helpers(root, paths)
    readings = [each for path in paths if (each := _read(root, path, helpers)) is not None]
    readings.append(_terraform(root, paths))
    declared = _without_copies([_existing(each, root) for reading in readings for each in reading.declared])
    assets = tuple(each for reading in readings for each in reading.assets)
    notes = [note for reading in readings for note in reading.notes]
    notes += _other_languages(root, paths)
    named = {
        each.dockerfile
        for each in declared
        if each.deploys and (each.dockerfile in planned or (root / each.dockerfile).is_file())
    }
    notes += (
        Problem(what=f"names {each.dockerfile}, which does not exist", where=each.where)
        for each in declared
        if each.deploys and each.dockerfile not in named
    )
    found = {path for path in paths if _is_dockerfile(path.rpartition("/")[2])}
    found -= {path for path in found if _is_hidden(path, found)}
    tests = {path for path in found if not _TESTS.isdisjoint(path.split("/")[:-1])} - named
    odd = {path for path in found if shown(path) != path}
    notes += (Problem(what="skipped: it belongs to tests", where=shown(each)) for each in sorted(tests))
    notes += (
        Problem(what="skipped: the file name is not printable text", where=shown(each))
        for each in sorted(odd)
    )
    return RepositorySurvey(
        dockerfiles=tuple(sorted(((found | named) - tests - odd).union(planned))),
        declared=declared,
        notes=tuple(notes),
        assets=assets,
        unbuilt=tuple(each for reading in readings for each in reading.unbuilt),
    )


def _existing(declared: Declared, root: Path) -> Declared:
    """Return an image with its ``dockerfile`` if it has no ``Dockerfile``, as Docker does."""
    folder, slash, name = declared.dockerfile.rpartition("/")
    lower = f"{folder}{slash}dockerfile"
    if name != "Dockerfile" or (root / declared.dockerfile).is_file() or not (root / lower).is_file():
        return declared
    return replace(declared, dockerfile=lower)


def _terraform(root: Path, paths: list[str]) -> Reading:
    """Read Terraform modules, whose files belong together."""
    named = [path for path in paths if path.endswith(_TERRAFORM)]
    texts = {path: text for path in named if isinstance(text := _text(root / path), str)}
    folders = terraform_folders(texts)
    return read_terraform(
        {path: text for path, text in texts.items() if path.rpartition("/")[0] in folders}, root
    )


def _text(file: Path) -> str | OSError | UnicodeDecodeError | None:
    """Return a file's text; None if it is too large, and the error if it cannot be read."""
    try:
        if not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return None
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return error


def _without_copies(declared: list[Declared]) -> tuple[Declared, ...]:
    """Leave out what compose files say about an image that another file deploys, or that they name again."""
    deployed = {each.dockerfile for each in declared if each.deploys}
    run = {each.dockerfile: each for each in reversed(declared) if not each.deploys}
    run |= {each.dockerfile: each for each in reversed(declared) if each.elsewhere and not each.deploys}
    return (
        *(each for each in declared if each.deploys),
        *(each for name, each in sorted(run.items()) if name not in deployed),
    )


def _is_dockerfile(name: str) -> bool:
    return _DOCKERFILE.fullmatch(name) is not None and _OTHER.fullmatch(name) is None


def _is_hidden(path: str, found: set[str]) -> bool:
    """Whether Docker passes over a ``dockerfile``: it takes one only where there is no ``Dockerfile``."""
    folder, slash, name = path.rpartition("/")
    return name == "dockerfile" and f"{folder}{slash}Dockerfile" in found


def _files(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        directory = Path(folder)
        if directory != root and "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = sorted(each for each in folders if each not in _SKIPPED)
        prefix = directory.relative_to(root).as_posix()
        yield from (each if prefix == "." else f"{prefix}/{each}" for each in files)


def _helpers(root: Path, paths: Iterable[str]) -> Mapping[str, Helper]:
    """Return the functions of CDK programs that build what they are given, by name."""
    found: dict[str, Helper] = {}
    for path in paths:
        text = _text(root / path) if _is_script(root, path) else None
        if isinstance(text, str) and _MAKES_IMAGES.search(text):
            found |= helpers_of(text)
    return found


def _is_script(root: Path, path: str) -> bool:
    """Whether a file is a program in TypeScript, or in JavaScript that is not made from TypeScript."""
    if _JAVASCRIPT.fullmatch(path):
        return _COMPILED.isdisjoint(path.split("/")) and not (root / path).with_suffix(".ts").is_file()
    return _TYPESCRIPT.fullmatch(path) is not None


def _other_languages(root: Path, paths: Iterable[str]) -> Iterator[Problem]:
    """Yield a note for each CDK program in a language that is not read."""
    languages = {path: _LANGUAGES.get(path.rpartition(".")[2]) for path in paths}
    if not any(path.rpartition("/")[2] == "cdk.json" for path in languages):
        return
    for path, language in languages.items():
        text = _text(root / path) if language else None
        if isinstance(text, str) and _RUNS_IMAGES.search(text):
            yield Problem(
                what=f"a CDK program in {language} is not read: functions and build arguments are not known",
                where=path,
                hint="add functions and args in [tool.lamina.images.<name>]",
            )


def _read(root: Path, path: str, helpers: Mapping[str, Helper]) -> Reading | None:
    """Return the images that a file declares; None if it is not about images."""
    name, file = path.rpartition("/")[2], root / path
    is_yaml = any(each.fullmatch(name) for each in (_SERVERLESS, _SAM, _COMPOSE))
    is_typescript = _is_script(root, path)
    if not (is_yaml or is_typescript or name.endswith(".py")):
        return None
    text = _text(file)
    if isinstance(text, UnicodeDecodeError):
        return Reading(notes=(Problem(what="not UTF-8", where=path),)) if is_yaml else None
    if isinstance(text, OSError):
        return Reading(notes=(Problem(what=f"cannot be read: {text.strerror}", where=path),))
    if text is None:
        return None
    if _SERVERLESS.fullmatch(name):
        return read_serverless(text, path) if _SERVERLESS_IMAGE.search(text) else None
    if _COMPOSE.fullmatch(name):
        return read_compose(text, path)
    if is_yaml:
        if not (_IS_SAM in text and _SAM_IMAGE.search(text)):
            return None
        beside = _text(file.with_name("samconfig.toml"))
        return read_sam(text, path, beside if isinstance(beside, str) else "")
    if is_typescript and is_pulumi(text):
        return read_pulumi_typescript(text, path, root)
    if is_typescript:
        about = _MAKES_IMAGES.search(text) or any(f"{each}(" in text for each in helpers)
        return read_cdk_typescript(text, path, root, helpers) if about else None
    return read_python_infra(text, path, root) if _MAKES_IMAGES.search(text) else None
