"""``[tool.lamina]`` for a repository that has none: out of what was found in it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from lamina.adopt.contexts import find_context, fits
from lamina.adopt.declared import Declared
from lamina.adopt.naming import Used, match_bases, name_images, own_names, slug
from lamina.adopt.survey import RepositorySurvey
from lamina.declare.dockerfile import Dockerfile, read_dockerfile
from lamina.declare.machine import native_platform
from lamina.declare.recipe import SCRATCH, Recipe
from lamina.declare.resolve import resolve
from lamina.errors import ConfigError, Problem
from lamina.identify.tree import shown
from lamina.refs import Reference

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"\$\{?(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProposal:
    """One image as it would be declared; paths are relative to the repository."""

    name: str
    dockerfile: str
    context: str = "."
    platform: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be written. platform: of all images, where those that tell one agree. notes: to look at."""

    images: tuple[ImageProposal, ...]
    platform: str | None
    notes: tuple[Problem, ...]

    def render(self, *, header: bool = True) -> str:
        """The TOML text. header: whether ``[tool.lamina]`` itself may stand in it."""
        shared = self.platform if header else None
        lines = ["[tool.lamina]", f"platform = {_quoted(shared)}", ""] if shared else []
        for each in self.images:
            lines += [f"[tool.lamina.images.{_key(each.name)}]", f"dockerfile = {_quoted(each.dockerfile)}"]
            if each.context != ".":
                lines.append(f"context = {_quoted(each.context)}")
            if each.target:
                lines.append(f"target = {_quoted(each.target)}")
            if each.platform and each.platform != shared:
                lines.append(f"platform = {_quoted(each.platform)}")
            if each.functions:
                lines.append(f"functions = [{', '.join(map(_quoted, each.functions))}]")
            lines += (f"args.{_key(name)} = {_quoted(value)}" for name, value in each.args.items())
            lines.append("")
        return "\n".join(lines)


def propose(root: Path, found: RepositorySurvey) -> Proposal:
    """Name the images, join them, find their contexts. Dockerfiles that cannot be read are notes."""
    notes = list(found.notes)
    drafts = [draft for path in found.dockerfiles for draft in _drafts(root, path, found.declared, notes)]
    paths = tuple(dict.fromkeys(draft.dockerfile for draft in drafts))
    used = [each for draft in drafts for each in draft.used]
    bases = match_bases(paths, used)
    notes += (
        Problem(
            what=f"FROM {name}: several Dockerfiles fit: {', '.join(several)}",
            where=", ".join(sorted({each.by for each in used if name in own_names(each.reference)})),
            hint=f"call one of them {name} in [tool.lamina.images.{name}]",
        )
        for name, several in bases.unclear.items()
    )
    elsewhere = set(_outside(used, bases.made_by))
    names = name_images(paths, bases.made_by, repository=root.resolve().name, taken=elsewhere)
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
                what=f"for which platform is {each.name}? Others are for {' and '.join(sorted(platforms))}",
                where=each.dockerfile,
                hint=f'platform = "linux/arm64" in [tool.lamina.images.{each.name}]',
            )
            for each in images
            if not each.platform
        )
    return Proposal(images=tuple(images), platform=shared, notes=tuple(notes))


def _only_its_own(
    image: ImageProposal, others: Iterable[ImageProposal], notes: list[Problem]
) -> ImageProposal:
    """An image without the functions that another one is for: a function runs one image."""
    owners = {function: each.name for each in others for function in each.functions}
    taken = [each for each in image.functions if each in owners]
    notes += (
        Problem(
            what=f"the function {each} is for {image.name} as well as for {owners[each]}, which keeps it",
            where=image.dockerfile,
            hint="give each image its own: functions of [tool.lamina.images.<name>]",
        )
        for each in taken
    )
    return replace(image, functions=tuple(each for each in image.functions if each not in taken))


def _free(name: str, known: set[str]) -> str:
    numbered = (f"{name}-{number}" for number in count(2))
    return name if name not in known else next(each for each in numbered if each not in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProposalDraft:
    """One way in which a Dockerfile is built: of several declarations each is one."""

    dockerfile: str
    context: str
    declared: tuple[Declared, ...]
    used: tuple[Used, ...]
    variables: Mapping[str, str]
    """Image that it builds FROM -> the build argument that names it."""

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
        """Those that it serves."""
        return tuple(dict.fromkeys(name for each in self.declared for name in each.functions))

    @property
    def platform(self) -> str | None:
        """What the declarations agree on."""
        told = {each.platform for each in self.declared}
        return told.pop() if len(told) == 1 else None


def _drafts(
    root: Path, path: str, declared: tuple[Declared, ...], notes: list[Problem]
) -> Iterator[_ProposalDraft]:
    try:
        parsed = read_dockerfile(root / path, path)
    except ConfigError as error:
        notes += (replace(each, hint="mend it and run again; it is left out") for each in error.problems)
        return
    groups: dict[tuple[Any, ...], list[Declared]] = {}
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
    )


def _resolved(parsed: Dockerfile, target: str | None, args: Mapping[str, str]) -> Recipe:
    here = native_platform()
    return resolve(parsed, platform=here, build_platform=here, target=target, args=args)


def _sources_of(parsed: Dockerfile, target: str | None, args: Mapping[str, str]) -> Recipe | None:
    """The recipe of a Dockerfile whose bases are not known: what it copies does not depend on them."""
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
    """The folder that holds all sources; of several the one that the infrastructure names."""
    told = sorted({each.context for each in declared if each.context})
    if recipe is None or not any(source.context is None for source in recipe.sources):
        return told[0] if told else "."
    fitting = [folder for folder in told if fits(root, folder, recipe)]
    if len(fitting) > 1:
        notes.append(Problem(what=f"is built in several contexts: {', '.join(fitting)}", where=path))
    if fitting:
        return fitting[0]
    found = find_context(root, path, recipe)
    if told and found.missing:
        return told[0]
    if told:
        what = f"context {found.folder} is a guess: {', '.join(told)}, which is named, lacks what is copied"
        notes.append(Problem(what=what, where=", ".join(sorted({each.where for each in declared}))))
    if found.others:
        what = (
            f"context {found.folder} is a guess: all that is copied is in {', '.join(found.others)} as well"
        )
        notes.append(Problem(what=what, where=path))
    if found.missing:
        source, first = found.missing[0]
        more = f" and {len(found.missing) - 1} more" if len(found.missing) > 1 else ""
        notes.append(
            Problem(
                what=f"context {found.folder} is a guess: no folder on the way has {shown(first)}{more}",
                where=recipe.dockerfile.where(source.line),
                hint="name the context, or make what is copied before the build",
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
    """The build arguments by which stages name what they are FROM."""
    declared = {word.partition("=")[0] for each in parsed.header for word in each.words}
    found = ((stage.base, _VARIABLE.match(stage.stage.base)) for stage in recipe.stages)
    return {base: name[1] for base, name in found if name and name[1] in declared}


def _outside(used: Iterable[Used], bases: Mapping[str, str]) -> Iterator[str]:
    """Names of images from elsewhere: an image of that name would take their place."""
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
    )


def _name(draft: _ProposalDraft, name: str, bases: Mapping[str, str], *, several: bool) -> str:
    """What others build FROM, what its declaration calls it, else the name of its Dockerfile."""
    called = {slug(each.name) for each in draft.declared if each.name and slug(each.name)}
    if name in bases:
        return name
    if len(called) == 1:
        return called.pop()
    extra = draft.target or next(map(slug, draft.functions), "")
    return f"{name}-{extra}" if several and extra else name


def _pointed(
    draft: _ProposalDraft, bases: Mapping[str, str], notes: list[Problem]
) -> Iterator[tuple[str, str]]:
    """Build arguments that name an image of the repository, for Dockerfiles that name it in a registry."""
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


def added_to(text: str, proposal: Proposal) -> str:
    """A ``pyproject.toml`` with the proposal behind it, all else byte for byte. Raises ConfigError.

    text: what is there; empty when there is no file.
    """
    has_table = "lamina" in tomllib.loads(text).get("tool", {}) if text else False
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    new = text + gap + proposal.render(header=not has_table).rstrip("\n").replace("\n", end) + end
    try:
        tomllib.loads(new)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError.of(
            f"the images cannot be added to what is there: {error}",
            where="pyproject.toml",
            hint="add the tables that are shown by hand",
        ) from None
    return new


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str | None) -> str:
    """A TOML string; JSON's escapes are TOML's."""
    return json.dumps(text or "", ensure_ascii=False)
