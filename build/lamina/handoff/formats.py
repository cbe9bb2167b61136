"""What is handed over, in the words of those who take it: JSON, a shell, Terraform, CDK."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.errors import ConfigError, Problem

if TYPE_CHECKING:
    from lamina.declare.functions import Function
    from lamina.handoff.rules import ImageOutput

TFVARS = "lamina_images"
CDK = "lamina:images"
_NO_WORD = re.compile(r"[^A-Z0-9]")
_PLAIN_KEY = re.compile(r"[a-z]+")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def render(form: str, handed: Iterable[ImageOutput]) -> str:
    """The images in one of `FORMATS`, whole lines. Raises ConfigError, as for names that clash."""
    if form not in FORMATS:
        raise ConfigError.of(f"{form!r} is no format", where="--format", allowed=", ".join(FORMATS))
    return FORMATS[form](tuple(handed))


def as_json(handed: Sequence[ImageOutput]) -> str:
    """Image -> uri, digest (null where only the tag is known), tag, registry, repository, functions."""
    return _json({each.image: document(each) for each in handed})


def document(handed: ImageOutput) -> dict[str, Any]:
    """One image. command: empty where a function runs the image's own."""
    ref = handed.ref
    return {
        "uri": str(ref),
        "digest": ref.digest,
        "tag": handed.tag,
        "registry": ref.host,
        "repository": ref.repository,
        "functions": [_function(each) for each in handed.functions],
    }


def as_env(handed: Sequence[ImageOutput]) -> str:
    """Assignments as sh reads them, and as files of variables do: quoted only where that is needed.

    ``<IMAGE>_IMAGE_URI``; where functions are declared ``<IMAGE>_FUNCTIONS``, their names (or ARNs) with
    spaces between; where some have a command ``<IMAGE>_COMMANDS``, a JSON object of those.
    """
    names: dict[str, list[str]] = {}
    for each in handed:
        names.setdefault(variable(each.image), []).append(each.image)
    ConfigError.check(
        Problem(
            what=f"{' and '.join(images)} would both be ${name}_IMAGE_URI",
            where="--format env",
            hint="choose one of them with --image, or --format json",
        )
        for name, images in names.items()
        if len(images) > 1
    )
    return "".join(f"{name}={shlex.quote(value)}\n" for each in handed for name, value in _variables(each))


def variable(image: str) -> str:
    """An image's name as the beginning of a variable's: ``lambda-embedding`` is LAMBDA_EMBEDDING."""
    name = _NO_WORD.sub("_", image.upper())
    return f"_{name}" if name[0].isdigit() else name


def _variables(handed: ImageOutput) -> Iterable[tuple[str, str]]:
    name = variable(handed.image)
    yield f"{name}_IMAGE_URI", str(handed.ref)
    if handed.functions:
        yield f"{name}_FUNCTIONS", " ".join(str(each) for each in handed.functions)
    if commands := {str(each): each.command for each in handed.functions if each.command}:
        yield f"{name}_COMMANDS", json.dumps(commands, separators=(",", ":"))


def as_tfvars(handed: Sequence[ImageOutput]) -> str:
    """One variable of Terraform, a map of what `as_json` has; of every function all three keys."""
    images = {
        each.image: {**document(each), "functions": [_whole(each) for each in each.functions]}
        for each in handed
    }
    return f"{TFVARS} = {_hcl(images)}\n"


def as_cdk(handed: Sequence[ImageOutput]) -> str:
    """A context object of CDK: image -> what ``DockerImageCode.fromEcr`` takes, and its functions."""
    return _json(
        {
            CDK: {
                each.image: {
                    "repositoryName": each.ref.repository,
                    "tagOrDigest": each.ref.digest or each.tag,
                    "functions": [
                        {"functionName": str(function), "cmd": list(function.command)}
                        for function in each.functions
                    ],
                }
                for each in handed
            }
        }
    )


FORMATS: Mapping[str, Callable[[Sequence[ImageOutput]], str]] = {
    "json": as_json,
    "env": as_env,
    "tfvars": as_tfvars,
    "cdk": as_cdk,
}


def _function(function: Function) -> dict[str, Any]:
    """arn: where it was declared by one."""
    arn = {"arn": function.arn} if function.arn else {}
    return {"name": function.name, **arn, "command": list(function.command)}


def _whole(function: Function) -> dict[str, Any]:
    return {"name": function.name, "arn": function.arn, "command": list(function.command)}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _hcl(value: Any, margin: str = "") -> str:
    """A value as HCL writes it: https://developer.hashicorp.com/terraform/language/expressions/strings"""
    inner = f"{margin}  "
    if isinstance(value, Mapping):
        keys = (key if _PLAIN_KEY.fullmatch(key) else _hcl(key) for key in value)
        lines = (
            f"{inner}{key} = {_hcl(each, inner)}\n" for key, each in zip(keys, value.values(), strict=True)
        )
        return "{\n" + "".join(lines) + margin + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_hcl(each, margin) for each in value) + "]"
    if value is None:
        return "null"
    text = _ESCAPED.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), str(value))
    return '"' + text.replace("${", "$${").replace("%{", "%%{") + '"'
