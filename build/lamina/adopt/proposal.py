"""Propose ``[tool.lamina]`` for a repository that has none, from its survey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from lamina.adopt.drafts import ImageDraft, UnnamedFunction, read_drafts
from lamina.adopt.naming import Used, match_bases, name_images, own_names, says_nothing, slug
from lamina.adopt.role import workplace
from lamina.adopt.survey import RepositorySurvey
from lamina.adopt.unbuilt import function_notes, match_functions
from lamina.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProposal:
    """An image as it would be declared; paths are relative to the repository.

    Attributes:
        stacked: CloudFormation stack and id of each function that is found by them.
        unnamed: those whose names only the deployment gives.
        commands: name or id of a function -> what replaces the image's CMD there.
    """

    name: str
    dockerfile: str
    context: str = "."
    platform: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    stacked: tuple[tuple[str, str], ...] = ()
    unnamed: tuple[UnnamedFunction, ...] = ()
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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


def left_out(root: Path, found: RepositorySurvey) -> dict[str, Problem]:
    """Return the Dockerfiles that `propose` leaves out, with the notes that say why."""
    notes: list[Problem] = []
    _functions_only(_drafts(root, found, [], {}), found, notes)
    return {each.where: each for each in notes if each.where}


def propose(root: Path, found: RepositorySurvey, texts: Mapping[str, str] | None = None) -> Proposal:
    """Propose names, bases and contexts. Dockerfiles that cannot be read become notes.

    texts: of Dockerfiles that are not written yet, by path.
    """
    notes = list(found.notes)
    matched = match_functions(
        found.unbuilt, found.dockerfiles, found.declared, repository=root.resolve().name
    )
    found = replace(found, declared=matched.declared)
    drafts = _functions_only(_drafts(root, found, notes, texts or {}), found, notes)
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
    notes += function_notes(matched, _idle(images, bases.made_by))
    if shared and (
        assumed := [each.name for each in images if not each.platform and each.name not in bases.made_by]
    ):
        why = (
            f"platform {shared} of the other images is assumed for {', '.join(assumed)}: no file names theirs"
        )
        notes.append(Problem(what=why, hint="platform in [tool.lamina.images.<name>] if it is another"))
    return Proposal(images=tuple(images), platform=shared, notes=tuple(notes))


def _idle(images: Iterable[ImageProposal], bases: Mapping[str, str]) -> tuple[str, ...]:
    """Return the Dockerfiles of images that no function runs."""
    return tuple(
        dict.fromkeys(
            each.dockerfile
            for each in images
            if not (each.functions or each.stacked or each.unnamed) and each.name not in bases
        )
    )


def _drafts(
    root: Path, found: RepositorySurvey, notes: list[Problem], texts: Mapping[str, str]
) -> list[ImageDraft]:
    return [
        draft
        for path in found.dockerfiles
        for draft in read_drafts(root, path, found.declared, notes, texts.get(path))
    ]


def _functions_only(
    drafts: list[ImageDraft], found: RepositorySurvey, notes: list[Problem]
) -> list[ImageDraft]:
    """Return the drafts without those that make zip files, and if any is for Lambda, those that do not."""
    zipped = {each.dockerfile: each.where for each in found.assets}
    some = any(draft.on_lambda for draft in drafts)
    paths = tuple(dict.fromkeys(draft.dockerfile for draft in drafts))
    bases = match_bases(paths, [each for draft in drafts for each in draft.used]).made_by.values()
    kept = []
    for draft in drafts:
        program = zipped.get(draft.dockerfile)
        role = f"{program} takes its files for a zip file" if program else workplace(draft.dockerfile)
        role = role or (draft.role if some else None)
        if some and role is None and draft.lacks_sources and not draft.on_lambda:
            role = "nothing says that it is for Lambda, and files that it copies are missing"
        if role is None or draft.deployed or draft.dockerfile in bases:
            kept.append(draft)
            continue
        notes[:] = [each for each in notes if (each.where or "").partition(":")[0] != draft.dockerfile]
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


def _outside(used: Iterable[Used], bases: Mapping[str, str]) -> Iterator[str]:
    """Yield names of external images: an image of that name would replace them."""
    for each in used:
        if each.reference.host is None and each.reference.repository not in bases:
            yield each.reference.repository


def _image(draft: ImageDraft, name: str, bases: Mapping[str, str], notes: list[Problem]) -> ImageProposal:
    if len(draft.platforms) > 1:
        both = f"one image cannot serve functions of {' and '.join(draft.platforms)}"
        first = next(each.where for each in draft.declared if each.platform)
        notes.append(
            Problem(
                what=f"{both}: {draft.platform} is taken, as in {first}",
                where=draft.dockerfile,
                hint="give its functions one architecture, or declare an image for each platform",
            )
        )
    return ImageProposal(
        name=name,
        dockerfile=draft.dockerfile,
        context=draft.context,
        platform=draft.platform,
        target=draft.target,
        args={**draft.args, **dict(_pointed(draft, bases, notes))},
        functions=draft.functions,
        stacked=draft.stacked,
        unnamed=draft.unnamed,
        commands=draft.commands,
    )


def _name(draft: ImageDraft, name: str, bases: Mapping[str, str], *, several: bool) -> str:
    """Return the name that others build FROM, else a declared name that says something, else the file's."""
    declared = {slug(each.name) for each in draft.declared if each.name}
    called = {each for each in declared if each and not says_nothing(each)}
    if name in bases:
        return name
    if len(called) == 1:
        return called.pop()
    extra = draft.target or next(map(slug, draft.called), "")
    return f"{name}-{extra}" if several and extra else name


def _pointed(draft: ImageDraft, bases: Mapping[str, str], notes: list[Problem]) -> Iterator[tuple[str, str]]:
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
