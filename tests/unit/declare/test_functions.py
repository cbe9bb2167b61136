from __future__ import annotations

from pathlib import Path

import pytest

from lamina.declare.config import load_project
from lamina.declare.functions import Function
from lamina.errors import ConfigError

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:far"


def functions(root: Path, text: str) -> tuple[Function, ...]:
    (root / "dockerfiles/app").mkdir(parents=True)
    (root / "dockerfiles/app/Dockerfile").write_text("FROM scratch\n")
    (root / "pyproject.toml").write_text(f"[tool.lamina.images.app]\nfunctions = {text}\n")
    return load_project(root, env={}).images["app"].functions


def test_a_function_is_a_name_an_arn_or_a_table(tmp_path: Path) -> None:
    one, far, other = functions(tmp_path, f'["one", "{ARN}", {{ name = "two", command = ["app.other"] }}]')

    assert one == Function(name="one")
    assert (far.name, far.region, str(far)) == ("far", "eu-west-1", ARN)
    assert (other.command, other.region) == (("app.other",), None)


def test_a_function_of_a_stack_is_named_by_it(tmp_path: Path) -> None:
    (one,) = functions(tmp_path, '[{ stack = "shop-{stack}", id = "Mailer", command = ["app.mail"] }]')

    assert one == Function(name="shop-dev/Mailer", command=("app.mail",), stack="shop-dev")
    assert (one.resource, one.region, str(one)) == ("Mailer", None, "shop-dev/Mailer")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ('{ stack = "shop" }', "'' is not an id of stack shop"),
        ('{ stack = "shop", id = "a b" }', "'a b' is not an id of stack shop"),
        ('{ stack = "1 2", id = "Mailer" }', "'' is not a Lambda function"),
        ('{ id = "Mailer" }', "'' is not a Lambda function"),
        ('{ name = "mailer", id = "Mailer" }', "'mailer' is not a Lambda function"),
        ('{ name = "mailer", stack = "shop" }', "'mailer' is not a Lambda function"),
    ],
)
def test_a_stack_needs_an_id_and_no_name(tmp_path: Path, given: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        functions(tmp_path, f"[{given}]")

    assert fault in str(caught.value)
    assert 'stack = "<CloudFormation stack>", id = "<logical id>"' in str(caught.value)


def test_all_faults_are_reported_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        functions(tmp_path, f'["a b", "one", "one", "{ARN}:7", {{ nam = "x" }}]')

    told = str(caught.value)
    for fault in ("'a b' is not", "one is listed twice", f"'{ARN}:7' is not", "did you mean name?"):
        assert f"pyproject.toml:2: {fault}" in told or fault in told
    assert "pyproject.toml:2" in told


BY_NAME, BY_ARN = '["one"]', '["arn:aws:lambda:eu-west-1:123456789012:function:one"]'
ELSEWHERE = '["arn:aws:lambda:us-east-1:123456789012:function:one"]'
PLACE = '[tool.lamina.ecr]\naccount = "123456789012"\nregion = "eu-west-1"\n'


FAR = f'{PLACE}[tool.lamina.stacks.dev]\nregion = "us-east-1"\n'
ROLES = """
[tool.lamina.ecr]
region = "eu-west-1"
role = "arn:aws:iam::210987654321:role/images"
[tool.lamina.stacks.dev]
role = "arn:aws:iam::123456789012:role/deploy"
"""
"""The registry of one account, the functions of another."""


def claims(root: Path, first: str, second: str, more: str = "") -> list[str]:
    """Return the problems of two images with these functions."""
    text = more
    for name, given in (("app", first), ("web", second)):
        (root / f"dockerfiles/{name}").mkdir(parents=True)
        (root / f"dockerfiles/{name}/Dockerfile").write_text("FROM scratch\n")
        text += f"[tool.lamina.images.{name}]\nfunctions = {given}\n"
    (root / "pyproject.toml").write_text(text)
    try:
        load_project(root, env={})
    except ConfigError as error:
        return list(map(str, error.problems))
    return []


@pytest.mark.parametrize(
    ("first", "second", "more"),
    [
        (BY_NAME, BY_NAME, ""),
        (BY_NAME, '[{ name = "one", command = ["a.b"] }]', ""),
        (BY_ARN, BY_ARN, ""),
        (BY_NAME, BY_ARN, ""),
        (BY_ARN, BY_NAME, PLACE),
        (BY_NAME, ELSEWHERE, FAR),
        (BY_NAME, BY_ARN, ROLES),
        (BY_NAME, '["one-too", "one"]', ""),
        ('["one-{stack}"]', '["one-dev"]', ""),
    ],
)
def test_a_function_is_for_one_image(tmp_path: Path, first: str, second: str, more: str) -> None:
    (told,) = claims(tmp_path, first, second, more)

    lines = more.count("\n")
    assert told.startswith(f"pyproject.toml:{lines + 4}: two images claim the function ")
    assert f"app (pyproject.toml:{lines + 2}) and web" in told
    assert ("use ARNs for both" in told) == (BY_ARN in (first, second) and first != second and not more)


@pytest.mark.parametrize(
    ("first", "second", "more"),
    [
        (BY_NAME, '["two"]', ""),
        (BY_ARN, ELSEWHERE, ""),
        (BY_NAME, ELSEWHERE, '[tool.lamina.ecr]\nregion = "eu-west-1"\n'),
        (BY_NAME, BY_ARN, '[tool.lamina.ecr]\naccount = "210987654321"\n'),
        ('["one-{stack}"]', '["one-prod"]', ""),
        (BY_NAME, BY_ARN, FAR),
        (BY_NAME, '["arn:aws:lambda:eu-west-1:210987654321:function:one"]', ROLES),
    ],
)
def test_functions_that_are_distinguished_may_be_of_two_images(
    tmp_path: Path, first: str, second: str, more: str
) -> None:
    assert claims(tmp_path, first, second, more) == []


def test_an_image_names_a_function_once_by_name_or_by_arn(tmp_path: Path) -> None:
    both = f'["one", {BY_ARN[1:]}'

    assert claims(tmp_path / "unknown", both, "[]") == []
    (told,) = claims(tmp_path / "known", both, "[]", PLACE)
    assert "are the same function" in told


def test_a_stack_may_be_in_a_name(tmp_path: Path) -> None:
    name, arn = functions(tmp_path, f'["one-{{stack}}", "{ARN}-{{stack}}"]')

    assert (str(name), str(arn)) == ("one-dev", f"{ARN}-dev")
