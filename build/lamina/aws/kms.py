"""Keys of AWS' key management."""

from __future__ import annotations

from lamina.aws.clients import Clients
from lamina.aws.errors import aws_errors
from lamina.json_data import as_table


def key_arn(clients: Clients, name: str) -> str:
    """Return the ARN of a key that an alias names; the ARN of a key is returned as it is.

    Raises AwsError, or RegistryError for ECR's clients.
    """
    if ":key/" in name:
        return name
    with aws_errors(name, service="kms"):
        kms_client = clients("kms")
        return str(as_table(kms_client.describe_key(KeyId=name)["KeyMetadata"])["Arn"])
