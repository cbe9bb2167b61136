"""A template as a program for CDK in Python: a stack of CloudFormation's own constructs. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from lamina.aws.templates import StackTemplate, TemplateResource
from lamina.json_data import Json, JsonTable

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TAGS = ("Tags", "ResourceTags")
_PARTS: Mapping[str, str] = {
    **{
        name: name
        for name in (
            *("AbortIncompleteMultipartUpload", "Artifacts", "BucketEncryption", "EncryptionConfiguration"),
            *("Environment", "ImageScanningConfiguration", "LifecycleConfiguration", "LifecyclePolicy"),
            *("LogsConfig", "ServerSideEncryptionByDefault", "Source"),
        )
    },
    "CloudWatchLogs": "CloudWatchLogsConfig",
    "ImageTagMutabilityExclusionFilters": "ImageTagMutabilityExclusionFilter",
    "Policies": "Policy",
    "Rules": "Rule",
    "ServerSideEncryptionConfiguration": "ServerSideEncryptionRule",
}
"""Property -> its type in CloudFormation, which CDK has as a class. All other tables are documents."""
_STEP = "    "


def program(template: StackTemplate, resources: Mapping[str, TemplateResource]) -> str:
    """Return the text of a program. resources: logical id -> resource."""
    modules = sorted({_module(each) for each in resources.values()})
    made = "\n".join(_construct(name, each) for name, each in resources.items())
    stack = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", template.name).lower()
    stack += "-" + re.sub(r"[^a-z0-9]+", "-", template.stack)
    description = f"{template.description}, made by lamina {template.command} --format cdk"
    return f'''"""{description}

Add the class to your app, or run the file as one: cdk deploy --app "python3 <this file>".
"""

from typing import Any

import aws_cdk
from aws_cdk import {", ".join(modules)}
from constructs import Construct


class {template.name}(aws_cdk.Stack):
    """{template.description}."""

    def __init__(self, scope: Construct, construct_id: str, **options: Any) -> None:
        super().__init__(scope, construct_id, **options)
{made}


if __name__ == "__main__":
    app = aws_cdk.App()
    {template.name}(app, "{stack}", description={_scalar(description)})
    app.synth()
'''


def _construct(name: str, resource: TemplateResource) -> str:
    construct = f"{_module(resource)}.Cfn{resource.type.rpartition(':')[2]}"
    pad = 2 * _STEP
    arguments = _arguments(construct, resource.properties, pad)
    end = ".apply_removal_policy(aws_cdk.RemovalPolicy.RETAIN)" if resource.kept else ""
    return f"{pad}{_call(construct, ['self', _scalar(name), *arguments], pad)}{end}"


def _module(resource: TemplateResource) -> str:
    return f"aws_{resource.type.split('::')[1].lower()}"


def _arguments(construct: str, properties: JsonTable, pad: str) -> list[str]:
    return [
        f"{_WORD.sub('_', key).lower()}={_property(construct, key, value, pad + _STEP)}"
        for key, value in properties.items()
    ]


def _property(construct: str, key: str, value: Json, pad: str) -> str:
    if isinstance(value, (list, tuple)) and (key in _TAGS or key in _PARTS):
        return _list((_property(construct, key, each, pad + _STEP) for each in value), pad)
    if not isinstance(value, Mapping):
        return _literal(value, pad)
    if key in _TAGS:
        return _call("aws_cdk.CfnTag", _arguments(construct, value, pad), pad)
    if key in _PARTS:
        return _call(f"{construct}.{_PARTS[key]}Property", _arguments(construct, value, pad), pad)
    return _literal(value, pad)


def _literal(value: Json, pad: str) -> str:
    if isinstance(value, Mapping):
        pairs = [f"{_scalar(key)}: {_literal(each, pad + _STEP)}" for key, each in value.items()]
        return _lines("{", pairs, "}", pad)
    if isinstance(value, (list, tuple)):
        return _list((_literal(each, pad + _STEP) for each in value), pad)
    return _scalar(value)


def _scalar(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _list(items: Iterable[str], pad: str) -> str:
    return _lines("[", list(items), "]", pad)


def _call(name: str, arguments: list[str], pad: str) -> str:
    return _lines(f"{name}(", arguments, ")", pad)


def _lines(begin: str, parts: list[str], end: str, pad: str) -> str:
    inner = "".join(f"{pad}{_STEP}{each},\n" for each in parts)
    return f"{begin}\n{inner}{pad}{end}" if parts else begin + end
