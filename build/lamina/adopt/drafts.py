"""Read each Dockerfile with what is declared about it: the drafts of a proposal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.adopt.contexts import find_context, fits
from lamina.adopt.declared import Declared
from lamina.adopt.naming import Used
from lamina.adopt.role import for_lambda, other_role, starts_itself
from lamina.declare.dockerfile import Dockerfile, parse_dockerfile, read_dockerfile
from lamina.declare.machine import native_platform
from lamina.declare.recipe import PREDEFINED, SCRATCH, Recipe
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError, Problem
from lamina.identify.tree import shown
from lamina.refs import Reference

_VARIABLE = re.compile(r"\$\{?(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnnamedFunction:
    """A function whose name is known once it is deployed. where: ``file:line``. id: in the file."""

    where: str
    id: str
    in_stack: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDraft:
    """One way to build a Dockerfile: a target and build arguments, with the declarations that have them."""

    dockerfile: str
    context: str
    declared: tuple[Declared, ...]
    used: tuple[Used, ...]
    variables: Mapping[str, str]
    """Base image -> the build argument that names it."""
    role: str | None
    """What it is for, if that is certainly no Lambda function."""
    lacks_sources: bool
    """Whether its context has not all that it copies."""
    on_lambda: bool
    """Whether it is declared for a function, or made for Lambda by its base or its content."""

    @property
    def target(self) -> str | None:
        """The stage that is built."""
        return self.declared[0].target if self.declared else None

    @property
    def args(self) -> Mapping[str, str]:
        """Declared build arguments."""
        return self.declared[0].args if self.declared else {}

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that run it."""
        return tuple(dict.fromkeys(name for each in self.declared for name in each.functions))

    @property
    def deployed(self) -> bool:
        """Whether a file deploys it, rather than only builds it."""
        return any(each.deploys for each in self.declared)

    @property
    def resources(self) -> tuple[str, ...]:
        """The ids of its functions whose names only the deployment gives."""
        return tuple(dict.fromkeys(name for each in self.declared for name in each.resources))

    @property
    def called(self) -> tuple[str, ...]:
        """What its functions are called: their names, without the stack's, and their ids."""
        named = (each.replace("-{stack}", "") for each in self.functions)
        return (*named, *self.resources)

    @property
    def stacked(self) -> tuple[tuple[str, str], ...]:
        """Those of them whose stack is known, with it."""
        return tuple(
            dict.fromkeys(
                (each.stack, name) for each in self.declared if each.stack for name in each.resources
            )
        )

    @property
    def commands(self) -> Mapping[str, tuple[str, ...]]:
        """Name or id of a function -> what replaces the image's CMD there."""
        return {
            name: each.command
            for each in reversed(self.declared)
            for name in (*each.functions, *each.resources)
            if each.command
        }

    @property
    def unnamed(self) -> tuple[UnnamedFunction, ...]:
        """The others with their places."""
        return tuple(
            UnnamedFunction(where=each.where, id=name, in_stack=each.stack is not None)
            for each in self.declared
            if not each.stack
            for name in each.resources
        )

    @property
    def platform(self) -> str | None:
        """The declared platform, if all declarations agree; of several that are known, the first."""
        platforms = {each.platform for each in self.declared}
        return next(iter(self.platforms), None) if len(platforms) == 1 or len(self.platforms) > 1 else None

    @property
    def platforms(self) -> tuple[str, ...]:
        """The declared platforms that are known."""
        return tuple(dict.fromkeys(each.platform for each in self.declared if each.platform))


def read_drafts(
    root: Path, path: str, declared: tuple[Declared, ...], notes: list[Problem], text: str | None = None
) -> Iterator[ImageDraft]:
    """Yield the ways to build a Dockerfile, one for each target and arguments.

    Args:
        notes: receives problems.
        text: of a Dockerfile that is not written yet.
    """
    try:
        parsed = read_dockerfile(root / path, path) if text is None else parse_dockerfile(text, path)
    except ConfigError as error:
        first, *others = error.problems
        more = f" (and {len(others)} more)" if others else ""
        notes.append(replace(first, what=f"{first.what}{more}", hint="it is skipped; fix it and run again"))
        return
    groups: dict[tuple[str | None, tuple[tuple[str, str], ...]], list[Declared]] = {}
    for each in declared:
        if each.dockerfile == path:
            groups.setdefault((each.target, tuple(sorted(each.args.items()))), []).append(each)
    for group in groups.values() or [[]]:
        yield _draft(root, parsed, tuple(group), notes)


def _draft(
    root: Path, parsed: Dockerfile, declared: tuple[Declared, ...], notes: list[Problem]
) -> ImageDraft:
    path = parsed.path
    args = dict(declared[0].args) if declared else {}
    target = declared[0].target if declared else None
    try:
        recipe = _resolved(parsed, target, args)
    except ConfigError as error:
        notes += error.problems
        recipe = None
    used = tuple(_used(recipe)) if recipe else ()
    copied = recipe or _sources_of(parsed, target, args)
    context = _context(root, path, copied, declared, notes)
    notes += _unknown_args(declared, copied)
    return ImageDraft(
        dockerfile=path,
        context=context,
        lacks_sources=copied is not None and not fits(root, context, copied),
        declared=declared,
        used=used,
        variables=_variables(parsed, recipe) if recipe else {},
        role=other_role(recipe) or _elsewhere(recipe, declared) if recipe else None,
        on_lambda=any(each.deploys for each in declared) or (recipe is not None and for_lambda(recipe)),
    )


def _unknown_args(declared: tuple[Declared, ...], recipe: Recipe | None) -> Iterator[Problem]:
    """Yield a note for each build argument of a Dockerfile whose value is not known."""
    known = recipe.declared_args - PREDEFINED if recipe else frozenset()
    for name, where in {name: each.where for each in reversed(declared) for name in each.open_args}.items():
        if name in known:
            yield Problem(
                what=f"the value of build argument {name} is not plain",
                where=where,
                hint=f'args.{name} = "…" in [tool.lamina.images.<name>]',
            )


def _elsewhere(recipe: Recipe, declared: tuple[Declared, ...]) -> str | None:
    """Return what says that an image is built for something else than a function; None if nothing does."""
    known = next((each.where for each in declared if each.elsewhere), None)
    if known is None or (for_lambda(recipe) and not starts_itself(recipe)):
        return None
    return f"no function of {known.partition(':')[0]} runs it"


def _resolved(parsed: Dockerfile, target: str | None, args: Mapping[str, str]) -> Recipe:
    native = native_platform()
    return resolve(parsed, platform=native, build_platform=native, target=target, args=args)


def _sources_of(parsed: Dockerfile, target: str | None, args: Mapping[str, str]) -> Recipe | None:
    """Return the recipe of a Dockerfile with unknown bases: its COPY sources do not depend on them."""
    words = {word for each in parsed.header for word in each.words if "=" not in word}
    unset = dict.fromkeys(words - PREDEFINED, SCRATCH)
    try:
        return _resolved(parsed, target, {**unset, **args})
    except ConfigError:
        return None


def _context(
    root: Path,
    path: str,
    recipe: Recipe | None,
    declared: tuple[Declared, ...],
    notes: list[Problem],
) -> str:
    """Return the folder that contains all sources, preferably one that the infrastructure names."""
    named = sorted({each.context for each in declared if each.context})
    if recipe is None or not any(source.context is None for source in recipe.sources):
        return named[0] if named else "."
    fitting = [folder for folder in named if fits(root, folder, recipe)]
    if len(fitting) > 1:
        notes.append(Problem(what=f"built in several contexts: {', '.join(fitting)}", where=path))
    if fitting:
        return fitting[0]
    found = find_context(root, path, recipe)
    if named and found.missing:
        return named[0]
    if named:
        message = f"context {found.folder} is a guess: the declared {', '.join(named)} lacks sources"
        notes.append(Problem(what=message, where=", ".join(sorted({each.where for each in declared}))))
    if found.others:
        message = f"context {found.folder} is a guess: all sources are in {', '.join(found.others)} as well"
        notes.append(Problem(what=message, where=path))
    if found.missing:
        source, first = found.missing[0]
        more = f" and {len(found.missing) - 1} more" if len(found.missing) > 1 else ""
        notes.append(
            Problem(
                what=f"context {found.folder} is a guess: no folder above it has {shown(first)}{more}",
                where=recipe.dockerfile.where(source.line),
                hint="declare the context, or create the missing sources before the build",
            )
        )
    return found.folder


def _used(recipe: Recipe) -> Iterator[Used]:
    for external in recipe.externals:
        if external.name != SCRATCH:
            try:
                yield Used(reference=Reference.parse(external.name), by=recipe.dockerfile.path)
            except ValueError:
                continue


def _variables(parsed: Dockerfile, recipe: Recipe) -> Mapping[str, str]:
    """Return base image -> the build argument by which a stage names it."""
    declared = {word.partition("=")[0] for each in parsed.header for word in each.words}
    found = ((stage.base, _VARIABLE.match(stage.stage.base)) for stage in recipe.stages)
    return {base: name[1] for base, name in found if name and name[1] in declared}
