"""All rules about images that fail on Lambda, and the faults of images."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from lamina.declare.machine import native_platform
from lamina.declare.switches import is_off
from lamina.identify.image import Image
from lamina.identify.layout import StageLayouts
from lamina.identify.readings import Readings
from lamina.identify.runnable import Runnable
from lamina.preflight import (
    closure,
    command,
    entry_script,
    environment,
    environments,
    landing,
    libraries,
    needs,
    places,
    pointers,
    pythons,
    requirements,
    source,
    tools,
    wheels,
    workspace,
)
from lamina.preflight.fault import Fault, Rule
from lamina.preflight.view import ImageView, view_images

_SUBJECTS = (
    command,
    entry_script,
    environment,
    tools,
    requirements,
    pythons,
    wheels,
    workspace,
    closure,
    libraries,
    places,
    landing,
    environments,
    source,
    needs,
    pointers,
)
RULES: tuple[Rule, ...] = tuple(
    sorted((rule for each in _SUBJECTS for rule in each.RULES), key=lambda each: each.id)
)
_CHECKS: tuple[Callable[[ImageView], Iterator[Fault]], ...] = (
    command.command_faults,
    entry_script.script_faults,
    environment.variable_faults,
    tools.program_faults,
    tools.option_faults,
    tools.key_faults,
    requirements.lost_faults,
    requirements.moving_faults,
    pythons.version_faults,
    wheels.wheel_faults,
    workspace.member_faults,
    closure.closure_faults,
    libraries.library_faults,
    places.unused_faults,
    places.private_faults,
    places.emptied_faults,
    places.shadow_faults,
    landing.landing_faults,
    environments.environment_faults,
    source.source_faults,
    needs.need_faults,
    pointers.pointer_faults,
)


def check_images(
    images: Mapping[str, Image],
    layouts: Mapping[str, StageLayouts],
    found: Mapping[str, Runnable],
    *,
    off: Collection[str] = (),
    today: datetime.date | None = None,
    builder: str | None = None,
    readings: Readings | None = None,
) -> Mapping[str, tuple[Fault, ...]]:
    """Return the faults of the images whose functions were checked.

    off: rules to leave out, by id or slug. today: decides whether a runtime's support has ended.
    builder: the build machine's platform, by default this machine's; or `OF_THE_IMAGE`.
    readings: keeps what is read from the disk.
    """
    active = {rule.id for rule in RULES if {rule.id, rule.slug}.isdisjoint(off)}
    views = view_images(images, layouts, found, readings or Readings())
    day, machine = today or datetime.datetime.now(datetime.UTC).date(), builder or native_platform()
    return {name: tuple(_faults(views[name], active, day, machine)) for name in found}


def _faults(view: ImageView, active: Collection[str], today: datetime.date, builder: str) -> Iterable[Fault]:
    faults = [fault for check in _CHECKS for fault in check(view)]
    faults += environment.support_faults(view, today)
    faults += libraries.builder_faults(view, builder)
    slugs = {rule.id: rule.slug for rule in RULES}
    text = view.image.node.recipe.dockerfile.text
    return dict.fromkeys(
        each
        for each in faults
        if each.rule in active
        and not (each.file == view.file and is_off((each.rule, slugs[each.rule]), each.line, text))
    )


def matching(lines: Iterable[str], *, build: bool = False) -> Rule | None:
    """Return the rule whose effect the last lines of a log show; None if no rule is about them.

    build: Whether it is the log of a build, not of a function.
    """
    texts = [*lines][::-1]
    if build:
        return _first_match(texts, {rule: rule.logs for rule in RULES if rule.in_builds})
    own = _first_match(texts, {rule: rule.logs for rule in RULES})
    return own or _first_match(texts, {rule: rule.general for rule in RULES})


def _first_match(lines: Iterable[str], patterns: Mapping[Rule, tuple[str, ...]]) -> Rule | None:
    for line in lines:
        for rule, each in patterns.items():
            if any(re.search(pattern, line) for pattern in each):
                return rule
    return None
