"""Checks before a build on CodeBuild: problems that prevent it, and notes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lamina.declare.codebuild import ARCHITECTURES, CodeBuildSettings
from lamina.declare.config import Secret
from lamina.errors import Problem
from lamina.identify.image import Image

_TABLE = "[tool.lamina.codebuild]"


def architecture_of(image: Image) -> str:
    """Return the architecture of an image, ``amd64`` or ``arm64``."""
    return image.node.spec.platform.split("/")[1]


def needed_secrets(settings: CodeBuildSettings, images: Iterable[Image]) -> Mapping[str, str]:
    """Return the configured secrets that the images mount: id -> their name in AWS."""
    used = {name for image in images for name in image.node.recipe.secrets}
    return {name: location for name, location in settings.secrets.items() if name in used}


def unfit(
    settings: CodeBuildSettings,
    images: Mapping[str, Image],
    *,
    secrets: Iterable[Secret],
    stand_ins: Mapping[str, str],
    ssh: bool = False,
) -> Iterator[Problem]:
    """Yield every problem that prevents the images from being built on CodeBuild.

    Args:
        settings: the settings of CodeBuild.
        images: the images to build, by name.
        secrets: the project's secrets, read from local files.
        stand_ins: runtime used by one of the images -> its stand-in on this machine.
        ssh: whether steps get this machine's SSH agent.
    """
    for name, ref in stand_ins.items():
        yield Problem(
            what=f"{name} is a stand-in here, which only this machine's engine has",
            where=ref,
            hint="run `invoke lock` where the runtime's registry can be reached",
        )
    required = {secret.name for secret in secrets if not secret.optional} - settings.secrets.keys()
    for image in images.values():
        yield from _of_another_machine(image, images)
        if ssh and image.node.recipe.ssh:
            yield Problem(
                what=f"{image.name} mounts an SSH agent (--mount=type=ssh), and CodeBuild has none",
                where=image.node.spec.dockerfile_path,
                hint="mount a deploy key instead (--mount=type=secret,id=<id>,target=/root/.ssh/id_ed25519) "
                'and add <id> = "<its name in Secrets Manager>" to [tool.lamina.codebuild.secrets]; or build '
                f"here: invoke build --image {image.name} --push",
            )
        for name in sorted(required.intersection(image.node.recipe.secrets)):
            yield Problem(
                what=f"{image.name} needs the secret {name}, which CodeBuild does not have: secret files "
                "are never sent",
                where=image.node.spec.dockerfile_path,
                hint=f'store it in Secrets Manager, and add {name} = "<its name>" to '
                "[tool.lamina.codebuild.secrets]",
            )


def _of_another_machine(image: Image, images: Mapping[str, Image]) -> Iterator[Problem]:
    own, where = architecture_of(image), image.node.spec.source
    if own not in ARCHITECTURES:
        yield no_machine(image.node.spec.platform, where)
    for parent in image.node.parents:
        if parent in images and architecture_of(images[parent]) != own:
            yield Problem(
                what=f"{image.name} is for {own} and builds FROM {parent}, which another machine builds",
                where=where,
                hint=f"build the base first: invoke codebuild.build --image {parent}",
            )


def no_machine(platform: str, where: str) -> Problem:
    """Return the problem of a platform that CodeBuild cannot build for."""
    allowed = ", ".join(f"linux/{each}" for each in ARCHITECTURES)
    return Problem(what=f"CodeBuild has no machines for {platform}", where=where, allowed=allowed)


def notes(settings: CodeBuildSettings) -> Iterator[Problem]:
    """Yield notes about settings that would make the build faster."""
    if settings.buildkit is None:
        yield Problem(
            what="no image of BuildKit is configured: the machine's own builder is used, which on AWS' "
            "images can neither annotate pushed images nor write a remote cache",
            where=f"{_TABLE} buildkit",
            hint="mirror moby/buildkit into ECR and name it there: docs/codebuild.md",
        )
