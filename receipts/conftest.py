"""What the tests of the sample share: its packages on the path, its handlers by folder, a table in memory."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource

    from receipt_dynamo.client import DynamoClient

HERE = Path(__file__).parent
# The packages lie side by side in an image, and need not be installed here.
sys.path[:0] = [str(HERE / "receipt_dynamo"), str(HERE / "receipt_label")]


@pytest.fixture
def load_handler(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads the handler of a folder afresh under a name of its own: in the images all are called handler."""

    def load(folder: str) -> ModuleType:
        name = f"{folder}_handler"
        spec = importlib.util.spec_from_file_location(name, HERE / folder / "handler.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"no handler in {folder}")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def dynamodb() -> DynamoDBServiceResource:
    """One service resource for all tests: boto3 is slow to make it."""
    import boto3
    import moto.core  # noqa: F401 - moto can stand in only for what is made after its import

    return boto3.Session("testing", "testing", region_name="us-east-1").resource("dynamodb")


@pytest.fixture
def table_name(dynamodb: DynamoDBServiceResource, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty table; while it is there, boto3 reaches nothing but moto."""
    from moto import mock_aws

    from receipt_dynamo.schema import table_definition

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        dynamodb.create_table(**table_definition("receipts"))
        yield "receipts"


@pytest.fixture
def dynamo_client(dynamodb: DynamoDBServiceResource, table_name: str) -> DynamoClient:
    """A client of the empty table that asks for two items at a time."""
    from receipt_dynamo.client import DynamoClient

    return DynamoClient(table_name, resource=dynamodb, page_size=2)
