"""Whether packages that one stage installs run in the image that ships them: C library, Python, machine."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from lamina.declare.dockerfile import Instruction
from lamina.declare.machine import OF_THE_IMAGE, family
from lamina.declare.pip import Install
from lamina.errors import Certainty
from lamina.patterns import regex
from lamina.preflight.bases import Base
from lamina.preflight.compiled import COMPILED
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.requirements import installed_names
from lamina.preflight.view import ImageView, RunView, StageView, words_of
from lamina.preflight.wheels import MACHINES, chosen, loads, locked_archives, machine_of
from lamina.preflight.workspace import locked_names
from lamina.values import dataclass

SYSTEM = Rule(
    id="LAM626",
    slug="other-system",
    summary="packages installed for another C library, Python or machine than the image's",
    why="their compiled modules do not load",
    logs=(
        r"version `GLIBC_[\d.]+' not found",
        r"Error relocating \S+: \S+: symbol not found",
        r"libc\.musl-\S+: cannot open shared object file",
        r"No module named '[\w.]+\.(?:_\w+|\w+\._\w+)'",
        r"invalid ELF header",
    ),
    advice="install in a stage of the image's own base, or with --platform/--python-version of it",
)
RULES = (SYSTEM,)
_NEW_WHEELS = frozenset(
    {"cryptography", "pyarrow", "polars", "torch", "pandas", "numpy", "scipy", "scikit-learn"}
)
"""Distributions whose wheels for `manylinux_2_28` are chosen where the system allows them."""
_OF_ENVIRONMENT = regex(r"(/.*)/bin/(?:pip|python)[\d.]*")
_SYSTEM_FOLDERS = frozenset({"/usr", "/usr/local", "/var/lang"})
_OLD_GLIBC = (2, 28)
_SOURCE_BUILD = regex(r"--no-binary|--no-build-isolation|setup\.py\s+(?:build|install)|--compile-source")
_PROJECT_TOOLS = frozenset(
    {"uv sync", "poetry install", "pipenv install", "pipenv sync", "pdm install", "pdm sync"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Installed:
    """What a stage installs. built: whether any of it is built from source."""

    step: RunView
    names: frozenset[str]
    built: bool
    targets: tuple[str, ...]
    for_platform: bool
    for_python: bool


def library_faults(view: ImageView) -> Iterator[Fault]:
    """Yield installs of another stage that do not fit the image."""
    if not view.is_lambda:
        return
    for instruction, origin in _copies_of_stages(view):
        if origin.base == view.base or origin.base.system is None or view.base.system is None:
            continue
        for each in _installed(view, origin):
            if any(_brings(word, each) for word in instruction.words[:-1]):
                yield from _misfits(view, origin.base, each, instruction.line)
    yield from _options(view)


def builder_faults(view: ImageView, builder: str) -> Iterator[Fault]:
    """Yield installs on the build machine's platform that an image for another platform gets.

    Never certain: the engine may be on a machine of another platform than this one.

    Args:
        builder: The platform of the build machine, such as ``linux/amd64``; or `OF_THE_IMAGE`.
    """
    platform = family(view.image.node.spec.platform)
    if (
        not view.is_lambda
        or builder == OF_THE_IMAGE
        or platform == family(builder)
        or platform not in MACHINES
    ):
        return
    for instruction, origin in _copies_of_stages(view):
        if not _on_builder(view, origin):
            continue
        for each in _installed(view, origin):
            if not each.for_platform and any(_brings(word, each) for word in instruction.words[:-1]):
                yield _for_builder(view, each, builder, platform)


def _copies_of_stages(view: ImageView) -> Iterator[tuple[Instruction, StageView]]:
    """Yield each COPY of the image from another of its stages, and that stage."""
    recipe = view.image.node.recipe
    for instruction in recipe.instructions:
        source = instruction.flag("from") if instruction.name == "COPY" else None
        stage = recipe.dockerfile.stage(source) if source else None
        if stage is not None and stage.index in view.stages:
            yield instruction, view.stages[stage.index]


def _on_builder(view: ImageView, stage: StageView) -> bool:
    """Whether a stage is for the platform of the build machine."""
    written = stage.stage.platform
    if written is not None:
        return "BUILDPLATFORM" in written
    below = view.image.node.recipe.dockerfile.stage(stage.stage.base)
    earlier = view.stages.get(below.index) if below and below.index < stage.stage.stage.index else None
    return earlier is not None and _on_builder(view, earlier)


def _for_builder(view: ImageView, each: _Installed, builder: str, platform: str) -> Fault:
    compiled = sorted(each.names & COMPILED)
    named = f" ({', '.join(compiled[:3])}{', …' if len(compiled) > 3 else ''})" if compiled else ""
    machine = MACHINES[platform]
    return view.fault(
        SYSTEM,
        line=each.step.instruction.line,
        message=f"this step installs for {builder}, the build machine's platform, and {view.name} is for "
        f"{platform}: compiled packages{named} from there do not load",
        hint=f"pip install --platform manylinux2014_{machine} --only-binary=:all:, "
        f"or with uv --python-platform {machine}-manylinux2014",
        certainty="likely",
        unless=f"the builder's machine is {platform}" if compiled else "no package has compiled modules",
    )


def _installed(view: ImageView, stage: StageView) -> Iterator[_Installed]:
    """Yield what the steps of a stage install."""
    for step in view.runs:
        if step.text not in stage.text or step.base != stage.base:
            continue
        calls = list(step.installs)
        tools = [
            " ".join((posixpath.basename(words[0]), *words[1:2]))
            for words in map(words_of, step.commands)
            if words
        ]
        if not calls and not any(each in _PROJECT_TOOLS for each in tools):
            continue
        targets = [
            value
            for call, _, _ in calls
            for value in call.values("-t", "--target", "--prefix", "--root") or _environment(call)
        ]
        yield _Installed(
            step=step,
            names=installed_names(view, step) if calls else locked_names(view, step),
            built=_SOURCE_BUILD.search(step.text) is not None,
            targets=tuple(filter(None, (step.path(each) for each in targets))),
            for_platform=any(call.values("--platform", "--python-platform") for call, _, _ in calls)
            or (not calls and "--python-platform" in step.text)
            or step.set("PIP_PLATFORM") is not None,
            for_python=any(call.values("--python-version") for call, _, _ in calls),
        )


def _environment(call: Install) -> tuple[str, ...]:
    """Return the virtual environment whose own pip is called, as in ``/opt/venv/bin/pip install``."""
    for word in call.command.words:
        found = _OF_ENVIRONMENT.fullmatch(word.text)
        if found and found[1] not in _SYSTEM_FOLDERS:
            return (found[1],)
    return ()


def _brings(word: str, each: _Installed) -> bool:
    """Whether a copied path has what a step installs."""
    path = each.step.path(word)
    if path is None:
        return False
    named = any(
        f"{path}/".startswith(f"{target}/") or f"{target}/".startswith(f"{path}/") for target in each.targets
    )
    environment = each.step.set("UV_PROJECT_ENVIRONMENT")
    own = {environment and each.step.path(environment), f"{each.step.sees.workdir.rstrip('/')}/.venv"}
    return named or "-packages" in path or (not each.targets and path in own)


def _misfits(view: ImageView, base: Base, each: _Installed, line: int) -> Iterator[Fault]:
    locked = {} if each.targets else locked_archives(view, each.step)
    if locked and not each.built and None not in {base.python, view.base.python}:
        yield from _locked_misfits(view, base, locked, line)
        return
    compiled = sorted(each.names & COMPILED)
    newer = base.glibc is not None and view.base.glibc is not None and base.glibc > view.base.glibc
    if (
        not each.for_platform
        and "alpine" in {base.system, view.base.system}
        and base.system != view.base.system
    ):
        what = "musl" if base.system == "alpine" else "glibc"
        yield _fault(
            view, line, f"{base.name} has another C library ({what}) than {view.base.name}", compiled
        )
    elif newer and (each.built or (not each.for_platform and _chosen(view, base, each))):
        picked = compiled if each.built else sorted(each.names & _NEW_WHEELS)
        versions = f"glibc {_text(base.glibc)}, and {view.base.name} has {_text(view.base.glibc)}"
        yield _fault(view, line, f"{base.name} has {versions}", picked, sure=each.built)
    if base.python and view.base.python and base.python != view.base.python and not each.for_python:
        versions = f"python{_text(base.python)}, and {view.base.name} has python{_text(view.base.python)}"
        yield _fault(view, line, f"{base.name} has {versions}", compiled)


def _locked_misfits(
    view: ImageView, base: Base, locked: Mapping[str, tuple[str, ...]], line: int
) -> Iterator[Fault]:
    """Yield wheels that uv takes in a stage, and that the image cannot load."""
    machine = machine_of(view)
    picked = (chosen(archives, base, machine) for archives in locked.values())
    wrong = sorted(each for each in picked if each and not loads(each, view.base, machine))
    if wrong:
        yield view.fault(
            SYSTEM,
            line=line,
            message=f"uv installs {', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''} in {base.name}: "
            f"{view.base.name} cannot load {'it' if len(wrong) == 1 else 'them'}",
            hint=f"install in a stage FROM {view.base.name}",
            certainty="likely",
            unless="the function does not import what is compiled",
        )


def _chosen(view: ImageView, base: Base, each: _Installed) -> bool:
    """Whether pip chooses wheels there that the image's older C library cannot load."""
    old = view.base.glibc is not None and view.base.glibc < _OLD_GLIBC
    return old and (base.glibc or (0, 0)) >= _OLD_GLIBC and bool(each.names & _NEW_WHEELS)


def _fault(view: ImageView, line: int, fact: str, compiled: list[str], *, sure: bool = False) -> Fault:
    named = f" ({', '.join(compiled[:3])}{', …' if len(compiled) > 3 else ''})" if compiled else ""
    certainty: Certainty = "likely" if compiled or sure else "hint"
    return view.fault(
        SYSTEM,
        line=line,
        message=f"{fact}: compiled packages{named} from there do not load in {view.name}",
        hint=f"install in a stage FROM {view.base.name}",
        certainty=certainty,
        unless="the packages have wheels that run on both" if compiled else "no package has compiled modules",
    )


def _text(version: tuple[int, int] | None) -> str:
    return ".".join(map(str, version or ()))


def _options(view: ImageView) -> Iterator[Fault]:
    """Yield options of pip that name another Python or machine than the image's."""
    machine = family(view.image.node.spec.platform)
    other = {"linux/amd64": ("aarch64", "arm64"), "linux/arm64": ("x86_64", "amd64")}.get(machine, ())
    for step in view.runs:
        for call, _, _ in step.installs:
            if not call.values("-t", "--target") and not step.in_image:
                continue
            yield from _option(view, step, call, other)


def _option(view: ImageView, step: RunView, call: Install, other: tuple[str, ...]) -> Iterator[Fault]:
    for value in call.values("--platform", "--python-platform"):
        if any(name in value for name in (*other, "macos", "win")):
            yield _wrong_option(
                view, step, f"installs for {value}, and {view.name} is for {view.image.node.spec.platform}"
            )
    for value in call.values("--python-version"):
        numbers = re.fullmatch(r"(\d)\.?(\d+)(?:\.\d+)?", value)
        asked = (int(numbers[1]), int(numbers[2])) if numbers else None
        if asked and view.base.python and asked != view.base.python:
            yield _wrong_option(
                view, step, f"installs for Python {value}, and {view.base.name} has {_text(view.base.python)}"
            )


def _wrong_option(view: ImageView, step: RunView, fact: str) -> Fault:
    return view.fault(
        SYSTEM,
        line=step.instruction.line,
        message=f"this step {fact}",
        hint="name the image's own Python and platform, or leave the option out",
        certainty="likely",
        unless="no package has compiled modules",
    )
