"""The formats, read back by real parsers: JSON, sh, HCL."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import hcl2
import pytest

from lamina.declare.functions import Function
from lamina.errors import ConfigError
from lamina.handoff.formats import FORMATS, render
from lamina.handoff.rules import ImageOutput
from lamina.refs import Reference

DIGEST = "sha256:" + "1" * 64
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:far"
NASTY = """it's "${var.x}" %{ if } $HOME `id` \\ end"""
EMBED = ImageOutput(
    image="lambda-embedding",
    ref=Reference.parse(f"registry.example.com/team/lambda-embedding-dev@{DIGEST}"),
    tag="sha-aaaaaaaaaaaa",
    functions=(
        Function(name="embed"),
        Function(name="query", command=("handler.query", NASTY)),
        Function(name="far", arn=ARN, command=("handler.far",)),
    ),
)
PLANNED = ImageOutput(
    image="3d.view", ref=Reference.parse("registry.example.com/3d.view-dev:sha-b"), tag="sha-b", functions=()
)
BOTH = (EMBED, PLANNED)


def test_json() -> None:
    assert json.loads(render("json", BOTH)) == {
        "lambda-embedding": {
            "uri": f"registry.example.com/team/lambda-embedding-dev@{DIGEST}",
            "digest": DIGEST,
            "tag": "sha-aaaaaaaaaaaa",
            "registry": "registry.example.com",
            "repository": "team/lambda-embedding-dev",
            "functions": [
                {"name": "embed", "command": []},
                {"name": "query", "command": ["handler.query", NASTY]},
                {"name": "far", "arn": ARN, "command": ["handler.far"]},
            ],
        },
        "3d.view": {
            "uri": "registry.example.com/3d.view-dev:sha-b",
            "digest": None,
            "tag": "sha-b",
            "registry": "registry.example.com",
            "repository": "3d.view-dev",
            "functions": [],
        },
    }


def test_env_has_every_function_and_its_command() -> None:
    lines = dict(word.split("=", 1) for word in shlex.split(render("env", BOTH)))

    assert lines.pop("LAMBDA_EMBEDDING_IMAGE_URI") == str(EMBED.ref)
    assert lines.pop("LAMBDA_EMBEDDING_FUNCTIONS") == f"embed query {ARN}"
    assert json.loads(lines.pop("LAMBDA_EMBEDDING_COMMANDS")) == {
        "query": ["handler.query", NASTY],
        ARN: ["handler.far"],
    }
    assert lines == {"_3D_VIEW_IMAGE_URI": str(PLANNED.ref)}


def test_a_reference_needs_no_quotes_which_files_of_variables_would_keep() -> None:
    assert render("env", BOTH).splitlines()[0] == f"LAMBDA_EMBEDDING_IMAGE_URI={EMBED.ref}"


def test_images_that_would_be_one_variable_are_refused() -> None:
    twins = [ImageOutput(image=name, ref=EMBED.ref, tag="sha-a") for name in ("a-b", "a.b", "c")]

    with pytest.raises(ConfigError, match=r"a-b and a\.b would both be \$A_B_IMAGE_URI"):
        render("env", twins)


def test_tfvars_is_one_map_in_which_every_image_has_the_same_keys() -> None:
    (name,), (images,) = zip(*_hcl(render("tfvars", BOTH)).items(), strict=True)

    assert name == "lamina_images"
    wanted: dict[str, Any] = json.loads(render("json", BOTH))
    for each in wanted.values():
        each["functions"] = [{"arn": None, **function} for function in each["functions"]]
    assert images == wanted


def test_tfvars_begins_no_template() -> None:
    text = render("tfvars", BOTH)

    assert "$${var.x}" in text
    assert "%%{ if }" in text


def test_cdk() -> None:
    assert json.loads(render("cdk", BOTH)) == {
        "lamina:images": {
            "lambda-embedding": {
                "repositoryName": "team/lambda-embedding-dev",
                "tagOrDigest": DIGEST,
                "functions": [
                    {"functionName": "embed", "cmd": []},
                    {"functionName": "query", "cmd": ["handler.query", NASTY]},
                    {"functionName": ARN, "cmd": ["handler.far"]},
                ],
            },
            "3d.view": {"repositoryName": "3d.view-dev", "tagOrDigest": "sha-b", "functions": []},
        }
    }


def test_another_format_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"--format: 'xml' .*\n  allowed: json, env, tfvars, cdk"):
        render("xml", BOTH)


def test_nothing_is_a_whole_document_too() -> None:
    assert {form: render(form, ()) for form in FORMATS} == {
        "json": "{}\n",
        "env": "",
        "tfvars": "lamina_images = {\n}\n",
        "cdk": '{\n  "lamina:images": {}\n}\n',
    }


def _hcl(text: str) -> dict[str, Any]:
    """Parse a file of variables as Terraform does; the parser leaves the escapes of templates in."""
    options = hcl2.SerializationOptions(strip_string_quotes=True)
    return {name: _plain(value) for name, value in hcl2.loads(text, serialization_options=options).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.replace("$${", "${").replace("%%{", "%{") if isinstance(value, str) else value


def test_the_terraform_of_the_guide_can_be_read() -> None:
    guide = (Path(__file__).parents[3] / "docs/handoff.md").read_text()
    blocks = re.findall(r"^```hcl\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)

    assert len(blocks) > 3
    for block in blocks:
        assert hcl2.loads(block)
