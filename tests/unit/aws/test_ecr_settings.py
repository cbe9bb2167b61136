from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lamina.aws.ecr_settings import EcrSetup, Identity, RepositoryFacts, TemplateFacts
from lamina.errors import AwsError, RegistryError
from lamina.registries.ecr_inventory import EcrInventory

THEIRS = "999999999999"
NAME = "team/app"
OF = {"registryId": THEIRS, "repositoryName": NAME}
POLICY = {"Version": "2012-10-17", "Statement": [{"Sid": "LaminaReadersPull"}]}
LIFECYCLE = {"rules": [{"description": "x" * 100}]}
DIGEST = "sha256:" + "1" * 64


class Aws:
    """Clients that answer from a script, with the parameters that are expected."""

    def __init__(self, region: str = "eu-west-1") -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        self.clients = {
            name: boto3.client(name, region_name=region, **keys) for name in ("ecr", "kms", "sts")
        }
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()

    def __call__(self, service: str) -> Any:
        return self.clients[service]

    def will(self, operation: str, answer: dict[str, Any], expected: dict[str, Any]) -> None:
        self.stubs["ecr"].add_response(operation, answer, expected)

    def refuses(self, operation: str, code: str, expected: dict[str, Any] | None = None) -> None:
        self.stubs["ecr"].add_client_error(operation, code, expected_params=expected)


@pytest.fixture
def aws() -> Iterator[Aws]:
    made = Aws()
    yield made
    for stub in made.stubs.values():
        stub.assert_no_pending_responses()


@pytest.fixture
def setup(aws: Aws) -> EcrSetup:
    return EcrSetup(aws, account=THEIRS)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-eusc"])
def test_who_we_are_and_in_which_partition_is_asked(aws: Aws, setup: EcrSetup, partition: str) -> None:
    told = {"Account": "1" * 12, "Arn": f"arn:{partition}:sts::111111111111:assumed-role/r/s", "UserId": "u"}
    aws.stubs["sts"].add_response("get_caller_identity", told, {})

    assert setup.identity() == Identity(account="1" * 12, partition=partition, region="eu-west-1")


def test_a_repository_of_another_account_is_read_with_its_number(aws: Aws, setup: EcrSetup) -> None:
    told = {
        "repositoryName": NAME,
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [
            {"filterType": "WILDCARD", "filter": each} for each in ("stable", "git-*")
        ],
        "imageScanningConfiguration": {"scanOnPush": True},
    }
    expected = {"registryId": THEIRS, "repositoryNames": [NAME]}
    aws.will("describe_repositories", {"repositories": [told]}, expected)
    aws.will("get_lifecycle_policy", {"lifecyclePolicyText": json.dumps(LIFECYCLE)}, OF)
    aws.will("get_repository_policy", {"policyText": json.dumps(POLICY)}, OF)

    assert setup.repository(NAME) == RepositoryFacts(
        mutability="IMMUTABLE_WITH_EXCLUSION",
        exclusions=("git-*", "stable"),
        scan=True,
        lifecycle=LIFECYCLE,
        policy=POLICY,
    )


def test_a_setting_that_a_repository_lacks_is_none(aws: Aws, setup: EcrSetup) -> None:
    aws.will(
        "describe_repositories",
        {"repositories": [{"repositoryName": NAME}]},
        {"registryId": THEIRS, "repositoryNames": [NAME]},
    )
    aws.refuses("get_lifecycle_policy", "LifecyclePolicyNotFoundException")
    aws.refuses("get_repository_policy", "RepositoryPolicyNotFoundException")
    aws.refuses("describe_repositories", "RepositoryNotFoundException")

    found = setup.repository(NAME)

    assert found == RepositoryFacts(
        mutability="MUTABLE", exclusions=(), scan=False, lifecycle=None, policy=None
    )
    assert setup.repository(NAME) is None


def test_every_change_of_another_account_names_it(aws: Aws, setup: EcrSetup) -> None:
    tags = {
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "stable"}],
    }
    scan = {"imageScanningConfiguration": {"scanOnPush": True}}
    aws.will("create_repository", {}, {**OF, **tags, **scan})
    aws.will("put_image_tag_mutability", {}, {**OF, "imageTagMutability": "MUTABLE"})
    aws.will("put_image_scanning_configuration", {}, {**OF, **scan})
    aws.will("put_lifecycle_policy", {}, {**OF, "lifecyclePolicyText": json.dumps(LIFECYCLE)})
    aws.will("delete_lifecycle_policy", {}, OF)
    aws.will("set_repository_policy", {}, {**OF, "policyText": json.dumps(POLICY)})
    aws.will("delete_repository_policy", {}, OF)

    setup.create(NAME, "IMMUTABLE_WITH_EXCLUSION", ("stable",), scan=True)
    setup.set_mutability(NAME, "MUTABLE", ())
    setup.set_scan(NAME, True)
    setup.set_lifecycle(NAME, LIFECYCLE)
    setup.set_lifecycle(NAME, None)
    setup.set_policy(NAME, POLICY)
    setup.set_policy(NAME, None)


def test_a_repository_created_meanwhile_is_success(aws: Aws, setup: EcrSetup) -> None:
    aws.refuses("create_repository", "RepositoryAlreadyExistsException")

    setup.create(NAME, "MUTABLE", (), scan=False)


def test_a_policy_that_aws_does_not_take_is_reported(aws: Aws, setup: EcrSetup) -> None:
    aws.stubs["ecr"].add_client_error(
        "set_repository_policy", "InvalidParameterException", "Principal not found"
    )

    with pytest.raises(RegistryError, match="InvalidParameterException: Principal not found"):
        setup.set_policy(NAME, POLICY)


def test_a_template_is_made_and_made_another(aws: Aws, setup: EcrSetup) -> None:
    facts = TemplateFacts(policy=POLICY, applied=("CREATE_ON_PUSH",))
    given = {
        "prefix": "team",
        "appliedFor": ["CREATE_ON_PUSH"],
        "repositoryPolicy": json.dumps(POLICY),
        "imageTagMutability": "MUTABLE",
    }
    aws.will("describe_repository_creation_templates", {}, {"prefixes": ["team"]})
    aws.will("create_repository_creation_template", {}, {**given, "description": "made by lamina ecr.setup"})
    aws.will("update_repository_creation_template", {}, {**given, "lifecyclePolicy": ""})
    told = {"prefix": "team", **given}
    aws.will(
        "describe_repository_creation_templates",
        {"repositoryCreationTemplates": [told]},
        {"prefixes": ["team"]},
    )

    assert setup.template("team") is None
    setup.set_template("team", facts, exists=False)
    setup.set_template("team", facts, exists=True)
    assert setup.template("team") == facts


# --- key and tags ---------------------------------------------------------------------------------------

ARN = f"arn:aws:ecr:eu-west-1:{THEIRS}:repository/{NAME}"
CMK = f"arn:aws:kms:eu-west-1:{THEIRS}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ENCRYPTED = {"encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": CMK}}
TAGS = [{"Key": "team", "Value": "data"}]


def test_a_repository_is_created_with_key_and_tags_and_read_with_them(aws: Aws, setup: EcrSetup) -> None:
    given = {"imageTagMutability": "MUTABLE", "imageScanningConfiguration": {"scanOnPush": False}}
    aws.will("create_repository", {}, {**OF, **given, **ENCRYPTED, "tags": TAGS})
    told = {"repositoryName": NAME, "repositoryArn": ARN, **ENCRYPTED}
    aws.will(
        "describe_repositories", {"repositories": [told]}, {"registryId": THEIRS, "repositoryNames": [NAME]}
    )
    aws.refuses("get_lifecycle_policy", "LifecyclePolicyNotFoundException")
    aws.refuses("get_repository_policy", "RepositoryPolicyNotFoundException")
    aws.will("list_tags_for_resource", {"tags": TAGS}, {"resourceArn": ARN})
    aws.will("tag_resource", {}, {"resourceArn": ARN, "tags": [{"Key": "stage", "Value": "dev"}]})

    setup.create(NAME, "MUTABLE", (), scan=False, key=CMK, tags={"team": "data"})
    found = setup.repository(NAME)

    assert found is not None
    assert (found.arn, found.key) == (ARN, CMK)
    assert setup.tags(found.arn) == {"team": "data"}
    setup.add_tags(found.arn, {"stage": "dev"})


def test_an_alias_is_the_key_that_it_names(aws: Aws, setup: EcrSetup) -> None:
    told = {"KeyMetadata": {"KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "Arn": CMK}}
    aws.stubs["kms"].add_response("describe_key", told, {"KeyId": "alias/images"})
    aws.stubs["kms"].add_client_error("describe_key", "NotFoundException", "Alias alias/image is not found.")

    assert setup.key("alias/images") == CMK
    with pytest.raises(AwsError, match="Alias alias/image is not found"):
        setup.key("alias/image")


def test_a_template_has_key_tags_and_role_and_keeps_those_that_are_not_changed(
    aws: Aws, setup: EcrSetup
) -> None:
    role = f"arn:aws:iam::{THEIRS}:role/creator"
    facts = TemplateFacts(applied=("CREATE_ON_PUSH",), key=CMK, tags={"team": "data"}, role=role)
    given = {"prefix": "team", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability": "MUTABLE"}
    more = {**ENCRYPTED, "resourceTags": TAGS, "customRoleArn": role}
    described = {"description": "made by lamina ecr.setup"}
    aws.will("create_repository_creation_template", {}, {**given, **more, **described})
    aws.will(
        "describe_repository_creation_templates",
        {"repositoryCreationTemplates": [{**given, **more}]},
        {"prefixes": ["team"]},
    )
    emptied = {"lifecyclePolicy": "", "repositoryPolicy": ""}
    aws.will("update_repository_creation_template", {}, {**given, **emptied})

    setup.set_template("team", facts, exists=False)
    assert setup.template("team") == facts
    setup.set_template("team", TemplateFacts(applied=("CREATE_ON_PUSH",)), exists=True)


# --- what repositories hold -----------------------------------------------------------------------------


def test_images_are_listed_page_by_page(aws: Aws) -> None:
    asked = {"registryId": THEIRS, "repositoryName": NAME, "maxResults": 1000}
    image = {"imageDigest": DIGEST, "imageTags": ["b", "a"], "imageSizeInBytes": 7}
    aws.will("describe_images", {"imageDetails": [image], "nextToken": "more"}, asked)
    aws.will("describe_images", {"imageDetails": [{"imageDigest": DIGEST}]}, {**asked, "nextToken": "more"})

    first, second = EcrInventory(aws, account=THEIRS, prefix="team/").stored("app")

    assert (first.tags, first.size) == (("a", "b"), 7)
    assert (second.tags, second.pushed) == ((), None)


def test_a_repository_that_is_not_there_holds_nothing(aws: Aws) -> None:
    aws.refuses("describe_images", "RepositoryNotFoundException")

    assert EcrInventory(aws, account=None, prefix="").stored("app") == ()


def test_the_replica_of_another_account_is_not_that_of_ours(aws: Aws) -> None:
    states = [
        {"region": "us-east-1", "registryId": "1" * 12, "status": "COMPLETE"},
        {"region": "us-east-1", "registryId": THEIRS, "status": "IN_PROGRESS"},
        {"region": "eu-west-2", "registryId": THEIRS, "status": "FAILED"},
    ]
    image = {"imageDigest": DIGEST}
    for _ in range(2):
        aws.will(
            "describe_image_replication_status",
            {"repositoryName": NAME, "imageId": image, "replicationStatuses": states},
            {"repositoryName": NAME, "imageId": image},
        )
    inventory = EcrInventory(aws, account=None, prefix="team")

    assert inventory.replication(NAME, DIGEST, of="1" * 12) == {"us-east-1": "COMPLETE"}
    assert inventory.replication(NAME, DIGEST, of=THEIRS) == {
        "us-east-1": "IN_PROGRESS",
        "eu-west-2": "FAILED",
    }
