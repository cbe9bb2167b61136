"""What a Dockerfile means for one target, platform and set of build arguments: a `Recipe`.

Only the stages that the target uses are in it; variables are expanded where their values are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lamina.declare.dockerfile import Dockerfile, Instruction, Stage
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.errors import ConfigError, Problem

SCRATCH = "scratch"
_URL = re.compile(r"(?:https?|git|ssh)://|git@")
_PLATFORM_ARGS = ("PLATFORM", "OS", "ARCH", "VARIANT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files that an instruction reads from the context, or from a named one.

    paths: relative POSIX paths or wildcards as written; None where they cannot be known (the whole
    context counts then, and ``reason`` says why). context: a named context's name, None for the main one.
    """

    line: int
    instruction: str
    paths: tuple[str, ...] | None
    excludes: tuple[str, ...] = ()
    parents: bool = False
    context: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """An image outside the Dockerfile that a used stage stands on or copies from."""

    name: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedStage:
    """A used stage with what it reads."""

    stage: Stage
    base: str
    """The expanded FROM: an image, `SCRATCH`, or the name of an earlier stage."""
    args: Mapping[str, str | None]
    """The values that ARG instructions have here; None where one is declared without a value."""
    sources: tuple[Source, ...]
    externals: tuple[External, ...]
    secrets: tuple[str, ...]
    notes: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that building one target of a Dockerfile can use, bases first as in the file."""

    dockerfile: Dockerfile
    target: str | None
    platform: str
    stages: tuple[ResolvedStage, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every read from a context, in the order of the file."""
        return tuple(source for stage in self.stages for source in stage.sources)

    @property
    def externals(self) -> tuple[External, ...]:
        """Every image from outside, first mention first, each name once."""
        first: dict[str, External] = {}
        for stage in self.stages:
            for each in stage.externals:
                first.setdefault(each.name, each)
        return tuple(first.values())

    @property
    def secrets(self) -> tuple[str, ...]:
        """The ids of build secrets that a step may read, sorted."""
        return tuple(sorted({secret for stage in self.stages for secret in stage.secrets}))

    @property
    def declared_args(self) -> frozenset[str]:
        """Names of the build arguments that a used stage or the header declares."""
        header = {word.partition("=")[0] for each in self.dockerfile.header for word in each.words}
        return frozenset(header.union(*(stage.args for stage in self.stages)))

    @property
    def unlinked(self) -> str | None:
        """The first instruction that runs on the base or depends on it; None for a linked image."""
        for each in self.stages[-1].stage.instructions:
            plain_copy = each.name in {"COPY", "ADD"} and each.flag("link") not in {"", "true"}
            if each.name in {"RUN", "WORKDIR"} or plain_copy:
                return f"{self.dockerfile.where(each.line)} {each.name}{' without --link' * plain_copy}"
        return None

    @property
    def command(self) -> tuple[str, ...]:
        """The CMD of the target in JSON form; empty when it has none of its own."""
        by_index = {each.stage.index: each for each in self.stages}
        current: ResolvedStage | None = self.stages[-1]
        while current is not None:
            for instruction in reversed(current.stage.instructions):
                if instruction.name == "CMD" and instruction.json:
                    return instruction.words
            parent = self.dockerfile.stage(current.base)
            current = by_index.get(parent.index) if parent and parent.index < current.stage.index else None
        return ()


def resolve(
    dockerfile: Dockerfile,
    *,
    platform: str,
    build_platform: str,
    target: str | None = None,
    args: Mapping[str, str] | None = None,
    contexts: frozenset[str] = frozenset(),
) -> Recipe:
    """Follow the target through the file. Raises ConfigError with every fault in the used stages.

    platform and build_platform: ``os/arch[/variant]``. contexts: names of declared named contexts.
    """
    return _Resolver(dockerfile, platform, build_platform, dict(args or {}), contexts).run(target)


class _Resolver:
    def __init__(
        self,
        dockerfile: Dockerfile,
        platform: str,
        build_platform: str,
        args: Mapping[str, str],
        contexts: frozenset[str],
    ) -> None:
        self.file = dockerfile
        self.platform = platform
        self.build_args = args
        self.contexts = contexts
        self.problems: list[Problem] = []
        self.builtin = {
            **_platform_args("TARGET", platform),
            **_platform_args("BUILD", build_platform),
        }
        self.header_scope = self._read_header()
        self.resolved: dict[int, tuple[ResolvedStage, dict[str, str | None]]] = {}

    def run(self, target: str | None) -> Recipe:
        stage = self.file.stages[-1] if target is None else self.file.stage(target)
        if stage is None:
            names = ", ".join(each.name for each in self.file.stages if each.name) or "none is named"
            raise ConfigError.of(
                f"there is no stage {target!r}", where=self.file.path, allowed=f"stages: {names}"
            )
        self.visit(stage)
        ConfigError.check(self.problems)
        return Recipe(
            dockerfile=self.file,
            target=target,
            platform=self.platform,
            stages=tuple(self.resolved[index][0] for index in sorted(self.resolved)),
        )

    def _read_header(self) -> dict[str, str | None]:
        scope: dict[str, str | None] = dict(self.builtin)
        for instruction in self.file.header:
            for word in instruction.words:
                name, given, default = word.partition("=")
                scope[name] = self.build_args.get(
                    name, self.text(default, scope, instruction.line) if given else scope.get(name)
                )
        return scope

    def text(self, word: str, scope: Mapping[str, str | None], line: int, *, open_world: bool = False) -> str:
        try:
            return expand(word, scope, open_world=open_world)
        except ExpansionError as error:
            self.problems.append(Problem(what=str(error), where=self.file.where(line)))
            return ""

    def visit(self, stage: Stage) -> dict[str, str | None]:
        """Resolve a stage and what it stands on; the variables it hands to its children."""
        if stage.index in self.resolved:
            return self.resolved[stage.index][1]
        base = self.text(stage.base, self.header_scope, stage.line)
        if not base:
            self.problems.append(
                Problem(
                    what=f"FROM {stage.base} names no image: its ARG has no value",
                    where=self.file.where(stage.line),
                    hint="give the ARG a default before the first FROM, or set it in the image's args",
                )
            )
        reader = _StageReader(self, stage, base)
        parent = self._earlier(base, stage)
        if parent is not None:
            reader.scope.update(self.visit(parent))
            reader.args.update(self.resolved[parent.index][0].args)
            reader.open_world = not self._closed(parent)
        elif base not in {SCRATCH, ""}:
            reader.external(base, stage.line)
        resolved = reader.read()
        self.resolved[stage.index] = (resolved, reader.scope)
        return reader.scope

    def _closed(self, stage: Stage) -> bool:
        """Whether no ENV of an unknown image can reach the stage."""
        base = self.text(stage.base, self.header_scope, stage.line)
        parent = self._earlier(base, stage)
        return self._closed(parent) if parent else base == SCRATCH

    def _earlier(self, name: str, stage: Stage) -> Stage | None:
        found = next(
            (each for each in reversed(self.file.stages[: stage.index]) if each.name == name.lower()), None
        )
        return None if name in self.contexts else found


class _StageReader:
    """Walks the instructions of one stage, keeping its variables."""

    def __init__(self, resolver: _Resolver, stage: Stage, base: str) -> None:
        self.resolver = resolver
        self._stage = stage
        self._base = base
        self._externals: list[External] = []
        self._sources: list[Source] = []
        self._secrets: list[str] = []
        self._notes: list[Problem] = []
        self.scope: dict[str, str | None] = {}
        self.args: dict[str, str | None] = {}
        self.open_world = base != SCRATCH

    def read(self) -> ResolvedStage:
        for instruction in self._stage.instructions:
            match instruction.name:
                case "ARG":
                    self._arg(instruction)
                case "ENV":
                    self._env(instruction)
                case "COPY" | "ADD":
                    self._copy(instruction)
                case "RUN":
                    self._run(instruction)
                case "ONBUILD":
                    self._notes.append(
                        Problem(
                            what=f"ONBUILD {instruction.trigger} runs in images built on this one "
                            "and is not followed",
                            where=self._where(instruction.line),
                        )
                    )
        return ResolvedStage(
            stage=self._stage,
            base=self._base,
            args=dict(self.args),
            sources=tuple(self._sources),
            externals=tuple(self._externals),
            secrets=tuple(self._secrets),
            notes=tuple(self._notes),
        )

    def _where(self, line: int) -> str:
        return self.resolver.file.where(line)

    def external(self, name: str, line: int) -> None:
        self._externals.append(External(name=name, line=line))

    def _arg(self, instruction: Instruction) -> None:
        for word in instruction.words:
            name, given, default = word.partition("=")
            value: str | None
            if name in self.resolver.build_args:
                value = self.resolver.build_args[name]
            elif given:
                value = self._known(default, instruction.line)
            else:
                value = self.resolver.header_scope.get(name)
            self.args[name] = value
            self.scope[name] = value

    def _known(self, word: str, line: int) -> str | None:
        """The expanded word; as written when the base image's ENV may be in it."""
        try:
            return self.resolver.text(word, self.scope, line, open_world=self.open_world)
        except UnknownVariableError:
            return word

    def _env(self, instruction: Instruction) -> None:
        before = dict(self.scope)
        for name, value in zip(instruction.words[::2], instruction.words[1::2], strict=True):
            try:
                self.scope[name] = self.resolver.text(
                    value, before, instruction.line, open_world=self.open_world
                )
            except UnknownVariableError:
                self.scope.pop(name, None)

    def _copy(self, instruction: Instruction) -> None:
        origin = instruction.flag("from")
        if origin is not None:
            origin = self.resolver.text(origin, self.resolver.header_scope, instruction.line)
        words = [word for word in instruction.words[:-1] if not word.startswith("<<")]
        if instruction.name == "ADD":
            urls = [word for word in words if _URL.match(word)]
            words = [word for word in words if word not in urls]
            if urls and not instruction.flag("checksum"):
                self._notes.append(
                    Problem(
                        what=f"ADD {urls[0]}: what the URL serves is not in the fingerprint",
                        where=self._where(instruction.line),
                        hint="pin it with ADD --checksum=sha256:<digest>",
                    )
                )
        if words:
            self._reads(
                instruction,
                origin,
                tuple(words),
                excludes=instruction.flags_of("exclude"),
                parents=instruction.flag("parents") in {"", "true"},
            )

    def _run(self, instruction: Instruction) -> None:
        for flag in instruction.flags_of("mount"):
            mount = dict(_mount_options(flag))
            kind = mount.get("type", "bind")
            if kind == "secret":
                target = mount.get("target", mount.get("dst", ""))
                self._secrets.append(mount.get("id", target.rsplit("/", 1)[-1]))
            elif kind == "bind" or "from" in mount:
                origin = mount.get("from")
                if origin is not None:
                    origin = self.resolver.text(origin, self.resolver.header_scope, instruction.line)
                if kind == "bind" or origin:
                    path = mount.get("source", mount.get("src", "/"))
                    self._reads(instruction, origin, (path,))

    def _reads(
        self,
        instruction: Instruction,
        origin: str | None,
        words: tuple[str, ...],
        *,
        excludes: tuple[str, ...] = (),
        parents: bool = False,
    ) -> None:
        """A read from the context, a named context, another stage or another image."""
        resolver = self.resolver
        if origin is not None and origin not in resolver.contexts:
            stage = resolver.file.stage(origin)
            if stage is None:
                self.external(origin, instruction.line)
            elif stage.index >= self._stage.index:
                resolver.problems.append(
                    Problem(
                        what=f"--from={origin} names a stage that is not above it",
                        where=self._where(instruction.line),
                        allowed="an earlier stage, an image, or a named context",
                    )
                )
            else:
                resolver.visit(stage)
            return
        paths: tuple[str, ...] | None
        reason = None
        try:
            paths = tuple(
                resolver.text(word, self.scope, instruction.line, open_world=self.open_world)
                for word in words
            )
        except UnknownVariableError as error:
            paths = None
            reason = f"${error.args[0]} may come from the base image, so the whole context counts"
        self._sources.append(
            Source(
                line=instruction.line,
                instruction=instruction.name,
                paths=paths,
                excludes=excludes,
                parents=parents,
                context=origin,
                reason=reason,
            )
        )


def _platform_args(prefix: str, platform: str) -> dict[str, str]:
    parts = [*platform.split("/"), "", ""]
    values = (platform, parts[0], parts[1], parts[2])
    return {prefix + name: value for name, value in zip(_PLATFORM_ARGS, values, strict=True)}


def _mount_options(flag: str) -> Iterator[tuple[str, str]]:
    for field in flag.split(","):
        key, _, value = field.partition("=")
        yield key.strip().lower(), value
