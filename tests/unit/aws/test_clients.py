"""boto3's clients, made once for many threads."""

from __future__ import annotations

import pytest

from lamina.aws.clients import Access, boto_clients


def test_a_client_has_its_exception_classes_before_threads_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that ask first would get two sets, and an error of one is not caught as that of another."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    client = boto_clients(Access(region="eu-west-1"))("ecr")

    before = vars(client)["_exceptions"]

    assert before is not None
    assert client.exceptions is before
