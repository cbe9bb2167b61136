"""From a Dockerfile to its `Recipe`: follow one target through its stages.

Only the stages that the target uses are in it; variables are expanded where their values are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lamina.declare.arguments import secret_fault, value_faults
from lamina.declare.dockerfile import Dockerfile, Instruction, Stage
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.flags import mount_options
from lamina.declare.machine import normal_platform
from lamina.declare.recipe import SCRATCH, External, Recipe, ResolvedStage, SourceFiles, triggers_of
from lamina.errors import ConfigError, Problem

_URL = re.compile(r"(?:https?|git|ssh)://|git@")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLATFORM_ARGS = ("PLATFORM", "OS", "ARCH", "VARIANT")


def resolve(
    dockerfile: Dockerfile,
    *,
    platform: str,
    build_platform: str,
    target: str | None = None,
    args: Mapping[str, str] | None = None,
    contexts: frozenset[str] = frozenset(),
    triggers: Mapping[str, tuple[Instruction, ...]] | None = None,
) -> Recipe:
    """Follow the target through the file. Raises ConfigError with every fault in the used stages.

    platform and build_platform: ``os/arch[/variant]``. contexts: names of declared named contexts.
    triggers: image -> what its ONBUILD instructions run in stages that are built FROM it.
    """
    wanted = _ResolveOptions(
        platform=platform,
        build_platform=build_platform,
        target=target,
        args=args or {},
        contexts=contexts,
        triggers=triggers or {},
    )
    return _Resolver(dockerfile, wanted).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResolveOptions:
    platform: str
    build_platform: str
    target: str | None
    args: Mapping[str, str]
    contexts: frozenset[str]
    triggers: Mapping[str, tuple[Instruction, ...]]


class _Resolver:
    def __init__(self, dockerfile: Dockerfile, wanted: _ResolveOptions) -> None:
        self.file = dockerfile
        self.wanted = wanted
        self.problems: list[Problem] = []
        self.own_frontend = not any(each.startswith("syntax=") for each in dockerfile.directives)
        """Whether BuildKit's own frontend reads the file: another one may take more."""
        given = (each.removeprefix("escape=") for each in dockerfile.directives if each.startswith("escape="))
        self._escape = next(given, "\\")
        self.header_scope = self._read_header()
        self._resolved: dict[int, tuple[ResolvedStage, _StageReader]] = {}

    def run(self) -> Recipe:
        target = self.wanted.target
        stages = [each for each in self.file.stages if target is None or each.name == target.lower()]
        if not stages:
            names = ", ".join(each.name for each in self.file.stages if each.name) or "none is named"
            raise ConfigError.of(
                f"there is no stage {target!r}", where=self.file.path, allowed=f"stages: {names}"
            )
        self.visit(stages[-1])
        ConfigError.check(self.problems)
        return Recipe(
            dockerfile=self.file,
            target=target,
            platform=self.wanted.platform,
            stages=tuple(self._resolved[index][0] for index in sorted(self._resolved)),
        )

    def _read_header(self) -> dict[str, str | None]:
        scope: dict[str, str | None] = {
            **_platform_args("TARGET", self.wanted.platform),
            **_platform_args("BUILD", self.wanted.build_platform),
            "TARGETSTAGE": self.wanted.target or self.file.stages[-1].name or "default",
        }
        for instruction in self.file.header:
            for word in instruction.words:
                name, given, default = word.partition("=")
                scope[name] = self.wanted.args.get(
                    name, self.text(default, scope, instruction.line) if given else scope.get(name)
                )
        return scope

    def text(self, word: str, scope: Mapping[str, str | None], line: int, *, open_world: bool = False) -> str:
        try:
            return expand(word, scope, open_world=open_world, escape=self._escape)
        except ExpansionError as error:
            self.problem(str(error), line)
            return ""

    def problem(self, what: str, line: int, *, allowed: str | None = None, hint: str | None = None) -> None:
        self.problems.append(Problem(what=what, where=self.file.where(line), allowed=allowed, hint=hint))

    def visit(self, stage: Stage) -> _StageReader:
        """Resolve a stage and what it stands on; its reader knows the variables for its children."""
        if stage.index in self._resolved:
            return self._resolved[stage.index][1]
        if stage.name in self.wanted.contexts:  # the named context takes the place of the whole stage
            stage = replace(stage, base=stage.name, instructions=())
        base = self.text(stage.base, self.header_scope, stage.line)
        if not base:
            self.problem(
                f"FROM {stage.base} names no image: its ARG has no value",
                stage.line,
                hint="give the ARG a default before the first FROM, or set it in the image's args",
            )
        platform = stage.platform and self.text(stage.platform, self._portable_scope(), stage.line)
        if stage.platform and "$" not in (platform or "") and normal_platform(platform or "") is None:
            self.problem(
                f"FROM --platform={stage.platform}: {platform!r} is not a platform",
                stage.line,
                allowed="linux/amd64, linux/arm64, $BUILDPLATFORM, $TARGETPLATFORM",
            )
        reader = _StageReader(self, stage, base, platform)
        parent = self._earlier(base, stage)
        if parent is not None:
            reader.stands_on(self.visit(parent), triggers_of(parent))
        elif base.removesuffix(":latest") in self.wanted.contexts:
            reader.whole_context(base.removesuffix(":latest"))
        elif base not in {SCRATCH, ""}:
            portable = platform is not None and "$" in platform
            own = normal_platform(platform) if platform else self.wanted.platform
            reader.external(base, stage.line, None if portable else own)
            reader.stands_on(None, self.wanted.triggers.get(base, ()))
        self._resolved[stage.index] = (reader.read(), reader)
        return reader

    def _portable_scope(self) -> dict[str, str | None]:
        """The header's variables, but for those that tell where a step runs rather than what it makes."""
        given = {word.partition("=")[0] for each in self.file.header for word in each.words if "=" in word}
        here = _platform_args("BUILD", self.wanted.build_platform)
        return {**self.header_scope, **{name: f"${name}" for name in here if name not in given}}

    def _earlier(self, name: str, stage: Stage) -> Stage | None:
        found = next(
            (each for each in reversed(self.file.stages[: stage.index]) if each.name == name.lower()), None
        )
        return None if name in self.wanted.contexts else found


class _StageReader:
    """Walks the instructions of one stage, keeping its variables."""

    def __init__(self, resolver: _Resolver, stage: Stage, base: str, platform: str | None) -> None:
        self._resolver = resolver
        self._stage = stage
        self._base = base
        self._platform = platform
        self._triggers: tuple[Instruction, ...] = ()
        self._args: list[tuple[str, str | None]] = []
        self._externals: list[External] = []
        self._sources: list[SourceFiles] = []
        self._secrets: list[str] = []
        self._notes: list[Problem] = []
        self.open_world = False
        self.env: dict[str, str | None] = {"PATH": _DEFAULT_PATH}
        """What ENV set: name -> value, None where that is not known."""
        self.scope: dict[str, str | None] = dict(self.env)

    def stands_on(self, parent: _StageReader | None, triggers: tuple[Instruction, ...]) -> None:
        """Take over the variables of the stage below, and what its ONBUILD instructions run here.

        parent: None for an image whose ENV is not known. An ENV outlasts an ARG of the same name below.
        """
        where = self._resolver.file.where
        self._triggers = tuple(
            replace(each, line=self._stage.line, origin=each.origin or where(each.line)) for each in triggers
        )
        self.open_world = parent is None or parent.open_world
        self.env = dict(parent.env) if parent else {}
        inherited = {} if parent is None or self.open_world else parent.scope
        self.scope = {**inherited, **{name: value for name, value in self.env.items() if value is not None}}

    def whole_context(self, name: str) -> None:
        """Stand on all files of a named context."""
        self._sources.append(
            SourceFiles(line=self._stage.line, instruction="FROM", paths=("/",), context=name)
        )

    def external(self, name: str, line: int, platform: str | None) -> None:
        """Use an image from outside the file. platform: see `External`."""
        self._externals.append(External(name=name, line=line, platform=platform))

    def read(self) -> ResolvedStage:
        for instruction in (*self._triggers, *self._stage.instructions):
            match instruction.name:
                case "ARG":
                    self._arg(instruction)
                case "ENV":
                    self._env(instruction)
                case "COPY" | "ADD":
                    self._copy(instruction)
                case "RUN":
                    self._run(instruction)
                case "EXPOSE" | "STOPSIGNAL":
                    self._values(instruction)
        return ResolvedStage(
            stage=self._stage,
            base=self._base,
            platform=self._platform,
            args=tuple(self._args),
            sources=tuple(self._sources),
            externals=tuple(self._externals),
            secrets=tuple(self._secrets),
            notes=tuple(self._notes),
        )

    def _arg(self, instruction: Instruction) -> None:
        given_args = self._resolver.wanted.args
        for word in instruction.words:
            name, given, default = word.partition("=")
            if name in given_args:
                value: str | None = given_args[name]
            elif given:
                value = self._known(default, instruction.line)
                if value is None:  # as good as its words and its base image, which are in the bill
                    self._args.append((name, default))
                    self.scope.pop(name, None)
                    continue
            else:
                value = self._resolver.header_scope.get(name)
            self._args.append((name, value))
            if value is not None:  # without a value, what was there before stays
                self.scope[name] = value

    def _known(self, word: str, line: int) -> str | None:
        """The expanded word; None when the base image's ENV may be in it."""
        try:
            return self._resolver.text(word, self.scope, line, open_world=self.open_world)
        except UnknownVariableError:
            return None

    def _env(self, instruction: Instruction) -> None:
        pairs = zip(instruction.words[::2], instruction.words[1::2], strict=True)
        values = {name: self._known(value, instruction.line) for name, value in pairs}
        self.env |= values
        for name, value in values.items():
            if value is None:
                self.scope.pop(name, None)
            else:
                self.scope[name] = value

    def _values(self, instruction: Instruction) -> None:
        """What BuildKit refuses here it may take in a stage that is not used, or by another frontend."""
        known = (self._known(word, instruction.line) for word in instruction.words)
        for value in known if self._resolver.own_frontend else ():
            for what, allowed in value_faults(instruction.name, value) if value is not None else ():
                self._resolver.problem(what, instruction.line, allowed=allowed)

    def _copy(self, instruction: Instruction) -> None:
        words = [word for word in instruction.words[:-1] if not word.startswith("<<")]
        if not words:
            return
        try:
            paths = tuple(
                self._resolver.text(word, self.scope, instruction.line, open_world=self.open_world)
                for word in words
            )
        except UnknownVariableError as error:
            self._reads(instruction, None, origin=instruction.flag("from"), unknown=str(error.args[0]))
            return
        if instruction.name == "ADD":
            urls = [path for path in paths if _URL.match(path)]
            paths = tuple(path for path in paths if path not in urls)
            if urls and not instruction.flag("checksum"):
                self._notes.append(
                    Problem(
                        what=f"ADD {urls[0]}: what the URL serves is not in the fingerprint",
                        where=self._resolver.file.where(instruction.line),
                        hint="pin it with ADD --checksum=sha256:<digest>",
                    )
                )
        if paths:
            self._reads(instruction, paths, origin=instruction.flag("from"))

    def _run(self, instruction: Instruction) -> None:
        for flag in instruction.flags_of("mount"):
            mount = dict(mount_options(flag))
            kind = (self._known(mount.get("type", ""), instruction.line) or "bind").lower()
            if kind == "secret":
                target = mount.get("target", mount.get("dst", mount.get("destination", "")))
                named = mount.get("source", mount.get("src")) or mount.get("id")
                self._secrets.append(named or target.rsplit("/", 1)[-1])
                if fault := secret_fault(mount) if self._resolver.own_frontend else None:
                    self._resolver.problem(fault[0], instruction.line, allowed=fault[1])
            elif kind == "bind" or "from" in mount:
                word = mount.get("source", mount.get("src", "/"))
                path = self._known(word, instruction.line)
                if path is None:
                    self._reads(instruction, None, origin=mount.get("from"), unknown=word.lstrip("$"))
                else:
                    self._reads(instruction, (path,), origin=mount.get("from"))

    def _reads(
        self,
        instruction: Instruction,
        paths: tuple[str, ...] | None,
        *,
        origin: str | None = None,
        unknown: str | None = None,
    ) -> None:
        """A read from the context, a named context, another stage or another image."""
        if origin is not None and origin not in self._resolver.wanted.contexts:
            self._reads_image(instruction, origin)
            return
        self._sources.append(
            SourceFiles(
                line=instruction.line,
                instruction=instruction.name,
                paths=paths,
                excludes=instruction.flags_of("exclude"),
                parents=str(instruction.flag("parents")).lower() in {"", "true"},
                context=origin,
                origin=instruction.origin,
                reason=unknown and f"${unknown} may come from the base image, so the whole context counts",
            )
        )

    def _reads_image(self, instruction: Instruction, origin: str) -> None:
        resolver = self._resolver
        stage = resolver.file.stage(origin)
        if "$" in origin:
            resolver.problem(
                f"--from={origin}: a variable cannot stand here",
                instruction.line,
                hint=f"add FROM {origin} AS <name> with an ARG before the first FROM, then --from=<name>",
            )
        elif stage is None and not origin.isdecimal():
            # BuildKit takes it of the target's platform, whatever platform the stage has.
            self.external(origin, instruction.line, resolver.wanted.platform)
        elif stage is None or stage.index >= self._stage.index:
            resolver.problem(
                f"--from={origin} names a stage that is not above it",
                instruction.line,
                allowed="an earlier stage, an image, or a named context",
            )
        else:
            resolver.visit(stage)


def _platform_args(prefix: str, platform: str) -> dict[str, str]:
    parts = [*platform.split("/"), "", ""]
    values = (platform, parts[0], parts[1], parts[2])
    return {prefix + name: value for name, value in zip(_PLATFORM_ARGS, values, strict=True)}
