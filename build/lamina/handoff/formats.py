"""Format image references for other tools: JSON, a shell, Terraform, CDK."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.errors import ConfigError, Problem, unknown_format
from lamina.json_data import Json, JsonDocument

if TYPE_CHECKING:
    from lamina.declare.functions import Function
    from lamina.handoff.rules import ImageOutput

TFVARS = "lamina_images"
CDK = "lamina:images"
_NO_WORD = re.compile(r"[^A-Z0-9]")
_PLAIN_KEY = re.compile(r"[a-z]+")
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def render(form: str, outputs: Iterable[ImageOutput]) -> str:
    """Format the images in one of `FORMATS`. The text ends with a line break.

    Raises ConfigError if the format is unknown or, for ``env``, if two images have the same variable.
    """
    if form not in FORMATS:
        raise ConfigError(unknown_format(form, tuple(FORMATS)))
    return FORMATS[form](tuple(outputs))


def as_json(outputs: Sequence[ImageOutput]) -> str:
    """Format as a JSON object: image -> `document`."""
    return _json({each.image: document(each) for each in outputs})


def document(output: ImageOutput) -> JsonDocument:
    """Return the JSON document of one image.

    ``digest`` is None with --plan-only. A function's command is empty if it runs the image's own CMD.
    """
    ref = output.ref
    return {
        "uri": str(ref),
        "digest": ref.digest,
        "tag": output.tag,
        "registry": ref.host,
        "repository": ref.repository,
        "functions": [_function(each) for each in output.functions],
    }


def as_env(outputs: Sequence[ImageOutput]) -> str:
    """Format as assignments for sh and for env files, quoted only where necessary.

    Each image has ``<IMAGE>_IMAGE_URI``. If it declares functions, ``<IMAGE>_FUNCTIONS`` has their names (or
    ARNs), separated by spaces. If some have a command, ``<IMAGE>_COMMANDS`` is a JSON object of those.

    Raises ConfigError if two images have the same variable.
    """
    names: dict[str, list[str]] = {}
    for each in outputs:
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
    return "".join(f"{name}={shlex.quote(value)}\n" for each in outputs for name, value in _variables(each))


def variable(image: str) -> str:
    """Return the prefix of an image's variables: ``lambda-embedding`` gives ``LAMBDA_EMBEDDING``."""
    name = _NO_WORD.sub("_", image.upper())
    return f"_{name}" if name[0].isdigit() else name


def _variables(output: ImageOutput) -> Iterable[tuple[str, str]]:
    name = variable(output.image)
    yield f"{name}_IMAGE_URI", str(output.ref)
    if output.functions:
        yield f"{name}_FUNCTIONS", " ".join(str(each) for each in output.functions)
    if commands := {str(each): each.command for each in output.functions if each.command}:
        yield f"{name}_COMMANDS", json.dumps(commands, separators=(",", ":"))


def as_tfvars(outputs: Sequence[ImageOutput]) -> str:
    """Format as one Terraform variable: a map of the objects of `as_json`.

    Every function has all three keys, as Terraform's object types need.
    """
    images = {
        each.image: {**document(each), "functions": [_whole(each) for each in each.functions]}
        for each in outputs
    }
    return f"{TFVARS} = {_hcl(images)}\n"


def as_cdk(outputs: Sequence[ImageOutput]) -> str:
    """Format as a CDK context object: image -> arguments of ``DockerImageCode.fromEcr``, and functions."""
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
                for each in outputs
            }
        }
    )


FORMATS: Mapping[str, Callable[[Sequence[ImageOutput]], str]] = {
    "json": as_json,
    "env": as_env,
    "tfvars": as_tfvars,
    "cdk": as_cdk,
}


def _function(function: Function) -> JsonDocument:
    """Return a function's JSON document. It has ``arn`` only if it was declared by ARN."""
    arn = {"arn": function.arn} if function.arn else {}
    return {"name": function.name, **arn, "command": list(function.command)}


def _whole(function: Function) -> JsonDocument:
    return {"name": function.name, "arn": function.arn, "command": list(function.command)}


def _json(value: Json) -> str:
    return json.dumps(value, indent=2) + "\n"


def _hcl(value: Json, margin: str = "") -> str:
    """Format a value as HCL: https://developer.hashicorp.com/terraform/language/expressions/strings"""
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
