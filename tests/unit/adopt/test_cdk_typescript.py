"""Images of a CDK program in TypeScript, read and not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.adopt.cdk_typescript import read_cdk_typescript
from lamina.adopt.declared import Asset, Declared
from lamina.adopt.survey import survey
from trees import Tree

PROGRAM = """
import * as path from 'path'; // fromImageAsset('not this')
/* new DockerImageFunction(this, 'NorThis', {}) */
export class ImageStack extends cdk.Stack {
  constructor(scope: Construct, id: string, props?: cdk.StackProps) {
    super(scope, id, props);
    const embed = new lambda.DockerImageFunction(this, 'Embed', {
      functionName: "embed-it",
      memorySize: 1024 * 2,
      timeout: cdk.Duration.seconds(30),
      architecture: lambda.Architecture.ARM_64,
      environment: { A: `${id}` },
      code: lambda.DockerImageCode.fromImageAsset(path.join(__dirname, '..', 'lambdas/embed'), {
        file: 'Dockerfile.arm',
        buildArgs: { PYTHON_VERSION: '3.12', STAGE: props.stage },
        target: 'run',
      }),
    });
    const label = new DockerImageFunction(this, `Label`, {
      code: DockerImageCode.fromImageAsset('lambdas/label', { platform: Platform.LINUX_ARM64 }),
    });
    const code = lambda.DockerImageCode.fromImageAsset(FOLDER);
    new lambda.Function(this, 'Zip', { code: lambda.Code.fromDockerBuild('lambdas/zip') });
    new assets.DockerImageAsset(this, 'Job', { directory: path.resolve(__dirname, '../job') });
  }
}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = Tree(tmp_path)
    for path in (
        "lambdas/embed/Dockerfile.arm",
        "lambdas/label/Dockerfile",
        "lambdas/zip/Dockerfile",
        "job/Dockerfile",
    ):
        tree.write(f"cdk/{path}", "FROM scratch\n")
    tree.write("cdk/cdk.json", "{}")
    return tmp_path


def test_a_program_is_read_as_far_as_it_is_plain(root: Path) -> None:
    found = read_cdk_typescript(PROGRAM, "cdk/lib/stack.ts", root)

    assert found.declared == (
        Declared(
            dockerfile="cdk/lambdas/embed/Dockerfile.arm",
            context="cdk/lambdas/embed",
            functions=("embed-it",),
            platform="linux/arm64",
            target="run",
            args={"PYTHON_VERSION": "3.12"},
            open_args=("STAGE",),
            where="cdk/lib/stack.ts:13",
        ),
        Declared(
            dockerfile="cdk/lambdas/label/Dockerfile",
            context="cdk/lambdas/label",
            resources=("Label",),
            stack="",
            platform="linux/arm64",
            where="cdk/lib/stack.ts:20",
        ),
        Declared(
            dockerfile="cdk/job/Dockerfile",
            context="cdk/job",
            where="cdk/lib/stack.ts:24",
        ),
    )
    assert found.assets == (Asset(dockerfile="cdk/lambdas/zip/Dockerfile", where="cdk/lib/stack.ts:23"),)
    assert [note.where for note in found.notes] == ["cdk/lib/stack.ts:22"]


@pytest.mark.parametrize(
    "program",
    [
        "fromImageAsset(",
        "fromImageAsset('x', {",
        "fromImageAsset('x', { file: [[[(((",
        "fromImageAsset(`${x}`, { file: a ? 'b' : 'c' })",
        "new DockerImageFunction(this, 'X', { code: " + "[" * 5000,
        "fromImageAsset('\\'', \"\\\\\")) } ]",
        "fromImageAsset({...props}, ...more)",
    ],
)
def test_a_broken_or_odd_program_ends_and_gives_no_image(root: Path, program: str) -> None:
    assert read_cdk_typescript(program, "cdk/lib/stack.ts", root).declared == ()


def test_a_folder_outside_the_repository_is_not_taken(root: Path) -> None:
    program = "fromImageAsset(path.join(__dirname, '../../../elsewhere'))"

    assert read_cdk_typescript(program, "cdk/lib/stack.ts", root).declared == ()


HELPERS = """
export function resolveLambdaCode(
  userCode?: lambda.Code,
  dockerBuildPath?: string,
  dockerBuildOptions?: lambda.DockerBuildAssetOptions,
): lambda.Code {
  if (userCode) { return userCode; }
  return lambda.Code.fromDockerBuild(dockerBuildPath, dockerBuildOptions);
}
const image = (folder: string) => lambda.DockerImageCode.fromImageAsset(folder);
"""
CALLS = """
new lambda.Function(this, 'Api', {
  code: resolveLambdaCode(userCode, path.join(__dirname, '..'), {
    file: 'lambdas/zip/Dockerfile', buildArgs: { PYTHON_VERSION: '3.12' },
  }),
});
new lambda.DockerImageFunction(this, 'Label', { code: image('lambdas/label') });
resolveLambdaCode(userCode);
resolveLambdaCode(userCode, __dirname, { file: 'job/Dockerfile' });
"""


def test_an_image_is_found_through_the_function_that_builds_what_it_is_given(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for path in ("lambdas/zip/Dockerfile", "lambdas/label/Dockerfile", "lib/job/Dockerfile"):
        tree.write(path, "ARG PYTHON_VERSION\nFROM public.ecr.aws/lambda/python:${PYTHON_VERSION}\n")
    tree.write("lib/utils.ts", HELPERS)
    tree.write("lib/stack.ts", CALLS)

    found = survey(tmp_path)

    assert [(each.dockerfile, each.where) for each in found.assets] == [
        ("lambdas/zip/Dockerfile", "lib/stack.ts:3"),
        ("lib/job/Dockerfile", "lib/stack.ts:9"),
    ]
    assert [each.dockerfile for each in found.declared] == ["lambdas/label/Dockerfile"]
    assert found.notes == ()


HELD = """
const code = lambda.DockerImageCode.fromImageAsset('cdk/lambdas/label', { cmd: ['refund.handler'] });
const billing: lambda.DockerImageCode = lambda.DockerImageCode.fromImageAsset('job')
const folder = 'job';
new lambda.DockerImageFunction(this, 'Refund', { code, architecture: lambda.Architecture.ARM_64 });
new lambda.DockerImageFunction(this, 'Billing', { code: billing });
new lambda.DockerImageFunction(this, 'Again', { code: billing, ...common });
new lambda.DockerImageFunction(this, 'Folder', { code: lambda.DockerImageCode.fromImageAsset(folder) });
new lambda.DockerImageFunction(this, 'Given', { code: props.code });
new lambda.DockerImageFunction(this, 'Pulled', { code: lambda.DockerImageCode.fromEcr(repository) });
"""


def test_a_cmd_that_is_not_a_plain_list_of_strings_gets_a_note(root: Path) -> None:
    image = "lambda.DockerImageCode.fromImageAsset('cdk/lambdas/label', { cmd: %s })"
    given = ("props.command", "[`${stage}.handler`]", "['a.b', ...rest]", "undefined", "['a.b']", "[]")
    calls = "".join(
        f"new lambda.DockerImageFunction(this, 'F{n}', {{ code: {image % each} }});\n"
        for n, each in enumerate(given, start=1)
    )

    found = read_cdk_typescript(calls, "stack.ts", root)

    assert len(found.declared) == len(given)
    assert [(note.where, note.what) for note in found.notes] == [
        (f"stack.ts:{n}", f"the cmd of function F{n} is not known: it is not a plain list of strings")
        for n in (1, 2, 3)
    ]


def test_an_image_in_a_constant_is_the_one_of_the_functions_that_name_it(root: Path) -> None:
    Tree(root).write("job/Dockerfile", "FROM scratch\n")

    found = read_cdk_typescript(HELD, "stack.ts", root)

    assert {each.resources: (each.dockerfile, each.platform, each.command) for each in found.declared} == {
        ("Refund",): ("cdk/lambdas/label/Dockerfile", "linux/arm64", ("refund.handler",)),
        ("Billing",): ("job/Dockerfile", "linux/amd64", ()),
        ("Again",): ("job/Dockerfile", None, ()),
        ("Folder",): ("job/Dockerfile", "linux/amd64", ()),
    }
    assert [(note.where, note.what) for note in found.notes] == [
        (
            "stack.ts:9",
            "the image of function Given is not known: `props.code` is not a plain value of this file",
        ),
        ("stack.ts:10", "function Pulled runs an image of a repository, which this program does not build"),
    ]


@pytest.mark.parametrize(
    "image", ["ecs.ContainerImage.fromAsset('job')", "ecs.ContainerImage.fromDockerImageAsset(asset)"]
)
def test_an_image_of_ecs_is_not_one_of_a_function(root: Path, image: str) -> None:
    Tree(root).write("job/Dockerfile", "FROM scratch\n")
    asset = "const asset = new assets.DockerImageAsset(this, 'Job', { directory: 'job' });\n"
    held = asset if "(asset)" in image else ""

    found = read_cdk_typescript(
        f"{held}definition.addContainer('web', {{ image: {image} }});\n", "a.ts", root
    )

    assert [(each.dockerfile, each.deploys, each.elsewhere) for each in found.declared] == [
        ("job/Dockerfile", False, True)
    ]


CONSTANTS = """
const ROOT = path.resolve(__dirname, '..');
const NAME = 'label', other = 1;
const LABEL: string = 'label';
const loop = path.join(loop, 'x');
"""


@pytest.mark.parametrize(
    "folder",
    [
        "path.join(__dirname + '/../lambdas/label')",
        "__dirname + '/../lambdas/' + LABEL",
        "path.join(ROOT, '/lambdas', LABEL)",
        "`${ROOT}/lambdas/${LABEL}`",
        "path.join(path.dirname(__filename), '../lambdas/label')",
        "path.join('lambdas', 'label')",  # from the folder of cdk.json
    ],
)
def test_a_folder_is_followed_from_the_program_on(root: Path, folder: str) -> None:
    program = f"{CONSTANTS}const code = DockerImageCode.fromImageAsset({folder});\n"

    (found,) = read_cdk_typescript(program, "cdk/lib/stack.ts", root).declared

    assert (found.dockerfile, found.context) == ("cdk/lambdas/label/Dockerfile", "cdk/lambdas/label")


@pytest.mark.parametrize(
    "folder",
    [
        "path.join(__dirname, props.folder)",
        "`${props.root}/lambdas/label`",
        "`${loop}/label`",
        "`../lambdas/${a ? b : c}`",
        "path.resolve(__dirname, '/lambdas/label')",
        "__dirname - '/../lambdas/label'",
        "path.join(__dirname, '../../../lambdas/label')",
        "loop",
    ],
)
def test_what_only_typescript_knows_is_not_guessed(root: Path, folder: str) -> None:
    program = f"{CONSTANTS}const code = DockerImageCode.fromImageAsset({folder});\n"

    found = read_cdk_typescript(program, "cdk/lib/stack.ts", root)

    assert found.declared == ()
    assert [each.what for each in found.notes] == ["an image whose Dockerfile is not given by plain strings"]


def test_an_image_of_a_construct_is_the_one_of_the_functions_that_get_it(root: Path) -> None:
    program = """
      const image = new ContainerImageBuild(this, 'Image', {
        directory: path.join('lambdas'), file: path.join('label', 'Dockerfile'),
        platform: Platform.LINUX_ARM64,
      });
      new DockerImageFunction(this, 'Plain', { code: image.toLambdaDockerImageCode() });
      new DockerImageFunction(this, 'Other', { code: image.toLambdaDockerImageCode({ cmd: ['a.b'] }) });
      const job = new DockerImageAsset(this, 'Job', { directory: path.join(__dirname, '../job') });
      new DockerImageFunction(this, 'Work', { code: DockerImageCode.fromEcr(job.repository) });
      new DockerImageFunction(this, 'Elsewhere', { code: DockerImageCode.fromEcr(given.repository) });
      new DockerImageFunction(this, 'Given', { code: props.image.toLambdaDockerImageCode() });
    """

    found = read_cdk_typescript(program, "cdk/lib/stack.ts", root)

    assert [(each.dockerfile, each.resources, each.platform, each.command) for each in found.declared] == [
        ("cdk/lambdas/label/Dockerfile", ("Plain",), "linux/arm64", ()),
        ("cdk/lambdas/label/Dockerfile", ("Other",), "linux/arm64", ("a.b",)),
        ("cdk/job/Dockerfile", ("Work",), "linux/amd64", ()),
    ]
    assert [each.where for each in found.notes] == [f"cdk/lib/stack.ts:{line}" for line in (10, 11)]


@pytest.mark.parametrize(
    "given",
    ["ecr.Repository.fromRepositoryName(this, 'R', 'shop-work')", "repository", "repository, { tag: t }"],
)
def test_a_function_of_an_image_in_a_repository_gets_a_note(root: Path, given: str) -> None:
    program = (
        "const repository = ecr.Repository.fromRepositoryName(this, 'R', 'shop-work');\n"
        f"new DockerImageFunction(this, 'Work', {{ code: DockerImageCode.fromEcr({given}) }});\n"
    )

    found = read_cdk_typescript(program, "stack.ts", root)

    assert (found.declared, [str(each) for each in found.notes]) == (
        (),
        [
            (
                "stack.ts:2: function Work runs an image of the repository shop-work, "
                "which this program does not build\n"
                "  next: add the function to functions in [tool.lamina.images.<name>]"
            )
        ],
    )


def test_javascript_is_read_unless_it_is_made_from_typescript(root: Path) -> None:
    tree = Tree(root)
    program = "const code = DockerImageCode.fromImageAsset(path.join(__dirname, '../lambdas/label'));\n"
    for path in ("lib/stack.js", "lib/made.js", "lib/made.ts", "dist/stack.js"):
        tree.write(f"cdk/{path}", program)

    assert [each.where for each in survey(root).declared] == ["cdk/lib/made.ts:1", "cdk/lib/stack.js:1"]


def test_of_folders_with_a_path_the_one_with_the_dockerfile_counts(root: Path) -> None:
    (root / "cdk/cdk.json").unlink()
    (root / "cdk/lib").mkdir()
    program = "const code = DockerImageCode.fromImageAsset('.', { file: 'lambdas/label/Dockerfile' });\n"

    (found,) = read_cdk_typescript(program, "cdk/lib/stack.ts", root).declared

    assert (found.dockerfile, found.context) == ("cdk/lambdas/label/Dockerfile", "cdk")
