"""The images that Lambda runs: every version of every function of an account, in one region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lamina.aws.clients import CONNECTIONS, Access, Clients, boto_clients
from lamina.aws.errors import aws_errors
from lamina.aws.live import IMAGE, image_digest
from lamina.errors import AwsError
from lamina.parallel import gather

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionCodeLocationTypeDef

_SPECIAL = {
    "DurableConfig": "its durable executions may go on for a year, on this version",
    "CapacityProviderConfig": "a capacity provider runs it",
}
"""Key of a version's configuration -> why the version may run though nothing names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedImage:
    """A version of a function that runs an image.

    Aliases are not listed: they name versions.

    Attributes:
        version: ``$LATEST`` or a number.
        digest: of the image.
        repository: of the image, ``host/path``; empty when not reported.
        description: of the version.
        published: when; None when not reported.
        special: why Lambda may call it though nothing names it; empty if it does not.
    """

    function: str
    version: str
    digest: str
    repository: str = ""
    description: str = ""
    published: str | None = None
    special: str = ""

    def __str__(self) -> str:
        return f"{self.function}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The account and region that were read, and every deployed image.

    functions: how many functions there are, including those of zip files. access: with which they were read.
    """

    account: str
    region: str
    functions: int
    deployed: tuple[UsedImage, ...]
    access: Access = field(default_factory=Access)

    def __str__(self) -> str:
        return f"account {self.account}, {self.region}"


def read_usage(access: Access, *, clients: Clients | None = None, threads: int = CONNECTIONS) -> Usage:
    """Read all functions and their versions, many in parallel. Raises AwsError when any stays unknown."""
    clients = clients or boto_clients(access)
    with aws_errors(access.role, service="sts"):
        account = clients("sts").get_caller_identity()["Account"]
    with aws_errors(service="lambda"):
        client = clients("lambda")
        functions = [
            each for page in client.get_paginator("list_functions").paginate() for each in page["Functions"]
        ]
        images = [each["FunctionName"] for each in functions if each.get("PackageType") == IMAGE]
        listed = gather(lambda name: tuple(_versions(client, name)), images, threads=threads)
        wanted = [
            (name, version) for name, versions in zip(images, listed, strict=True) for version in versions
        ]
        found = gather(lambda pair: _deployed(client, *pair), wanted, threads=threads)
        deployed = tuple(each for each in found if each is not None)
        region = client.meta.region_name
    return Usage(account=account, region=region, functions=len(functions), deployed=deployed, access=access)


def _versions(client: LambdaClient, name: str) -> Iterator[str]:
    """Yield the versions of a function; none when it was deleted meanwhile."""
    try:
        for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=name):
            yield from (str(each["Version"]) for each in page["Versions"])
    except client.exceptions.ResourceNotFoundException:
        return


def _deployed(client: LambdaClient, name: str, version: str) -> UsedImage | None:
    try:
        answer = client.get_function(FunctionName=name, Qualifier=version)
    except client.exceptions.ResourceNotFoundException:
        return None
    code: FunctionCodeLocationTypeDef = answer.get("Code", {})
    digest = image_digest(code)
    if digest is None:
        raise AwsError.of(
            f"Lambda does not report which image the function {name}:{version} runs",
            where="AWS GetFunction",
            hint="wait until it is ready, or look at it: aws lambda get-function --function-name " + name,
        )
    settings = answer.get("Configuration", {})
    uri = code.get("ResolvedImageUri") or code.get("ImageUri") or ""
    return UsedImage(
        function=name,
        version=version,
        digest=digest,
        repository=uri.partition("@")[0],
        description=str(settings.get("Description") or ""),
        published=settings.get("LastModified"),
        special=next((why for key, why in _SPECIAL.items() if settings.get(key)), ""),
    )
