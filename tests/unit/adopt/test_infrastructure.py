from __future__ import annotations

from pathlib import Path

import pytest

from lamina.adopt.cdk_typescript import read_cdk_typescript
from lamina.adopt.compose import read_compose
from lamina.adopt.declared import Declared
from lamina.adopt.python_infra import read_python_infra
from lamina.adopt.sam import read_sam, stack_name
from lamina.adopt.serverless import read_serverless
from lamina.adopt.survey import survey
from trees import Tree

SAM = """
Globals: {Function: {PackageType: Image}}
Resources:
  Ingest:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: ingest
      Architectures: [arm64]
      ImageConfig: {Command: [jobs.ingest.handler]}
    Metadata:
      DockerContext: ../app
      Dockerfile: docker/Dockerfile
      DockerBuildArgs: {PYTHON: "3.13", DEBUG: true}
  Notify:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: !Sub "${Stage}-notify", Architectures: [!Ref Architecture]}
    Metadata: {DockerContext: ../app, Dockerfile: docker/Dockerfile, DockerBuildTarget: slim}
  Odd:
    Type: AWS::Serverless::Function
    Metadata: {DockerContext: !Ref Where, Dockerfile: Dockerfile}
  Zipped:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Zip}
  Table:
    Type: AWS::DynamoDB::Table
"""


def test_a_sam_template_tells_dockerfile_context_functions_and_platform() -> None:
    found = read_sam(SAM, "infra/template.yaml")

    assert found.declared == (
        Declared(
            dockerfile="app/docker/Dockerfile",
            context="app",
            functions=("ingest",),
            platform="linux/arm64",
            args={"PYTHON": "3.13", "DEBUG": "true"},
            command=("jobs.ingest.handler",),
            where="infra/template.yaml:5",
        ),
        Declared(
            dockerfile="app/docker/Dockerfile",
            context="app",
            resources=("Notify",),
            stack="",
            target="slim",
            where="infra/template.yaml:15",
        ),
    )
    (note,) = found.notes
    assert str(note) == "infra/template.yaml:19: the image of Odd is unknown: its Metadata has no plain path"


def test_without_an_architecture_a_function_is_for_the_one_that_lambda_takes() -> None:
    template = SAM.replace("      Architectures: [arm64]\n", "")
    assert read_sam(template, "template.yaml").declared == ()  # the context is outside the repository
    assert read_sam(template, "infra/template.yaml").declared[0].platform == "linux/amd64"


@pytest.mark.parametrize(
    ("config", "stack"),
    [
        ("", ""),
        ("not = [toml", ""),
        ('[default.deploy.parameters]\nstack_name = "shop"\n', "shop"),
        ('[default.global.parameters]\nstack_name = "shop"\n', "shop"),
        (
            (
                '[default.deploy.parameters]\nstack_name = "shop-dev"\n'
                '[prod.deploy.parameters]\nstack_name = "shop-prod"\n'
            ),
            "shop-{stack}",
        ),
        (
            (
                '[dev.deploy.parameters]\nstack_name = "dev-shop"\n'
                '[prod.deploy.parameters]\nstack_name = "prod-shop"\n'
            ),
            "{stack}-shop",
        ),
        (
            (
                '[default.deploy.parameters]\nstack_name = "one"\n'
                '[prod.deploy.parameters]\nstack_name = "other"\n'
            ),
            "",
        ),
        ("[default]\ndeploy = 1\n", ""),
    ],
)
def test_samconfig_tells_the_stack(config: str, stack: str) -> None:
    assert stack_name(config) == stack


def test_yaml_that_is_none_is_a_note_with_its_line() -> None:
    for read in (read_sam, read_serverless):
        (note,) = read("a: 1\nb: [1, 2\nc: {\n", "template.yml").notes
        assert note.where is not None
        assert note.where.startswith("template.yml:")
    assert read_sam("- a\n- b\n", "template.yml").declared == ()
    assert read_sam("", "template.yml").declared == ()
    assert read_sam("Resources: 3\n", "template.yml").declared == ()


SERVERLESS = """
service: shop
provider:
  architecture: arm64
  ecr:
    images:
      worker: {path: ./, file: docker/Dockerfile.worker, buildArgs: {STAGE: "${sls:stage}", LEVEL: 3}}
      plain: ./plain
      theirs: {uri: "1.dkr.ecr.eu-central-1.amazonaws.com/x:1"}
      odd: {path: "${self:custom.where}"}
functions:
  resize: {image: {name: worker, command: [jobs.resize.handler]}}
  label: {image: worker, name: label-receipts}
  hello: {image: plain, architecture: x86_64}
"""


def test_a_serverless_service_tells_images_and_the_functions_that_use_them() -> None:
    found = read_serverless(SERVERLESS, "svc/serverless.yml")

    assert found.declared == (
        Declared(
            dockerfile="svc/docker/Dockerfile.worker",
            context="svc",
            name="worker",
            functions=("shop-{stack}-resize", "label-receipts"),
            platform="linux/arm64",
            args={"LEVEL": "3"},
            open_args=("STAGE",),
            where="svc/serverless.yml:7",
        ),
        Declared(
            dockerfile="svc/plain/Dockerfile",
            context="svc/plain",
            name="plain",
            functions=("shop-{stack}-hello",),
            platform="linux/amd64",
            where="svc/serverless.yml",
        ),
    )
    assert [note.where for note in found.notes] == ["svc/serverless.yml:10"]


def test_a_function_of_a_service_without_a_plain_name_is_known_when_deployed() -> None:
    found = read_serverless(SERVERLESS.replace("service: shop", "service: ${env:NAME}"), "svc/serverless.yml")

    assert (found.declared[0].functions, found.declared[0].resources) == (("label-receipts",), ("resize",))


CDK = """
from aws_cdk import aws_lambda as lambda_, aws_ecr_assets as assets

class Stack:
    def __init__(self):
        lambda_.DockerImageFunction(
            self, "Embed",
            code=lambda_.DockerImageCode.from_image_asset(
                "lambdas/embed", file="Dockerfile.arm", build_args={"A": "1"}, target="run",
            ),
            architecture=lambda_.Architecture.ARM_64,
        )
        lambda_.DockerImageFunction(
            self, "Label", function_name="label-it",
            code=DockerImageCode.from_image_asset("lambdas/label", platform=Platform.LINUX_ARM64),
        )
        lambda_.DockerImageFunction(self, "Odd", code=DockerImageCode.from_image_asset(str(HERE / "x")))
"""

PULUMI = """
import pulumi_docker as docker
import pulumi_docker_build as docker_build

image = docker.Image(
    "embed",
    build=docker.DockerBuildArgs(
        context="..",
        dockerfile="../lambdas/embed/Dockerfile.arm",
        platform="linux/arm64",
        args={"BUILDKIT_INLINE_CACHE": "1", "BASE_IMAGE": base.image_name},
    ),
)
other = docker_build.Image(
    "label",
    context={"location": "../lambdas/label"},
    dockerfile=docker_build.DockerfileArgs(location="../lambdas/label/Dockerfile"),
    platforms=[docker_build.Platform.LINUX_ARM64],
)
PIL.Image("not one")
"""


def lambdas(root: Path) -> Path:
    tree = Tree(root)
    tree.write("lambdas/embed/Dockerfile.arm", "FROM scratch\n")
    tree.write("lambdas/label/Dockerfile", "FROM scratch\n")
    tree.write("infra/main.py", "")
    return root


def test_a_cdk_program_is_read_and_not_run(tmp_path: Path) -> None:
    found = read_python_infra(CDK, "infra/main.py", lambdas(tmp_path))

    assert found.declared == (
        Declared(
            dockerfile="lambdas/embed/Dockerfile.arm",
            context="lambdas/embed",
            resources=("Embed",),
            stack="",
            platform="linux/arm64",
            target="run",
            args={"A": "1"},
            where="infra/main.py:8",
        ),
        Declared(
            dockerfile="lambdas/label/Dockerfile",
            context="lambdas/label",
            functions=("label-it",),
            platform="linux/arm64",
            where="infra/main.py:15",
        ),
    )
    assert [note.where for note in found.notes] == ["infra/main.py:17"]


def test_a_pulumi_program_is_read_as_far_as_strings_tell(tmp_path: Path) -> None:
    found = read_python_infra(PULUMI, "infra/main.py", lambdas(tmp_path))

    assert [(each.dockerfile, each.context, each.platform, dict(each.args)) for each in found.declared] == [
        ("lambdas/embed/Dockerfile.arm", ".", "linux/arm64", {"BUILDKIT_INLINE_CACHE": "1"}),
        ("lambdas/label/Dockerfile", "lambdas/label", "linux/arm64", {}),
    ]
    assert found.notes == ()


@pytest.mark.parametrize(
    "call",
    [
        'DockerImageCode.from_image_asset("lambdas/label", file=DOCKERFILE)',
        "DockerImageCode.from_image_asset(FOLDER)",
        'docker.Image("x", context=FOLDER)',
        'docker.Image("x", build=docker.DockerBuildArgs(context="..", dockerfile=FILE))',
    ],
)
def test_an_argument_that_is_not_a_string_is_not_guessed(tmp_path: Path, call: str) -> None:
    root = lambdas(tmp_path)
    Tree(root).write("infra/Dockerfile", "FROM scratch\n")
    Tree(root).write("Dockerfile", "FROM scratch\n")

    found = read_python_infra(call, "infra/main.py", root)

    assert found.declared == ()
    assert [note.where for note in found.notes] == ["infra/main.py:1"]


def test_python_that_is_none_is_a_note_with_its_line(tmp_path: Path) -> None:
    (note,) = read_python_infra("x = 1\ndef (:\n", "a.py", tmp_path).notes
    assert note.where == "a.py:2"


COMPOSE = """
services:
  api:
    build:
      context: ../app
      dockerfile: docker/Dockerfile
      target: slim
      args:
        PYTHON_VERSION: 3.12
        STAGE: ${STAGE:-dev}
  worker:
    build: ../app
  queue:
    image: rabbitmq:4
  remote:
    build: https://example.invalid/repo.git
  listed:
    build: {context: ., args: ["A=1", "B", "C=${C}"]}
"""


def test_a_compose_file_tells_contexts_and_plain_arguments() -> None:
    found = read_compose(COMPOSE, "infra/docker-compose.yml").declared

    assert [(each.dockerfile, each.context, each.target, dict(each.args)) for each in found] == [
        ("app/docker/Dockerfile", "app", "slim", {"PYTHON_VERSION": "3.12"}),
        ("app/Dockerfile", "app", None, {}),
        ("infra/Dockerfile", "infra", None, {"A": "1"}),
    ]


TYPESCRIPT = """
export class Service extends Stack {
  constructor(scope: Construct, id: string) {
    new lambda.DockerImageFunction(this, 'Fn', {
      code: lambda.DockerImageCode.fromImageAsset(path.join(__dirname, '../..', "app"), {
        file: 'docker/Dockerfile', // (the only one
        target: "slim",
        buildArgs: { PYTHON_VERSION: '3.12', 'STAGE': stage, "EXTRA": "a)b" },
        platform: Platform.LINUX_ARM64,
      }),
    });
    new DockerImageAsset(this, 'Worker', { directory: './app', buildArgs: { A: `1` } });
    lambda.DockerImageCode.fromImageAsset(somewhere, { file: 'Dockerfile' });
    lambda.DockerImageCode.fromImageAsset('nowhere');
"""


def test_a_cdk_program_in_typescript_is_read(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("app/docker/Dockerfile", "FROM scratch\n")
    tree.write("app/Dockerfile", "FROM scratch\n")

    found = read_cdk_typescript(TYPESCRIPT, "infra/lib/stack.ts", tmp_path).declared

    assert [
        (each.dockerfile, each.context, each.target, each.platform, dict(each.args)) for each in found
    ] == [
        ("app/docker/Dockerfile", "app", "slim", "linux/arm64", {"PYTHON_VERSION": "3.12", "EXTRA": "a)b"}),
        ("app/Dockerfile", "app", None, None, {"A": "1"}),
    ]
    assert found[0].where == "infra/lib/stack.ts:5"


def test_a_file_that_deploys_an_image_comes_before_a_compose_file(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for name in ("app", "other", "tests/odd"):
        tree.write(f"{name}/Dockerfile", "FROM scratch\n")
    tree.write("infra/stack.ts", "DockerImageCode.fromImageAsset('app', { buildArgs: { A: '1' } })\n")
    builds = "".join(
        f"  {name[-1]}:\n    build: {name}\n" for name in ("app", "other", "other", "tests/odd", "no")
    )
    tree.write("compose.yaml", f"services:\n{builds}")

    found = survey(tmp_path)

    assert [(each.dockerfile, each.where) for each in found.declared if each.deploys] == [
        ("app/Dockerfile", "infra/stack.ts:1")
    ]
    assert found.dockerfiles == ("app/Dockerfile", "other/Dockerfile")
    assert [each.what for each in found.notes] == ["skipped: it belongs to tests"]


HELD = """
code = DockerImageCode.from_image_asset("../lambdas/label", cmd=["app.refund"])
DockerImageFunction(self, "Refund", code=code, architecture=Architecture.ARM_64)
DockerImageFunction(self, "Label", code=code)
DockerImageFunction(self, "Common", code=code, **common)
DockerImageFunction(self, "Given", code=given)
"""


def test_an_image_in_a_variable_is_the_one_of_the_functions_that_name_it(tmp_path: Path) -> None:
    found = read_python_infra(HELD, "infra/main.py", lambdas(tmp_path))

    assert [(each.resources, each.platform, each.command) for each in found.declared] == [
        (("Refund",), "linux/arm64", ("app.refund",)),
        (("Label",), "linux/amd64", ("app.refund",)),
        (("Common",), None, ("app.refund",)),
    ]
    assert [(note.where, note.what) for note in found.notes] == [
        ("infra/main.py:6", "the image of a function is not known: `given` is not a plain value of this file")
    ]


def test_a_cmd_that_is_not_a_plain_list_of_strings_gets_a_note(tmp_path: Path) -> None:
    image = 'DockerImageCode.from_image_asset("../lambdas/label", cmd='
    calls = (
        f'DockerImageFunction(self, "A", code={image}CMD))\n'
        f'DockerImageFunction(self, "B", code={image}[a.b]))\n'
        f'DockerImageFunction(self, "C", code={image}None))\n'
        'ecs.ContainerImage.from_asset("../lambdas/label", cmd=CMD)\n'
    )

    found = read_python_infra(calls, "infra/main.py", lambdas(tmp_path))

    assert [(note.where, note.what) for note in found.notes] == [
        (
            f"infra/main.py:{line}",
            f"the cmd of function {name} is not known: it is not a plain list of strings",
        )
        for line, name in ((1, "A"), (2, "B"))
    ]


def test_an_image_of_ecs_that_is_not_plain_needs_no_note(tmp_path: Path) -> None:
    found = read_python_infra("ecs.ContainerImage.from_asset(folder)\n", "infra/main.py", lambdas(tmp_path))

    assert (found.declared, found.notes) == ((), ())
