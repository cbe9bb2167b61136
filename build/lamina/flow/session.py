"""The session of a command: the project, its graph, the engine, the registry; each made when first needed."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.declare.config import Project
from lamina.declare.graph import Graph
from lamina.errors import EngineError, RegistryError
from lamina.flow.checkout import Checkout
from lamina.flow.flags import Flags
from lamina.flow.registries import Registries
from lamina.flow.seams import Policy, Seams
from lamina.identify.stat_cache import StatCache
from lamina.masks import Mask
from lamina.process import Runner, SubprocessRunner
from lamina.provider import EngineProvider
from lamina.report.console import Screen

if TYPE_CHECKING:  # imported where they are used: most plans use no engine, and many no registry
    from lamina.aws.changes import AwsCall
    from lamina.aws.clients import Access, Clients
    from lamina.execute.attest import Attestations
    from lamina.execute.engine import Builder, Engine
    from lamina.execute.engine_store import EngineStore
    from lamina.execute.exchanges import StallRules
    from lamina.execute.image_store import ImageStore
    from lamina.flow.docker_login import DockerLogin
    from lamina.identify.facts import Facts
    from lamina.preflight.kept import KeptChecks
    from lamina.registries.ecr import EcrRegistry
    from lamina.registries.local import LocalStore
    from lamina.registries.oci import OciRegistry


class Session:
    """The shared objects of one command, each made on demand. Close it at the end.

    What decides about them is given here; methods that return another session say how it differs.
    """

    def __init__(
        self,
        flags: Flags,
        screen: Screen,
        *,
        runner: Runner | None = None,
        root: Path | None = None,
        policy: Policy | None = None,
        seams: Seams | None = None,
        checkout: Checkout | None = None,
        registries: Registries | None = None,
    ) -> None:
        self.flags = flags
        self.screen = screen
        self.runner: Runner = runner or SubprocessRunner()
        self.policy = policy or Policy()
        self._root = root
        self._seams = seams or Seams()
        self.observe, self.did, self.variables = self._seams.observe, self._seams.did, self._seams.variables
        self._open = contextlib.ExitStack()
        self.checkout = checkout or Checkout(flags.settings, self.mask, root=root)
        self.registries = registries or Registries(
            self.checkout,
            self.runner,
            self.mask,
            aws=self.aws,
            record=self.record_call,
            transport=self._seams.transport,
        )
        if checkout is None:
            self._open.callback(self.checkout.close)
        if registries is None:
            self._open.callback(self.registries.close)

    def close(self) -> None:
        """Close connections, and make git ignore the state folder."""
        self._open.close()

    def at(self, root: Path | None) -> Session:
        """Return a session with the same flags for another checkout of the project. Close it too."""
        return Session(
            self.flags, self.screen, runner=self.runner, root=root, policy=self.policy, seams=self._seams
        )

    def again(self) -> Session:
        """Return a session with the same flags that has not read the project yet. Close it too."""
        return self.at(self._root)

    def of_stack(self, stack: str) -> Session:
        """Return a session with the same flags for another stack. It is closed with this one."""
        flags = replace(self.flags, stack=stack)
        made = Session(
            flags, self.screen, runner=self.runner, root=self._root, policy=self.policy, seams=self._seams
        )
        self._open.callback(made.close)
        return made

    def within(self, engine: str) -> Session:
        """Return a session with the same flags on the private engine of that name. Close it too."""
        flags, policy = replace(self.flags, builder=""), replace(self.policy, engine=engine)
        seams = replace(self._seams, engine=None, builder=None, local_store=None)
        return Session(flags, self.screen, runner=self.runner, root=self._root, policy=policy, seams=seams)

    def proposing(self, text: str) -> Session:
        """Return a session with another configuration: offline, without saving caches. Close it too."""
        flags = replace(self.flags, offline=True)
        proposed = Checkout(flags.settings, self.mask, root=self.root, proposed=text)
        made = Session(
            flags,
            self.screen,
            runner=self.runner,
            policy=self.policy,
            seams=self._seams,
            checkout=proposed,
        )
        made._open.callback(proposed.close)
        return made

    def in_region(self, region: str) -> Session:
        """Return a session whose registry is that of the same account in another region, in ECR.

        It is closed with this one.
        """
        there = Checkout(self.flags.settings, self.mask, root=self.root, region=region)
        made = Session(
            self.flags,
            self.screen,
            runner=self.runner,
            policy=self.policy,
            seams=self._seams,
            checkout=there,
        )
        made._open.callback(there.close)
        self._open.callback(made.close)
        return made

    def offline(self) -> Session:
        """Return this session without lookups in registries and the engine."""
        return self._like(flags=replace(self.flags, offline=True))

    def without_start(self) -> Session:
        """Return this session, which then starts no engine: it uses one that answers, or none."""
        return self._like(policy=replace(self.policy, starts_engine=False))

    def elsewhere(self, builder: Builder) -> Session:
        """Return this session for images that a builder on other machines builds."""
        return self._like(
            policy=replace(self.policy, builds_here=False), seams=replace(self._seams, builder=builder)
        )

    def _like(
        self, *, flags: Flags | None = None, policy: Policy | None = None, seams: Seams | None = None
    ) -> Session:
        """Return a session that shares what this one has read and opened, and is closed with it."""
        made = Session(
            flags or self.flags,
            self.screen,
            runner=self.runner,
            root=self._root,
            policy=policy or self.policy,
            seams=seams or self._seams,
            checkout=self.checkout,
            registries=self.registries,
        )
        self._open.callback(made.close)
        return made

    @property
    def mask(self) -> Mask:
        """The secrets known so far, to hide them in all output."""
        return self.screen.mask

    def aws(self, access: Access) -> Clients:
        """Return a function that makes AWS' clients of a region and a role."""
        return self._seams.aws.open(access, self.record_call)

    def record_call(self, call: AwsCall) -> None:
        """Record a call that changed something in AWS."""
        self._seams.aws.record(call, self.project.state, self.screen)

    def begin_run(self, *, builds: bool) -> str:
        """Return the name of a new run; calls that change something in AWS belong to it from now on.

        builds: whether it keeps more than these calls. If not, its folder is named after the command, too.
        """
        return self._seams.aws.begin(builds=builds)

    @property
    def root(self) -> Path:
        """The project's root folder."""
        return self.checkout.root

    @property
    def project(self) -> Project:
        """The project around the current folder, with its settings."""
        return self.checkout.project

    @property
    def graph(self) -> Graph:
        """The graph of images. Raises ConfigError with all faults of Dockerfiles, ignore files, sources."""
        return self.checkout.graph

    @property
    def stat_cache(self) -> StatCache:
        """The file hashes that earlier commands computed."""
        return self.checkout.stat_cache

    @property
    def facts(self) -> Facts:
        """What Python sources import and define, as earlier commands found out."""
        return self.checkout.facts

    @property
    def checks(self) -> KeptChecks:
        """What checks of images found in earlier commands."""
        return self.checkout.checks

    @property
    def provider(self) -> EngineProvider:
        """What supplies a private engine and stand-ins."""
        return self._seams.provider

    @property
    def has_bases(self) -> bool:
        """Whether any image of the project is a base."""
        return any(node.kind == "base" for node in self.graph.nodes.values())

    @cached_property
    def engine(self) -> Engine:
        """The engine that builds. If none answers and the policy allows it, start a private one."""
        if self._seams.engine:
            return self._seams.engine
        from lamina.execute.engine import find_engine

        named = {"LAMINA_ENGINE": self.policy.engine} if self.policy.engine else {}
        env = {**os.environ, **named}
        start = self.policy.starts_engine
        return find_engine(self.runner, self.provider, env=env, start=start, say=self.screen.say)

    @cached_property
    def builder(self) -> Builder:
        """The buildx builder, after checking that buildx is new enough."""
        if self._seams.builder:
            return self._seams.builder
        from lamina.execute.engine import check_buildx, choose_builder

        check_buildx(self.runner, self.engine)
        name, say = self.project.settings.builder, self.screen.say if self.policy.starts_engine else None
        return choose_builder(self.runner, self.engine, name, push=self.flags.push, say=say)

    @cached_property
    def local_store(self) -> LocalStore:
        """The engine's images through docker-py: push, pull and tag."""
        if self._seams.local_store:
            return self._seams.local_store
        from lamina.registries.local import LocalStore

        store = LocalStore(self.engine.host, stall=self.stall)
        self._open.callback(store.close)
        return store

    @property
    def stall(self) -> int:
        """Seconds after which an exchange with a registry that does not move is stopped; 0: no limit."""
        return self.registries.stall

    @property
    def remote(self) -> bool:
        """Whether images live in a registry."""
        return self.registries.remote

    @property
    def on_ecr(self) -> bool:
        """Whether that registry is ECR."""
        return self.registries.on_ecr

    @property
    def static(self) -> bool:
        """Whether Lambda images are built from ``<base>:stable``."""
        return self.project.settings.static

    @property
    def registry(self) -> EcrRegistry | OciRegistry:
        """The configured registry. Raises RegistryError if none is configured."""
        return self.registries.own

    @property
    def ecr(self) -> EcrRegistry | None:
        """The configured registry if it is ECR, which needs a login and setup; else None."""
        return self.registries.ecr

    @property
    def attestations(self) -> Attestations:
        """The attestations that a push makes for each image."""
        from lamina.execute.attest import Attestations

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
        from lamina.execute.exchanges import StallRules
        from lamina.execute.vitals import bytes_written

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
        from lamina.execute.engine_store import EngineStore

        return EngineStore(self.local_store, containerd=self.engine.containerd)

    @property
    def image_store(self) -> ImageStore:
        """The store to look images up in: the registry, and also the engine unless images are pushed."""
        if not self.remote:
            return self.engine_store
        from lamina.execute.image_store import FallbackStore, RegistryStore

        registry = RegistryStore(self.registry)
        return registry if self.flags.push else FallbackStore(registry, self._engine_if_any)

    def _engine_if_any(self) -> EngineStore | None:
        """Return the engine's image store; None if no engine answers and none may be started."""
        try:
            return self.engine_store
        except EngineError:
            if self.policy.starts_engine:
                raise
            return None

    @property
    def destination(self) -> ImageStore:
        """The store that built images go to."""
        if not self.flags.push:
            return self.engine_store
        from lamina.execute.image_store import RegistryStore

        return RegistryStore(self.registry)

    @cached_property
    def docker_login(self) -> DockerLogin:
        """Logs docker and buildx in to the registries of a run."""
        from lamina.flow.docker_login import DockerLogin

        return DockerLogin(self.registries, self.screen)
