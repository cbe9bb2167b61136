"""What ECR confirmed is known batch by batch; a policy is read or absent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from lamina.errors import RegistryError
from lamina.registries.ecr_inventory import EcrInventory

DIGESTS = [f"sha256:{number:064x}" for number in range(150)]


@pytest.fixture
def ecr() -> Iterator[tuple[EcrInventory, Stubber]]:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "eu-west-1"}
    client = boto3.client("ecr", config=Config(retries={"total_max_attempts": 1}), **keys)  # type: ignore[call-overload]
    with Stubber(client) as stub:
        yield EcrInventory(lambda _: client, account=None, prefix="team"), stub
        stub.assert_no_pending_responses()


def batch(digests: list[str]) -> dict[str, Any]:
    return {"repositoryName": "team/app", "imageIds": [{"imageDigest": each} for each in digests]}


def test_deletions_confirmed_before_a_failure_are_known(ecr: tuple[EcrInventory, Stubber]) -> None:
    inventory, stub = ecr
    gone = [{"imageDigest": each, "imageTag": "sha-1"} for each in DIGESTS[:98]]
    failures = [
        {"imageId": {"imageDigest": DIGESTS[98]}, "failureCode": "ImageNotFound", "failureReason": "gone"},
        {"imageId": {"imageDigest": DIGESTS[97]}, "failureCode": "ImageReferencedByManifestList"},
    ]
    told = {"imageIds": gone[:97], "failures": failures}
    stub.add_response("batch_delete_image", told, batch(DIGESTS[:100]))
    stub.add_client_error("batch_delete_image", "ServerException", "no", expected_params=batch(DIGESTS[100:]))

    answers = inventory.remove("app", DIGESTS)
    confirmed = dict(next(answers) for _ in range(100))

    assert [digest for digest, why in confirmed.items() if why is None] == [*DIGESTS[:97], DIGESTS[98]]
    assert confirmed[DIGESTS[97]] == "ImageReferencedByManifestList: "
    assert confirmed[DIGESTS[99]] == "ECR did not confirm it"
    with pytest.raises(RegistryError, match="AWS answered ServerException"):
        next(answers)


def test_policies_are_documents_or_nothing(ecr: tuple[EcrInventory, Stubber]) -> None:
    inventory, stub = ecr
    stub.add_response(
        "get_repository_policy", {"policyText": '{"Statement": []}'}, {"repositoryName": "team/app"}
    )
    for code in ("RepositoryPolicyNotFoundException", "RepositoryNotFoundException"):
        stub.add_client_error("get_repository_policy", code)
    stub.add_response("get_registry_policy", {"policyText": '{"Statement": []}'}, {})
    stub.add_client_error("get_registry_policy", "RegistryPolicyNotFoundException")

    assert [inventory.policy("app") for _ in range(3)] == [{"Statement": []}, None, None]
    assert [inventory.registry_policy() for _ in range(2)] == [{"Statement": []}, None]
