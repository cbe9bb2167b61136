"""Policies, and the role of builds, as resources for other tools: CloudFormation, Terraform, CDK. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from lamina.aws.templates import StackTemplate, TemplateResource, reference, tag_list, text
from lamina.errors import Problem
from lamina.json_data import JsonDocument, JsonTable

MOST_MANAGED, MOST_INLINE = 6144, 10240
"""Characters of a managed policy and of all policies in a role, without white space.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""


def policies_template(
    policies: Mapping[str, JsonTable], stack: str, role: TemplateResource | None
) -> StackTemplate:
    """Return a managed policy for each document, and the role of builds if there is one.

    Args:
        stack: Part of the names: policies of two stacks in an account are two.
    """
    notes = [
        _long(name, MOST_MANAGED)
        for name, document in policies.items()
        if policy_size(document) > MOST_MANAGED
    ]
    return StackTemplate(
        name="LaminaPolicies",
        stack=stack,
        command="iam",
        description="Policies of Lamina's commands",
        resources=(
            *(_policy(f"lamina-{name}-{stack}", document) for name, document in policies.items()),
            *([role] if role else []),
        ),
        notes=(*notes, *_notes(role)),
    )


def role_of_builds(
    arn: str, trust: JsonTable, document: JsonTable, tags: Mapping[str, str]
) -> TemplateResource:
    """Return the role that CodeBuild assumes. arn: what it is to have."""
    path, name = _path_and_name(arn)
    kind, own = "aws_iam_role", f"role {name}"
    found: JsonDocument = {**tags}
    return TemplateResource(
        name=own,
        type="AWS::IAM::Role",
        properties={
            "RoleName": name,
            "Path": path,
            "AssumeRolePolicyDocument": trust,
            "Policies": [{"PolicyName": "lamina", "PolicyDocument": document}],
            **({"Tags": tag_list(found)} if found else {}),
        },
        terraform={
            kind: {
                "name": name,
                "path": path,
                "assume_role_policy": text(trust),
                **({"tags": found} if found else {}),
            },
            "aws_iam_role_policy": {
                "name": "lamina",
                "role": reference(kind, own, "id"),
                "policy": text(document),
            },
        },
    )


def policy_size(document: JsonTable) -> int:
    """Return the size of a policy as IAM counts it: without white space."""
    return len(json.dumps(document, separators=(",", ":")))


def _policy(name: str, document: JsonTable) -> TemplateResource:
    return TemplateResource(
        name=f"policy {name}",
        type="AWS::IAM::ManagedPolicy",
        properties={"ManagedPolicyName": name, "PolicyDocument": document},
        terraform={"aws_iam_policy": {"name": name, "policy": text(document)}},
    )


def _notes(role: TemplateResource | None) -> Iterator[Problem]:
    if role is None:
        return
    found = role.terraform["aws_iam_role_policy"]["policy"]
    if policy_size(json.loads(str(found))) > MOST_INLINE:
        yield _long("codebuild", MOST_INLINE)


def _long(name: str, most: int) -> Problem:
    return Problem(
        what=f"the policy {name} is too long for IAM: it names every repository",
        allowed=f"{most} characters without white space",
        hint='put all repositories below a prefix: registry = "ecr/<prefix>"',
    )


def _path_and_name(arn: str) -> tuple[str, str]:
    path, _, name = arn.partition(":role")[2].rpartition("/")
    return f"{path}/", name
