from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lamina.adopt.declared import Declared
from lamina.adopt.hcl import HclBlock, read_blocks
from lamina.adopt.proposal import propose
from lamina.adopt.survey import survey
from lamina.errors import Problem
from trees import Tree

DATA = Path(__file__).parents[2] / "data"
FUNCTION = """
resource "aws_lambda_function" "worker" {{
  function_name = {name}
  package_type  = "Image"
  image_uri     = {image}
}}
"""
IMAGE = """
resource "docker_image" "worker" {
  name = "worker:latest"
  build {
    context = "../worker"
  }
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.write("worker/Dockerfile", "FROM scratch\n")
    return tree


def declared(tree: Tree, *texts: str) -> tuple[Declared, ...]:
    tree.write("infra/main.tf", "".join(texts))
    return survey(tree.root).declared


def test_images_are_found_through_resources_modules_and_modules_of_the_repository() -> None:
    found = survey(DATA / "layout-terraform")

    assert found.declared == (
        Declared(
            dockerfile="services/labels/Dockerfile",
            context="services/labels",
            functions=("{stack}-labels",),
            platform="linux/arm64",
            args={"STAGE": "prod"},
            where="infra/main.tf:5",
        ),
        Declared(
            dockerfile="services/resize/docker/lambda.Dockerfile",
            context=".",
            resources=("resize",),
            platform="linux/arm64",
            where="infra/main.tf:27",
        ),
        Declared(
            dockerfile="services/thumbnail/Dockerfile",
            context="services/thumbnail",
            functions=("thumbnail",),
            platform="linux/arm64",
            where="infra/function/main.tf:5",
        ),
    )
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "functions", "resources"),
    [
        ('"shop-worker"', ("shop-worker",), ()),
        ('"${var.stage}-worker"', ("{stack}-worker",), ()),
        ('"worker-${terraform.workspace}"', ("worker-{stack}",), ()),
        ("local.name", ("shop-local",), ()),
        ("var.name", ("shop-default",), ()),
        ('"${random_pet.this.id}-worker"', (), ("worker",)),
        ("each.key", (), ("worker",)),
        ('"not a name"', (), ("worker",)),
    ],
)
def test_a_function_has_a_name_if_it_is_plain(
    tree: Tree, name: str, functions: tuple[str, ...], resources: tuple[str, ...]
) -> None:
    more = 'locals {\n  name = "${var.shop}-local"\n}\nvariable "shop" {\n  default = "shop"\n}\n'
    default = 'variable "name" {\n  default = "shop-default"\n}\n'

    (found,) = declared(
        tree, IMAGE, FUNCTION.format(name=name, image="docker_image.worker.name"), more, default
    )

    assert (found.functions, found.resources) == (functions, resources)


@pytest.mark.parametrize(
    "image",
    [
        "docker_image.worker.image_id",
        '"${docker_image.worker.name}"',
        "docker_registry_image.worker.name",
        '"${docker_registry_image.worker.name}@${docker_registry_image.worker.sha256_digest}"',
        '"worker:1"',
        "docker_image.worker[0].name",
    ],
)
def test_a_function_runs_the_image_that_it_names(tree: Tree, image: str) -> None:
    pushed = 'resource "docker_registry_image" "worker" {\n  name = docker_image.worker.name\n}\n'

    (found,) = declared(tree, IMAGE, pushed, FUNCTION.format(name='"worker"', image=image))

    assert (found.functions, found.platform, found.deploys) == (("worker",), "linux/amd64", True)


def test_an_image_without_a_function_is_only_built(tree: Tree) -> None:
    (found,) = declared(tree, IMAGE)

    assert (found.dockerfile, found.deploys) == ("worker/Dockerfile", False)


def test_a_path_may_be_given_by_terraform_tfvars(tree: Tree) -> None:
    tree.write("infra/terraform.tfvars", 'folder = "../worker"\n')
    variable = 'variable "folder" {\n  default = "elsewhere"\n}\n'

    (found,) = declared(tree, variable, IMAGE.replace('"../worker"', "var.folder"))

    assert found.context == "worker"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            IMAGE.replace('"../worker"', "data.external.x.result"),
            "an image whose Dockerfile is not given by plain strings",
        ),
        (
            IMAGE.replace("context", 'dockerfile = "Dockerfile.x"\n    context'),
            "names worker/Dockerfile.x, which does not exist",
        ),
        (
            FUNCTION.format(name='"worker"', image='"${aws_ecr_repository.w.name}:1"'),
            'function worker runs "${aws_ecr_repository.w.name}:1", which no block of Terraform builds',
        ),
        ('resource "docker_image" {{{', "cannot be read as HCL"),
    ],
)
def test_what_is_not_plain_is_a_note_with_its_line(tree: Tree, text: str, note: str) -> None:
    tree.write("infra/main.tf", text)

    (found,) = propose(tree.root, survey(tree.root)).notes

    assert found.what == note
    assert found.where is not None
    assert found.where.startswith("infra/main.tf:")


def test_modules_that_call_each_other_end(tree: Tree) -> None:
    tree.write("infra/main.tf", IMAGE + 'module "a" {\n  source = "./a"\n}\n')
    tree.write("infra/a/main.tf", 'module "b" {\n  source = "../a"\n  x = var.x\n}\nvariable "x" {}\n')
    tree.write("infra/loop.tf", "locals {\n  a = local.b\n  b = local.a\n}\n" + IMAGE.replace("worker", "a"))

    assert [each.dockerfile for each in survey(tree.root).declared] == ["worker/Dockerfile"]


def test_without_the_parser_a_note_says_how_to_get_it(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hcl2", None)
    tree.write("infra/main.tf", IMAGE)
    tree.write("infra/more.tf", IMAGE)

    found = survey(tree.root)

    assert [str(note) for note in found.notes] == [
        "Terraform files are not read: python-hcl2 is not installed\n  next: pip install python-hcl2"
    ]
    assert found.dockerfiles == ("worker/Dockerfile",)


def test_functions_of_two_architectures_and_their_commands_are_kept_apart(tree: Tree) -> None:
    image = "docker_image.worker.name"
    config = '  architectures = ["arm64"]\n  image_config {\n    command = ["app.refund"]\n  }\n}\n'
    refund = FUNCTION.format(name='"refund"', image=image).replace('"worker" {', '"refund" {').rstrip()[:-1]

    found = declared(tree, IMAGE, FUNCTION.format(name='"worker"', image=image), refund + config)

    assert {each.functions: (each.platform, each.command) for each in found} == {
        ("worker",): ("linux/amd64", ()),
        ("refund",): ("linux/arm64", ("app.refund",)),
    }


@pytest.mark.parametrize(
    ("image", "dockerfile"),
    [
        ("var.audit_log_image_uri", "fn/audit-log/Dockerfile"),
        ('"${var.urls["audit-log-lambda"]}:latest"', "fn/audit-log/Dockerfile"),
        (
            '"${aws_ecr_repository.audit_log_archiver.repository_url}@${var.digest}"',
            "fn/audit-log-archiver/Dockerfile",
        ),
        ("var.audit_log_export_image_uri", None),
        ("var.api_image_uri", None),  # two folders are called so
        ("var.worker_image_uri", None),  # another function has it
        ("var.image_uri", None),
    ],
)
def test_an_image_that_is_built_elsewhere_is_found_by_the_words_of_its_name(
    tree: Tree, image: str, dockerfile: str | None
) -> None:
    for folder in ("audit-log", "audit-log-archiver", "one/api", "two/api"):
        tree.write(f"fn/{folder}/Dockerfile", "FROM public.ecr.aws/lambda/python:3.13\n")
    arm = FUNCTION.format(name='"audits"', image=image).replace('"worker" {', '"audit" {').rstrip()[:-1]
    config = '  architectures = ["arm64"]\n  image_config {\n    command = ["app.audit"]\n  }\n}\n'
    worker = FUNCTION.format(name='"worker"', image="docker_image.worker.name")
    tree.write("infra/main.tf", IMAGE + worker + arm + config)

    found = propose(tree.root, survey(tree.root))

    assert {each.dockerfile: each.functions for each in found.images if each.functions} == {
        "worker/Dockerfile": ("worker",),
        **({dockerfile: ("audits",)} if dockerfile else {}),
    }
    own = [each for each in found.images if each.dockerfile == dockerfile]
    assert [(each.platform, each.commands) for each in own] == [
        ("linux/arm64", {"audits": ("app.audit",)})
    ] * len(own)
    (note,) = (each for each in found.notes if "no block of Terraform" in each.what)
    assert note.what == (
        "no block of Terraform builds the images of audits: found by the names in image_uri"
        if dockerfile
        else f"function audits runs {image}, which no block of Terraform builds"
    )


def test_a_function_that_is_found_by_name_keeps_what_a_compose_file_says(tree: Tree) -> None:
    tree.write("compose.yaml", "services:\n  w:\n    build: {context: worker, args: {MODE: fast}}\n")
    tree.write("infra/main.tf", FUNCTION.format(name='"${local.name}"', image="var.worker_image_uri"))

    (found,) = propose(tree.root, survey(tree.root)).images

    assert (found.args, [each.id for each in found.unnamed]) == ({"MODE": "fast"}, ["worker"])


MODULE = """
variable "image_uri" {}
resource "aws_lambda_function" "this" {
  package_type = "Image"
  image_uri    = var.image_uri
  image_config {
    command = [var.handler]
  }
}
"""
CALL = """
module "{name}" {{
  source    = "./function"
  image_uri = {image}
  handler   = "{handler}"
}}
"""


def test_the_image_of_a_module_is_the_one_that_its_callers_write(tree: Tree) -> None:
    tree.write("fn/audit-log/Dockerfile", "FROM public.ecr.aws/lambda/python:3.13\n")
    tree.write("infra/function/main.tf", MODULE)
    calls = (("audit", "var.audit_log_image_uri"), ("other", "var.other_uri"), ("more", '"${var.other_uri}"'))
    tree.write(
        "infra/main.tf",
        "".join(CALL.format(name=name, image=image, handler=f"app.{name}") for name, image in calls),
    )

    found = propose(tree.root, survey(tree.root))

    assert [(each.dockerfile, each.platform) for each in found.images if each.unnamed] == [
        ("fn/audit-log/Dockerfile", "linux/amd64")
    ]
    assert [each.what for each in found.notes if "no block of Terraform" in each.what] == [
        "no block of Terraform builds the images of this: found by the names in image_uri",
        "function this runs var.other_uri, which no block of Terraform builds",
        'function this runs "${var.other_uri}", which no block of Terraform builds',
    ]


def test_equal_functions_of_a_module_are_noted_once(tree: Tree) -> None:
    tree.write("infra/function/main.tf", MODULE)
    calls = (CALL.format(name=name, image="var.other_uri", handler=f"app.{name}") for name in ("one", "two"))
    tree.write("infra/main.tf", "".join(calls))

    (note,) = propose(tree.root, survey(tree.root)).notes

    assert note.what == "function this runs var.other_uri, which no block of Terraform builds"
    assert "worker/Dockerfile" in (note.hint or "")


FUNCTIONS = "aws_lambda_function"
POLICIES = """
resource "aws_iam_policy" "one" {
  policy = jsonencode({
    Statement = [{ Action = "*" }]
  })
}
resource "aws_iam_policy" "three" {
  policy = <<EOF
{
}
EOF
}
"""


def _blocks(text: str, resources: tuple[str, ...] | None) -> tuple[HclBlock, ...]:
    found = read_blocks(text, "main.tf", resources)
    assert not isinstance(found, Problem)
    return found


FLAT = """
data "aws_iam_policy_document" "two" {
statement {
  actions = ["s3:*"]
}
}
"""


@pytest.mark.parametrize(("others", "is_left_out"), [(POLICIES, True), (POLICIES + FLAT, False)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blocks_about_something_else_change_nothing(
    tree: Tree, others: str, end: str, *, is_left_out: bool
) -> None:
    """They are not read, unless where they end is not clear."""
    function = FUNCTION.format(name='"worker"', image="docker_image.worker.name")
    text = (others + IMAGE + others + function).replace("\n", end)
    kinds = ("docker_image", FUNCTIONS)

    found = _blocks(text, kinds)

    assert [each for each in found if each.labels[:1] in {(kind,) for kind in kinds}] == [
        each for each in _blocks(text, None) if each.labels[:1] in {(kind,) for kind in kinds}
    ]
    assert (("aws_iam_policy", "one") not in {each.labels for each in found}) is is_left_out
    assert [each.functions for each in declared(tree, text)] == [("worker",)]
