"""The session of a command: the project, its graph, the engine, the registry; each made when first needed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.declare.config import Project, find_root, load_project
from lamina.declare.graph import Graph, read_graph
from lamina.declare.settings import LOCAL, SettingValue
from lamina.errors import ConfigError, EngineError, RegistryError
from lamina.execute.attest import Attestations
from lamina.execute.engine import Builder, Engine, check_buildx, choose_builder, find_engine
from lamina.execute.exchanges import StallRules
from lamina.execute.image_store import EngineStore, FallbackStore, ImageStore, RegistryStore
from lamina.execute.vitals import bytes_written
from lamina.files import keep_out_of_git
from lamina.identify.facts import Facts
from lamina.identify.stat_cache import StatCache
from lamina.masks import Mask, environment_values, read_secret
from lamina.process import Runner, SubprocessRunner
from lamina.refs import Reference, is_ecr
from lamina.registries.local import LocalStore
from lamina.report.console import Screen

if TYPE_CHECKING:  # imported only when a registry is used
    from lamina.registries.credentials import Credential
    from lamina.registries.ecr import EcrRegistry
    from lamina.registries.ecr_logins import EcrLogins
    from lamina.registries.oci import OciRegistry
    from lamina.registries.transport import HttpTransport

ECR = "ecr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The flags of the command line. None: not given, the configuration decides."""

    images: tuple[str, ...] = ()
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

    @property
    def settings(self) -> Mapping[str, SettingValue | None]:
        """The flags that are also settings, by setting name."""
        names = (
            *("registry", "stack", "platform", "builder", "static", "jobs", "reproducible"),
            *("append", "cache", "cache-read-only", "provenance", "sbom", "sbom-generator", "stall"),
        )
        return {name: getattr(self, name.replace("-", "_")) for name in names}


class Session:
    """The shared objects of one command, each made on demand. Close it at the end."""

    def __init__(
        self,
        flags: Flags,
        screen: Screen,
        *,
        runner: Runner | None = None,
        root: Path | None = None,
        engine: str | None = None,
    ) -> None:
        self.flags = flags
        self.screen = screen
        self.runner: Runner = runner or SubprocessRunner()
        self.starts_engine = True
        self.builds_here = True
        """Whether this machine builds the images; False if a remote machine of the right platform does."""
        self._root = root
        self._engine_name = engine
        self._open = contextlib.ExitStack()
        self._outside: set[str] = set()

    def close(self) -> None:
        """Close connections, and make git ignore the state folder."""
        self._open.close()
        if "project" in self.__dict__:
            keep_out_of_git(self.project.state)

    def at(self, root: Path) -> Session:
        """Return a session with the same flags for another checkout of the project. Close it too."""
        return Session(self.flags, self.screen, runner=self.runner, root=root)

    def again(self) -> Session:
        """Return a session with the same flags that has not read the project yet. Close it too."""
        return Session(self.flags, self.screen, runner=self.runner, root=self._root, engine=self._engine_name)

    def within(self, engine: str) -> Session:
        """Return a session with the same flags on the private engine of that name. Close it too."""
        flags = replace(self.flags, builder="")
        return Session(flags, self.screen, runner=self.runner, root=self._root, engine=engine)

    def proposing(self, text: str) -> Session:
        """Return a session with another configuration text: offline, without saving caches."""
        made = Session(replace(self.flags, offline=True), self.screen, runner=self.runner, root=self.root)
        made.project = load_project(self.root, flags=self.flags.settings, text=text)
        made.stat_cache = StatCache(None)
        made.facts = Facts(None)
        return made

    def go_offline(self) -> None:
        """Stop using registries and the engine for lookups."""
        self.flags = replace(self.flags, offline=True)

    @cached_property
    def project(self) -> Project:
        """The project around the current folder, with its settings."""
        project = load_project(self.root, flags=self.flags.settings)
        for secret in project.secrets:
            self.mask.learn(*read_secret(secret.file))
        for image in project.images.values():
            self.mask.learn(*environment_values(image.build_args))
        return project

    @property
    def mask(self) -> Mask:
        """The secrets known so far, to hide them in all output."""
        return self.screen.mask

    @cached_property
    def root(self) -> Path:
        """The project's root folder."""
        return self._root or find_root(Path.cwd())

    @cached_property
    def graph(self) -> Graph:
        """The graph of images. Raises ConfigError with all faults of Dockerfiles, ignore files, sources."""
        try:
            return read_graph(self.project)
        except ConfigError:
            from lamina.flow.dockerfiles import all_faults

            raise ConfigError(*all_faults(self.project, self.stat_cache.files)) from None

    @property
    def has_bases(self) -> bool:
        """Whether any image of the project is a base."""
        return any(node.kind == "base" for node in self.graph.nodes.values())

    @cached_property
    def stat_cache(self) -> StatCache:
        """The file hashes that earlier commands computed."""
        return StatCache(self.project.state / "stat.json")

    @cached_property
    def facts(self) -> Facts:
        """What Python sources import and define, as earlier commands found out."""
        return Facts(self.project.state / "facts.json")

    @cached_property
    def engine(self) -> Engine:
        """The engine that builds. If none answers and `starts_engine` is set, start a private one."""
        named = {"LAMINA_ENGINE": self._engine_name} if self._engine_name else {}
        env = {**os.environ, **named}
        return find_engine(self.runner, env=env, start=self.starts_engine, say=self.screen.say)

    @cached_property
    def builder(self) -> Builder:
        """The buildx builder, after checking that buildx is new enough."""
        check_buildx(self.runner, self.engine)
        return choose_builder(self.runner, self.engine, self.project.settings.builder, push=self.flags.push)

    @cached_property
    def local_store(self) -> LocalStore:
        """The engine's images through docker-py: push, pull and tag."""
        store = LocalStore(self.engine.host, stall=self.stall)
        self._open.callback(store.close)
        return store

    @property
    def stall(self) -> int:
        """Seconds after which an exchange with a registry that does not move is stopped; 0: no limit."""
        return self.project.settings.stall

    @property
    def remote(self) -> bool:
        """Whether images live in a registry."""
        return self.project.settings.registry != LOCAL

    @property
    def on_ecr(self) -> bool:
        """Whether that registry is ECR."""
        return self.project.settings.registry.partition("/")[0] == ECR

    @property
    def static(self) -> bool:
        """Whether Lambda images are built from ``<base>:stable``."""
        return self.project.settings.static

    @cached_property
    def registry(self) -> EcrRegistry | OciRegistry:
        """The configured registry. Raises RegistryError if none is configured."""
        if not self.remote:
            raise RegistryError.of(
                "no registry is configured: images live in the engine",
                where=self.project.settings.source("registry"),
                allowed="ecr, or host[:port][/prefix]",
                hint='add --registry, or registry = "ecr" to [tool.lamina]',
            )
        if self.ecr:
            return self.ecr
        registry = self._oci(self.project.settings.registry)
        self._open.callback(registry.close)
        return registry

    @cached_property
    def ecr(self) -> EcrRegistry | None:
        """The configured registry if it is ECR, which needs a login and setup; else None."""
        if not self.on_ecr:
            return None
        from lamina.registries.ecr import EcrSettings, ecr_registry

        settings = EcrSettings(
            account=self.project.ecr.account,
            region=self.project.ecr.region,
            host=self.project.ecr.host,
            prefix=self.project.settings.registry.partition("/")[2],
        )
        registry = ecr_registry(self.runner, settings, transport=self._transport(), learn=self.mask.learn)
        self._open.callback(registry.close)
        return registry

    def _oci(self, address: str) -> OciRegistry:
        from lamina.registries.oci import oci_registry

        def otherwise(host: str) -> Credential | None:
            return self.ecr_logins.credential(host)

        return oci_registry(
            self.runner,
            address,
            transport=self._transport(),
            learn=self.mask.learn,
            otherwise=otherwise,
        )

    @cached_property
    def ecr_logins(self) -> EcrLogins:
        """Logs in to ECR registries for which docker has no credentials."""
        from lamina.registries.ecr_logins import EcrLogins

        return EcrLogins(self.runner, learn=self.mask.learn)

    def _transport(self) -> HttpTransport:
        from lamina.registries.transport import HttpTransport

        return HttpTransport(stall=self.stall)

    def upstream(self, reference: Reference) -> OciRegistry:
        """Return the registry that serves an external image."""
        registry = self._oci(reference.pull_host)
        self._open.callback(registry.close)
        return registry

    def registry_of(self, reference: Reference) -> EcrRegistry | OciRegistry:
        """Return the registry of a full reference: the project's own, or any, with docker's credentials."""
        own = self.remote and self.registry.address.partition("/")[0] == reference.pull_host
        return self.registry if own else self.upstream(reference)

    @property
    def attestations(self) -> Attestations:
        """The attestations that a push makes for each image."""
        return Attestations(
            provenance=self.project.settings.provenance,
            sbom=self.project.settings.sbom,
            generator=self.project.settings.sbom_generator,
        )

    @property
    def prefix(self) -> str:
        """The prefix of repository names. Empty offline on ECR, whose host is known only by asking AWS."""
        if not self.remote or (self.flags.offline and self.on_ecr):
            return ""
        return self.registry.address.rstrip("/") + "/"

    @property
    def stalls(self) -> StallRules:
        """The rules for stopping a stalled build. The bytes sent by an engine elsewhere cannot be seen."""
        own = self.builder.on_engine
        return StallRules(
            seconds=self.stall,
            host=self.registry.address.partition("/")[0] if self.flags.push else "",
            written=lambda: bytes_written(self.engine.host) if own else None,
            answers=self._registry_answers,
            say=self.screen.say,
        )

    def _registry_answers(self) -> bool:
        try:
            if self.remote:
                self.registry.check()
        except RegistryError:
            return False
        return True

    @property
    def engine_store(self) -> EngineStore:
        """The engine's image store."""
        return EngineStore(self.local_store, containerd=self.engine.containerd)

    @property
    def image_store(self) -> ImageStore:
        """The store to look images up in: the registry, and also the engine unless images are pushed."""
        if not self.remote:
            return self.engine_store
        registry = RegistryStore(self.registry)
        return registry if self.flags.push else FallbackStore(registry, self._engine_if_any)

    def _engine_if_any(self) -> EngineStore | None:
        """Return the engine's image store; None if no engine answers and none may be started."""
        try:
            return self.engine_store
        except EngineError:
            if self.starts_engine:
                raise
            return None

    @property
    def destination(self) -> ImageStore:
        """The store that built images go to."""
        return RegistryStore(self.registry) if self.flags.push else self.engine_store

    @property
    def docker_environment(self) -> Mapping[str, str]:
        """The environment variables that log docker and buildx in to the registry."""
        if not self.ecr:
            return {}
        self.ecr.login()
        return self.ecr.docker.environment

    def environment_for(self, references: Iterable[Reference]) -> Mapping[str, str]:
        """Return the variables that log docker and buildx in to the registry, and to ECR of references."""
        own = Reference.parse(f"{self.registry.address}/any") if self.remote else None
        asked = {each.pull_host for each in (*references, *((own,) if own else ())) if is_ecr(each)}
        self._outside = asked - ({own.pull_host} if own and self.ecr else set())
        return self._with_outside()

    def _with_outside(self) -> Mapping[str, str]:
        base = self.docker_environment
        if not self._outside:
            return base
        found, problems = self.ecr_logins.environment(self._outside, base)
        self.screen.notes(problems)
        return found

    @property
    def renew(self) -> Callable[[], None] | None:
        """A function that logs in again during a run; None if credentials are the user's own."""
        registry = self.ecr
        if not registry:
            return None
        before = registry.login()

        def again() -> None:
            self.screen.say(f"{registry.address}: credentials rejected: logging in again (once)")
            if registry.login() is before:  # a request to the registry may have renewed them already
                registry.login(fresh=True)
            self._with_outside()  # docker's configuration is based on the renewed one

        return again
