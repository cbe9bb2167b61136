"""Tasks that explain and verify builds: why, audit, verify, report."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from lamina.audit.show import audit_documents, show_audit, verify_document
from lamina.errors import BuildError
from lamina.flow.session import Flags
from lamina.report.document import change_documents
from lamina.tasks.frame import helps, open_session


@task(
    positional=["image"],
    help={
        **helps("registry", "stack", "json"),
        "image": "the image to explain",
        "from": "the first state: last (built here), worktree, a git revision, a tag or digest, "
        "host/repository:tag",
        "to": "the second state, given in the same way",
    },
)
def why(
    _: Context,
    image: str,
    from_: str = "last",
    to: str = "worktree",
    registry: str | None = None,
    stack: str | None = None,
    json: bool = False,
) -> None:
    """Show which inputs of an image changed between two states, down to the file that caused it."""
    with open_session("why", Flags(registry=registry, stack=stack), json=json) as session:
        from lamina.flow.why import explain

        found = explain(session, image, from_, to)
        session.screen.say(f"{image}: {from_} -> {to}")
        for each in found:
            session.screen.changes(f"{'  ' * (each.depth + 1)}{each.image}: ", each.changes)
        documents = [
            {"name": each.image, "depth": each.depth, "changes": change_documents(each.changes)}
            for each in found
        ]
        session.screen.finish("why", ok=True, images=documents)


@task(
    iterable=["image"],
    help={
        **helps("image", "registry", "stack", "platform", "builder", "static", "json", "plain"),
        "sample": "audit only this many images, chosen at random (0: all)",
        "seed": "repeat the sample that this seed chose (0: a new one)",
    },
)
def audit(
    _: Context,
    image: list[str],
    sample: int = 0,
    seed: int = 0,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    builder: str | None = None,
    static: bool = False,
    json: bool = False,
    plain: bool = False,
) -> None:
    """Check that skips are right: solve each skipped image and compare its layers with the stored image."""
    flags = Flags(
        images=tuple(image),
        registry=registry,
        stack=stack,
        platform=platform,
        builder=builder,
        static=static or None,
    )
    with open_session("audit", flags, json=json, plain=plain) as session:
        from lamina.audit.audit import audit_skips

        found = audit_skips(session, sample=sample, seed=seed)
        show_audit(session.screen, found.images, skipped=found.skipped, seed=found.seed)
        if found.problems:
            session.screen.error(BuildError(*found.problems))
        documents = audit_documents(found.images)
        session.screen.finish(
            "audit", ok=not found.problems, images=documents, skipped=found.skipped, seed=found.seed
        )
        if found.problems:
            raise Exit(code=BuildError.exit_code)


@task(
    positional=["image"],
    help={
        **helps("registry", "stack", "platform", "json", "plain"),
        "image": "the image to rebuild",
    },
)
def verify(
    _: Context,
    image: str,
    registry: str | None = None,
    stack: str | None = None,
    platform: str | None = None,
    json: bool = False,
    plain: bool = False,
) -> None:
    """Rebuild an image of --reproducible from scratch, in an engine of its own, and compare the digests."""
    flags = Flags(registry=registry, stack=stack, platform=platform, static=False, reproducible=True)
    with open_session("verify", flags, json=json, plain=plain) as session:
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
        if error:
            raise Exit(code=error.exit_code)


@task(
    optional=["html"],
    help={
        **helps("json"),
        "run": "the run to report, by its name or the beginning of it (default: the latest)",
        "last": "how many runs to search for steps that are often slow",
        "list": "only list the kept runs",
        "html": "write an HTML page to this file instead (default: .lamina/report.html)",
    },
)
def report(
    _: Context, run: str = "", last: int = 10, list_: bool = False, html: str = "", json: bool = False
) -> None:
    """Report how well the cache worked in a run: which steps ran and why, their cost, and the savings."""
    with open_session("report", Flags(), json=json) as session:
        from lamina.flow.report import list_runs, report_run, write_report
        from lamina.report import summary

        if list_:
            runs = list_runs(session)
            session.screen.rows(summary.RUN_HEADINGS, summary.run_rows(runs), wide="saved")
            documents = [summary.run_document(each) for each in runs]
            session.screen.finish("report", ok=True, images=[], runs=documents)
            return
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
