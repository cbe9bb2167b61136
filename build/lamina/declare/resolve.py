"""Resolve a Dockerfile to a `Recipe` by following one target through its stages.

The recipe holds only the stages that the target uses. Variables are expanded where their values are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lamina.declare.arguments import secret_fault, value_faults
from lamina.declare.dockerfile import Dockerfile, Instruction, Stage
from lamina.declare.expand import ExpansionError, UnknownVariableError, expand
from lamina.declare.flags import mount_options
from lamina.declare.machine import normal_platform, platform_args
from lamina.declare.recipe import SCRATCH, External, Recipe, ResolvedStage, SourceFiles, triggers_of
from lamina.errors import ConfigError, Problem
from lamina.patterns import regex
from lamina.refs import context_key
from lamina.values import dataclass

_URL = regex(r"(?:https?|git|ssh)://|[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:")
_VARIABLE = regex(r"\$\{?(\w+)")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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
    """Follow the target through the file.

    Args:
        platform: ``os/arch[/variant]``, as is ``build_platform``.
        contexts: Names of the declared named contexts.
        triggers: Image -> the instructions that its ONBUILDs run in stages built FROM it.

    Raises:
        ConfigError: With every problem in the used stages.
    """
    options = _ResolveOptions(
        platform=platform,
        build_platform=build_platform,
        target=target,
        args=args or {},
        contexts=contexts,
        triggers=triggers or {},
    )
    return _Resolver(dockerfile, options).run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResolveOptions:
    platform: str
    build_platform: str
    target: str | None
    args: Mapping[str, str]
    contexts: frozenset[str]
    triggers: Mapping[str, tuple[Instruction, ...]]


class _Resolver:
    def __init__(self, dockerfile: Dockerfile, options: _ResolveOptions) -> None:
        self.file = dockerfile
        self.options = options
        self.problems: list[Problem] = []
        self.own_frontend = not any(each.startswith("syntax=") for each in dockerfile.directives)
        """Whether BuildKit's built-in frontend reads the file. Other frontends may accept more."""
        given = (each.removeprefix("escape=") for each in dockerfile.directives if each.startswith("escape="))
        self._escape = next(given, "\\")
        self._contexts = {context_key(each): each for each in sorted(options.contexts)}
        if len(self._contexts) < len(options.contexts):
            self.problem(f"two of the contexts {', '.join(sorted(options.contexts))} are one to BuildKit", 1)
        self.header_scope = self._read_header()
        self._resolved: dict[int, tuple[ResolvedStage, _StageReader]] = {}

    def run(self) -> Recipe:
        target = self.options.target
        stages = [each for each in self.file.stages if target is None or each.name == target.lower()]
        if not stages:
            names = ", ".join(each.name for each in self.file.stages if each.name) or "none has a name"
            raise ConfigError.of(
                f"there is no stage {target!r}", where=self.file.path, allowed=f"stages: {names}"
            )
        self.visit(stages[-1])
        ConfigError.check(self.problems)
        return Recipe(
            dockerfile=self.file,
            target=target,
            platform=self.options.platform,
            stages=tuple(self._resolved[index][0] for index in sorted(self._resolved)),
        )

    def _read_header(self) -> dict[str, str | None]:
        given_args = self.options.args
        scope: dict[str, str | None] = {
            **platform_args("TARGET", self.options.platform),
            **platform_args("BUILD", self.options.build_platform),
            "TARGETSTAGE": self.options.target or self.file.stages[-1].name or "default",
        }
        scope |= {name: given_args[name] for name in scope.keys() & given_args.keys()}
        for instruction in self.file.header:
            for word in instruction.words:
                name, given, default = word.partition("=")
                scope[name] = given_args.get(
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
        """Resolve a stage and those it is based on. Return its reader, which knows its variables."""
        if stage.index in self._resolved:
            return self._resolved[stage.index][1]
        if (context := self.context(stage.name)) is not None:  # it replaces the whole stage
            stage = replace(stage, base=context, instructions=())
        base = self.text(stage.base, self.header_scope, stage.line)
        if unset := self._unset(stage.base, base):
            self.problem(
                f"FROM {stage.base} names no image: build argument {unset} has no value",
                stage.line,
                hint=f'{unset} = "…" in [tool.lamina.args], or ARG {unset}=… before the first FROM',
            )
            base = ""
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
            reader.build_from(self.visit(parent), triggers_of(parent))
        elif (context := self.context(base)) is not None:
            reader.whole_context(context)
        elif base not in {SCRATCH, ""}:
            portable = platform is not None and "$" in platform
            own = normal_platform(platform) if platform else self.options.platform
            reader.external(base, stage.line, None if portable else own)
            reader.build_from(None, self.options.triggers.get(base, ()))
        self._resolved[stage.index] = (reader.read(), reader)
        return reader

    def _unset(self, written: str, base: str) -> str | None:
        """Return the argument without a value because of which a FROM names no image; else None."""
        names = (name for name in _VARIABLE.findall(written) if not self.header_scope.get(name))
        return (
            next(names, None) if not base or base.endswith((":", "/", "@")) or base.startswith(":") else None
        )

    def _portable_scope(self) -> dict[str, str | None]:
        """Return the header's variables, with those of the build platform left unexpanded."""
        given = {word.partition("=")[0] for each in self.file.header for word in each.words if "=" in word}
        given |= self.options.args.keys()
        build = platform_args("BUILD", self.options.build_platform)
        return {**self.header_scope, **{name: f"${name}" for name in build if name not in given}}

    def _earlier(self, name: str, stage: Stage) -> Stage | None:
        found = next(
            (each for each in reversed(self.file.stages[: stage.index]) if each.name == name.lower()), None
        )
        return None if self.context(name) else found

    def context(self, name: str | None) -> str | None:
        """Return the named context that takes the place of an image or a stage."""
        return self._contexts.get(context_key(name)) if name and self._contexts else None


class _StageReader:
    """Walks the instructions of one stage and tracks its variables."""

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
        """Variables set by ENV: name -> value, None when unknown."""
        self.scope: dict[str, str | None] = dict(self.env)

    def build_from(self, parent: _StageReader | None, triggers: tuple[Instruction, ...]) -> None:
        """Inherit the variables of the parent stage and the instructions of its ONBUILDs.

        An inherited ENV takes precedence over an inherited ARG of the same name.

        Args:
            parent: None for an image, whose ENV is unknown.
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
        """Read all files of a named context, as a base."""
        self._sources.append(
            SourceFiles(line=self._stage.line, instruction="FROM", paths=("/",), context=name)
        )

    def external(self, name: str, line: int, platform: str | None) -> None:
        """Record an image from outside the file. For ``platform`` see `External`."""
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
        given_args = self._resolver.options.args
        for word in instruction.words:
            name, given, default = word.partition("=")
            if name in given_args:
                value: str | None = given_args[name]
            elif given:
                value = self._known(default, instruction.line)
                if value is None:  # its words and the base image are build inputs, and determine it
                    self._args.append((name, default))
                    self.scope.pop(name, None)
                    continue
            else:
                value = self._resolver.header_scope.get(name)
            self._args.append((name, value))
            if value is not None:  # an ARG without a value leaves an earlier value in place
                self.scope[name] = value

    def _known(self, word: str, line: int) -> str | None:
        """Return the expanded word, or None when it may use the base image's ENV."""
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
        """Check expanded values. BuildKit does so only in used stages and in its built-in frontend."""
        known = (self._known(word, instruction.line) for word in instruction.words)
        for value in known if self._resolver.own_frontend else ():
            for what, allowed in value_faults(instruction.name, value) if value is not None else ():
                self._resolver.problem(what, instruction.line, allowed=allowed)

    def _copy(self, instruction: Instruction) -> None:
        words = [word for word in instruction.words[:-1] if not word.startswith("<<")]
        origin = instruction.flag("from") or None
        if not words:
            return
        try:
            paths = tuple(
                self._resolver.text(word, self.scope, instruction.line, open_world=self.open_world)
                for word in words
            )
        except UnknownVariableError as error:
            self._reads(instruction, None, origin=origin, unknown=str(error.args[0]))
            return
        if instruction.name == "ADD":
            urls = [path for path in paths if _URL.match(path)]
            paths = tuple(path for path in paths if path not in urls)
            if urls and not instruction.flag("checksum"):
                self._notes.append(
                    Problem(
                        what=f"ADD {urls[0]}: the content behind the URL is not in the fingerprint",
                        where=self._resolver.file.where(instruction.line),
                        hint="pin it with ADD --checksum=sha256:<digest>",
                    )
                )
        if paths:
            self._reads(instruction, paths, origin=origin)

    def _run(self, instruction: Instruction) -> None:
        for flag in instruction.flags_of("mount"):
            mount = dict(mount_options(flag))
            kind = (self._known(mount.get("type", ""), instruction.line) or "bind").lower()
            origin = mount.get("from") or None
            if kind == "secret":
                mount = {key: self._known(word, instruction.line) or word for key, word in mount.items()}
                target = mount.get("target", mount.get("dst", mount.get("destination", "")))
                named = mount.get("source", mount.get("src")) or mount.get("id")
                self._secrets.append(named or target.rsplit("/", 1)[-1])
                if fault := secret_fault(mount) if self._resolver.own_frontend else None:
                    self._resolver.problem(fault[0], instruction.line, allowed=fault[1])
            elif kind == "bind" or origin:
                word = mount.get("source", mount.get("src", "/"))
                path = self._known(word, instruction.line)
                if path is None:
                    self._reads(instruction, None, origin=origin, unknown=word.lstrip("$"))
                else:
                    self._reads(instruction, (path,), origin=origin)

    def _reads(
        self,
        instruction: Instruction,
        paths: tuple[str, ...] | None,
        *,
        origin: str | None = None,
        unknown: str | None = None,
    ) -> None:
        """Record a read from the context, a named context, another stage or another image."""
        is_number = instruction.name != "RUN" and origin is not None and origin.isdecimal()
        context = None if is_number else self._resolver.context(origin)
        if origin is not None and context is None:
            self._reads_image(instruction, origin)
            return
        self._sources.append(
            SourceFiles(
                line=instruction.line,
                instruction=instruction.name,
                paths=paths,
                excludes=instruction.flags_of("exclude"),
                parents=str(instruction.flag("parents")).lower() in {"", "true"},
                context=context,
                origin=instruction.origin,
                reason=unknown and f"${unknown} may come from the base image, so the whole context counts",
                unset=unknown if unknown and (unknown, None) in self._args else None,
            )
        )

    def _reads_image(self, instruction: Instruction, origin: str) -> None:
        resolver = self._resolver
        stage = resolver.file.stage(origin)
        if "$" in origin:
            resolver.problem(
                f"--from={origin}: variables are not allowed here",
                instruction.line,
                hint=f"add FROM {origin} AS <name> with an ARG before the first FROM, then --from=<name>",
            )
        elif instruction.name == "RUN" and origin.isdecimal():
            resolver.problem(
                f"--mount=from={origin}: a mount cannot name a stage by its number",
                instruction.line,
                hint="name the stage: FROM <image> AS <name>, then from=<name>",
            )
        elif stage is None and not origin.isdecimal():
            # BuildKit uses the target's platform here, whatever the platform of the stage.
            self.external(origin, instruction.line, resolver.options.platform)
        elif stage is None or stage.index >= self._stage.index:
            resolver.problem(
                f"--from={origin} names a stage that is not above it",
                instruction.line,
                allowed="an earlier stage, an image, or a named context",
            )
        else:
            resolver.visit(stage)
