"""The commands about lint's rules: lint, rule."""

from __future__ import annotations

from lamina import __version__
from lamina.errors import ConfigError
from lamina.flow.session import Session
from lamina.tasks.command import FINDINGS


def lint(
    session: Session,
    *,
    fix: bool,
    dry_run: bool,
    json: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    notes: bool,
    output_format: str,
    output_file: str | None,
) -> int:
    """Check Dockerfiles; end with `FINDINGS` if there is an error or a warning."""
    from lamina.lint.output import FindingsOutput
    from lamina.lint.registry import RuleSelection
    from lamina.lint.run import fix_images, lint_images

    output = FindingsOutput(
        form=output_format,
        file=output_file,
        json=json,
        notes=notes or bool(select),
        version=__version__,
    )
    output.check()
    rules = RuleSelection.of(select, ignore)
    found = fix_images(session, rules, dry_run=dry_run) if fix else lint_images(session, rules)
    session.screen.error(ConfigError(*found.problems))
    code = ConfigError.exit_code if found.problems else FINDINGS if found.failing else 0
    output.write(session, found.findings, ok=not code)
    return code


def rule(session: Session, *, name: str) -> int:
    """Explain a rule."""
    from lamina.lint.registry import find_rule
    from lamina.lint.show import rule_document, rule_lines

    found = find_rule(name)
    for line in rule_lines(found):
        session.screen.say(line)
    session.screen.finish("rule", ok=True, images=[], rule=rule_document(found))
    return 0
