"""The external images that a project builds on: their identities and pinned references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from lamina.declare.graph import Node
from lamina.declare.lockfile import Lock, Pin
from lamina.errors import EngineError, Problem, RegistryError
from lamina.patterns import regex
from lamina.process import Runner
from lamina.provider import EngineProvider, ProvidedStandIn, Say
from lamina.refs import Reference
from lamina.values import dataclass

if TYPE_CHECKING:  # a plan needs none
    from lamina.execute.engine import Builder, Engine
    from lamina.registries.base import Manifest

RUNTIME = "public.ecr.aws/lambda/python"
_MINOR = regex(r"\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Externals:
    """The external images of a set of images.

    Attributes:
        identities: image -> external name -> its part of the fingerprint.
        references: image -> external name -> the reference a build uses. Two images of different platforms
            may use the same name, each with the digest of its platform.
        stand_ins: names replaced by a stand-in runtime.
        unlocked: names without a digest.
    """

    identities: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    references: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    stand_ins: Mapping[str, ProvidedStandIn] = field(default_factory=dict)
    unlocked: tuple[str, ...] = ()

    @property
    def headline(self) -> str | None:
        """The first line of every report if a stand-in is in use; else None."""
        return "\n".join(stand_in.notice for stand_in in self.stand_ins.values()) or None


def read_externals(
    nodes: Iterable[Node], lock: Lock, provider: EngineProvider, architecture: str
) -> Externals:
    """Resolve external images without network: from digests in names, the lock, and earlier stand-ins."""
    identities: dict[str, dict[str, str]] = {}
    references: dict[str, dict[str, str]] = {}
    stand_ins: dict[str, ProvidedStandIn] = {}
    unlocked: set[str] = set()
    for node in nodes:
        known, used = identities.setdefault(node.name, {}), references.setdefault(node.name, {})
        for external in node.externals:
            name, reference = external.name, Reference.parse(external.name)
            if reference.digest:
                known[name] = reference.digest
            elif pin := lock.pins.get(name):
                known[name] = pin.of(external.platform)
                used[name] = str(reference.with_digest(known[name]))
            elif stand_in := stand_ins.get(name) or find_stand_in(name, provider, architecture):
                known[name], used[name], stand_ins[name] = stand_in.identity, stand_in.ref, stand_in
            else:
                unlocked.add(name)
    return Externals(
        identities=identities,
        references=references,
        stand_ins=dict(sorted(stand_ins.items())),
        unlocked=tuple(sorted(unlocked)),
    )


def pin(name: str, fetch: Callable[[Reference], Manifest | None]) -> Pin:
    """Ask the image's registry for the current digests of a name. Raises RegistryError."""
    manifest = fetch(Reference.parse(name))
    if manifest is None:
        raise RegistryError.of(
            f"there is no image {name}", where=Reference.parse(name).pull_host, hint="fix the FROM"
        )
    platforms = {platform: each.digest for platform, each in manifest.platforms.items()}
    return Pin(name=name, digest=manifest.digest, platforms=platforms)


def runtime_version(name: str) -> str | None:
    """Return the Python minor version of an AWS runtime image, ``3.13``; None for any other image."""
    reference = Reference.parse(name)
    found = _MINOR.match(reference.tag or "") if reference.name == RUNTIME else None
    return found.group() if found else None


def make_stand_in(
    name: str, provider: EngineProvider, runner: Runner, engine: Engine, reason: RegistryError, say: Say
) -> None:
    """Make the stand-in for a runtime that cannot be pulled. Raises ``reason`` for any other image."""
    version = runtime_version(name)
    if version is None:
        raise reason
    provider.load_stand_in(runner, engine, version, engine.architecture, say)


def load_stand_ins(
    externals: Externals, provider: EngineProvider, runner: Runner, engine: Engine, say: Say
) -> None:
    """Load the stand-ins that a build needs into the engine."""
    for stand_in in externals.stand_ins.values():
        provider.load_stand_in(runner, engine, stand_in.python, stand_in.architecture, say)


def check_stand_ins(used: Iterable[Reference], externals: Externals, builder: Builder) -> None:
    """Raise EngineError if a builder that does not see the engine's images needs a stand-in.

    used: the references that the build may pull.
    """
    refs = set() if builder.local_images else {str(each) for each in used}
    EngineError.check(
        Problem(
            what=f"the stand-in for {name} is in the engine's store only: {builder}",
            hint="invoke lock, where the registry answers; or use the private engine: LAMINA_ENGINE=default",
        )
        for name, each in externals.stand_ins.items()
        if each.ref in refs
    )


def find_stand_in(name: str, provider: EngineProvider, architecture: str) -> ProvidedStandIn | None:
    """Return the stand-in made earlier on this machine for a runtime; None for any other image."""
    version = runtime_version(name)
    return provider.find_stand_in(version, architecture) if version else None
