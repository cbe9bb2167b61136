from __future__ import annotations

import pytest

from lamina.refs import EcrHost, Reference

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("python", None, "python", None, None),
        ("python:3.13", None, "python", "3.13", None),
        ("library/python:3.13-slim", None, "library/python", "3.13-slim", None),
        ("localhost/app", "localhost", "app", None, None),
        ("localhost:5000/a/b:t", "localhost:5000", "a/b", "t", None),
        ("public.ecr.aws/lambda/python:3.13", "public.ecr.aws", "lambda/python", "3.13", None),
        (f"r.example/app@sha256:{HEX}", "r.example", "app", None, f"sha256:{HEX}"),
        (f"r.example:443/app:t@sha256:{HEX}", "r.example:443", "app", "t", f"sha256:{HEX}"),
        ("[::1]:5000/app:t", "[::1]:5000", "app", "t", None),
        ("UPPER/app", "UPPER", "app", None, None),
        ("a__b/c-d.e", None, "a__b/c-d.e", None, None),
    ],
)
def test_references_are_read_as_docker_reads_them(
    text: str, host: str | None, repository: str, tag: str | None, digest: str | None
) -> None:
    parsed = Reference.parse(text)

    assert parsed == Reference(host=host, repository=repository, tag=tag, digest=digest)
    assert str(parsed) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a repository name"),
        ("Python", "'Python' is not a repository name"),
        ("a b", "is not a repository name"),
        ("app:", "a tag has letters"),
        (f"app:{'x' * 129}", "at most 128"),
        ("app:-x", "a tag has letters"),
        ("app@", "a digest is sha256:"),
        ("app@sha256:abc", "a digest is sha256:"),
        ("app@md5:" + HEX, "a digest is sha256:"),
        ("-.x/app", "'-.x' is not a registry host"),
        ("r.example/", "is not a repository name"),
        ("r.example/a//b", "is not a repository name"),
    ],
)
def test_an_invalid_reference_names_its_part(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        Reference.parse(text)
    assert repr(text) in str(caught.value)


def test_tag_and_digest_take_each_others_place() -> None:
    tagged = Reference.parse("r.example/app:one")

    assert str(tagged.with_digest(f"sha256:{HEX}")) == f"r.example/app@sha256:{HEX}"
    assert str(tagged.with_digest(f"sha256:{HEX}").with_tag("two")) == "r.example/app:two"


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("localhost:5000/app", True),
        ("127.0.0.1:5000/app", True),
        ("127.8.0.1/app", True),
        ("[::1]:5000/app", True),
        ("[::1]/app", True),
        ("127.example.com/app", False),
        ("127.0.0.1.evil.example:5000/app", False),
        ("localhost.example:5000/app", False),
        ("10.0.0.1:5000/app", False),
        ("app", False),
    ],
)
def test_loopback_is_this_machine_only(text: str, loopback: bool) -> None:
    assert Reference.parse(text).loopback is loopback


def test_a_name_without_a_host_is_served_by_docker_hub() -> None:
    assert Reference.parse("python").pull_host == "docker.io"
    assert Reference.parse("r.example/python").pull_host == "r.example"


@pytest.mark.parametrize(
    ("host", "region", "fips"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", False),
        ("123456789012.DKR.ecr.eu-west-1.amazonaws.com:443", "eu-west-1", False),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", True),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1", False),
        ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1", True),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", False),
        ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", False),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", False),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", False),
    ],
)
def test_hosts_of_ecr_are_known_in_every_form(host: str, region: str, fips: bool) -> None:
    found = EcrHost.of(Reference.parse(f"{host}/app:t"))

    assert found == EcrHost(account="123456789012", region=region, fips=fips)


@pytest.mark.parametrize(
    "text",
    [
        "app",
        "public.ecr.aws/lambda/python:3.13",
        "127.0.0.1:5000/app",
        "1234.dkr.ecr.eu-west-1.amazonaws.com/app",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com/app",
        "123456789012.dkr.ecr.eu-west-1.example.com/app",
        "123456789012.dkr-ecr.eu-west-1.amazonaws.com/app",
        "123456789012.dkr.ecr.eu-west-1.on.aws/app",
        "example.com/123456789012.dkr.ecr.eu-west-1.amazonaws.com/app",
    ],
)
def test_other_hosts_are_not_ecr(text: str) -> None:
    assert EcrHost.of(Reference.parse(text)) is None


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("python", "python"),
        ("python:latest", "python"),
        ("python:3.13", "python:3.13"),
        ("docker.io/library/python:3.13", "python:3.13"),
        ("index.docker.io/library/python:3.13", "python:3.13"),
        ("docker.io/python:latest", "python"),
        ("library/python", "python"),
        ("library/deep/python:1", "library/deep/python:1"),
        ("docker.io/org/tool:1", "org/tool:1"),
        ("public.ecr.aws/lambda/python:latest", "public.ecr.aws/lambda/python"),
        ("quay.io/library/tool:1", "quay.io/library/tool:1"),
        (f"docker.io/library/python:3@sha256:{'a' * 64}", f"python:3@sha256:{'a' * 64}"),
    ],
)
def test_the_name_that_docker_shows(text: str, familiar: str) -> None:
    assert Reference.parse(text).familiar == familiar
