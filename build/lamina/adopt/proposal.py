"""Propose ``[tool.lamina]`` for a repository that has none, from its survey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from lamina.adopt.contexts import find_context, fits
from lamina.adopt.declared import Declared
from lamina.adopt.naming import Used, match_bases, name_images, own_names, slug
from lamina.adopt.role import on_runtime, other_role
from lamina.adopt.survey import RepositorySurvey
from lamina.declare.dockerfile import Dockerfile, read_dockerfile
from lamina.declare.machine import native_platform
from lamina.declare.recipe import SCRATCH, Recipe
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError, Problem
from lamina.identify.tree import shown
from lamina.refs import Reference

_VARIABLE = re.compile(r"\$\{?(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProposal:
    """An image as it would be declared; paths are relative to the repository.

    Attributes:
        unnamed: ``file:line`` and id of each function whose name only the deployment gives.
    """

    name: str
    dockerfile: str
    context: str = "."
    platform: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The proposed configuration.

    Attributes:
        platform: of all images, if the known ones agree.
        notes: for the user.
    """

    images: tuple[ImageProposal, ...]
    platform: str | None
    notes: tuple[Problem, ...]


def propose(root: Path, found: RepositorySurvey) -> Proposal:
    """Propose names, bases and contexts. Dockerfiles that cannot be read become notes."""
    notes = list(found.notes)
    drafts = [draft for path in found.dockerfiles for draft in _drafts(root, path, found.declared, notes)]
    drafts = _functions_only(drafts, {each.dockerfile: each.where for each in found.assets}, notes)
    paths = tuple(dict.fromkeys(draft.dockerfile for draft in drafts))
    used = [each for draft in drafts for each in draft.used]
    bases = match_bases(paths, used)
    notes += (
        Problem(
            what=f"FROM {name}: several Dockerfiles match: {', '.join(several)}",
            where=", ".join(sorted({each.by for each in used if name in own_names(each.reference)})),
            hint=f"declare one of them as [tool.lamina.images.{name}]",
        )
        for name, several in bases.unclear.items()
    )
    elsewhere = set(_outside(used, bases.made_by))
    names = name_images(
        paths,
        bases.made_by,
        repository=root.resolve().name,
        taken=elsewhere,
        functions={draft.dockerfile: next(iter(draft.called)) for draft in reversed(drafts) if draft.called},
    )
    images: list[ImageProposal] = []
    for draft in drafts:
        several = sum(each.dockerfile == draft.dockerfile for each in drafts) > 1
        name = _name(draft, names[draft.dockerfile], bases.made_by, several=several)
        known = elsewhere | {each.name for each in images}
        image = _image(draft, _free(name, known), bases.made_by, notes)
        images.append(_only_its_own(image, images, notes))
    platforms = {each.platform for each in images if each.platform}
    shared = min(platforms) if len(platforms) == 1 else None
    if len(platforms) > 1:
        notes += (
            Problem(
                what=f"unknown platform of {each.name}; others are for {' and '.join(sorted(platforms))}",
                where=each.dockerfile,
                hint=f'platform = "linux/arm64" in [tool.lamina.images.{each.name}]',
            )
            for each in images
            if not each.platform
        )
    return Proposal(images=tuple(images), platform=shared, notes=tuple(notes))


def _functions_only(
    drafts: list[_ProposalDraft], zipped: Mapping[str, str], notes: list[Problem]
) -> list[_ProposalDraft]:
    """Return the drafts without those that are certainly for something else, if any is for Lambda.

    Args:
        zipped: Dockerfile -> where its files are taken for a zip file.
    """
    if not any(draft.on_lambda for draft in drafts):
        return drafts
    paths = tuple(dict.fromkeys(draft.dockerfile for draft in drafts))
    bases = match_bases(paths, [each for draft in drafts for each in draft.used]).made_by.values()
    kept = []
    for draft in drafts:
        program = zipped.get(draft.dockerfile)
        role = f"{program} takes its files for a zip file" if program else draft.role
        if role is None or draft.deployed or draft.dockerfile in bases:
            kept.append(draft)
            continue
        notes.append(
            Problem(
                what=f"left out, because it makes no Lambda image: {role}",
                where=draft.dockerfile,
                hint="to build it as well, add a table [tool.lamina.images.<name>] with its dockerfile",
            )
        )
    return kept


def _only_its_own(
    image: ImageProposal, others: Iterable[ImageProposal], notes: list[Problem]
) -> ImageProposal:
    """Return an image without the functions of other images: a function runs one image."""
    owners = {function: each.name for each in others for function in each.functions}
    taken = [each for each in image.functions if each in owners]
    notes += (
        Problem(
            what=f"function {each} belongs to {owners[each]} as well: it is left to that image",
            where=image.dockerfile,
            hint="set functions in [tool.lamina.images.<name>]",
        )
        for each in taken
    )
    return replace(image, functions=tuple(each for each in image.functions if each not in taken))


def _free(name: str, known: set[str]) -> str:
    numbered = (f"{name}-{number}" for number in count(2))
    return name if name not in known else next(each for each in numbered if each not in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProposalDraft:
    """One way to build a Dockerfile: a target and build arguments, with the declarations that have them."""

    dockerfile: str
    context: str
    declared: tuple[Declared, ...]
    used: tuple[Used, ...]
    variables: Mapping[str, str]
    """Base image -> the build argument that names it."""
    role: str | None
    """What it is for, if that is certainly no Lambda function."""
    on_lambda: bool
    """Whether it is declared for a function, or built FROM one of Lambda's own images."""

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
    def unnamed(self) -> tuple[str, ...]:
        """The same functions with their places."""
        return tuple(f"{each.where} {name}" for each in self.declared for name in each.resources)

    @property
    def platform(self) -> str | None:
        """The declared platform, if all declarations agree."""
        platforms = {each.platform for each in self.declared}
        return platforms.pop() if len(platforms) == 1 else None


def _drafts(
    root: Path, path: str, declared: tuple[Declared, ...], notes: list[Problem]
) -> Iterator[_ProposalDraft]:
    try:
        parsed = read_dockerfile(root / path, path)
    except ConfigError as error:
        notes += (replace(each, hint="it is skipped; fix it and run again") for each in error.problems)
        return
    groups: dict[tuple[str | None, tuple[tuple[str, str], ...]], list[Declared]] = {}
    for each in declared:
        if each.dockerfile == path:
            groups.setdefault((each.target, tuple(sorted(each.args.items()))), []).append(each)
    for group in groups.values() or [[]]:
        yield _draft(root, parsed, tuple(group), notes)


def _draft(
    root: Path, parsed: Dockerfile, declared: tuple[Declared, ...], notes: list[Problem]
) -> _ProposalDraft:
    path = parsed.path
    args = dict(declared[0].args) if declared else {}
    target = declared[0].target if declared else None
    try:
        recipe = _resolved(parsed, target, args)
    except ConfigError as error:
        notes += error.problems
        recipe = None
    used = tuple(_used(recipe)) if recipe else ()
    return _ProposalDraft(
        dockerfile=path,
        context=_context(root, path, recipe or _sources_of(parsed, target, args), declared, notes),
        declared=declared,
        used=used,
        variables=_variables(parsed, recipe) if recipe else {},
        role=other_role(recipe) if recipe else None,
        on_lambda=any(each.deploys for each in declared) or (recipe is not None and on_runtime(recipe)),
    )


def _resolved(parsed: Dockerfile, target: str | None, args: Mapping[str, str]) -> Recipe:
    native = native_platform()
    return resolve(parsed, platform=native, build_platform=native, target=target, args=args)


def _sources_of(parsed: Dockerfile, target: str | None, args: Mapping[str, str]) -> Recipe | None:
    """Return the recipe of a Dockerfile with unknown bases: its COPY sources do not depend on them."""
    unset = {word: SCRATCH for each in parsed.header for word in each.words if "=" not in word}
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


def _outside(used: Iterable[Used], bases: Mapping[str, str]) -> Iterator[str]:
    """Yield names of external images: an image of that name would replace them."""
    for each in used:
        if each.reference.host is None and each.reference.repository not in bases:
            yield each.reference.repository


def _image(draft: _ProposalDraft, name: str, bases: Mapping[str, str], notes: list[Problem]) -> ImageProposal:
    return ImageProposal(
        name=name,
        dockerfile=draft.dockerfile,
        context=draft.context,
        platform=draft.platform,
        target=draft.target,
        args={**draft.args, **dict(_pointed(draft, bases, notes))},
        functions=draft.functions,
        unnamed=draft.unnamed,
    )


def _name(draft: _ProposalDraft, name: str, bases: Mapping[str, str], *, several: bool) -> str:
    """Return the name that others build FROM, else the declared name, else the Dockerfile's."""
    called = {slug(each.name) for each in draft.declared if each.name and slug(each.name)}
    if name in bases:
        return name
    if len(called) == 1:
        return called.pop()
    extra = draft.target or next(map(slug, draft.called), "")
    return f"{name}-{extra}" if several and extra else name


def _pointed(
    draft: _ProposalDraft, bases: Mapping[str, str], notes: list[Problem]
) -> Iterator[tuple[str, str]]:
    """Yield build arguments that replace an image in a registry by the image of the repository."""
    for each in draft.used:
        name = next((name for name in own_names(each.reference) if name in bases), None)
        if name is None or each.reference.host is None or bases[name] == draft.dockerfile:
            continue
        variable = draft.variables.get(str(each.reference))
        if variable:
            yield variable, f"{name}:stable"
        else:
            notes.append(
                Problem(
                    what=f"{each.reference} looks like {name} of this repository, but names a registry",
                    where=draft.dockerfile,
                    hint=f"ARG BASE_IMAGE={name}:stable before the first FROM, then FROM ${{BASE_IMAGE}}",
                )
            )
