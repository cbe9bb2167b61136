"""Find secrets that would end up in an image: as build arguments, or as files of its context. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.declare.config import Secret
from lamina.errors import Problem
from lamina.identify.image import Image
from lamina.identify.tree import shown
from lamina.masks import is_secret, looks_secret


def exposed(images: Iterable[Image]) -> Iterator[Problem]:
    """Yield build arguments that look like secrets: by name, or by a password in a URL."""
    for image in images:
        spec = image.node.spec
        for name in secret_arguments(image):
            why = "by its name" if looks_secret(name) else "by the password in its URL"
            yield Problem(
                what=f"build argument {name} of {image.name} looks like a secret, {why}: its value stays "
                "in the image's history, readable by everyone who can pull it",
                where=spec.source,
                hint=f"RUN --mount=type=secret,id={name.lower()} in {spec.dockerfile_path}, and "
                f'[tool.lamina.secrets] {name.lower()} = {{ file = "..." }}',
            )


def secret_arguments(image: Image) -> tuple[str, ...]:
    """Return the build arguments that an image declares and that look like secrets."""
    given = image.node.spec.build_args
    declared = sorted(given.keys() & image.node.recipe.declared_args)
    return tuple(name for name in declared if is_secret(name, given[name]))


def copied(images: Iterable[Image], secrets: Iterable[Secret]) -> Iterator[Problem]:
    """Yield files of secrets that an image would copy from one of its contexts.

    secrets: only those with secret content; certificates are public.
    """
    files = [(secret, secret.file.resolve()) for secret in secrets]
    for image in images:
        dockerfile = image.node.spec.dockerfile_path
        for name, context in image.contexts.items():
            root = image.root(name).resolve()
            for secret, file in files:
                path = file.relative_to(root).as_posix() if file.is_relative_to(root) else None
                if path is not None and any(each.path == path for each in context.files):
                    yield Problem(
                        what=f"the file of secret {secret.name} would be copied into {image.name}: "
                        f"{shown(path)}",
                        where=dockerfile,
                        allowed=f"RUN --mount=type=secret,id={secret.name}",
                        hint=f"add it to {dockerfile}.dockerignore, or keep it outside the context",
                    )
