"""The task that checks Dockerfiles: lint."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina import __version__
from lamina.errors import ConfigError
from lamina.flow.session import Flags
from lamina.tasks.frame import helps, open_session

FINDINGS = 6
_A_FILE = "name a file: --sarif lint.sarif"


@task(
    iterable=["image"],
    help={
        **helps("image", "json"),
        "fix": "show the fixes as a diff, then write them",
        "dry-run": "with --fix: show the diff and write nothing",
        "sarif": "write a SARIF 2.1.0 log to this file (-: standard output, and nothing else there)",
    },
)
def lint(
    _: Context,
    image: list[str],
    fix: bool = False,
    dry_run: bool = False,
    json: bool = False,
    sarif: str | None = None,
) -> None:
    """Find faults in Dockerfiles that defeat the cache or fail on Lambda; --fix fixes them."""
    with open_session("lint", Flags(images=tuple(image)), json=json or sarif == "-") as session:
        from lamina.lint.run import fix_images, lint_images, write_log
        from lamina.lint.show import finding_documents, show_findings

        if json and sarif == "-":
            raise ConfigError.of(
                "--json and --sarif - both want standard output", where="--sarif", hint=_A_FILE
            )
        found = fix_images(session, dry_run=dry_run) if fix else lint_images(session)
        show_findings(session.screen, found.findings)
        session.screen.error(ConfigError(*found.problems))
        code = ConfigError.exit_code if found.problems else FINDINGS if found.failing else 0
        if sarif:
            write_log(session, found.findings, sarif, version=__version__)
        if sarif != "-":
            documents = finding_documents(found.findings)
            session.screen.finish("lint", ok=not code, images=[], findings=documents)
    if code:
        raise Exit(code=code)
