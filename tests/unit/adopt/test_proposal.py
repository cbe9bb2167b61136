from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lamina.adopt.proposal import ImageProposal, Proposal, propose
from lamina.adopt.proposal_text import added_to
from lamina.adopt.survey import survey
from lamina.errors import ConfigError
from trees import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "receipts"
    root.mkdir()
    return Tree(root)


def proposed(tree: Tree) -> dict[str, ImageProposal]:
    return {each.name: each for each in made(tree).images}


def made(tree: Tree) -> Proposal:
    return propose(tree.root, survey(tree.root))


def notes(tree: Tree) -> list[str]:
    return [str(each).partition("\n")[0] for each in made(tree).notes]


def test_a_lower_case_dockerfile_counts_where_there_is_no_other(tree: Tree) -> None:
    """BuildKit's default name falls back to it: https://github.com/moby/moby/issues/10858."""
    for path in ("api/dockerfile", "worker/dockerfile", "worker/Dockerfile", "jobs/dockerfile.nightly"):
        tree.write(path, "FROM scratch\n")
    tree.write("compose.yaml", "services:\n  api:\n    build: {context: api, args: {MODE: fast}}\n")

    found = proposed(tree)

    assert {name: each.dockerfile for name, each in found.items()} == {
        "api": "api/dockerfile",
        "nightly": "jobs/dockerfile.nightly",
        "worker": "worker/Dockerfile",
    }
    assert found["api"].args == {"MODE": "fast"}


def test_dockerfiles_are_found_under_all_their_names_and_not_where_others_put_theirs(tree: Tree) -> None:
    for path in (
        "Dockerfile",
        "docker/Dockerfile.worker",
        "docker/api.Dockerfile",
        "lambdas/embed/Dockerfile",
        "lambdas/ReceiptLabel/docker/Dockerfile",
    ):
        tree.write(path, "FROM scratch\n")
    for path in (
        "Dockerfile.dockerignore",
        "Dockerfile.orig",
        "node_modules/x/Dockerfile",
        ".venv/lib/Dockerfile",
        "env/pyvenv.cfg",
        "env/Dockerfile",
        "vendor/x/Dockerfile",
        "tests/data/Dockerfile",
        "docs/Dockerfile.md",
        "src/parse/dockerfile.py",
    ):
        tree.write(path, "FROM scratch\n")

    assert {name: each.dockerfile for name, each in proposed(tree).items()} == {
        "receipts": "Dockerfile",
        "worker": "docker/Dockerfile.worker",
        "api": "docker/api.Dockerfile",
        "embed": "lambdas/embed/Dockerfile",
        "receipt-label": "lambdas/ReceiptLabel/docker/Dockerfile",
    }
    assert notes(tree) == ["tests/data/Dockerfile: skipped: it belongs to tests"]


def test_names_that_are_alike_get_the_folder_above(tree: Tree) -> None:
    for path in ("a/embed/Dockerfile", "b/embed/Dockerfile", "c/docker/Dockerfile", "c/Dockerfile"):
        tree.write(path, "FROM scratch\n")

    assert list(proposed(tree)) == ["a-embed", "b-embed", "c", "c-docker"]


def test_a_base_has_the_name_that_others_build_from(tree: Tree) -> None:
    tree.write("infra/base_images/receipt_dynamo/Dockerfile", "FROM public.ecr.aws/lambda/python:3.13\n")
    tree.write(
        "infra/base_images/receipt_label/Dockerfile",
        "ARG BASE_IMAGE=base-receipt-dynamo:latest\nFROM ${BASE_IMAGE}\n",
    )
    tree.write("embed/Dockerfile", "FROM base-receipt-label\n")
    tree.write("python/Dockerfile", "FROM python:3.13\n")

    assert {name: each.dockerfile.split("/")[-2] for name, each in proposed(tree).items()} == {
        "embed": "embed",
        "base-receipt-dynamo": "receipt_dynamo",
        "base-receipt-label": "receipt_label",
        "receipts": "python",
    }


def test_a_base_in_a_registry_is_pointed_at_by_its_argument(tree: Tree) -> None:
    ours = "123456789012.dkr.ecr.us-east-1.amazonaws.com/base-dynamo-dev:latest"
    tree.write("base_dynamo/Dockerfile", "FROM scratch\n")
    tree.write("embed/Dockerfile", f"ARG BASE_IMAGE={ours}\nFROM ${{BASE_IMAGE}}\n")
    tree.write("label/Dockerfile", f"FROM {ours}\n")

    found = proposed(tree)

    assert dict(found["embed"].args) == {"BASE_IMAGE": "base-dynamo:stable"}
    assert dict(found["label"].args) == {}
    assert notes(tree) == [
        f"label/Dockerfile: {ours} looks like base-dynamo of this repository, but names a registry"
    ]


def test_two_dockerfiles_that_match_a_name_are_noted(tree: Tree) -> None:
    tree.write("a/base/Dockerfile", "FROM scratch\n")
    tree.write("b/base/Dockerfile", "FROM scratch\n")
    tree.write("embed/Dockerfile", "FROM base:latest\n")

    assert notes(tree) == [
        "embed/Dockerfile: FROM base: several Dockerfiles match: a/base/Dockerfile, b/base/Dockerfile"
    ]


def test_the_context_is_the_smallest_folder_that_has_all_sources(tree: Tree) -> None:
    tree.write("shared/a.py")
    tree.write("svc/common/b.py")
    tree.write("svc/embed/handler.py")
    tree.write("svc/embed/Dockerfile", "FROM scratch\nCOPY handler.py /\n")
    tree.write("svc/middle/Dockerfile", "FROM scratch\nCOPY common/*.py /\n")
    tree.write("svc/root/Dockerfile", "FROM scratch\nCOPY shared svc/common /\n")
    tree.write("svc/nothing/Dockerfile", "FROM scratch\nCOPY made.whl /\n")

    assert {name: each.context for name, each in proposed(tree).items()} == {
        "embed": "svc/embed",
        "middle": "svc",
        "root": ".",
        "nothing": ".",
    }
    assert notes(tree) == ["svc/nothing/Dockerfile:2: context . is a guess: no folder above it has made.whl"]


@pytest.mark.parametrize(
    ("dockerfile", "context"),
    [
        ("orders/Dockerfile", "orders"),
        ("orders/src/main/docker/Dockerfile.jvm", "orders"),
        ("other/Dockerfile", "."),  # the project around it
    ],
)
def test_without_any_source_the_context_is_the_project_that_builds_them(
    tree: Tree, dockerfile: str, context: str
) -> None:
    tree.write("package.json", "{}")
    tree.write("orders/pom.xml", "<project/>")
    tree.write(dockerfile, "FROM scratch\nCOPY target/*.jar target/lib/ /\n")

    (found,) = proposed(tree).values()

    assert found.context == context


def test_a_context_that_is_not_the_only_one_is_noted(tree: Tree) -> None:
    tree.write("requirements.txt")
    tree.write("embed/requirements.txt")
    tree.write("embed/Dockerfile", "FROM scratch\nCOPY requirements.txt /\n")
    tree.write("infra/receipt_dynamo/Dockerfile", "FROM scratch\nCOPY receipt_dynamo /\n")
    tree.write("receipt_dynamo/code.py")

    found = proposed(tree)

    assert found["embed"].context == "embed"
    assert found["receipt-dynamo"].context == "."  # the folder of the Dockerfile only has its name
    assert notes(tree) == ["embed/Dockerfile: context embed is a guess: all sources are in . as well"]


def test_the_infrastructure_decides_between_contexts_that_hold_all_that_is_copied(tree: Tree) -> None:
    tree.write("requirements.txt")
    for folder in ("one", "two", "three"):
        tree.write(f"svc/{folder}/requirements.txt")
        tree.write(f"svc/{folder}/handler/app.py")
        tree.write(f"svc/{folder}/Dockerfile", "FROM scratch\nCOPY requirements.txt /\nCOPY handler/ /h/\n")
    tree.write("svc/one/infra/Dockerfile", "FROM scratch\nCOPY requirements.txt /\n")
    named = 'CodeBuildDockerImage("x", dockerfile_path="{}/Dockerfile", build_context_path="{}")\n'
    tree.write(
        "infra/main.py", named.format("svc/one/infra", ".") + named.format("svc/two", ".") + "print(1)\n"
    )

    found = {each.dockerfile: each.context for each in made(tree).images}

    assert found["svc/one/infra/Dockerfile"] == "."  # all folders on the way have requirements.txt
    assert found["svc/two/Dockerfile"] == "svc/two"  # the one that is named has no handler/
    assert found["svc/three/Dockerfile"] == "svc/three"
    assert "infra/main.py:2: context svc/two is a guess: the declared . lacks sources" in notes(tree)


def test_an_unknown_base_keeps_the_context(tree: Tree) -> None:
    tree.write("svc/Dockerfile", "ARG BASE\nFROM ${BASE}\nCOPY requirements.txt .\nCOPY handler/ h/\n")
    tree.write("svc/requirements.txt")
    tree.write("svc/handler/app.py")

    assert [each.context for each in made(tree).images] == ["svc"]


def test_a_dockerfile_that_is_built_in_several_ways_is_several_images(tree: Tree) -> None:
    tree.write("app/Dockerfile", "ARG WHAT=a\nFROM scratch AS slim\nFROM scratch AS fat\n")
    tree.write(
        "template.yaml",
        "Globals: {Function: {PackageType: Image, Architectures: [arm64]}}\nResources:\n"
        + "".join(
            f"  {name}:\n    Type: AWS::Serverless::Function\n"
            f"    Properties: {{FunctionName: {name}}}\n"
            f"    Metadata: {{DockerContext: app, DockerBuildTarget: {target}}}\n"
            for name, target in (("One", "slim"), ("Two", "slim"), ("Three", "fat"))
        ),
    )

    assert {name: each.functions for name, each in proposed(tree).items()} == {
        "app-slim": ("One", "Two"),
        "app-fat": ("Three",),
    }
    assert made(tree).platform == "linux/arm64"


def test_a_function_is_proposed_for_one_image_alone(tree: Tree) -> None:
    for folder in ("one", "two"):
        tree.write(f"{folder}/Dockerfile", "FROM scratch\n")
        tree.write(
            f"{folder}/template.yaml",
            "Resources:\n  Api:\n    Type: AWS::Serverless::Function\n"
            "    Properties: {PackageType: Image, FunctionName: Api}\n    Metadata: {DockerContext: .}\n",
        )

    assert {name: each.functions for name, each in proposed(tree).items()} == {"one": ("Api",), "two": ()}
    assert "two/Dockerfile: function Api belongs to one as well: it is left to that image" in notes(tree)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"FROM scratch\nFETCH x\n", "bad/Dockerfile:2: unknown instruction FETCH"),
        (b"__HEADER__\nCOPY a /\n", "bad/Dockerfile:1: unknown instruction __HEADER__ (and 2 more)"),
        (b"", "bad/Dockerfile:1: "),
        (b"\xff", "bad/Dockerfile: cannot be read: "),
        (
            b"ARG BASE\nFROM ${BASE}\n",
            "bad/Dockerfile:2: FROM ${BASE} names no image: build argument BASE has no value",
        ),
    ],
)
def test_an_unreadable_file_is_a_note_with_its_line(tree: Tree, content: bytes, note: str) -> None:
    tree.write("good/Dockerfile", "FROM scratch\n")
    tree.write("bad/Dockerfile", content)

    assert "good" in proposed(tree)
    (found,) = notes(tree)
    assert found.startswith(note)


BUILT = """resource "docker_image" "fn" {
  name = "fn"
  build {
    context    = "fn"
    build_args = { STAGE = var.s, LEVEL = "3" }
  }
}
resource "aws_lambda_function" "fn" {
  image_uri = docker_image.fn.name
}
"""


@pytest.mark.parametrize(
    ("path", "program"),
    [
        ("app.py", 'from_image_asset("fn", build_args={"STAGE": stage, "LEVEL": "3", "OTHER": stage})'),
        ("app.ts", "fromImageAsset('fn', { buildArgs: { STAGE: props.stage, LEVEL: '3', OTHER: x } })"),
        ("main.tf", BUILT),
    ],
)
def test_a_build_argument_that_is_not_plain_is_noted_if_the_dockerfile_has_it(
    tree: Tree, path: str, program: str
) -> None:
    tree.write("fn/Dockerfile", "FROM scratch\nARG STAGE=dev\nARG LEVEL\n")
    tree.write(path, program)

    found = made(tree)

    assert found.images[0].args == {"LEVEL": "3"}
    (note,) = found.notes
    assert str(note).splitlines() == [
        f"{path}:1: the value of build argument STAGE is not plain",
        '  next: args.STAGE = "…" in [tool.lamina.images.<name>]',
    ]


def test_arguments_that_buildkit_knows_are_not_noted(tree: Tree) -> None:
    tree.write("fn/Dockerfile", "FROM scratch\nARG TARGETARCH\nARG http_proxy\n")
    tree.write("app.py", 'from_image_asset("fn", build_args={"http_proxy": proxy, "TARGETARCH": machine})')

    assert made(tree).notes == ()


def test_the_context_is_found_if_a_base_and_the_platform_have_no_value(tree: Tree) -> None:
    tree.write(
        "a/fn/Dockerfile",
        "ARG TARGETPLATFORM\nARG BASE\nFROM --platform=$TARGETPLATFORM ${BASE}\nCOPY fn/main.py /var/task/\n"
        'CMD ["main.handler"]\n',
    )
    tree.write("a/fn/main.py", "")
    tree.write("app.py", 'from_image_asset("a/fn")')

    assert [each.context for each in made(tree).images] == ["a"]


def test_the_file_is_kept_byte_for_byte(tree: Tree) -> None:
    tree.write("app/Dockerfile", "FROM scratch\n")
    proposal = made(tree)

    for before in (
        "",
        "[tool.black]\nline-length = 79",
        "# caf\u00e9\r\n[tool.black]\r\n",
        "[tool.lamina]\nstack = 'x'\n",
    ):
        after = added_to(before, proposal)
        assert after.startswith(before)
        assert tomllib.loads(after)["tool"]["lamina"]["images"] == {"app": {"dockerfile": "app/Dockerfile"}}
        assert ("\r\n" in after) is ("\r\n" in before)
        assert after.replace("\r\n", "").count("\r") == 0

    with pytest.raises(ConfigError, match="cannot be added"):
        added_to("[tool]\nlamina = {}\n", proposal)


@pytest.mark.parametrize("name", ["app-image-0", "img", "appimage"])
def test_a_declared_name_that_says_nothing_gives_way_to_the_folder(tree: Tree, name: str) -> None:
    tree.write("jobs/Dockerfile", "FROM scratch\n")
    tree.write("serverless.yml", f"service: s\nprovider: {{ecr: {{images: {{{name}: {{path: jobs}}}}}}}}\n")

    assert set(proposed(tree)) == {"jobs"}


def test_functions_without_names_are_a_list_to_complete(tree: Tree) -> None:
    tree.write("jobs/Dockerfile", "FROM scratch\n")
    tree.write(
        "template.yaml",
        "Resources:\n"
        + "".join(
            f"  {name}:\n    Type: AWS::Serverless::Function\n    Properties: {{PackageType: Image}}\n"
            "    Metadata: {DockerContext: jobs, Dockerfile: Dockerfile}\n"
            for name in ("One", "Two")
        ),
    )

    text = added_to("", made(tree))

    assert (
        "# functions = [  # add the names of their stacks\n"
        '#   { stack = "...", id = "One" },  # template.yaml:3\n'
        '#   { stack = "...", id = "Two" },  # template.yaml:7\n'
        "# ]\n"
    ) in text


def test_the_path_of_a_construct_is_to_be_completed(tree: Tree) -> None:
    tree.write("jobs/Dockerfile", "FROM scratch\n")
    tree.write(
        "infra/app.py",
        "DockerImageFunction(self, 'Jobs', code=DockerImageCode.from_image_asset('jobs'))\n",
    )

    assert (
        "# functions = [  # add the names of their stacks, and the outer constructs: Outer/Inner\n"
        '#   { stack = "...", id = "Jobs" },  # infra/app.py:1\n'
    ) in added_to("", made(tree))


def test_functions_with_and_without_names_are_one_list(tree: Tree) -> None:
    tree.write("jobs/Dockerfile", "FROM scratch\n")
    function = (
        "  {}:\n    Type: AWS::Serverless::Function\n    Properties: {{PackageType: Image{}}}\n"
        "    Metadata: {{DockerContext: jobs}}\n"
    )
    named = function.format("One", ", FunctionName: one")
    tree.write("template.yaml", "Resources:\n" + named + function.format("Two", ""))

    text = added_to("", made(tree))

    assert (
        "functions = [  # add the names of their stacks\n"
        '  "one",\n'
        '  # { stack = "...", id = "Two" },  # template.yaml:7\n'
        "]\n"
    ) in text


SAM_FUNCTION = """
  {name}:
    Type: AWS::Serverless::Function
    Properties:
      PackageType: Image
      FunctionName: {name}
      {more}
    Metadata: {{DockerContext: fn, Dockerfile: Dockerfile}}
"""


def test_one_image_for_two_architectures_is_noted_and_a_command_is_kept(tree: Tree) -> None:
    tree.write("fn/Dockerfile", "FROM scratch\n")
    arm = SAM_FUNCTION.format(name="arm", more="Architectures: [arm64]")
    amd = SAM_FUNCTION.format(name="amd", more="ImageConfig: {Command: [app.refund]}")
    tree.write("template.yaml", f"Transform: AWS::Serverless-2016-10-31\nResources:{arm}{amd}")

    found = made(tree)

    (note,) = found.notes
    assert note.what == (
        "one image cannot serve functions of linux/arm64 and linux/amd64: linux/arm64 is taken, "
        "as in template.yaml:4"
    )
    assert found.platform == "linux/arm64"
    document = tomllib.loads(added_to("", found))["tool"]["lamina"]["images"]["fn"]
    assert document["functions"] == ["arm", {"name": "amd", "command": ["app.refund"]}]


def test_an_assumed_platform_and_images_without_a_function_are_noted(tree: Tree) -> None:
    for name in ("fn", "label"):
        tree.write(f"{name}/Dockerfile", "FROM public.ecr.aws/lambda/python:3.13\n")
    arm = SAM_FUNCTION.format(name="arm", more="Architectures: [arm64]")
    tree.write("template.yaml", f"Transform: AWS::Serverless-2016-10-31\nResources:{arm}")
    tree.write(
        "main.tf",
        'resource "aws_lambda_function" "f" {\n  package_type = "Image"\n  image_uri = var.image\n}\n',
    )

    unbuilt, assumed = made(tree).notes

    assert unbuilt.what == "function f runs var.image, which no block of Terraform builds"
    assert unbuilt.hint is not None
    assert unbuilt.hint.endswith("; Dockerfiles without a function: label/Dockerfile")
    assert assumed.what == (
        "platform linux/arm64 of the other images is assumed for label: no file names theirs"
    )
