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
        (["a/fn/Dockerfile", "b/fn/Dockerfile"], ["a-fn", "b-fn"]),
        (["resize/python/Dockerfile", "label/lambda-asset/Dockerfile"], ["resize", "label"]),
        (["python/Dockerfile", "go/Dockerfile"], ["repo-python", "repo-go"]),
        (["python/Dockerfile.worker"], ["worker"]),
        (["src/Dockerfile"], ["src"]),
        (["s/backend/Dockerfile", "s/backend/python_app/Dockerfile"], ["backend", "backend-python-app"]),
        (["one/job.Dockerfile", "two/job.Dockerfile"], ["one-job", "two-job"]),
        (["shop/dockerfiles/lambda.Dockerfile", "shop/dockerfiles/x.Dockerfile"], ["shop-lambda", "x"]),
    ],
)
def test_names_are_of_the_image_rather_than_the_variant(paths: list[str], names: list[str]) -> None:
    assert list(name_images(paths, {}, repository="repo", taken=()).values()) == names


def test_a_folder_that_says_nothing_is_named_after_its_function() -> None:
    named = name_images(
        ["python/Dockerfile", "resize/Dockerfile"],
        {},
        repository="repo",
        taken=(),
        functions={"python/Dockerfile": "LabelReceipts", "resize/Dockerfile": "Other"},
    )

    assert named == {"python/Dockerfile": "label-receipts", "resize/Dockerfile": "resize"}
