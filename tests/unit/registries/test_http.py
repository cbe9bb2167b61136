from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.registries.http import Request, Unreachable
from lamina.registries.transport import HttpTransport
from lamina.registries.wire import trust


def test_requests_do_not_show_their_headers() -> None:
    shown = repr(
        Request(method="GET", url="u", headers={"Authorization": "Basic c2VjcmV0"}, body=b"c2VjcmV0")
    )
    assert "c2VjcmV0" not in shown


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    missing, broken = tmp_path / "none.pem", tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for bundle in (missing, broken):
        monkeypatch.setenv(name, str(bundle))
        with pytest.raises(Unreachable, match=str(bundle)):
            trust()


def test_an_invalid_url_is_reported_without_a_retry() -> None:
    transport = HttpTransport()
    with pytest.raises(Unreachable) as caught:
        transport.send(Request(method="GET", url="https:///v2/"))
    assert caught.value.kind == "name"
    transport.close()


def test_closing_an_unused_transport_is_fine() -> None:
    HttpTransport().close()


def test_requests_is_not_imported_before_it_is_needed() -> None:
    program = (
        "import sys, lamina.registries.ecr, lamina.registries.local; "
        "from lamina.registries.connect import oci_registry; "
        "oci_registry(None, 'r.example').close(); "
        "print([name for name in ('requests', 'docker', 'boto3') if name in sys.modules])"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
