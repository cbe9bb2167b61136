"""Find what fails when Lambda starts functions; each cause is reported once for all its images. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lamina.errors import Problem
from lamina.identify.image import Image
from lamina.identify.layout import TASK_ROOT
from lamina.identify.missing import ImportFault
from lamina.identify.runnable import Lacking, Runnable
from lamina.identify.wheel import Dropped

UNRUNNABLE = frozenset({"LAM601", "unrunnable"})
"""The lint rule, by id and name, that reports the same as `unrunnable`: ignoring it switches off both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """One fault in one image. key: equal for the same fault in every image."""

    key: tuple[object, ...]
    image: Image
    fault: ImportFault | Lacking


def unrunnable(found: Mapping[str, tuple[Image, Runnable]]) -> Iterator[Problem]:
    """Yield modules, handlers, packages and files missing in images. Only certain ones must fail a build."""
    causes: dict[tuple[object, ...], list[_Cause]] = {}
    for image, runnable in found.values():
        if runnable.shell is not None:
            yield _shell(image, " ".join(runnable.shell.words), runnable.shell.line)
        for each in _causes(image, runnable):
            causes.setdefault(each.key, []).append(each)
    for same in causes.values():
        yield _problem(same)


def _shell(image: Image, words: str, line: int) -> Problem:
    return Problem(
        what=f"CMD {words} of {image.name} is in shell form, and Lambda's entrypoint gets a shell",
        where=image.node.recipe.dockerfile.where(line),
        hint=f'CMD ["{_handler_in(words)}"]',
    )


def _handler_in(words: str) -> str:
    """Return the handler that a CMD in shell form means, also if it is a list in single quotes."""
    listed = re.fullmatch(r"\[\s*(\W)([\w./-]+)\W\s*,?\s*\]", words)
    return listed[2] if listed else words


def _causes(image: Image, runnable: Runnable) -> Iterator[_Cause]:
    for fault in runnable.imports:
        own = (image.name,) if fault.importer is None or fault.local is None else ()
        key = (*own, fault.importer, fault.line, fault.missing, fault.local, fault.certainty)
        yield _Cause(key=key, image=image, fault=fault)
    for lacking in runnable.lacking:
        pair = (lacking.project.folder, lacking.required.folder, lacking.certainty)
        yield _Cause(key=pair, image=image, fault=lacking)


def _problem(same: list[_Cause]) -> Problem:
    images, fault = [each.image for each in same], same[0].fault
    if isinstance(fault, Lacking):
        return _lacking(images, fault)
    if fault.dropped is not None:
        return _dropped(images, fault, fault.dropped)
    if fault.importer is None or fault.local is None:
        return _command(images[0], fault)
    return _import(images, fault)


def _names(images: list[Image]) -> str:
    """Join the names of the images: ``a``, ``a and b``, ``a, b and c``."""
    *most, last = [each.name for each in images]
    return f"{', '.join(most)} and {last}" if most else last


def _dockerfiles(images: list[Image]) -> str:
    return ", ".join(each.node.spec.dockerfile_path for each in images)


def _lacking(images: list[Image], fault: Lacking) -> Problem:
    image, required = images[0], fault.required
    hold = "hold" if len(images) > 1 else "holds"
    return Problem(
        what=f"{_names(images)} {hold} {fault.project.name} but not {required.name}, which it requires",
        where=image.project_path_of(f"{fault.project.folder}/pyproject.toml"),
        allowed=f"{required.name} from {image.project_path_of(required.folder)}",
        hint=f"build {_dockerfiles(images)} FROM an image that holds it, "
        f"or COPY {image.in_context(required.folder)}",
        certainty=fault.certainty,
        unless=fault.unless,
    )


def _dropped(images: list[Image], fault: ImportFault, dropped: Dropped) -> Problem:
    """Return the problem for a file that is in the project but not in its wheel."""
    image = images[0]
    does = "opens" if fault.opened else "imports"
    where = f"{image.project_path_of(dropped.file)}:{dropped.line}"
    return Problem(
        what=f"{does} {fault.missing}, which is not in {_names(images)}: the wheel of {dropped.project} "
        f"leaves {image.project_path_of(fault.local or '')} out ({where}: {dropped.setting})",
        where=f"{image.project_path_of(fault.importer or '')}:{fault.line}",
        hint=f"in {where}: {dropped.fix}",
        certainty=fault.certainty,
        unless=fault.unless,
    )


def _command(image: Image, fault: ImportFault) -> Problem:
    """Return the problem for a command that names a missing module or function."""
    dockerfile = image.node.spec.dockerfile_path
    instruction = image.node.recipe.command_at
    own = instruction is not None and instruction.words == (fault.command,)
    cmd = image.node.recipe.dockerfile.where(instruction.line) if instruction and own else None
    says = f"CMD of {image.name} names" if own else f"{fault.command}, a command of {image.name}, names"
    fix = f"did you mean {fault.nearest}?" if fault.nearest else None
    if fault.importer is None and fault.held:
        what = f"{says} module {fault.missing}, which is where Lambda does not look: {fault.held}"
        fix = (
            f"COPY it to {TASK_ROOT}/{fault.missing.replace('.', '/')}.py, or name its folder in the command"
        )
    elif fault.importer is None:
        what = f"{says} module {fault.missing}, which is not in the image"
        fix = fix or (f"COPY {image.in_context(fault.local)} into it" if fault.local else None)
    else:
        what = f"{says} a function that is not in {image.project_path_of(fault.importer)}: {fault.missing}"
        fix = fix or "fix the command, or write the function"
    return Problem(
        what=what,
        where=cmd or (dockerfile if own else image.node.spec.source),
        hint=fix,
        certainty=fault.certainty,
        unless=fault.unless,
    )


def _import(images: list[Image], fault: ImportFault) -> Problem:
    image, local = images[0], fault.local or ""
    return Problem(
        what=f"imports {fault.missing}, which is not in {_names(images)}: {image.project_path_of(local)}",
        where=f"{image.project_path_of(fault.importer or '')}:{fault.line}",
        hint=f"COPY {image.in_context(local)} in {_dockerfiles(images)}",
        certainty=fault.certainty,
        unless=fault.unless,
    )
