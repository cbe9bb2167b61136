"""Read images and functions from Terraform modules, as far as they are plain. Nothing is run.

Known are ``aws_lambda_function``, ``docker_image`` and ``docker_registry_image`` of the Docker provider, and
terraform-aws-modules/lambda with its docker-build:
https://registry.terraform.io/modules/terraform-aws-modules/lambda/aws
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamina.adopt.declared import Declared, ImageFunction, Reading, first_inside, open_keys
from lamina.adopt.hcl import Expression, HclBlock, Template, read_blocks, written
from lamina.adopt.terraform_folders import joined
from lamina.declare.machine import normal_platform
from lamina.errors import Problem

_FUNCTION = "aws_lambda_function"
_BUILDERS = ("docker_image", "docker_registry_image")
_MODULE = re.compile(
    r"(?:.*[/:])?terraform-aws-(?:modules/)?lambda(?:/aws|\.git)?(?P<part>//modules/docker-build)?(?:\?.*)?"
)
_REFERENCE = re.compile(r"(?P<kind>[a-z_]\w*)\.(?P<name>[\w-]+)(?:\[[^\]]*\])?(?:\.(?P<rest>[\w-]+))?")
_CALL = re.compile(r"(?:abspath|pathexpand|tostring|nonsensitive)\((?P<inner>.*)\)", re.DOTALL)
_ONE_VARIABLE = re.compile(r'(?:"\$\{)?var\.(\w+)(?:\}")?')
_PART = re.compile(r"\$\{([^{}]*)\}")
_UNKNOWN, _STACK = "\0", "\1"
"""Stand in a text for a part that only Terraform knows, and for the stack."""
_STACKS = frozenset({"env", "environment", "environment_name", "stage", "stack"})
"""Variables that name the stack, as ``terraform.workspace`` does."""
_NAME = re.compile(r"(?:[A-Za-z0-9_-]|\{stack\}){1,64}")
_NOT_PLAIN = "an image whose Dockerfile is not given by plain strings"
_DEEPEST = 20
_DEFAULT = "x86_64"
_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """An image that a block builds. dockerfile: None with a fault, why it is not known."""

    dockerfile: str | None
    fault: str = ""
    context: str | None = None
    platform: str | None = None
    target: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    open_args: tuple[str, ...] = ()
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    """A module as it is called. Paths that start with a slash are relative to the repository.

    Attributes:
        folder, top: of the module, and of the root module, in which Terraform runs.
        inputs: evaluated: a text, an image, or None.
        caller, given: the module that calls it, and the inputs as that writes them.
    """

    folder: str
    top: str
    blocks: tuple[HclBlock, ...]
    inputs: Mapping[str, object] = field(default_factory=dict)
    caller: _Module | None = None
    given: Mapping[str, object] = field(default_factory=dict)

    def find(self, kind: str, *labels: str) -> HclBlock | None:
        """Return a block by its kind and labels."""
        return next((each for each in self.blocks if each.kind == kind and each.labels == labels), None)

    def values(self, kind: str) -> dict[str, object]:
        """Return the attributes of all blocks of a kind: ``locals``, or those outside of blocks."""
        return {key: value for each in self.blocks if each.kind == kind for key, value in each.values.items()}

    def written(self, value: object) -> str:
        """Return a value as it is written: a variable as the module writes it that gives it a value."""
        text = written(value)
        name = _ONE_VARIABLE.fullmatch(text)
        if name and self.caller and name[1] in self.given:
            return self.caller.written(self.given[name[1]])
        return text


def read_terraform(texts: Mapping[str, str], root: Path) -> Reading:
    """Return every image that the modules of a repository build, with the functions that run it.

    Args:
        texts: path of each ``.tf`` and ``.tfvars`` file -> its text.
        root: of the repository.
    """
    notes: list[Problem] = []
    folders: dict[str, tuple[HclBlock, ...]] = {}
    for path, text in texts.items():
        if notes and notes[-1].where is None:  # python-hcl2 is missing
            break
        blocks = read_blocks(text, path, (_FUNCTION, *_BUILDERS))
        if isinstance(blocks, Problem):
            notes.append(blocks)
            continue
        folder = posixpath.dirname(path)
        folders[folder] = (*folders.get(folder, ()), *blocks)
    reader = _Reader(root, folders, notes)
    called = {target for folder, blocks in folders.items() for target in _local_modules(folder, blocks)}
    for folder in sorted(folders):
        if folder not in called:
            reader.read(_Module(folder=folder, top=folder, blocks=folders[folder]), 0)
    unbuilt = tuple(dict.fromkeys(reader.unbuilt))
    return Reading(declared=tuple(reader.declared()), notes=tuple(dict.fromkeys(notes)), unbuilt=unbuilt)


def _local_modules(folder: str, blocks: tuple[HclBlock, ...]) -> Iterator[str]:
    for each in blocks:
        source = each.values.get("source")
        if each.kind == "module" and isinstance(source, Template) and source.text.startswith("."):
            yield joined(folder, source.text)


class _Reader:
    def __init__(self, root: Path, folders: Mapping[str, tuple[HclBlock, ...]], notes: list[Problem]) -> None:
        self._root = root
        self._folders = folders
        self._notes = notes
        self.unbuilt: list[ImageFunction] = []
        self._functions: dict[_Built, list[ImageFunction]] = {}

    def declared(self) -> Iterator[Declared]:
        """Yield the images, those without functions as well."""
        for built, functions in self._functions.items():
            if built.dockerfile is None:
                continue
            alike: dict[tuple[str | None, tuple[str, ...]], list[ImageFunction]] = {}
            for each in functions:
                alike.setdefault((each.platform, each.command), []).append(each)
            for (platform, command), some in (alike or {(None, ()): []}).items():
                yield Declared(
                    dockerfile=built.dockerfile,
                    context=built.context,
                    functions=tuple(dict.fromkeys(each.name for each in some if each.name)),
                    resources=tuple(dict.fromkeys(each.label for each in some if not each.name)),
                    platform=platform or built.platform,
                    target=built.target,
                    args=dict(built.args),
                    open_args=built.open_args,
                    command=command,
                    where=built.where,
                    deploys=bool(functions),
                    elsewhere=not functions,
                )

    def read(self, module: _Module, depth: int) -> None:
        """Read a module, and the modules of the repository that it calls."""
        for block in module.blocks:
            if block.kind == "resource" and block.labels[0] in _BUILDERS:
                self._note(self._image(module, block, depth))
            elif block.kind == "resource" and block.labels[0] == _FUNCTION:
                self._function(module, block, depth)
            elif block.kind == "module" and (known := _known_module(block)):
                if known["part"]:
                    self._note(self._image(module, block, depth))
                else:
                    self._function(module, block, depth)
            elif block.kind == "module" and depth < _DEEPEST and (child := self._child(module, block, depth)):
                self.read(child, depth + 1)

    def _note(self, built: _Built | None) -> None:
        if built is None:
            return
        if built.dockerfile is None:
            self._notes.append(Problem(what=built.fault, where=built.where))
        self._functions.setdefault(built, [])

    def _function(self, module: _Module, block: HclBlock, depth: int) -> None:
        """Read a function; one of a zip file is none of ours."""
        given = block.values
        kind = _plain(self._value(module, given.get("package_type"), depth))
        if kind == "Zip" or (kind is None and "image_uri" not in given):
            return
        label = block.labels[-1]
        name = _function_name(self._value(module, given.get("function_name"), depth))
        image = self._value(module, given.get("image_uri"), depth)
        built = image if isinstance(image, _Built) else self._pushed_to(module, image, depth)
        architectures = given.get("architectures")
        first = architectures[0] if isinstance(architectures, list) and architectures else architectures
        named = _DEFAULT if first is None else _plain(self._value(module, first, depth))
        function = ImageFunction(
            name=name,
            label=label,
            image=module.written(given.get("image_uri")) or "an image",
            platform=_PLATFORMS.get(named or ""),
            command=self._command(module, given, depth),
            where=block.where,
        )
        if built is None:
            self.unbuilt.append(function)
        else:
            self._functions.setdefault(built, []).append(function)

    def _command(self, module: _Module, given: Mapping[str, object], depth: int) -> tuple[str, ...]:
        """Return what replaces the image's CMD, if all of it is plain."""
        nested = given.get("image_config")
        inner = nested[0] if isinstance(nested, list) and nested else nested
        words = inner.get("command") if isinstance(inner, dict) else given.get("image_config_command")
        plain = [
            _plain(self._value(module, each, depth)) for each in (words if isinstance(words, list) else [])
        ]
        return tuple(each or "" for each in plain) if all(plain) else ()

    def _pushed_to(self, module: _Module, image: object, depth: int) -> _Built | None:
        """Return the image that a block pushes to the repository of an image's name."""
        wanted = _repository(image)
        for each in module.blocks if wanted else ():
            builds = each.kind == "resource" and each.labels[0] in _BUILDERS
            if builds and _repository(self._value(module, each.values.get("name"), depth)) == wanted:
                return self._image(module, each, depth)
        return None

    def _image(self, module: _Module, block: HclBlock, depth: int) -> _Built | None:
        """Return the image that a block builds; None for one that builds none, as of a pulled image."""
        given = block.values
        if block.kind == "module":
            settings = {
                "context": given.get("source_path"),
                "dockerfile": given.get("docker_file_path"),
                "target": given.get("build_target"),
                "build_args": given.get("build_args"),
                "platform": given.get("platform"),
            }
        else:
            nested = given.get("build")
            inner = nested[0] if isinstance(nested, list) and nested else nested
            if not isinstance(inner, dict):
                named = self._value(module, given.get("name"), depth)
                return named if isinstance(named, _Built) else None
            settings = {"platform": given.get("platform"), **inner}
            settings["context"] = inner.get("context", inner.get("path"))
        found = {
            key: self._value(module, settings.get(key), depth)
            for key in ("context", "dockerfile", "target", "platform")
        }
        args = settings.get("build_args", settings.get("build_arg"))
        plain = {
            key: text
            for key, value in (args if isinstance(args, dict) else {}).items()
            if (text := _plain(self._value(module, value, depth))) is not None
        }
        context = self._path(module, _plain(found["context"]), (), folder=True)
        file = "Dockerfile" if settings.get("dockerfile") is None else _plain(found["dockerfile"])
        tried = (context,) if context is not None else ()
        dockerfile = self._path(module, file, tried, folder=False) if context is not None else None
        known = context is not None and file is not None
        missing = (
            f"names {posixpath.normpath(posixpath.join(context or '', file or ''))}, which does not exist"
        )
        return _Built(
            dockerfile=dockerfile,
            fault="" if dockerfile else missing if known else _NOT_PLAIN,
            context=context,
            platform=normal_platform(_plain(found["platform"]) or "") or None,
            target=_plain(found["target"]),
            args=tuple(sorted(plain.items())),
            open_args=open_keys(args, plain),
            where=block.where,
        )

    def _path(
        self, module: _Module, path: str | None, folders: tuple[str, ...], *, folder: bool
    ) -> str | None:
        """Return a path that exists, relative to the folders, to where Terraform runs or to the module."""
        if path is None:
            return None
        if path.startswith("/"):
            folders, path = ("",), path.lstrip("/") or "."
        else:
            folders = (*folders, module.top, module.folder)
        return first_inside(self._root, folders, path, folder=folder)

    def _child(self, module: _Module, block: HclBlock, depth: int) -> _Module | None:
        folder = next(_local_modules(module.folder, (block,)), None)
        if folder is None or folder not in self._folders:
            return None
        inputs = {key: self._value(module, value, depth + 1) for key, value in block.values.items()}
        blocks, given = self._folders[folder], block.values
        return _Module(
            folder=folder, top=module.top, blocks=blocks, inputs=inputs, caller=module, given=given
        )

    def _value(self, module: _Module, given: object, depth: int) -> object:
        """Return a text, in which `_UNKNOWN` may stand, an image, or None."""
        if depth > _DEEPEST or given is None:
            return None
        if isinstance(given, bool):
            return str(given).lower()
        if isinstance(given, (int, float)):
            return str(given)
        if isinstance(given, Template):
            return self._template(module, given.text, depth + 1)
        return (
            self._expression(module, given.code.strip(), depth + 1) if isinstance(given, Expression) else None
        )

    def _template(self, module: _Module, text: str, depth: int) -> object:
        if first := _PART.match(text):
            value = self._expression(module, first[1].strip(), depth)
            if first.end() == len(text) or isinstance(value, _Built):  # with a tag or a digest behind it
                return value
        if "%{" in text or "\\" in text:
            return None

        def filled(match: re.Match[str]) -> str:
            value = self._expression(module, match[1].strip(), depth)
            return value if isinstance(value, str) else _UNKNOWN

        found = _PART.sub(filled, text)
        return _UNKNOWN if "${" in found else found

    def _expression(self, module: _Module, code: str, depth: int) -> object:
        if depth > _DEEPEST:
            return None
        if len(code) > 1 and code[0] == code[-1] == '"' and '"' not in code[1:-1]:
            return self._template(module, code[1:-1], depth + 1)
        if call := _CALL.fullmatch(code):
            return self._expression(module, call["inner"].strip(), depth + 1)
        match = _REFERENCE.fullmatch(code)
        if not match:
            return None
        kind, name, rest = match["kind"], match["name"], match["rest"]
        if (kind, name) == ("terraform", "workspace") or (kind == "var" and name in _STACKS):
            return _STACK
        if kind == "path":
            return f"/{module.folder if name == 'module' else module.top}"
        if kind == "local":
            return self._value(module, module.values("locals").get(name), depth)
        if kind == "var":
            return self._variable(module, name, depth)
        if kind == "module" and (block := module.find("module", name)):
            return self._output(module, block, rest, depth)
        if kind in _BUILDERS and (block := module.find("resource", kind, name)):
            return self._image(module, block, depth) or self._value(module, block.values.get("name"), depth)
        if kind == "aws_ecr_repository" and rest == "repository_url":
            return f"{module.folder}/{kind}.{name}"
        return None

    def _variable(self, module: _Module, name: str, depth: int) -> object:
        if name in module.inputs:
            return module.inputs[name]
        given = module.values("").get(name)  # of terraform.tfvars
        block = module.find("variable", name)
        default = block.values.get("default") if block else None
        return self._value(module, default if given is None else given, depth)

    def _output(self, module: _Module, block: HclBlock, name: str | None, depth: int) -> object:
        known = _known_module(block)
        if known:
            return self._image(module, block, depth) if known["part"] else None
        child = self._child(module, block, depth)
        output = child.find("output", name) if child and name else None
        return self._value(child, output.values.get("value"), depth + 1) if child and output else None


def _known_module(block: HclBlock) -> re.Match[str] | None:
    source = block.values.get("source")
    return _MODULE.fullmatch(source.text) if isinstance(source, Template) else None


def _plain(value: object) -> str | None:
    unknown = {_UNKNOWN, _STACK}
    return value if isinstance(value, str) and value and unknown.isdisjoint(value) else None


def _function_name(value: object) -> str | None:
    name = value.replace(_STACK, "{stack}") if isinstance(value, str) else ""
    return name if _NAME.fullmatch(name) else None


def _repository(value: object) -> str | None:
    """Return an image's name without its tag or digest; None if it is not known."""
    if not isinstance(value, str):
        return None
    folder, _, last = value.partition("@")[0].rpartition("/")
    return _plain(f"{folder}/{last.partition(':')[0]}")
