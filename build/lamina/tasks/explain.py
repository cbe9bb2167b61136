"""Commands that explain and verify builds: why, audit, verify, size, report."""

from __future__ import annotations

from lamina.audit.show import audit_documents, show_audit, verify_document
from lamina.errors import BuildError, ConfigError, unknown_format
from lamina.flow.session import Session
from lamina.json_data import JsonDocument
from lamina.report.document import change_documents


def why(session: Session, *, image: str, from_: str, to: str) -> int:
    """Show what changed in an image between two states."""
    from lamina.flow.why import explain

    found = explain(session, image, from_, to)
    session.screen.say(f"{image}: {from_} -> {to}")
    for each in found:
        session.screen.changes(f"{'  ' * (each.depth + 1)}{each.image}: ", each.changes)
    documents: list[JsonDocument] = [
        {"name": each.image, "depth": each.depth, "changes": change_documents(each.changes)} for each in found
    ]
    session.screen.finish("why", ok=True, images=documents)
    return 0


def audit(session: Session, *, sample: int, seed: int) -> int:
    """Compare skipped images with what their inputs give. sample, seed: 0 for all, and for a new one."""
    from lamina.audit.audit import audit_skips

    found = audit_skips(session, sample=sample, seed=seed)
    show_audit(session.screen, found.images, skipped=found.skipped, seed=found.seed)
    if found.problems:
        session.screen.error(BuildError(*found.problems))
    documents = audit_documents(found.images)
    session.screen.finish(
        "audit", ok=not found.problems, images=documents, skipped=found.skipped, seed=found.seed
    )
    return BuildError.exit_code if found.problems else 0


def verify(session: Session, *, image: str) -> int:
    """Rebuild an image and compare the digests."""
    from lamina.audit.verify import verify_image

    found = verify_image(session, image)
    session.screen.rows(
        ("what", "recorded", "built again"),
        (
            (
                row.name,
                (row.recorded or "-")[:19],
                (row.rebuilt or "-")[:19] if not row.same else "the same",
            )
            for row in found.rows
        ),
        wide="what",
    )
    error = None if found.identical else BuildError(found.problem)
    if error:
        session.screen.error(error)
    session.screen.finish("verify", ok=found.identical, images=[verify_document(found)])
    return error.exit_code if error else 0


def size(session: Session, *, image: str, from_: str) -> int:
    """Show what an image consists of. from_: the earlier image; empty for the last one before."""
    from lamina.report.sizes import KeptSize, keep_size
    from lamina.size.show import show_size, size_document
    from lamina.size.size import measure

    found = measure(session, image, from_)
    unneeded = (
        KeptSize(kind=each.kind, bytes=each.bytes, parts=tuple(name for name, _ in each.parts))
        for each in found.unneeded
    )
    keep_size(session.project.state, image, found.image.tag, unneeded)
    show_size(session.screen, found)
    session.screen.finish("size", ok=True, images=[size_document(found)])
    return 0


def diff(session: Session, *, from_: str, layers: bool, form: str, json: bool) -> int:
    """Show what changed in images since a commit, or against an image. layers: whether to read them."""
    from lamina.diff.diff import diff_images
    from lamina.diff.show import FORMATS, MARKDOWN, as_markdown, diff_documents, show_diff

    if form not in FORMATS:
        raise ConfigError(unknown_format(form, FORMATS))
    if json and form == MARKDOWN:
        raise ConfigError.of(f"--json and --format {form} both want standard output", where="--json")
    found = diff_images(session, from_, layers=layers)
    if form == MARKDOWN:
        session.screen.text(as_markdown(found))
    else:
        show_diff(session.screen, found)
        session.screen.finish("diff", ok=True, images=diff_documents(found), since=found.revision)
    return 0


def report(session: Session, *, run: str, last: int, list_: bool, since: str | None, html: str | bool) -> int:
    """Report a run, all of them, or a period. html: the file of the page; True for the default one."""
    from lamina.flow.report import list_runs, report_run, write_report, write_runs
    from lamina.report import summary

    if since is not None:
        if run or list_:
            other = "--run" if run else "--list"
            raise ConfigError.of(f"--since and {other} exclude each other", where="--since")
        return _report_period(session, since, html)
    if list_:
        runs = list_runs(session)
        of_all = str(write_runs(session, runs, html)) if html else None
        if of_all:
            session.screen.say(of_all)
        else:
            session.screen.rows(summary.RUN_HEADINGS, summary.run_rows(runs), wide="saved")
        documents = [summary.run_document(each) for each in runs]
        session.screen.finish("report", ok=True, images=[], runs=documents, page=of_all)
        return 0
    found = report_run(session, run, last)
    page = write_report(session, found, html) if html else None
    if page:
        session.screen.say(str(page))
    else:
        summary.show(session.screen, found)
    document = summary.report_document(found)
    session.screen.finish(
        "report",
        ok=True,
        images=summary.image_documents(found.run),
        **document,
        page=str(page) if page else None,
    )
    return 0


def _report_period(session: Session, since: str, html: str | bool) -> int:
    from lamina.flow.report import report_period, write_runs
    from lamina.report.since_show import period_document, period_images, period_lines, show_period

    found = report_period(session, since)
    page = None
    if html and found.runs:
        page = str(write_runs(session, found.runs, html, tuple(period_lines(found))))
        session.screen.say(page)
    else:
        show_period(session.screen, found)
    images = period_images(found)
    session.screen.finish("report", ok=True, images=images, **period_document(found), page=page)
    return 0
