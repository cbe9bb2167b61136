"""Names for undeclared Dockerfiles."""

from __future__ import annotations

import pytest

from lamina.adopt.naming import name_images


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["jobs/nightly/Dockerfile.prod"], ["nightly"]),
        (["api/Dockerfile.dev", "api/Dockerfile.prod"], ["api-dev", "api-prod"]),
        (["docker/Dockerfile.worker", "docker/Dockerfile.api"], ["worker", "api"]),
        (["Dockerfile.prod", "Dockerfile.dev"], ["prod", "dev"]),
        (["a/fn/Dockerfile", "b/fn/Dockerfile"], ["fn", "b-fn"]),
    ],
)
def test_names_are_of_the_image_rather_than_the_variant(paths: list[str], names: list[str]) -> None:
    assert list(name_images(paths, {}, repository="repo", taken=()).values()) == names
