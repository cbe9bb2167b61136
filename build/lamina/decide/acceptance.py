"""Find what Lambda would refuse about an image in a registry, before Lambda does. Pure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/images-create.html, and Lambda's answers in practice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from lamina.decide.plan import FoundImage
from lamina.declare.functions import Function
from lamina.declare.machine import family
from lamina.errors import Problem
from lamina.oci import OciConfig
from lamina.refs import EcrHost, Reference
from lamina.values import dataclass

MOST_BYTES = 10 * 1024**3
"""Of all layers, unpacked: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
_ENTRYPOINT = "lambda-entrypoint.sh"
_WRAP = 2**32
_STORED, _FRAME = 0.999, 1 << 16
"""Incompressible bytes grow in gzip by less than a thousandth and a frame (RFC 1951)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What a registry says about an image.

    Attributes:
        media_type: of the manifest.
        config_type: of the configuration.
        layers: the media type of each.
        config: the image configuration.
        unpacked: a lower bound of the bytes of all layers; 0 if not measured.
    """

    media_type: str
    config_type: str
    layers: tuple[str, ...]
    config: OciConfig
    unpacked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """An image and the reasons against it. candidate: None for an index, which is not an image."""

    name: str
    found: FoundImage
    candidate: ImageFacts | None
    refusals: tuple[str, ...]

    @property
    def platform(self) -> str:
        """The platform, such as ``linux/arm64``; empty if there is no image."""
        config = self.candidate.config if self.candidate else {}
        return f"{config.get('os')}/{config.get('architecture')}" if config else ""

    @property
    def problem(self) -> Problem:
        """One problem that lists every refusal."""
        return Problem(
            what="\n  ".join((f"Lambda would refuse {self.name}:", *self.refusals)),
            where=f"{self.found.ref.name}@{self.found.digest}",
            hint="fix the cause, then: invoke build-all --push",
        )


def objections(
    candidate: ImageFacts,
    ref: Reference,
    platform: str,
    functions: Sequence[Function],
    *,
    runs: bool = True,
    regions: Collection[str] = (),
    home: str | None = None,
) -> Iterator[str]:
    """Yield every reason against an image: its format, how it starts, and where it is stored.

    See `refusals`, `unstartable` and `misplaced`.
    regions, home: see `misplaced`.
    runs: True if functions run the image; False if it is only a base of other images, which need not start.
    """
    yield from refusals(candidate, platform)
    yield from unstartable(candidate.config, functions) if runs else ()
    yield from misplaced(ref, functions, regions, home)


def refusals(candidate: ImageFacts, platform: str) -> Iterator[str]:
    """Yield every reason why Lambda would refuse the image. platform: the expected one, ``linux/arm64``."""
    config = candidate.config
    if candidate.media_type not in _MANIFESTS:
        yield f"its manifest is {candidate.media_type}, not {' or '.join(_MANIFESTS)}"
    if candidate.config_type not in _CONFIGS:
        yield f"its configuration is {candidate.config_type}, not {' or '.join(_CONFIGS)}"
    for number, layer in enumerate(candidate.layers, start=1):
        if layer not in _LAYERS:
            yield f"layer {number} is {layer}, not {' or '.join(_LAYERS)}"
    made_for = f"{config.get('os')}/{config.get('architecture')}"
    if made_for != family(platform):
        yield f"it is for {made_for}, not for {platform}"
    steps = [step for step in config.get("history") or () if not step.get("empty_layer")]
    named = config.get("rootfs", {}).get("diff_ids") or ()
    if not len(candidate.layers) == len(named) == len(steps):
        counts = (len(candidate.layers), "in the manifest"), (len(named), "in the configuration")
        found = ", ".join(f"{count} {where}" for count, where in counts)
        yield f"its layers and its history do not match: {found}, {len(steps)} steps"
    if candidate.unpacked > MOST_BYTES:
        yield f"its layers are {candidate.unpacked / 1024**3:.1f} GiB unpacked, more than 10"


def unstartable(config: OciConfig, functions: Iterable[Function]) -> Iterator[str]:
    """Yield every reason for which the image would not start with each function's command, or its own.

    Lambda accepts such an image and fails when the function is invoked. config: the image configuration.
    """
    settings = config.get("config") or {}
    entrypoint, own = settings.get("Entrypoint") or (), tuple(settings.get("Cmd") or ())
    commands = {each.command or own: f"as {each} starts it, " for each in functions} or {own: ""}
    for command, who in commands.items():
        if not entrypoint and not command:
            yield f"{who}it has neither ENTRYPOINT nor CMD: nothing is started"
        elif entrypoint and entrypoint[0].endswith(_ENTRYPOINT) and len(command) != 1:
            takes = f"its ENTRYPOINT {entrypoint[0]} takes one argument, the handler"
            yield f"{who}{takes}, and CMD has {len(command)}"


def misplaced(
    ref: Reference, functions: Iterable[Function], regions: Collection[str] = (), home: str | None = None
) -> Iterator[str]:
    """Yield every reason for which Lambda could not fetch an image from its registry.

    Loopback registries are for tests and are not judged.

    Args:
        regions: other regions to which images are copied.
        home: the region of functions without an ARN; None if it is not known.
    """
    if ref.loopback:
        return
    host = EcrHost.of(ref)
    if host is None:
        yield f"it is in {ref.pull_host}; Lambda takes images only from private ECR repositories"
        return
    if host.fips:
        yield f"it is named by the FIPS endpoint {ref.pull_host}, which Lambda refuses"
    for each in functions:
        region = each.region or home
        if region and region not in {host.region, *regions}:
            places = f"it is in {host.region}, the function {each} in {region}"
            yield f"{places}: both must be in one region, or regions in [tool.lamina.ecr] name {region}"


def unpacked_size(compressed: int, trailer: bytes) -> int:
    """Return the smallest unpacked size of a gzip file, in bytes, that its trailer allows.

    Args:
        compressed: its size as stored.
        trailer: its last four bytes, the size modulo 4 GiB (RFC 1952, ISIZE).
    """
    remainder = int.from_bytes(trailer, "little")
    least = int(compressed * _STORED) - _FRAME
    wraps = max(0, -(-(least - remainder) // _WRAP))
    return remainder + wraps * _WRAP
