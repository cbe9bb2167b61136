"""The command that checks Dockerfiles: lint."""

from __future__ import annotations

from lamina import __version__
from lamina.errors import ConfigError
from lamina.flow.session import Session
from lamina.tasks.commands import FINDINGS

_A_FILE = "name a file: --sarif lint.sarif"


def lint(session: Session, *, fix: bool, dry_run: bool, json: bool, sarif: str | None) -> int:
    """Check Dockerfiles; end with `FINDINGS` if there are any. sarif: the file of the log, or ``-``."""
    from lamina.lint.run import fix_images, lint_images, write_log
    from lamina.lint.show import finding_documents, show_findings

    if json and sarif == "-":
        raise ConfigError.of("--json and --sarif - both want standard output", where="--sarif", hint=_A_FILE)
    found = fix_images(session, dry_run=dry_run) if fix else lint_images(session)
    show_findings(session.screen, found.findings)
    session.screen.error(ConfigError(*found.problems))
    code = ConfigError.exit_code if found.problems else FINDINGS if found.failing else 0
    if sarif:
        write_log(session, found.findings, sarif, version=__version__)
    if sarif != "-":
        documents = finding_documents(found.findings)
        session.screen.finish("lint", ok=not code, images=[], findings=documents)
    return code
