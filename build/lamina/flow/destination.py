"""Check, before anything is built, that the registry can take the images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamina.errors import ConfigError, Problem, RegistryError
from lamina.flow.session import Session
from lamina.identify.image import Image

if TYPE_CHECKING:
    from lamina.execute.externals import Externals


def check_destination(session: Session, outside: Externals, images: Iterable[Image]) -> None:
    """Check that the images can be pushed. With --create, create repositories.

    Raises ConfigError if a stand-in would leave this machine, RegistryError for missing repositories.
    """
    from lamina.flow.cache import read_policy

    registry, chosen = session.registry, list(images)
    away = [image for image in chosen if not image.repository.loopback]
    if outside.stand_ins and away and not session.flags.allow_stand_in:
        raise ConfigError.of(
            f"{', '.join(outside.stand_ins)} is a stand-in here: images built from it do not run on AWS",
            where=away[0].repository.pull_host,
            allowed="a loopback registry, or --allow-stand-in",
            hint="run `invoke lock` where the runtime's registry can be reached",
        )
    names = {session.project.repository(image.name) for image in chosen}
    policy = read_policy(session)
    if policy.writes:
        names |= {policy.name(name) for name in names}
    missing = registry.missing_repositories(name for name in names if not _made_by_push(session, name))
    if session.flags.create:
        for name in missing:
            registry.create_repository(name)
            session.screen.say(f"created repository {name}")
    else:
        RegistryError.check(
            Problem(
                what=f"there is no repository {name}",
                where=registry.address,
                hint="invoke ecr.setup creates all of them; or add --create, or: "
                f"aws ecr create-repository --repository-name {name}",
            )
            for name in missing
        )


def _made_by_push(session: Session, name: str) -> bool:
    """Whether ECR has a template from which a push creates the repository."""
    ecr = session.ecr
    return ecr is not None and session.project.ecr.creates(ecr.inventory.full(name))
