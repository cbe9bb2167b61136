"""Images of a Pulumi program in TypeScript, read and not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.adopt.survey import survey
from trees import Tree

PROGRAM = """
import * as aws from '@pulumi/aws';
import * as awsx from '@pulumi/awsx';
import * as docker from '@pulumi/docker';
import * as build from '@pulumi/docker-build';
const label = new awsx.ecr.Image('label', {
  context: '../label', platform: 'linux/arm64', args: { MODE: 'fast', STAGE: stage },
});
new aws.lambda.Function('label-fn', { imageUri: label.imageUri, architectures: ['arm64'] });
const embed = new docker.Image('embed', {
  imageName: name,
  build: { context: path.join(__dirname, '..'), dockerfile: '../embed/lambda.Dockerfile', target: 'run' },
});
new aws.lambda.Function('a', {
  name: 'embed-a', packageType: 'Image', imageUri: embed.imageName, imageConfig: { commands: ['app.a'] },
});
new aws.lambda.Function('b', { imageUri: embed.repoDigest, imageConfig: { commands: [command] } });
const job = new build.Image('job', {
  context: { location: '../job' }, dockerfile: { location: '../job/Dockerfile' },
  platforms: [build.Platform.Linux_arm64], push: true,
});
new aws.lambda.Function('other', { packageType: 'Image', imageUri: given.imageUri });
new aws.lambda.Function('zip', { handler: 'a.b', code });
new docker.Image('label-again', { build: '../label' });
const odd = new docker.Image('odd', { build: { context: folder } });
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    for path in ("label/Dockerfile", "embed/lambda.Dockerfile", "job/Dockerfile"):
        tree.write(path, "FROM scratch\n")
    tree.write("infra/Pulumi.yaml", "name: shop\nruntime: nodejs\n")
    tree.write("infra/index.ts", PROGRAM)
    return tree


def test_images_and_the_functions_that_run_them_are_read(tree: Tree) -> None:
    found = survey(tree.root)

    assert [
        (each.dockerfile, each.context, each.functions, each.resources, each.platform, each.command)
        for each in found.declared
    ] == [
        ("label/Dockerfile", "label", (), ("label-fn",), "linux/arm64", ()),
        ("embed/lambda.Dockerfile", ".", ("embed-a",), (), "linux/amd64", ("app.a",)),
        ("embed/lambda.Dockerfile", ".", (), ("b",), "linux/amd64", ()),
        ("job/Dockerfile", "job", (), (), "linux/arm64", ()),
        ("label/Dockerfile", "label", (), (), None, ()),
    ]
    assert (found.declared[0].args, found.declared[0].open_args) == ({"MODE": "fast"}, ("STAGE",))
    assert found.declared[1].target == "run"


def test_what_is_not_plain_is_a_note_with_its_line(tree: Tree) -> None:
    assert [(each.where, each.what) for each in survey(tree.root).notes] == [
        ("infra/index.ts:25", "an image whose Dockerfile is not given by plain strings"),
        ("infra/index.ts:17", "the cmd of function b is not known: it is not a plain list of strings"),
        ("infra/index.ts:22", "the image of function other is not known: this file does not build it"),
    ]


def test_a_cdk_program_in_another_language_is_named(tree: Tree) -> None:
    tree.write("go/main.go", "awslambda.NewDockerImageFunction(stack, id, props)\n")
    (tree.root / "infra/index.ts").unlink()

    assert survey(tree.root).notes == ()
    tree.write("go/cdk.json", "{}")
    assert [(each.where, each.what) for each in survey(tree.root).notes] == [
        ("go/main.go", "a CDK program in Go is not read: functions and build arguments are not known")
    ]
