"""The images that ECS, Batch, SageMaker and App Runner use, in an account and region."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors, is_denied, is_unreachable
from lamina.errors import AwsError, Problem
from lamina.json_data import Json, JsonTable, as_list, as_table
from lamina.parallel import gather
from lamina.refs import EcrHost, Reference

if TYPE_CHECKING:
    from lamina.aws.services import ContainerPages

_THREADS = 2
_SERVICES, _TASKS = 10, 100  # in a request
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DEFINITION = re.compile(r"arn:[a-z-]+:ecs:[a-z0-9-]+:\d{12}:task-definition/[\w-]+:\d+")
_User = tuple[str, Json]
"""What uses images, for people, and an answer of AWS with their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """The images that services other than Lambda use.

    Attributes:
        used: digest, or ``repository:tag`` below the prefix -> what uses it.
        unknown: why there may be more.
    """

    used: Mapping[str, str]
    unknown: tuple[Problem, ...] = ()


def read_container_usage(
    clients: Clients, services: Iterable[str], *, prefix: str, place: str
) -> ContainerUsage:
    """Return the images below a prefix that services use, as far as permissions allow.

    Args:
        clients: of the account and region.
        services: of `READERS`.
        prefix: ``host/`` or ``host/path/``.
        place: the account and the region, for people.

    Raises AwsError if a service may be read, but does not answer.
    """
    used: dict[str, str] = {}
    unknown: list[Problem] = []
    for service in services:
        name, read = READERS[service]
        try:
            with aws_errors(service=service):
                for user, answer in read(clients):
                    used |= dict.fromkeys(_images(answer, prefix), f"{user} ({place})")
        except AwsError as error:
            absent = is_unreachable(error) and not _is_offered(clients, service)
            if not (absent or is_denied(error)):
                raise
            unknown.append(_unknown(name, service, place, error))
    return ContainerUsage(used=used, unknown=tuple(unknown))


def _is_offered(clients: Clients, service: str) -> bool:
    """Whether boto3 knows the service in the region of Lambda's client."""
    import boto3

    meta = clients("lambda").meta
    return meta.region_name in boto3.Session().get_available_regions(service, meta.partition)


def _unknown(name: str, service: str, place: str, error: AwsError) -> Problem:
    return Problem(
        what=f"gc cannot know whether {name} uses these images ({place}): {error.problems[0].what}",
        where=error.problems[0].where,
        hint=f"allow it; or if {name} does not use them, leave out {service} of services in [tool.lamina.gc]",
    )


def _images(answer: Json, prefix: str) -> Iterator[str]:
    """Yield the images in an answer: each digest, and each name below the prefix without a digest."""
    host, _, path = prefix.partition("/")
    registry = _registry(host)
    for text in _texts(answer):
        if found := _DIGEST.search(text):
            yield found[0]
            continue
        named, slash, name = text.partition("/")
        if slash and name.startswith(path) and _registry(named) == registry:
            name = name.removeprefix(path)
            yield name if ":" in name else f"{name}:latest"


def _registry(host: str) -> tuple[str, str]:
    """Return the account and region of a host of ECR, which has several hosts; of others the host."""
    found = EcrHost.of(Reference(host=host, repository="any"))
    return (found.account, found.region) if found else (host, "")


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    else:
        for each in as_list(value):
            yield from _texts(each)


def _listed(pages: ContainerPages, key: str, **words: Json) -> Iterator[Json]:
    """Yield the items of all pages."""
    for page in pages.paginate(**words):
        yield from as_list(page[key])


def _ecs(clients: Clients) -> Iterator[_User]:
    """Yield the running tasks, and all task definitions that are active or of a service."""
    ecs_client = clients("ecs")
    definitions = set(
        map(
            str,
            _listed(ecs_client.get_paginator("list_task_definitions"), "taskDefinitionArns", status="ACTIVE"),
        )
    )
    for cluster in map(str, _listed(ecs_client.get_paginator("list_clusters"), "clusterArns")):
        services = list(
            map(str, _listed(ecs_client.get_paginator("list_services"), "serviceArns", cluster=cluster))
        )
        for start in range(0, len(services), _SERVICES):
            some = services[start : start + _SERVICES]
            answer = ecs_client.describe_services(cluster=cluster, services=some)
            definitions |= {text for text in _texts(answer["services"]) if _DEFINITION.fullmatch(text)}
        tasks = list(map(str, _listed(ecs_client.get_paginator("list_tasks"), "taskArns", cluster=cluster)))
        for start in range(0, len(tasks), _TASKS):
            answer = ecs_client.describe_tasks(cluster=cluster, tasks=tasks[start : start + _TASKS])
            yield from (
                (f"the ECS task {_end(as_table(each)['taskArn'])}", each) for each in as_list(answer["tasks"])
            )
    arns = sorted(definitions)
    read = gather(lambda arn: ecs_client.describe_task_definition(taskDefinition=arn), arns, threads=_THREADS)
    yield from (
        (f"the ECS task definition {_end(arn)}", each["taskDefinition"])
        for arn, each in zip(arns, read, strict=True)
    )


def _batch(clients: Clients) -> Iterator[_User]:
    """Yield the active job definitions. Jobs that run are tasks of ECS."""
    batch_client = clients("batch")
    for each in _listed(
        batch_client.get_paginator("describe_job_definitions"), "jobDefinitions", status="ACTIVE"
    ):
        yield f"the Batch job definition {_end(as_table(each)['jobDefinitionArn'])}", each


def _sagemaker(clients: Clients) -> Iterator[_User]:
    """Yield the models, endpoints, and the training and processing jobs in progress.

    An endpoint runs on when its model is deleted.
    """
    sagemaker_client = clients("sagemaker")
    for each in _listed(sagemaker_client.get_paginator("list_models"), "Models"):
        model = str(as_table(each)["ModelName"])
        yield f"the SageMaker model {model}", sagemaker_client.describe_model(ModelName=model)
    for each in _listed(sagemaker_client.get_paginator("list_endpoints"), "Endpoints"):
        endpoint = str(as_table(each)["EndpointName"])
        yield f"the SageMaker endpoint {endpoint}", sagemaker_client.describe_endpoint(EndpointName=endpoint)
    under_way = {"StatusEquals": "InProgress"}
    for each in _listed(
        sagemaker_client.get_paginator("list_training_jobs"), "TrainingJobSummaries", **under_way
    ):
        job = str(as_table(each)["TrainingJobName"])
        yield f"the training job {job}", sagemaker_client.describe_training_job(TrainingJobName=job)
    for each in _listed(
        sagemaker_client.get_paginator("list_processing_jobs"), "ProcessingJobSummaries", **under_way
    ):
        job = str(as_table(each)["ProcessingJobName"])
        yield f"the processing job {job}", sagemaker_client.describe_processing_job(ProcessingJobName=job)


def _apprunner(clients: Clients) -> Iterator[_User]:
    apprunner_client = clients("apprunner")
    token: dict[str, str] = {}
    while True:
        page = apprunner_client.list_services(**token)
        for each in map(as_table, as_list(page["ServiceSummaryList"])):
            arn = str(each["ServiceArn"])
            service: JsonTable = apprunner_client.describe_service(ServiceArn=arn)
            yield f"the App Runner service {each['ServiceName']}", service["Service"]
        if not page.get("NextToken"):
            return
        token = {"NextToken": str(page["NextToken"])}


def _end(arn: Json) -> str:
    return str(arn).rpartition("/")[2]


READERS: Mapping[str, tuple[str, Callable[[Clients], Iterator[_User]]]] = {
    "ecs": ("ECS", _ecs),
    "batch": ("Batch", _batch),
    "sagemaker": ("SageMaker", _sagemaker),
    "apprunner": ("App Runner", _apprunner),
}
"""Service -> its name, and what reads its users of images."""
