"""The command that gives image references to other deployment tools: outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.errors import ConfigError
from lamina.flow.session import Session

if TYPE_CHECKING:
    from lamina.handoff.rules import ImageOutput


def outputs(
    session: Session,
    *,
    form: str,
    plan_only: bool,
    allow_stale: bool,
    ssm: str | bool,
    dry_run: bool,
) -> int:
    """Print the references of images. ssm: the prefix of parameters to write; True for the default one."""
    from lamina.handoff.formats import render
    from lamina.handoff.outputs import resolve_outputs

    _check_flags(ssm=ssm, plan_only=plan_only, dry_run=dry_run)
    found = resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale)
    text = render(form, found)
    if ssm:
        _write_parameters(session, found, ssm, dry_run=dry_run)
    session.screen.text(text)
    return 0


def _check_flags(*, ssm: str | bool, plan_only: bool, dry_run: bool) -> None:
    if ssm and plan_only:
        raise ConfigError.of(
            "--ssm writes digests of pushed images, and --plan-only has none", where="--plan-only"
        )
    if dry_run and not ssm:
        raise ConfigError.of("--dry-run belongs to --ssm: else nothing is written", where="--dry-run")


def _write_parameters(
    session: Session, found: Sequence[ImageOutput], ssm: str | bool, *, dry_run: bool
) -> None:
    from lamina.handoff.parameters import PREFIX, check_prefix, plan_parameters, write_parameters

    prefix = PREFIX if isinstance(ssm, bool) else ssm.rstrip("/")
    check_prefix(prefix)
    changes = plan_parameters(session, found, prefix)
    rows = [(each.name, each.status, each.value) for each in changes]
    session.screen.rows(("parameter", "state", "image"), rows, wide="image")
    if not dry_run:
        for each in write_parameters(session, changes):
            session.screen.say(f"written: {each.name}")
