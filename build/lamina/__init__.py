"""Lamina builds every AWS Lambda container image of a monorepo, and builds only what changed.

For deployment programs such as Pulumi's: `image_uri`, `outputs`, `base_image_name`. They use neither the
engine nor the network, print nothing, and raise subclasses of `lamina.errors.LaminaError`, whose text names
the next step.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the cost of importing typing
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
    """Return the image reference for a Lambda function's ``image_uri``.

    By default this is the digest of the last push, ``host/repository@sha256:…``, as recorded in
    ``.lamina/manifest.json``. With ``plan_only`` it is the content tag, ``host/repository:sha-…``, which
    depends on the files alone, pushed or not.

    Args:
        image: the name of the image.
        plan_only: return the content tag instead of the digest.
        allow_stale: return the digest even if the files have changed since.
        root: the project's folder, or one below it; by default the current folder.
        stack: part of the repository name; by default as configured.

    Raises:
        SelectionError: the image is unknown, not pushed, or its files have changed since.
        ConfigError: the configuration is wrong, or the reference cannot be known without a registry.
    """
    from lamina.handoff.outputs import image_uris
    from lamina.wiring import sandbox

    uris = image_uris(
        (image,), plan_only=plan_only, allow_stale=allow_stale, root=root, stack=stack, provider=sandbox()
    )
    return uris[image]


def outputs(
    *images: str,
    plan_only: bool = False,
    allow_stale: bool = False,
    root: str | os.PathLike[str] | None = None,
    stack: str | None = None,
) -> Mapping[str, str]:
    """Return the references of the named images, or of all Lambda images, by name; see `image_uri`.

    The errors are those of `image_uri`, with every problem of every image.
    """
    from lamina.handoff.outputs import image_uris
    from lamina.wiring import sandbox

    return image_uris(
        images, plan_only=plan_only, allow_stale=allow_stale, root=root, stack=stack, provider=sandbox()
    )


def base_image_name(
    image: str,
    *,
    plan_only: bool = False,
    allow_stale: bool = False,
    root: str | os.PathLike[str] | None = None,
    stack: str | None = None,
) -> str:
    """Return the reference of a base image for FROM in your own build.

    In static mode this is the base's ``:stable`` tag, else its `image_uri`. Static mode is set by
    ``static = true`` in ``[tool.lamina]``, ``LAMINA_STATIC`` or ``USE_STATIC_BASE_IMAGE``.
    """
    from lamina.handoff.outputs import base_name
    from lamina.wiring import sandbox

    return base_name(
        image, plan_only=plan_only, allow_stale=allow_stale, root=root, stack=stack, provider=sandbox()
    )
