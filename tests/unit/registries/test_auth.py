from __future__ import annotations

import json

import pytest

from lamina.registries.auth import Authorizer, Challenge, Refused
from lamina.registries.credentials import Credential
from lamina.registries.http import HttpResponse, Request

ME = Credential(username="me", secret="s3cret")
SCOPES = ("repository:a:pull",)
BEARER = Challenge(scheme="bearer", realm="https://auth.example/token", service="registry.example")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Challenge(scheme="none")),
        ("Negotiate", Challenge(scheme="none")),
        ('Basic realm="r"', Challenge(scheme="basic", realm="r")),
        ("basic realm=r", Challenge(scheme="basic", realm="r")),
        (
            'Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a:pull,push"',
            Challenge(scheme="bearer", realm="https://a/t?x=1,2", service="s"),
        ),
        (
            'Basic realm="r", Bearer realm="https://a/t", service="s"',
            Challenge(scheme="bearer", realm="https://a/t", service="s"),
        ),
    ],
)
def test_challenges_are_read(header: str, expected: Challenge) -> None:
    assert Challenge.parse(header) == expected


class TokenService:
    """Counts its tokens: t1, t2, …"""

    def __init__(self, **extra: object) -> None:
        self.requests: list[Request] = []
        self.extra = extra

    def __call__(self, request: Request) -> HttpResponse:
        self.requests.append(request)
        body = {"token": f"t{len(self.requests)}", **self.extra}
        return HttpResponse(status=200, body=json.dumps(body).encode())


def authorizer(
    challenge: Challenge, credential: Credential | None, service: object, clock: object
) -> Authorizer:
    return Authorizer(challenge, lambda *, fresh: credential, service, clock=clock)  # type: ignore[arg-type]


def test_basic_shows_the_pair_and_an_open_registry_nothing(clock: object) -> None:
    service = TokenService()
    assert authorizer(Challenge(scheme="none"), ME, service, clock).header(SCOPES) is None
    assert authorizer(Challenge(scheme="basic"), ME, service, clock).header(SCOPES) == f"Basic {ME.encoded}"
    assert authorizer(Challenge(scheme="basic"), None, service, clock).header(SCOPES) is None
    assert service.requests == []


def test_a_token_is_kept_for_its_scope_and_its_time(clock: object) -> None:
    service = TokenService(expires_in=100)
    shown = authorizer(BEARER, ME, service, clock)
    assert shown.header(SCOPES) == shown.header(SCOPES) == "Bearer t1"
    assert shown.header(("repository:b:pull",)) == "Bearer t2"
    clock.now = 89.0  # type: ignore[attr-defined]
    assert shown.header(SCOPES) == "Bearer t1"
    clock.now = 91.0  # type: ignore[attr-defined]
    assert shown.header(SCOPES) == "Bearer t3"


def test_the_service_is_asked_as_the_specification_says(clock: object) -> None:
    service = TokenService()
    authorizer(BEARER, ME, service, clock).header(("repository:a:pull", "repository:b:pull,push"))
    (request,) = service.requests
    assert request.url == (
        "https://auth.example/token?service=registry.example"
        "&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull%2Cpush"
    )
    assert request.headers["Authorization"] == f"Basic {ME.encoded}"


def test_an_anonymous_reader_gets_a_token_too(clock: object) -> None:
    service = TokenService()
    assert authorizer(BEARER, None, service, clock).header(SCOPES) == "Bearer t1"
    assert "Authorization" not in service.requests[0].headers


def test_an_identity_token_is_exchanged_by_post(clock: object) -> None:
    service = TokenService(access_token="access", token=None)
    known = Credential(username="<token>", secret="refresh-me", identity=True)
    assert authorizer(BEARER, known, service, clock).header(SCOPES) == "Bearer access"
    (request,) = service.requests
    assert request.method == "POST"
    assert isinstance(request.body, bytes)
    assert b"grant_type=refresh_token" in request.body
    assert b"refresh_token=refresh-me" in request.body
    assert "refresh-me" not in request.url


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": ""}', b"null"])
def test_an_answer_without_a_token_is_refused(body: bytes, clock: object) -> None:
    shown = authorizer(BEARER, ME, lambda request: HttpResponse(status=200, body=body), clock)
    with pytest.raises(Refused, match="without a token"):
        shown.header(SCOPES)


def test_a_realm_that_is_not_a_url_is_refused(clock: object) -> None:
    shown = authorizer(Challenge(scheme="bearer", realm="file:///etc/passwd"), ME, TokenService(), clock)
    with pytest.raises(Refused, match="not a URL"):
        shown.header(SCOPES)


def test_a_refused_basic_credential_is_renewed_once() -> None:
    given = [ME, Credential(username="me", secret="new"), Credential(username="me", secret="newer")]
    asked = []

    def source(*, fresh: bool) -> Credential:
        asked.append(fresh)
        return given[len(asked) - 1]

    shown = Authorizer(Challenge(scheme="basic"), source, TokenService())
    first = shown.header(SCOPES)
    assert shown.renew(SCOPES, first)
    second = shown.header(SCOPES)
    assert second != first
    assert shown.renew(SCOPES, first)  # a slower thread with the old one: go on with what there is
    assert not shown.renew(SCOPES, second)
    assert asked == [False, True]


def test_messages_never_show_the_secret(clock: object) -> None:
    shown = authorizer(Challenge(scheme="basic"), ME, TokenService(), clock)
    shown.prepare()
    assert shown.redact(f"bad header {ME.encoded} of me:s3cret") == "bad header *** of me:***"


def test_nor_the_token_that_a_registry_echoes(clock: object) -> None:
    shown = authorizer(
        Challenge(scheme="bearer", realm="https://auth.example/token"), ME, TokenService(), clock
    )
    header = shown.header(SCOPES)
    assert header
    assert shown.redact(f"invalid header: {header}") == "invalid header: Bearer ***"
