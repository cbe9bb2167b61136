"""Lamina builds every AWS Lambda container image of a monorepo, and builds only what changed.

For programs that deploy, as Pulumi's: `image_uri`, `outputs`, `base_image_name`. They ask neither engine nor
network, print nothing, and raise subclasses of `lamina.errors.LaminaError`, whose text says what to do next.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own, without waiting for typing
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__version__ = "0.1.0"
__all__ = ["__version__", "base_image_name", "image_uri", "outputs"]


def image_uri(
    image: str,
    *,
    plan_only: bool = False,
    allow_stale: bool = False,
    root: str | os.PathLike[str] | None = None,
    stack: str | None = None,
) -> str:
    """The reference of an image as a function's ``image_uri`` takes it, a plain string.

    By digest, ``host/repository@sha256:…``, as ``.lamina/manifest.json`` has it of the last push. With
    plan_only by content tag, ``host/repository:sha-…``, which the files alone give, pushed or not.

    allow_stale: hand over the digest although the files have changed since. root: a folder of the project,
    or below it; else the current one. stack: part of the repository name, else as configured.
    Raises SelectionError for an image that is unknown, not pushed or behind the files, ConfigError for what
    is not known without asking.
    """
    from lamina.handoff.outputs import image_uris

    given = image_uris((image,), plan_only=plan_only, allow_stale=allow_stale, root=root, stack=stack)
    return given[image]


def outputs(
    *images: str,
    plan_only: bool = False,
    allow_stale: bool = False,
    root: str | os.PathLike[str] | None = None,
    stack: str | None = None,
) -> Mapping[str, str]:
    """The references of the named images, or of all Lambda images, by name; see `image_uri`.

    Raises the same, with everything that is wrong with any of them.
    """
    from lamina.handoff.outputs import image_uris

    return image_uris(images, plan_only=plan_only, allow_stale=allow_stale, root=root, stack=stack)


def base_image_name(
    image: str,
    *,
    plan_only: bool = False,
    allow_stale: bool = False,
    root: str | os.PathLike[str] | None = None,
    stack: str | None = None,
) -> str:
    """What a build of one's own names in FROM: in static mode the base's ``:stable``, else its `image_uri`.

    Static mode: ``static = true`` in ``[tool.lamina]``, ``LAMINA_STATIC`` or ``USE_STATIC_BASE_IMAGE``.
    """
    from lamina.handoff.outputs import base_name

    return base_name(image, plan_only=plan_only, allow_stale=allow_stale, root=root, stack=stack)
