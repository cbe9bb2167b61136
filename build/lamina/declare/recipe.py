"""What a Dockerfile means for one target, platform and set of build arguments: a `Recipe`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lamina.declare.dockerfile import Dockerfile, Instruction, Stage
from lamina.declare.machine import normal_platform
from lamina.errors import Problem

SCRATCH = "scratch"
_OF_BUILDER = re.compile(r"\$\{?BUILD")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFiles:
    """Files that an instruction reads from the context, or from a named one.

    paths: relative POSIX paths or wildcards as written; None where they cannot be known (the whole
    context counts then, and ``reason`` says why). context: a named context's name, None for the main one.
    origin: ``path:line`` of the ONBUILD that holds the instruction, if one does.
    """

    line: int
    instruction: str
    paths: tuple[str, ...] | None
    excludes: tuple[str, ...] = ()
    parents: bool = False
    context: str | None = None
    reason: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """An image outside the Dockerfile that a used stage stands on or copies from.

    platform: the one of which it is taken, ``linux/arm64``; None where that is the build machine's own, or
    where the image is taken of several.
    """

    name: str
    line: int
    platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedStage:
    """A used stage with what it reads."""

    stage: Stage
    base: str
    """The expanded FROM: an image, `SCRATCH`, a named context, or the name of an earlier stage."""
    platform: str | None
    """The expanded platform of FROM, as it is written; ``$BUILDPLATFORM`` and its parts stay unexpanded."""
    args: tuple[tuple[str, str | None], ...]
    """Every ARG in order with its value; None where it is declared without one."""
    sources: tuple[SourceFiles, ...]
    externals: tuple[External, ...]
    secrets: tuple[str, ...]
    notes: tuple[Problem, ...]

    @property
    def made_for(self) -> str | None:
        """That platform by its usual name, ``linux/amd64``; None where FROM names none."""
        return self.platform and (normal_platform(self.platform) or self.platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that building one target of a Dockerfile can use, bases first as in the file."""

    dockerfile: Dockerfile
    target: str | None
    platform: str
    stages: tuple[ResolvedStage, ...]

    @property
    def sources(self) -> tuple[SourceFiles, ...]:
        """Every read from a context, in the order of the file."""
        return tuple(source for stage in self.stages for source in stage.sources)

    @property
    def externals(self) -> tuple[External, ...]:
        """Every image from outside, first mention first, each name once."""
        first: dict[str, External] = {}
        for stage in self.stages:
            for each in stage.externals:
                known = first.setdefault(each.name, each)
                if known.platform != each.platform:
                    first[each.name] = replace(known, platform=None)
        return tuple(first.values())

    @property
    def secrets(self) -> tuple[str, ...]:
        """The ids of build secrets that a step may read, sorted."""
        return tuple(sorted({secret for stage in self.stages for secret in stage.secrets}))

    @property
    def declared_args(self) -> frozenset[str]:
        """Names of the build arguments that a used stage or the header declares."""
        header = {word.partition("=")[0] for each in self.dockerfile.header for word in each.words}
        return frozenset(header.union(name for stage in self.stages for name, _ in stage.args))

    @property
    def triggers(self) -> tuple[Instruction, ...]:
        """What ONBUILD instructions of the target run in images that are built on it."""
        return triggers_of(self.stages[-1].stage)

    @property
    def unlinked(self) -> str | None:
        """The first instruction that runs on the base or depends on it; None for a linked image."""
        for each in self.instructions:
            plain_copy = each.name in {"COPY", "ADD"} and each.flag("link") not in {"", "true"}
            if each.name in {"RUN", "WORKDIR"} or plain_copy:
                return f"{self.dockerfile.where(each.line)} {each.name}{' without --link' * plain_copy}"
        return None

    @property
    def only_copies(self) -> bool:
        """Whether linked copies of the context are all that makes it: no cache could make that faster."""
        made = [each for each in self.instructions if each.name in {"ADD", "COPY"}]
        return self.unlinked is None and not any(each.name == "ADD" or each.flag("from") for each in made)

    @property
    def runs_on(self) -> Mapping[str, Instruction]:
        """Platform -> the first RUN whose program must be of it; stages of the build machine are out."""
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
        """The target's stage, then the stage it is FROM, and so on down to what is no stage."""
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
        """What is done to the image that the Dockerfile stands on, in order."""
        return tuple(each for stage in reversed(self.chain) for each in stage.stage.instructions)

    @property
    def command_at(self) -> Instruction | None:
        """The CMD of the target in JSON form; None when it has none of its own."""
        cmds = (each for each in reversed(self.instructions) if each.name == "CMD" and each.json)
        return next(cmds, None)

    @property
    def command(self) -> tuple[str, ...]:
        """The words of `command_at`; empty without one."""
        return self.command_at.words if self.command_at else ()


def triggers_of(stage: Stage) -> tuple[Instruction, ...]:
    """What a stage's ONBUILD instructions run in what is built FROM it, and only there."""
    return tuple(each.trigger for each in stage.instructions if each.trigger is not None)
