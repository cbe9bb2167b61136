"""A Dockerfile resolved for one target, platform and set of build arguments: a `Recipe`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lamina.declare.dockerfile import Dockerfile, Instruction, Stage
from lamina.declare.flags import mount_options
from lamina.declare.machine import GLOBAL_ARGS, normal_platform
from lamina.errors import Problem
from lamina.patterns import regex
from lamina.values import dataclass

SCRATCH = "scratch"
_PROXY_ARGS = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PREDEFINED = frozenset(
    {
        *GLOBAL_ARGS,
        *(each for name in _PROXY_ARGS for each in (name, name.lower())),
        "SOURCE_DATE_EPOCH",
    }
)
"""The build arguments that BuildKit gives a value, or knows: https://docs.docker.com/reference/dockerfile/#predefined-args"""
_OF_BUILDER = regex(r"\$\{?BUILD")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFiles:
    """Files that an instruction reads from a context.

    Attributes:
        paths: Relative POSIX paths or wildcards, as written. None when unknown: the whole context counts
            and ``reason`` explains why.
        context: The name of a named context; None for the main one.
        origin: ``path:line`` of the ONBUILD that contains the instruction, if any.
        unset: the ARG without a value that makes ``paths`` unknown, if one does.
    """

    line: int
    instruction: str
    paths: tuple[str, ...] | None
    excludes: tuple[str, ...] = ()
    parents: bool = False
    context: str | None = None
    reason: str | None = None
    origin: str | None = None
    unset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """An image outside the Dockerfile that a used stage builds FROM or copies from.

    Attributes:
        platform: The platform it is used for, such as ``linux/arm64``. None for the build machine's own
            platform, or when the image is used for several.
    """

    name: str
    line: int
    platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedStage:
    """A used stage and everything it reads."""

    stage: Stage
    base: str
    """The expanded FROM: an image, `SCRATCH`, a named context, or the name of an earlier stage."""
    platform: str | None
    """The expanded platform of FROM as written; ``$BUILDPLATFORM`` and its parts stay unexpanded."""
    args: tuple[tuple[str, str | None], ...]
    """Each ARG in order with its value; None for an ARG without one."""
    sources: tuple[SourceFiles, ...]
    externals: tuple[External, ...]
    secrets: tuple[str, ...]
    notes: tuple[Problem, ...]

    @property
    def made_for(self) -> str | None:
        """The normalised platform of FROM, such as ``linux/amd64``; None when FROM has none."""
        return self.platform and (normal_platform(self.platform) or self.platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that building one target of a Dockerfile can use. Stages are in the order of the file."""

    dockerfile: Dockerfile
    target: str | None
    platform: str
    stages: tuple[ResolvedStage, ...]

    @property
    def sources(self) -> tuple[SourceFiles, ...]:
        """All reads from contexts, in the order of the file."""
        return tuple(source for stage in self.stages for source in stage.sources)

    @property
    def externals(self) -> tuple[External, ...]:
        """All external images in order of first use, each name once."""
        first: dict[str, External] = {}
        for stage in self.stages:
            for each in stage.externals:
                known = first.setdefault(each.name, each)
                if known.platform != each.platform:
                    first[each.name] = replace(known, platform=None)
        return tuple(first.values())

    @property
    def secrets(self) -> tuple[str, ...]:
        """The sorted ids of the build secrets that steps may read."""
        return tuple(sorted({secret for stage in self.stages for secret in stage.secrets}))

    @property
    def ssh(self) -> tuple[str, ...]:
        """The sorted ids of the SSH agents that steps may use."""
        flags = (
            dict(mount_options(flag))
            for stage in self.stages
            for each in stage.stage.instructions
            for flag in each.flags_of("mount")
        )
        agents = (each for each in flags if each.get("type", "").lower() == "ssh")
        return tuple(sorted({each.get("id", "default") for each in agents}))

    @property
    def declared_args(self) -> frozenset[str]:
        """Names of the build arguments declared by the used stages, before the first FROM, or by BuildKit."""
        header = {word.partition("=")[0] for each in self.dockerfile.header for word in each.words}
        return GLOBAL_ARGS.union(header, (name for stage in self.stages for name, _ in stage.args))

    @property
    def triggers(self) -> tuple[Instruction, ...]:
        """The instructions that the target's ONBUILDs run in images built FROM it."""
        return triggers_of(self.stages[-1].stage)

    @property
    def unlinked(self) -> str | None:
        """The first instruction that needs the base image, for messages; None for a linked image."""
        for each in self.instructions:
            plain_copy = each.name in {"COPY", "ADD"} and not each.is_linked
            if each.name in {"RUN", "WORKDIR"} or plain_copy:
                why = "with --chmod" if each.flag("chmod") else "without --link"
                return f"{self.dockerfile.where(each.line)} {each.name}{f' {why}' if plain_copy else ''}"
        return None

    @property
    def only_copies(self) -> bool:
        """Whether the image consists only of linked copies from contexts, which a cache cannot speed up."""
        made = [each for each in self.instructions if each.name in {"ADD", "COPY"}]
        return self.unlinked is None and not any(each.name == "ADD" or each.flag("from") for each in made)

    @property
    def runs_on(self) -> Mapping[str, Instruction]:
        """Platform -> the first RUN that needs it. Stages on the build machine's platform are left out."""
        found: dict[str, Instruction] = {}
        platforms: dict[int, str] = {}
        for each in self.stages:
            below = self.dockerfile.stage(each.base)
            inherited = platforms.get(below.index) if below else None
            platform = each.made_for or inherited or self.platform
            platforms[each.stage.index] = platform
            run = next((line for line in each.stage.instructions if line.name == "RUN"), None)
            if run is not None and not _OF_BUILDER.search(platform):
                found.setdefault(platform, run)
        return found

    @property
    def chain(self) -> tuple[ResolvedStage, ...]:
        """The target's stage, the stage it is FROM, and so on to the last one."""
        by_index = {each.stage.index: each for each in self.stages}
        chain: list[ResolvedStage] = []
        current: ResolvedStage | None = self.stages[-1]
        while current is not None:
            chain.append(current)
            parent = self.dockerfile.stage(current.base)
            current = by_index.get(parent.index) if parent and parent.index < current.stage.index else None
        return tuple(chain)

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions applied to the base image, in order."""
        return tuple(each for stage in reversed(self.chain) for each in stage.stage.instructions)

    @property
    def command_at(self) -> Instruction | None:
        """The target's CMD in JSON form; None when it has none of its own."""
        cmds = (each for each in reversed(self.instructions) if each.name == "CMD" and each.json)
        return next(cmds, None)

    @property
    def command(self) -> tuple[str, ...]:
        """The words of `command_at`; empty without one."""
        return self.command_at.words if self.command_at else ()


def triggers_of(stage: Stage) -> tuple[Instruction, ...]:
    """Return the instructions that a stage's ONBUILDs run in stages or images built FROM it."""
    return tuple(each.trigger for each in stage.instructions if each.trigger is not None)
