"""Paths in CDK and Pulumi programs in Python, whose programs are in ``infra/app``."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.adopt.declared import Asset, Declared
from lamina.adopt.python_infra import read_python_infra
from trees import Tree

PROGRAM = "infra/app/stack.py"
HEAD = """
HERE = os.path.dirname(__file__)
ROOT: Path = Path(__file__).resolve().parent.parent.parent
NAME = "labels"
twice = "a"
twice = "b"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.write("services/labels/Dockerfile", "FROM scratch\n")
    return tree


def read(tree: Tree, text: str) -> tuple[Declared, ...]:
    return read_python_infra(HEAD + text, PROGRAM, tree.root).declared


@pytest.mark.parametrize(
    "folder",
    [
        'os.path.join(os.path.dirname(__file__), "..", "..", "services/labels")',
        'os.path.abspath(os.path.join(HERE, "../../services", NAME))',
        'str(Path(__file__).resolve().parents[2] / "services" / "labels")',
        'ROOT.joinpath("services", NAME).as_posix()',
        'f"{ROOT}/services/{NAME}"',
        'HERE + "/../../services/" + NAME',
        'os.fspath(pathlib.Path(HERE, "../../services/labels"))',
    ],
)
def test_a_folder_is_followed_from_the_program_on(tree: Tree, folder: str) -> None:
    (found,) = read(tree, f"code = DockerImageCode.from_image_asset({folder})\n")

    assert (found.dockerfile, found.context) == ("services/labels/Dockerfile", "services/labels")


@pytest.mark.parametrize(
    "folder",
    [
        "os.path.join(HERE, find_it())",
        "Path(given) / 'services/labels'",
        "f'../../services/{twice}'",
        "os.path.join(HERE, '/services/labels')",
        "os.path.join(HERE, '../../../services/labels')",
        "str(HERE, encoding='ascii')",
        "[each for NAME in names][0]",
    ],
)
def test_what_only_python_knows_is_not_guessed(tree: Tree, folder: str) -> None:
    program = f"{HEAD}DockerImageCode.from_image_asset({folder})\n"

    found = read_python_infra(program, PROGRAM, tree.root)

    assert found.declared == ()
    assert [each.what for each in found.notes] == ["an image whose Dockerfile is not given by plain strings"]


def test_a_parameter_hides_a_constant_of_its_name(tree: Tree) -> None:
    assert read(tree, 'def make(NAME): DockerImageCode.from_image_asset(f"{ROOT}/services/{NAME}")\n') == ()


def test_names_and_arguments_may_be_constants(tree: Tree) -> None:
    given = 'str(ROOT), file=f"services/{NAME}/Dockerfile", build_args={"N": NAME}'
    image = f"DockerImageCode.from_image_asset({given})"
    (found,) = read(tree, f'DockerImageFunction(self, "F", function_name=f"{{NAME}}-fn", code={image})\n')

    assert (found.dockerfile, found.context) == ("services/labels/Dockerfile", ".")
    assert (found.functions, found.args) == (("labels-fn",), {"N": "labels"})


def test_an_unknown_folder_is_the_repository_if_the_dockerfile_is_named_from_there(tree: Tree) -> None:
    (found,) = read(tree, 'DockerImageCode.from_image_asset(given, file="services/labels/Dockerfile")\n')
    zipped = 'Code.from_docker_build(path=os.path.abspath(given), file="services/labels/Dockerfile")\n'

    assert (found.dockerfile, found.context) == ("services/labels/Dockerfile", ".")
    assert read_python_infra(zipped, PROGRAM, tree.root).assets == (
        Asset(dockerfile="services/labels/Dockerfile", where=f"{PROGRAM}:1"),
    )


@pytest.mark.parametrize(
    ("app", "folder"),
    [
        ("infra/cdk.json", '"../services/labels"'),
        ("infra/cdk.json", 'os.path.join(os.getcwd(), "..", "services", NAME)'),
        ("cdk.json", '"services/labels"'),
        ("Pulumi.yaml", 'str(Path.cwd() / "services" / "labels")'),
    ],
)
def test_a_path_of_its_own_begins_where_the_app_runs(tree: Tree, app: str, folder: str) -> None:
    tree.write(app, "{}")
    tree.write("infra/services/labels/other")
    tree.write("infra/app/services/labels/other")

    (found,) = read(tree, f"code = DockerImageCode.from_image_asset({folder})\n")

    assert found.dockerfile == "services/labels/Dockerfile"


def test_of_folders_with_a_path_the_one_with_the_dockerfile_counts(tree: Tree) -> None:
    tree.write(PROGRAM)
    given = 'os.path.abspath("./"), file="services/labels/Dockerfile"'

    (found,) = read(tree, f"code = DockerImageCode.from_image_asset({given})\n")

    assert (found.dockerfile, found.context) == ("services/labels/Dockerfile", ".")
