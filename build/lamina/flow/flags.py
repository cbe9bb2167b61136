"""The flags of a command."""

from __future__ import annotations

from collections.abc import Mapping

from lamina.declare.settings import SettingValue
from lamina.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of the command line. None: not given, the configuration decides."""

    images: tuple[str, ...] = ()
    shard: str | None = None
    registry: str | None = None
    stack: str | None = None
    platform: str | None = None
    builder: str | None = None
    static: bool | None = None
    jobs: int | None = None
    append: str | None = None
    reproducible: bool | None = None
    push: bool = False
    create: bool = False
    force: bool = False
    refresh: bool = False
    prepare: bool = False
    upstream: bool = False
    keep_going: bool = False
    offline: bool = False
    allow_stand_in: bool = False
    cache: str | None = None
    cache_read_only: bool | None = None
    provenance: str | None = None
    sbom: bool | None = None
    sbom_generator: str | None = None
    stall: int | None = None
    metrics: str | None = None
    max_severity: str | None = None

    @property
    def settings(self) -> Mapping[str, SettingValue | None]:
        """The flags that are also settings, by setting name."""
        names = (
            *("registry", "stack", "platform", "builder", "static", "jobs", "reproducible"),
            *("append", "cache", "cache-read-only", "provenance", "sbom", "sbom-generator", "stall"),
            *("metrics", "max-severity"),
        )
        return {name: getattr(self, name.replace("-", "_")) for name in names}

    @property
    def repeated(self) -> str:
        """The given flags that say which image a name means, to be added to the command of a hint."""
        named = {"registry": self.registry, "stack": self.stack, "platform": self.platform}
        values = "".join(f" --{name} {value}" for name, value in named.items() if value)
        return f"{values} --static" if self.static else values
