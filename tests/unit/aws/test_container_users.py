"""Images that ECS, Batch, SageMaker and App Runner use, as these services answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lamina.aws.container_users import READERS, ContainerUsage, read_container_usage
from lamina.errors import AwsError

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ECS = "arn:aws:ecs:eu-west-1:123456789012"
DIGESTS = ["sha256:" + str(number) * 64 for number in range(5)]
NOTHING: Mapping[str, Any] = {
    "list_task_definitions": [{"taskDefinitionArns": []}],
    "list_clusters": [{"clusterArns": []}],
    "describe_job_definitions": [{"jobDefinitions": []}],
    "list_models": [{"Models": []}],
    "list_endpoints": [{"Endpoints": []}],
    "list_training_jobs": [{"TrainingJobSummaries": []}],
    "list_processing_jobs": [{"ProcessingJobSummaries": []}],
    "list_services": [{"ServiceSummaryList": []}],
}


@dataclass
class Account:
    """All clients. answers: operation -> its pages, an exception, or a function of a request."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    meta: Any = field(default_factory=lambda: SimpleNamespace(region_name="eu-south-2", partition="aws"))

    def __call__(self, service: str) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        def paginate(**words: Any) -> Iterator[Any]:
            answer = self._of(operation)
            yield from answer(**words) if callable(answer) else answer

        return SimpleNamespace(paginate=paginate)

    def __getattr__(self, operation: str) -> Any:
        def call(**words: Any) -> Any:
            answer = self._of(operation)
            if not callable(answer):
                return answer[int(words.get("NextToken", 0))]
            return answer(**words)

        return call

    def _of(self, operation: str) -> Any:
        answer = {**NOTHING, **self.answers}[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer


def read(services: str, **answers: Any) -> ContainerUsage:
    return read_container_usage(
        Account(answers), services.split(), prefix=f"{HOST}/team/", place="account 1, eu-west-1"
    )


def test_services_that_use_no_image_name_none() -> None:
    assert read(" ".join(READERS)) == ContainerUsage(used={})


def test_tasks_that_run_and_definitions_of_services_count_also_when_they_are_not_active() -> None:
    def definition(taskDefinition: str) -> Mapping[str, Any]:  # noqa: N803
        images = {
            "web:3": f"{HOST}/team/app:sha-1",
            "old:1": f"{HOST}/team/app",
            "other:1": "docker.io/app:sha-2",
        }
        name = taskDefinition.rpartition("/")[2]
        return {"taskDefinition": {"containerDefinitions": [{"name": "x", "image": images[name]}]}}

    def services(cluster: str, services: list[str]) -> Mapping[str, Any]:
        assert (cluster, services) == ("blue", ["s1"])
        return {"services": [{"deployments": [{"taskDefinition": f"{ECS}:task-definition/old:1"}]}]}

    containers = [{"image": f"{HOST}/team/app:stable", "imageDigest": DIGESTS[1]}]
    found = read(
        "ecs",
        list_task_definitions=[
            {"taskDefinitionArns": [f"{ECS}:task-definition/web:3"]},
            {"taskDefinitionArns": [f"{ECS}:task-definition/other:1"]},
        ],
        list_clusters=[{"clusterArns": ["blue"]}],
        list_services=lambda cluster: [{"serviceArns": ["s1"]}],
        list_tasks=lambda cluster: [{"taskArns": ["t1"]}],
        describe_services=services,
        describe_tasks=lambda cluster, tasks: {
            "tasks": [{"taskArn": f"{ECS}:task/blue/abc", "containers": containers}]
        },
        describe_task_definition=definition,
    )

    assert found.used == {
        "app:stable": "the ECS task abc (account 1, eu-west-1)",
        DIGESTS[1]: "the ECS task abc (account 1, eu-west-1)",
        "app:sha-1": "the ECS task definition web:3 (account 1, eu-west-1)",
        "app:latest": "the ECS task definition old:1 (account 1, eu-west-1)",
    }


def test_job_definitions_models_jobs_and_app_runner_count() -> None:
    found = read(
        "batch sagemaker apprunner",
        describe_job_definitions=[
            {
                "jobDefinitions": [
                    {
                        "jobDefinitionArn": "a:job-definition/nightly:2",
                        "containerProperties": {"image": f"{HOST}/team/a:1"},
                    }
                ]
            }
        ],
        list_models=[{"Models": [{"ModelName": "m"}]}],
        describe_model=lambda ModelName: {"Containers": [{"Image": f"{HOST}/team/b@{DIGESTS[2]}"}]},  # noqa: N803
        list_endpoints=[{"Endpoints": [{"EndpointName": "e"}]}],
        describe_endpoint=lambda EndpointName: {  # noqa: N803
            "ProductionVariants": [{"DeployedImages": [{"ResolvedImage": f"{HOST}/team/b@{DIGESTS[3]}"}]}]
        },
        list_training_jobs=lambda StatusEquals: [{"TrainingJobSummaries": [{"TrainingJobName": "t"}]}],  # noqa: N803
        describe_training_job=lambda TrainingJobName: {"Image": f"{HOST}/team/c:3"},  # noqa: N803
        list_services=[
            {"ServiceSummaryList": [], "NextToken": "1"},
            {"ServiceSummaryList": [{"ServiceName": "s", "ServiceArn": "arn"}]},
        ],
        describe_service=lambda ServiceArn: {"Service": {"ImageIdentifier": f"{HOST}/team/d:4"}},  # noqa: N803
    )

    assert {name: user.partition(" (")[0] for name, user in found.used.items()} == {
        "a:1": "the Batch job definition nightly:2",
        DIGESTS[2]: "the SageMaker model m",
        DIGESTS[3]: "the SageMaker endpoint e",
        "c:3": "the training job t",
        "d:4": "the App Runner service s",
    }


def test_a_registry_is_known_by_all_its_hosts() -> None:
    hosts = {
        "dual": "123456789012.dkr-ecr.eu-west-1.on.aws",
        "fips": "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
        "elsewhere": "123456789012.dkr.ecr.eu-west-2.amazonaws.com",
        "other": "210987654321.dkr.ecr.eu-west-1.amazonaws.com",
    }
    found = read(
        "batch",
        describe_job_definitions=[
            {
                "jobDefinitions": [
                    {"jobDefinitionArn": "a/j:1", "image": f"{host}/team/{name}:1", "command": ["/bin/x"]}
                    for name, host in hosts.items()
                ]
            }
        ],
    )

    assert list(found.used) == ["dual:1", "fips:1"]


def error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, operation)


def test_a_service_that_may_not_be_read_is_not_known_and_the_others_are_read() -> None:
    found = read(
        "ecs batch apprunner",
        list_clusters=error("AccessDeniedException", "ListClusters"),
        describe_job_definitions=[
            {"jobDefinitions": [{"jobDefinitionArn": "a/j:1", "image": f"{HOST}/team/a:1"}]}
        ],
        list_services=EndpointConnectionError(endpoint_url="https://apprunner.eu-south-2.amazonaws.com"),
    )

    assert list(found.used) == ["a:1"]
    first, second = found.unknown
    assert first.what.startswith(
        "gc cannot know whether ECS uses these images (account 1, eu-west-1): not allowed:"
    )
    assert "ecs:ListClusters" in first.what
    assert "leave out apprunner of services" in (second.hint or "")


def test_a_service_that_does_not_answer_is_an_error() -> None:
    gone = EndpointConnectionError(endpoint_url="https://ecs.eu-south-2.amazonaws.com")
    with pytest.raises(AwsError, match="AWS cannot be reached"):
        read("ecs", list_clusters=gone)  # the region has ECS
    with pytest.raises(AwsError, match="AWS throttles"):
        read("ecs", list_clusters=error("ThrottlingException", "ListClusters"))
