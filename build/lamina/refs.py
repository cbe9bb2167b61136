"""Image references and ECR host names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from lamina.patterns import regex
from lamina.values import dataclass

_DEFAULT_HOST = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = regex(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = regex(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = regex(r"[\w][\w.-]{0,127}", re.ASCII)
_LOOPBACK = regex(r"127(?:\.[0-9]{1,3}){3}")
_DIGEST = regex(r"sha256:[0-9a-f]{64}")
_ECR = regex(
    r"(?P<account>[0-9]{12})\.dkr(?P<stack>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?P<domain>[a-z0-9.-]+)(?::443)?"
)
REGION = regex(
    r"(?:[a-z]{2}(?:-gov|-iso[a-z]?)?|eusc-[a-z]{2})-(?:central|(?:north|south)(?:east|west)?|east|west)-[0-9]{1,2}"
)
"""The names of AWS' regions, also of those to come."""
_PARTITION = regex(r"(?:cn|[a-z]{2}-gov|[a-z]{2}-iso[a-z]?|eusc)(?=-)")
ECR_PUBLIC_REGION = "us-east-1"
"""The region whose API issues tokens for ECR Public."""
_ECR_PUBLIC = frozenset({"public.ecr.aws", "ecr-public.aws.com"})
_ECR_DOMAINS: Mapping[str, frozenset[str]] = {
    ".": frozenset(
        {
            *("amazonaws.com", "amazonaws.com.cn", "amazonaws.eu"),
            *("c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk", "csp.hci.ic.gov"),
        }
    ),
    "-": frozenset(
        {
            *("on.aws", "on.amazonwebservices.com.cn", "on.amazonwebservices.eu"),
            *("on.aws.ic.gov", "on.aws.scloud", "on.cloud-aws.adc-e.uk", "on.aws.hci.ic.gov"),
        }
    ),
}
"""Domains of ECR hosts, by the character between ``dkr`` and ``ecr``. Only AWS' own names get its tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A parsed image reference: ``[host/]repository[:tag][@digest]``.

    Grammar: https://github.com/distribution/reference

    Attributes:
        host: registry host with port; None for a name without one (engines read it as Docker Hub).
        repository: path on the host.
        digest: ``sha256:<64 hex>``.
    """

    host: str | None
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse a reference as docker does. Raises ValueError that names the wrong part."""
        rest, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise ValueError(f"{text!r}: a digest is sha256: and 64 hexadecimal digits")
        head, slash, tail = rest.partition("/")
        host: str | None = None
        if slash and ("." in head or ":" in head or head == "localhost" or head != head.lower()):
            if not _HOST.fullmatch(head):
                raise ValueError(f"{text!r}: {head!r} is not a registry host")
            host, rest = head, tail
        path, colon, tag = rest.partition(":")
        if colon and not _TAG.fullmatch(tag):
            raise ValueError(f"{text!r}: a tag has letters, digits, '_', '.', '-', at most 128 of them")
        if not _REPOSITORY.fullmatch(path):
            raise ValueError(f"{text!r}: {path!r} is not a repository name (lower case, '/', '.', '_', '-')")
        return cls(host=host, repository=path, tag=tag or None, digest=digest or None)

    def with_tag(self, tag: str) -> Reference:
        """Return the same repository with another tag and no digest."""
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: str) -> Reference:
        """Return the same repository with a digest and no tag."""
        return replace(self, tag=None, digest=digest)

    @property
    def name(self) -> str:
        """``[host/]repository``, as docker prints it."""
        return f"{self.host}/{self.repository}" if self.host else self.repository

    @property
    def familiar(self) -> str:
        """The reference as docker shows it: without Docker Hub's host, its ``library/`` and a tag ``latest``.

        https://github.com/distribution/reference: FamiliarString.
        """
        hub = self.host in {None, _DEFAULT_HOST, f"index.{_DEFAULT_HOST}"}
        official = self.repository.removeprefix("library/")
        repository = official if hub and "/" not in official else self.repository
        return str(replace(self, host=None if hub else self.host, repository=repository)).removesuffix(
            ":latest"
        )

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine; docker uses plain HTTP for it."""
        if self.host is None:
            return False
        bare = self.host.rsplit(":", 1)[0] if not self.host.endswith("]") else self.host
        return bare in {"localhost", "[::1]"} or _LOOPBACK.fullmatch(bare) is not None

    @property
    def pull_host(self) -> str:
        """The registry host that serves this reference; ``docker.io`` for a name without a host."""
        return self.host or _DEFAULT_HOST

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def context_key(name: str) -> str:
    """Return the key under which the Dockerfile frontend looks an image up among the named contexts."""
    try:
        return Reference.parse(name).familiar
    except ValueError:  # it refuses the name
        return name


UPSTREAMS: Mapping[str, tuple[str, str, bool]] = {
    "public.ecr.aws": ("public.ecr.aws", "ecr-public", False),
    "quay.io": ("quay.io", "quay", False),
    "registry.k8s.io": ("registry.k8s.io", "kubernetes", False),
    "docker.io": ("registry-1.docker.io", "docker-hub", True),
    "ghcr.io": ("ghcr.io", "github", True),
    "registry.gitlab.com": ("registry.gitlab.com", "gitlab", True),
}
"""Host in Dockerfiles -> AWS' name for it, the usual prefix of its cache, whether it needs a secret.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullThrough:
    """A pull-through cache: the registry in ECR keeps what is pulled from another registry below a prefix.

    Attributes:
        registry: The other registry's host, as Dockerfiles name it.
        secret: ARN of the secret with its credentials.
    """

    registry: str
    prefix: str
    secret: str | None = None

    @property
    def url(self) -> str:
        """AWS' name for the other registry."""
        return UPSTREAMS[self.registry][0]

    def repository(self, reference: Reference) -> str:
        """Return the repository that has the images of another one of that registry."""
        path = reference.repository
        official = self.registry == "docker.io" and "/" not in path
        return f"{self.prefix}/library/{path}" if official else f"{self.prefix}/{path}"


def partition_of(region: str) -> str:
    """Return the beginning of a region's name that tells its partition: ``cn``, ``us-gov``; else empty."""
    found = _PARTITION.match(region)
    return found[0] if found else ""


def is_ecr(reference: Reference) -> bool:
    """Whether the image is in ECR, private or public."""
    return EcrHost.of(reference) is not None or is_ecr_public(reference.pull_host)


def is_ecr_public(host: str) -> bool:
    """Whether the host is ECR Public, which serves anonymous pulls."""
    return host.lower() in _ECR_PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrHost:
    """The account and region in the host name of a private ECR registry.

    The forms are ``<account>.dkr.ecr[-fips].<region>.amazonaws.com`` and, with IPv6 as well,
    ``<account>.dkr-ecr[-fips].<region>.on.aws``. Other partitions have domains of their own.
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html
    """

    account: str
    region: str
    fips: bool = False

    @classmethod
    def of(cls, reference: Reference) -> EcrHost | None:
        """Return the ECR registry of an image; None when it is not in private ECR."""
        found = _ECR.fullmatch((reference.host or "").lower())
        if found is None or found["domain"] not in _ECR_DOMAINS[found["stack"]]:
            return None
        return cls(account=found["account"], region=found["region"], fips=found["fips"] is not None)
