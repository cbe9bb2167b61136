"""The rule about installs that several images repeat, and the base image that its fix writes."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from lamina.declare.machine import native_platform
from lamina.declare.pip import Install
from lamina.declare.script import Word
from lamina.identify.fingerprint import distribution
from lamina.identify.image import STABLE
from lamina.lint.findings import Edit, Fix, Hit
from lamina.lint.installs import listed
from lamina.lint.remove_installs import removal, removed
from lamina.lint.rule import LintRule
from lamina.lint.split_installs import CONTINUED
from lamina.lint.steps import CopiedPath, RunStep, hit
from lamina.lint.survey import LintInput
from lamina.report.figures import size

_MANY = 2
_HARMLESS = frozenset({"COPY", "ADD", "LABEL", "EXPOSE", "CMD", "ENTRYPOINT"})
"""Instructions before an install that do not change what it does."""
_PATHS = ("-r", "--requirement", "-c", "--constraint")
Call = tuple[RunStep, Install]


def _same_installs(survey: LintInput) -> Iterator[Hit]:
    alike: defaultdict[frozenset[str], list[Call]] = defaultdict(list)
    for step, install in survey.installs:
        held = survey.provided[step.image.name]
        names = {distribution(line) for line in survey.required(step, install)} - held.distributions.keys()
        folders = (survey.package(step, word.text) for word in install.folders)
        names |= {each.name for each in folders if each and each.folder not in held.folders}
        if names and step.in_image:
            alike[frozenset(names)].append((step, install))
    for packages, calls in alike.items():
        images = sorted({step.image.name for step, _ in calls})
        if len(images) >= _MANY and len(packages) >= _MANY:
            yield hit(
                calls[0][0],
                message=f"{len(images)} images ({listed(images)}) install the same {len(packages)} packages "
                f"({listed(sorted(packages))})" + _cost(survey, images, [step for step, _ in calls]),
                fix=_with_base(survey, images, calls),
                hint="make a base image that installs them, and build each of these FROM base-…",
            )


def _cost(survey: LintInput, images: Sequence[str], steps: Iterable[RunStep]) -> str:
    """Return what the installs took in their last runs and made in their last cold builds, if known."""
    known = {step.image.name: step for step in steps}
    seconds = [survey.seconds_of(name, _line(step)) for name, step in known.items()]
    layers = [survey.made.get(name) for name in images]
    told = []
    if all(seconds):
        told.append(f"their steps took {sum(filter(None, seconds)):.0f} s in their last runs")
    if all(layers):
        told.append(f"their last cold builds made {size(sum(filter(None, layers)))}")
    return "".join(f"; {each}" for each in told)


def _line(step: RunStep) -> str:
    return " ".join(("RUN", *step.instruction.flags, *step.instruction.words))


def _with_base(survey: LintInput, images: Sequence[str], calls: Sequence[Call]) -> Fix | None:
    """Return a new base image with the install, and the images built from it; None if it is not certain.

    All images must be built from the same image, and call pip alike for the same files, first of all.
    """
    first, install = calls[0]
    written = _text(first, install)
    sources = _sources(first, install)
    specs = [step.image.node.spec for step, _ in calls]
    default = survey.project.settings
    if sources is None or len(calls) != len(images):
        return None
    if any(not _is_simple(step, each) or _text(step, each) != written for step, each in calls):
        return None
    if any(_keys(_sources(step, each)) != _keys(sources) for step, each in calls):
        return None
    if {step.stage.stage.base for step, _ in calls} != {first.stage.stage.base}:
        return None
    usual = (posixpath.normpath(default.context), default.platform or native_platform(), None)
    if any((each.context_path or ".", each.platform, each.target) != usual for each in specs):
        return None
    name = f"base-{_named(survey, first, install)}"
    path = posixpath.join(default.dockerfiles, name, "Dockerfile")
    if name in survey.images or (survey.project.root / path).exists():
        return None
    edits = [_from(step, name) for step, _ in calls]
    without = [removal(step, _folders(step, each)) if each.folders else () for step, each in calls]
    if None in without or None in edits:
        return None
    lines = tuple(_dockerfile(first, install, sources, images))
    base = Edit(file=path, start=1, end=1, lines=lines)
    return (base, *filter(None, edits), *chain.from_iterable(filter(None, without)))


def _is_simple(step: RunStep, install: Install) -> bool:
    """Whether nothing but files that are copied decides what an install does, and it comes first."""
    stage = step.stage.stage
    before = [each for each in stage.instructions if each.line < step.instruction.line]
    others = [each for each in step.script.commands if each.start < install.command.start]
    local = step.image.node.recipe.dockerfile.stage(stage.base) is not None
    plain = step.root and step.script.editable and not step.other_shell and not step.steered
    return (
        plain
        and install.command.top
        and not local
        and "$" not in stage.base
        and all(each.name in _HARMLESS for each in before)
        and not others
        and all("cache" in flag for flag in step.instruction.flags_of("mount"))
        and not any(word.text.startswith("-e") for word in install.command.words)
    )


def _text(step: RunStep, install: Install) -> str:
    text = step.script.text[install.command.start : install.command.end]
    return " ".join(CONTINUED.sub(" ", text).split())


def _words(install: Install) -> list[str]:
    """Return the paths that an install names."""
    return [*(word.text for word in install.folders), *install.values(*_PATHS)]


def _sources(step: RunStep, install: Install) -> tuple[CopiedPath, ...] | None:
    """Return where the files of an install come from; None if one is not copied alone."""
    places = [step.place_of(word) for word in _words(install)]
    known = [each for each in places if each is not None and each.copy is not None and "[" not in each.path]
    return tuple(known) if len(known) == len(places) else None


def _keys(sources: tuple[CopiedPath, ...] | None) -> set[tuple[str, str]] | None:
    return None if sources is None else {(each.source, each.path) for each in sources}


def _folders(step: RunStep, install: Install) -> dict[Word, CopiedPath]:
    places = {word: step.place_of(word.text) for word in install.folders}
    return {word: place for word, place in places.items() if place is not None}


def _named(survey: LintInput, step: RunStep, install: Install) -> str:
    """Return the name of a package to call the base by: the last local one, which may need the others."""
    own = [package.name for word in install.folders if (package := survey.package(step, word.text))]
    return (own or sorted(distribution(line) for line in survey.required(step, install)))[-1]


def _from(step: RunStep, name: str) -> Edit | None:
    """Return the edit that builds a stage from the base."""
    dockerfile, stage = step.image.node.recipe.dockerfile, step.stage.stage
    line = dockerfile.text.split("\n")[stage.line - 1].removesuffix("\r")
    if line.split().count(stage.base) != 1:
        return None
    new = line.replace(stage.base, f"{name}:{STABLE}")
    return Edit(file=dockerfile.path, start=stage.line, end=stage.line + 1, lines=(new,))


def _dockerfile(
    step: RunStep, install: Install, sources: Iterable[CopiedPath], images: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of the base: the instructions of the first image that the install needs."""
    yield f"# What {listed([*images])} install alike."
    yield f"FROM {step.stage.stage.base}"
    paths = {each.path: each.source for each in sources}
    folders = {place.path for place in _folders(step, install).values()}
    for path, source in paths.items():
        end = "/" if path in folders else ""
        yield f"COPY {source or '.'}{end} {path}{end}"
    flags = "".join(f"{flag} " for flag in step.instruction.flags)
    gone = [path for path in paths if path in removed(step)]
    yield f"RUN {flags}{_text(step, install)}" + (f" && rm -rf {' '.join(gone)}" if gone else "")


RULES = (
    LintRule(
        id="LAM108",
        slug="same-installs",
        severity="note",
        summary="several images each install the same packages",
        why="a shared base would install them once, and its layers would be stored and pulled once",
        fixes="if asked for by `--select LAM108`: writes that base, builds the images FROM it and removes "
        "packages of the repository from their installs",
        find=_same_installs,
        fixed_if_selected=True,
    ),
)
