"""What a Dockerfile is for: init leaves out what is certainly no function."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.adopt.proposal import propose
from lamina.adopt.survey import survey
from trees import Tree

FUNCTION = 'FROM public.ecr.aws/lambda/python:3.13\nCMD ["app.handler"]\n'


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.write("fn/Dockerfile", FUNCTION)
    return tree


def images(tree: Tree) -> set[str]:
    return {each.dockerfile for each in propose(tree.root, survey(tree.root)).images}


@pytest.mark.parametrize(
    ("dockerfile", "role"),
    [
        ("FROM nginx:1.27\nCOPY . /usr/share/nginx/html\n", "FROM nginx, a service"),
        ("FROM amazon/dynamodb-local\n", "FROM dynamodb-local, a service"),
        ('FROM python:3.13\nCMD ["uvicorn", "app:app"]\n', "uvicorn, a server"),
        ("FROM node:22\nCMD npm start\n", "npm, a server"),
        ("FROM amazonlinux:2023\nCMD envsubst < a > b && exec nginx -g x\n", "nginx, a server"),
        (
            'FROM python:3.13 AS b\nFROM b\nENTRYPOINT ["/usr/bin/gunicorn"]\nCMD ["app:app"]\n',
            "gunicorn, a server",
        ),
        ("FROM public.ecr.aws/sam/build-python3.13\nRUN make\n", "an image of SAM's that builds zip files"),
    ],
)
def test_what_is_no_function_is_left_out_with_the_reason(tree: Tree, dockerfile: str, role: str) -> None:
    tree.write("other/Dockerfile", dockerfile)

    assert images(tree) == {"fn/Dockerfile"}
    (note,) = propose(tree.root, survey(tree.root)).notes
    assert note.where == "other/Dockerfile"
    assert note.what.endswith(role)


@pytest.mark.parametrize(
    "dockerfile",
    [
        'FROM python:3.13\nCMD ["python", "job.py"]\n',
        'FROM python:3.13\nCOPY --from=awsguru/lambda-adapter /lambda-adapter /x/\nCMD ["uvicorn", "a:a"]\n',
        'FROM python:3.13\nENTRYPOINT ["python", "-m", "awslambdaric"]\nCMD ["flask.handler"]\n',
        'FROM public.ecr.aws/lambda/nodejs:22\nCMD ["npm"]\n',
        "FROM scratch\n",
    ],
)
def test_what_may_be_a_function_is_proposed(tree: Tree, dockerfile: str) -> None:
    tree.write("other/Dockerfile", dockerfile)

    assert "other/Dockerfile" in images(tree)


def test_a_server_that_others_build_on_or_that_is_deployed_as_a_function_is_proposed(tree: Tree) -> None:
    tree.write("server-base/Dockerfile", "FROM nginx\n")
    tree.write("fn/Dockerfile", "FROM server-base\n")
    tree.write("web/Dockerfile", 'FROM python:3.13\nCMD ["uvicorn", "a:a"]\n')
    tree.write(
        "template.yaml",
        "Resources:\n  Web:\n    Type: AWS::Serverless::Function\n"
        "    Properties: {PackageType: Image}\n    Metadata: {DockerContext: web}\n",
    )

    assert images(tree) == {"server-base/Dockerfile", "fn/Dockerfile", "web/Dockerfile"}


def test_a_repository_without_a_function_is_adopted_as_it_is(tree: Tree) -> None:
    tree.write("fn/Dockerfile", "FROM nginx\n")

    assert images(tree) == {"fn/Dockerfile"}


def test_a_dockerfile_of_a_zip_asset_is_left_out(tree: Tree) -> None:
    tree.write("layer/Dockerfile", "FROM python:3.13\nRUN pip install -t /asset numpy\n")
    tree.write("stack.py", 'Function(self, "F", code=Code.from_docker_build("layer"))\n')

    assert images(tree) == {"fn/Dockerfile"}


def test_a_client_of_the_runtime_makes_a_function_without_any_deployment(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("fn/Dockerfile", 'FROM python:3.13\nENTRYPOINT ["python", "-m", "awslambdaric"]\n')
    tree.write("web/Dockerfile", "FROM nginx:1.29\nCOPY pages /\n")

    assert images(tree) == {"fn/Dockerfile"}
    (note,) = propose(tree.root, survey(tree.root)).notes  # and none about the context of what is left out
    assert note.where == "web/Dockerfile"


@pytest.mark.parametrize(
    "dockerfile",
    [
        'FROM python:3.13\nCMD ["python", "job.py"]\n',
        'FROM public.ecr.aws/lambda/python:3.13\nENTRYPOINT ["python", "job.py"]\n',
    ],
)
def test_an_image_that_terraform_builds_for_no_function_is_left_out(tree: Tree, dockerfile: str) -> None:
    tree.write("job/Dockerfile", dockerfile)
    build = 'resource "docker_image" "{0}" {{\n  name = "{0}"\n  build {{\n    context = "../{0}"\n  }}\n}}\n'
    tree.write("infra/main.tf", "".join(map(build.format, ("job", "fn"))))

    assert images(tree) == {"fn/Dockerfile"}
    (note,) = propose(tree.root, survey(tree.root)).notes
    assert note.what.endswith("no function of infra/main.tf runs it")


def test_what_nothing_deploys_and_nobody_can_build_is_left_out(tree: Tree) -> None:
    tree.write("mock/Dockerfile", "FROM stoplight/prism\nCOPY specification /tmp/\n")

    assert images(tree) == {"fn/Dockerfile"}
    (note,) = propose(tree.root, survey(tree.root)).notes
    assert note.what.endswith("nothing says that it is for Lambda, and files that it copies are missing")
    tree.write("mock/specification")
    assert images(tree) == {"fn/Dockerfile", "mock/Dockerfile"}


@pytest.mark.parametrize(
    "path", [".devcontainer/Dockerfile", "api/.devcontainer/Dockerfile", ".gitpod.Dockerfile"]
)
def test_a_development_container_is_left_out_even_where_nothing_else_is_found(
    tmp_path: Path, path: str
) -> None:
    tree = Tree(tmp_path)
    tree.write(path, "FROM mcr.example.com/devcontainers/python:3.13\n")

    found = propose(tree.root, survey(tree.root))

    assert found.images == ()
    assert [each.what for each in found.notes] == [
        "left out, because it makes no Lambda image: a development container"
    ]


def test_a_bundling_image_is_left_out_even_where_nothing_else_is_found(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("zip/Dockerfile", "FROM alpine:3\nRUN apk add zip\n")
    tree.write("lib/stack.ts", "const image = DockerImage.fromBuild(path.posix.join(__dirname, '../zip'));\n")

    found = propose(tree.root, survey(tree.root))

    assert found.images == ()
    assert [each.where for each in found.notes] == ["zip/Dockerfile"]
    tree.write("lib/stack.ts")
    tree.write("stack.py", "DockerImage.from_build('zip')\n")
    assert images(tree) == set()


@pytest.mark.parametrize("start", ['ENTRYPOINT ["python", "/job.py"]', "ENTRYPOINT node /job.js"])
def test_a_script_of_an_interpreter_is_left_out_unless_a_function_runs_it(tree: Tree, start: str) -> None:
    tree.write("job/Dockerfile", f"FROM python:3.13-slim\n{start}\n")

    assert images(tree) == {"fn/Dockerfile"}
    (note,) = propose(tree.root, survey(tree.root)).notes
    assert note.what.endswith(", without Lambda's runtime interface")
    tree.write("stack.py", 'DockerImageFunction(self, "F", code=DockerImageCode.from_image_asset("job"))\n')
    assert images(tree) == {"fn/Dockerfile", "job/Dockerfile"}


def test_an_image_of_ecs_in_a_cdk_program_is_left_out(tree: Tree) -> None:
    tree.write("job/Dockerfile", 'FROM python:3.13\nCMD ["python", "job.py"]\n')
    tree.write("compose.yaml", "services:\n  job:\n    build: job\n")
    tree.write("stack.py", 'ecs.ContainerImage.from_asset("job")\n')

    assert images(tree) == {"fn/Dockerfile"}
    tree.write("stack.py", "")
    tree.write("stack.ts", "const image = ecs.ContainerImage.fromAsset('job');\n")
    assert images(tree) == {"fn/Dockerfile"}
    (note,) = propose(tree.root, survey(tree.root)).notes
    assert note.what.endswith("no function of stack.ts runs it")
