"""The command that gives image references to other deployment tools: outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.errors import ConfigError, Problem
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
    approve: str | None,
) -> int:
    """Print the references of images.

    Args:
        ssm: the prefix of parameters to write; True for the default one.
        approve: the stack whose parameters may be written.
    """
    from lamina.handoff.formats import render
    from lamina.handoff.outputs import resolve_outputs

    _check_flags(ssm=ssm, plan_only=plan_only, of_ssm={"--dry-run": dry_run, "--approve": approve})
    if ssm and not dry_run:
        from lamina.deploy.stack import require_approval

        require_approval(session, approve)
    found = resolve_outputs(session, plan_only=plan_only, allow_stale=allow_stale)
    text = render(form, found)
    if ssm:
        _write_parameters(session, found, ssm, dry_run=dry_run)
    session.screen.text(text)
    return 0


def _check_flags(*, ssm: str | bool, plan_only: bool, of_ssm: Mapping[str, object]) -> None:
    if ssm and plan_only:
        raise ConfigError.of(
            "--ssm writes digests of pushed images, and --plan-only has none", where="--plan-only"
        )
    ConfigError.check(
        Problem(what=f"{flag} belongs to --ssm: else nothing is written", where=flag)
        for flag, given in of_ssm.items()
        if given and not ssm
    )


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
