"""Templates in their formats: CloudFormation's template, Terraform's JSON, a program for CDK. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from lamina.aws.cdk import program
from lamina.aws.templates import StackTemplate, label, logical
from lamina.errors import ConfigError, unknown_format
from lamina.json_data import JsonDocument


def render(form: str, template: StackTemplate) -> str:
    """Return a template in one of `FORMATS`."""
    return FORMATS[form](template)


def check_format(form: str) -> None:
    """Raise ConfigError if a format is unknown."""
    if form not in FORMATS:
        raise ConfigError(unknown_format(form, tuple(FORMATS)))


def _cloudformation(template: StackTemplate) -> str:
    keeping: JsonDocument = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    resources: JsonDocument = {
        logical(each.name): {
            "Type": each.type,
            **(keeping if each.kept else {}),
            "Properties": each.properties,
        }
        for each in template.resources
    }
    document: JsonDocument = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{template.description}, made by lamina {template.command} --format cloudformation",
        "Resources": resources,
    }
    return json.dumps(document, indent=2) + "\n"


def _terraform(template: StackTemplate) -> str:
    """Return a configuration for a file ``….tf.json``.

    https://developer.hashicorp.com/terraform/language/syntax/json
    """
    kinds: dict[str, JsonDocument] = {}
    for each in template.resources:
        for kind, arguments in each.terraform.items():
            kinds.setdefault(kind, {})[label(each.name)] = arguments
    return json.dumps({"resource": kinds}, indent=2) + "\n"


def _cdk(template: StackTemplate) -> str:
    return program(template, {logical(each.name): each for each in template.resources})


FORMATS: Mapping[str, Callable[[StackTemplate], str]] = {
    "cloudformation": _cloudformation,
    "terraform": _terraform,
    "cdk": _cdk,
}
