from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from lamina.registries.transport import (
    HttpTransport,
    Request,
    Unreachable,
    _redirected,
    _unreachable,
    origin_of,
    proxy_for,
    trust,
)

PROXIES = {
    "HTTPS_PROXY": "http://proxy:3128",
    "http_proxy": "http://plain:80",
    "NO_PROXY": ".corp.example,10.0.0.1",
}


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("https", "r.example", "http://proxy:3128"),
        ("http", "r.example", "http://plain:80"),
        ("https", "r.corp.example", None),
        ("https", "10.0.0.1", None),
        ("https", "localhost", None),
        ("https", "127.0.0.2", None),
        ("https", "::1", None),
    ],
)
def test_the_proxy_is_the_environments_choice_and_never_for_loopback(
    scheme: str, host: str, expected: str | None
) -> None:
    assert proxy_for(PROXIES, scheme, host) == expected
    assert proxy_for({}, scheme, host) is None
    assert proxy_for({**PROXIES, "no_proxy": "*"}, scheme, host) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://r.example/v2/", ("https", "r.example", 443)),
        ("http://[::1]:5000/v2/", ("http", "::1", 5000)),
        ("http://localhost/v2/", ("http", "localhost", 80)),
    ],
)
def test_origins(url: str, expected: tuple[str, str, int]) -> None:
    assert origin_of(url) == expected


def test_authorization_does_not_follow_to_another_host_nor_down_to_http() -> None:
    request = Request(
        method="GET", url="https://r.example/v2/x", headers={"Authorization": "B", "Accept": "*"}
    )
    assert _redirected(request, "/v2/y").headers == request.headers
    moved = _redirected(request, "https://storage.example/blob?sig=1")
    assert (moved.url, moved.headers) == ("https://storage.example/blob?sig=1", {"Accept": "*"})
    with pytest.raises(Unreachable, match="not followed"):
        _redirected(request, "http://r.example/v2/x")


def test_requests_do_not_show_their_headers() -> None:
    shown = repr(
        Request(method="GET", url="u", headers={"Authorization": "Basic c2VjcmV0"}, body=b"c2VjcmV0")
    )
    assert "c2VjcmV0" not in shown


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    missing = str(tmp_path / "none.pem")
    with pytest.raises(Unreachable, match=missing):
        trust({name: missing})
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(Unreachable, match=str(broken)):
        trust({name: str(broken)})


def test_failures_have_kinds() -> None:
    verification = ssl.SSLCertVerificationError(1, "x")
    verification.verify_message = "self-signed certificate"
    cases = [
        (verification, False, "tls"),
        (ConnectionRefusedError(111, "refused"), False, "refused"),
        (TimeoutError(), False, "timeout"),
        (TimeoutError(), True, "timeout"),
        (ConnectionResetError(104, "reset"), True, "lost"),
        (OSError(101, "Network is unreachable"), False, "refused"),
    ]
    for error, connected, kind in cases:
        assert _unreachable(error, connected=connected).kind == kind


def test_closing_an_unused_transport_is_fine() -> None:
    HttpTransport({}).close()
