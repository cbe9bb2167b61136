"""What --format prints, for all commands that have it: each format is read by its own tool."""

from __future__ import annotations

import json
import re
from typing import Any

import hcl2
import pytest
from cfnlint.api import ManualArgs, lint

from lamina.aws.cdk import program
from lamina.aws.formats import FORMATS, render
from lamina.aws.templates import StackTemplate, TemplateResource, logical
from templates import ACCOUNT, KEY, TAGS, TEMPLATES

EVERY = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
EXPRESSION = re.compile(r"^\$\{(\w+)\.(\w+)\.\w+\}$")


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


@EVERY
def test_cfn_lint_finds_nothing(template: StackTemplate) -> None:
    text = render("cloudformation", template)

    assert [str(each) for each in lint(text, config=ManualArgs(regions=["eu-west-1"]))] == []


@EVERY
def test_terraform_reads_every_expression_and_names_what_is_there(template: StackTemplate) -> None:
    made = json.loads(render("terraform", template))["resource"]

    assert len(made) >= len({each.type for each in template.resources})
    for text in texts(made):
        if found := EXPRESSION.match(text):
            assert found[2] in made[found[1]]
        else:
            assert not re.search(r"(?<!\$)\$\{|(?<!%)%\{", text), text
    # The same as HCL, for Terraform's parser: a block for each resource.
    blocks = [
        f'resource "{kind}" "{label}" {{\n  it = {json.dumps(arguments)}\n}}\n'
        for kind, some in made.items()
        for label, arguments in some.items()
    ]
    assert len(hcl2.loads("".join(blocks))["resource"]) == len(blocks)


@EVERY
def test_a_program_for_cdk_is_python_with_a_construct_for_each_resource(template: StackTemplate) -> None:
    text = render("cdk", template)
    compile(text, "cdk.py", "exec")

    assert re.findall(r"^ +aws_\w+\.Cfn(\w+)\($\n +self,$", text, re.M) == [
        each.type.rpartition(":")[2] for each in template.resources
    ]


@EVERY
@pytest.mark.parametrize("form", FORMATS)
def test_each_format_has_the_key_and_the_tags(template: StackTemplate, form: str) -> None:
    text = render(form, template)

    if any("Tags" in each.properties for each in template.resources):
        assert KEY in text
        assert all(json.dumps(value) in text for pair in TAGS for value in pair)
    assert ACCOUNT in text


def test_texts_of_a_program_are_what_they_were() -> None:
    odd = "a\"b\\c\nd\u2028 \U0001f600 ${x} {y} 'z'"
    resource = TemplateResource(
        name="odd", type="AWS::ECR::Repository", properties={"RepositoryName": odd}, terraform={}
    )
    template = StackTemplate(
        name="OddOnes", stack="prod_2.eu", command="odd", description="Odd", resources=(resource,)
    )
    text = program(template, {logical("odd"): resource})
    (line,) = re.findall(r"repository_name=(.*),$", text, re.M)

    assert eval(line) == odd
    assert '    OddOnes(app, "odd-ones-prod-2-eu", ' in text  # beside the stack that `dev` made
