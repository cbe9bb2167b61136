"""Resources of AWS that other tools make: as CloudFormation and Terraform have them. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lamina.errors import Problem
from lamina.json_data import Json, JsonDocument, JsonTable, as_table

_NO_WORD = re.compile(r"[^a-zA-Z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateResource:
    """A resource.

    Attributes:
        name: Its name in AWS, in front of which a kind may stand; `logical` and `label` make ids of it.
        type: ``AWS::ECR::Repository``.
        properties: Those of CloudFormation.
        terraform: Type in Terraform -> arguments; one resource of CloudFormation may be several of Terraform.
        kept: Whether it stays when its stack is deleted.
    """

    name: str
    type: str
    properties: JsonDocument
    terraform: Mapping[str, JsonDocument]
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StackTemplate:
    """Resources that are made together.

    Attributes:
        name: In words without spaces: the class of the stack in a program for CDK.
        stack: Of the project. CDK's stacks of two of them have two names: one would replace the other.
        command: The command that printed it, without the format.
        notes: What the template does not make.
    """

    name: str
    stack: str
    command: str
    description: str
    resources: tuple[TemplateResource, ...]
    notes: tuple[Problem, ...] = ()


def logical(name: str) -> str:
    """Return a logical id: its words, and a part of its hash, as different names may have the same words."""
    return "".join(each.capitalize() for each in _NO_WORD.split(name)) + _hash(name)


def label(name: str) -> str:
    """Return a name in Terraform, which does not begin with a digit."""
    return f"{'_' if name[:1].isdigit() else ''}{_NO_WORD.sub('_', name)}_{_hash(name)}"


def reference(kind: str, name: str, attribute: str) -> str:
    """Return an expression of Terraform: an attribute of a resource."""
    return f"${{{kind}.{label(name)}.{attribute}}}"


def text(document: JsonTable) -> str:
    """Return a document as a string of Terraform, in which ``${`` and ``%{`` begin expressions."""
    return json.dumps(document).replace("${", "$${").replace("%{", "%%{")


def tag_list(tags: Json) -> list[Json]:
    """Return tags as CloudFormation has them."""
    return [{"Key": name, "Value": value} for name, value in as_table(tags).items()]


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:6]
